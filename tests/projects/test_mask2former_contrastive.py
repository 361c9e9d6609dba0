from pathlib import Path

CONFIG = (
    Path(__file__).parents[2] / 'projects' / 'mask2former_contrastive' / 'small_moving-shapes.py'
)


def test_trains_and_tracks(train_and_test):
    losses, scores, tracks = train_and_test(
        CONFIG,
        'model.detector.test_cfg.score_thr=0.0',
        'model.tracker.new_thr=0.0',
        'model.tracker.first_thr=0.0',
        'model.test_cfg.result_score_thr=0.0',
        'model.detector.panoptic_head.num_queries=8',
    )
    for name in ('loss_cls', 'd0.loss_mask', 'loss_dice', 'loss_embed', 'loss_embed_aux'):
        assert losses[name] > 0
    assert 0 <= scores['youtube_vis/AP'] <= 1
    assert tracks and all(len(track['segmentations']) == 3 for track in tracks)
