import json

import numpy as np
import pytest
from mmdet.evaluation import YouTubeVISMetric

from mmvis_cl.structures import VideoResult, encode_masks


def add(result, frame, ids, scores):
    n = len(ids)
    masks = encode_masks(np.ones((n, 4, 6), dtype=bool)) if n else []
    result.add_frame(frame, np.array(ids, int), np.array(scores, float), masks, np.ones((n, 4)))


def test_scores_are_averaged_over_the_frames_seen_and_each_likely_class_is_a_track():
    result = VideoResult(7, 3, (4, 6))
    add(result, 0, [0, 1], [[0.8, 0.1, 0.01], [0.0, 0.0, 0.9]])
    add(result, 1, [], [])
    add(result, 2, [0], [[0.6, 0.3, 0.03]])
    tracks = result.tracks
    assert [(t.identity, t.label) for t in tracks] == [(0, 0), (0, 1), (1, 2)]
    assert [t.score for t in tracks] == pytest.approx([0.7, 0.2, 0.9])
    assert [s is not None for s in tracks[0].segmentations] == [True, False, True]
    assert [s is not None for s in tracks[2].segmentations] == [True, False, False]


def test_the_mean_of_logits_becomes_probabilities_at_the_end():
    logits = np.array([[2.0, -1.0, 0.5], [0.0, 1.0, 3.0]])
    mean = logits.mean(0)
    sigmoid = VideoResult(7, 2, (4, 6), scores_are='logits')
    softmax = VideoResult(7, 2, (4, 6), scores_are='logits with background')
    for result in (sigmoid, softmax):
        add(result, 0, [0], logits[:1])
        add(result, 1, [0], logits[1:])
    assert sigmoid.mean_scores(0) == pytest.approx(1 / (1 + np.exp(-mean)))
    powers = np.exp(mean)
    assert softmax.mean_scores(0) == pytest.approx(powers[:2] / powers.sum())


def test_the_most_probable_ones_whatever_their_masks():
    """Two identities of two classes, three results; the worse masks only lower a score."""
    result = VideoResult(7, 2, (4, 6), score_thr=0, max_tracks=3)
    masks = encode_masks(np.ones((2, 4, 6), dtype=bool))
    scores = np.array([[0.9, 0.3], [0.5, 0.1]])
    for t, of_masks in enumerate(([[2.0, 4], [9.0, 10]], [[7.0, 8], [0.0, 0]])):
        result.add_frame(t, np.arange(2), scores, masks, np.ones((2, 4)), np.array(of_masks))
    assert [(t.identity, t.label) for t in result.tracks] == [(0, 0), (1, 0), (0, 1)]
    quality = 9 / 12, 9 / 10
    expected = 0.9 * quality[0], 0.5 * quality[1], 0.3 * quality[0]
    assert [t.score for t in result.tracks] == pytest.approx(expected)
    # of those, not of others in their place
    result.only_labels = frozenset([1])
    assert [(t.identity, t.label) for t in result.tracks] == [(0, 1)]
    result.only_labels, result.score_thr = None, 0.44
    assert [t.label for t in result.tracks] == [0, 0]
    # an identity without a pixel
    empty = VideoResult(7, 1, (4, 6), score_thr=-1, max_tracks=1)
    empty.add_frame(0, np.array([3]), scores[:1], masks[:1], np.ones((1, 4)), np.zeros((1, 2)))
    assert [t.score for t in empty.tracks] == [0]


