from pathlib import Path

from mmengine.config import Config

PROJECT = Path(__file__).parents[2] / 'projects' / 'qdtrack_log_sum_exp'
BASE = 'mmdet::qdtrack/qdtrack_faster-rcnn_r50_fpn_4e_base.py'


def test_only_the_loss_differs_from_mmdets(tmp_path):
    (tmp_path / 'mmdets.py').write_text(f"_base_ = '{BASE}'\n")
    theirs = Config.fromfile(tmp_path / 'mmdets.py').to_dict()
    ours = Config.fromfile(PROJECT / 'r50_4e_base.py').to_dict()
    loss = theirs['model']['track_head']['embed_head'].pop('loss_track')
    assert (loss['type'], loss['loss_weight']) == ('MultiPosCrossEntropyLoss', 0.25)
    assert ours['model']['track_head']['embed_head'].pop('loss_track') == dict(
        type='mmvis_cl.QuasiDenseLogSumExpLoss', loss_weight=0.25
    )
    assert ours == theirs


def test_trains_and_tracks(train_and_test):
    losses, scores, tracks = train_and_test(
        PROJECT / 'small_moving-shapes.py',
        'model.tracker.init_score_thr=0.0',
        'model.tracker.obj_score_thr=0.0',
        'model.detector.test_cfg.rcnn.max_per_img=10',
        'model.detector.test_cfg.rcnn.score_thr=0.0',
    )
    assert losses['loss_track'] > 0 and losses['loss_track_aux'] >= 0
    assert 0 <= scores['box_track/AP'] <= 1
    # boxes without classes, written as masks
    assert tracks and {track['category_id'] for track in tracks} == {1}
