from pathlib import Path

from mmengine.config import Config

PROJECT = Path(__file__).parents[2] / 'projects' / 'masktrack_rcnn_memory_bank'
BASE = 'mmdet::masktrack_rcnn/masktrack-rcnn_mask-rcnn_r50_fpn_8xb1-12e_youtubevis2019.py'


def test_only_the_tracker_differs_from_mmdets(tmp_path):
    (tmp_path / 'mmdets.py').write_text(f"_base_ = '{BASE}'\n")
    theirs = Config.fromfile(tmp_path / 'mmdets.py').to_dict()
    ours = Config.fromfile(PROJECT / 'r50_ytvis19.py').to_dict()
    assert theirs['model'].pop('tracker')['type'] == 'MaskTrackRCNNTracker'
    tracker = ours['model'].pop('tracker')
    assert (tracker['type'], tracker['tracker']['type']) == (
        'mmvis_cl.RoITracker',
        'mmvis_cl.MemoryBankTracker',
    )
    assert ours == theirs


def test_trains_and_tracks(train_and_test):
    config = PROJECT / 'small_moving-shapes.py'
    thresholds = [f'model.tracker.tracker.{name}=0.0' for name in ('new_thr', 'first_thr')]
    few = 'model.detector.test_cfg.rcnn.max_per_img=10'
    losses, scores, tracks = train_and_test(config, few, *thresholds)
    assert losses['loss_match'] > 0 and losses['loss_mask'] > 0
    assert 0 <= scores['youtube_vis/AP'] <= 1
    assert {track['category_id'] for track in tracks} <= {1, 2, 3}
    assert tracks and all(len(track['segmentations']) == 3 for track in tracks)