def test_noise_is_removed_from_frame_nine_on_and_starts_anew():
    result = VideoResult(0, 14, (4, 6))
    add(result, 0, [0, 1, 2], [[0.9], [0.9], [0.9]])
    add(result, 1, [0, 1], [[0.9], [0.9]])
    add(result, 2, [0], [[0.9]])
    for frame in range(3, 9):
        add(result, frame, [], [])
    assert {t.identity for t in result.tracks} == {0, 1, 2}  # not before frame 9
    add(result, 9, [2], [[0.5]])
    # 0 was seen three times, 2 is in sight, 1 is noise
    assert {t.identity for t in result.tracks} == {0, 2}
    add(result, 10, [1], [[0.4]])
    by_identity = {t.identity: t for t in result.tracks}
    assert by_identity[1].score == pytest.approx(0.4)
    assert [s is not None for s in by_identity[1].segmentations].index(True) == 10
    assert {t.identity for t in result.tracks} == {0, 2, 1}
    add(result, 11, [], [])
    add(result, 12, [], [])
    assert {t.identity for t in result.tracks} == {0}


def test_nothing_found():
    result = VideoResult('a', 2, (4, 6))
    add(result, 0, [], [])
    add(result, 1, [], [])
    assert result.tracks == []
    assert result.to_youtube_vis([1]) == []
    sample = result.to_track_data_sample([dict(frame_id=t) for t in range(2)])
    assert [len(frame.pred_track_instances) for frame in sample] == [0, 0]


def test_youtube_vis_entries_are_json_with_the_files_category_ids():
    result = VideoResult(7, 2, (4, 6))
    add(result, 0, [0], [[0.8, 0.1]])
    entries = json.loads(json.dumps(result.to_youtube_vis([11, 22])))
    assert [(e['video_id'], e['category_id']) for e in entries] == [(7, 11), (7, 22)]
    assert entries[0]['segmentations'][0]['size'] == [4, 6]
    assert entries[0]['segmentations'][1] is None


def test_track_data_sample_has_one_instance_id_per_identity_and_class():
    result = VideoResult(7, 2, (4, 6))
    add(result, 0, [0], [[0.8, 0.4]])
    add(result, 1, [0, 1], [[0.8, 0.2], [0.0, 0.9]])
    sample = result.to_track_data_sample([dict(frame_id=t) for t in range(2)])
    first, second = (frame.pred_track_instances for frame in sample)
    assert first.instances_id.tolist() == [0, 1]
    assert second.instances_id.tolist() == [0, 1, 2]
    assert second.labels.tolist() == [0, 1, 1]
    assert second.scores.tolist() == pytest.approx([0.8, 0.3, 0.9])
    assert second.bboxes.shape == (3, 4)
    assert second.masks[0]['size'] == [4, 6]


def test_mmdets_own_metric_takes_a_finished_video():
    """Perfect tracks of two objects score 1 with mmdet's YouTubeVISMetric, a wrong class less."""
    truth = np.zeros((2, 16, 24), bool)
    truth[0, :8, :10] = truth[1, 9:, 12:] = True
    rles = encode_masks(truth)
    boxes = [[0, 0, 10, 8], [12, 9, 24, 16]]
    instances = [
        dict(bbox=box, bbox_label=label, instance_id=10 + label, mask=rle, ignore_flag=0)
        for label, (box, rle) in enumerate(zip(boxes, rles, strict=True))
    ]
    metas = [
        dict(
            frame_id=t,
            video_id=1,
            img_id=t,
            ori_shape=(16, 24),
            ori_video_length=2,
            instances=instances,
        )
        for t in range(2)
    ]
    for swapped, expected in ((False, 1.0), (True, 0.0)):
        result = VideoResult(1, 2, (16, 24))
        for t in range(2):
            scores = np.array([[0.9, 0.0], [0.0, 0.8]])[:: -1 if swapped else 1]
            result.add_frame(t, np.arange(2), scores, rles, np.array(boxes, float))
        sample = result.to_track_data_sample(metas, dense_masks=True)
        assert sample[0].pred_track_instances.masks.shape == (2, 16, 24)
        metric = YouTubeVISMetric()
        metric.dataset_meta = dict(classes=('a', 'b'))
        metric.process({}, [sample.to_dict()])
        assert metric.evaluate(1)['youtube_vis/segm_mAP'] == expected
