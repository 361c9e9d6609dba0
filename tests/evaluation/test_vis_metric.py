import json
import pickle
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from broken_rle import broken_counts, only_whole_masks_reach_pycocotools
from mmdet.evaluation.metrics import YouTubeVISMetric
from mmdet.structures import DetDataSample, TrackDataSample
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils

from mmvis_cl.datasets.converters.moving_shapes import CLASSES, make_moving_shapes
from mmvis_cl.errors import InputError
from mmvis_cl.evaluation import VISMetric, evaluate_tracks, identity_measures, load_results
from mmvis_cl.evaluation.track_ap import checked_tracks
from mmvis_cl.registry import METRICS

LENGTH = 6


@pytest.fixture(scope='module')
def ann_file(tmp_path_factory):
    """Moving shapes with other category ids, in another order than the classes'."""
    root = tmp_path_factory.mktemp('metric') / 'moving_shapes'
    make_moving_shapes(root, seed=5, train_videos=1, valid_videos=4, length=LENGTH)
    content = json.loads((root / 'valid.json').read_text())
    for item in content['categories']:
        item['id'] = 20 - item['id']
    for item in content['annotations']:
        item['category_id'] = 20 - item['category_id']
    path = root / 'renumbered.json'
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope='module')
def truth(ann_file):
    return json.loads(ann_file.read_text())


@pytest.fixture(scope='module')
def detections(truth):
    """Tracks near the truth: masks moved by a pixel or two, some missed, one false each video."""
    rng = np.random.default_rng(0)
    tracks = []
    for track in truth['annotations']:
        label = 19 - track['category_id']
        masks = np.zeros((LENGTH, 96, 160), dtype=bool)
        for frame, rle in enumerate(track['segmentations']):
            if rle and rng.random() < 0.9:
                masks[frame] = np.roll(mask_utils.decode(rle), rng.integers(-2, 3, size=2), (0, 1))
        labels = np.full(LENGTH, label)
        labels[1] = (label + 1) % len(CLASSES)  # a mistake in a single frame
        tracks.append((track['video_id'], masks, labels, rng.uniform(0.3, 1, LENGTH)))
    for video in truth['videos']:
        masks = np.zeros((LENGTH, 96, 160), dtype=bool)
        masks[2:5, 30:50, 60:90] = True
        tracks.append((video['id'], masks, np.zeros(LENGTH, int), rng.uniform(0.3, 1, LENGTH)))
    return tracks


def expected_results(detections):
    return [
        dict(
            video_id=video_id,
            category_id=19 - int(np.bincount(labels[seen]).argmax()),
            score=float(scores[seen].mean()),
            segmentations=[_rle(mask) if mask.any() else None for mask in masks],
        )
        for video_id, masks, labels, scores in detections
        if (seen := masks.any((1, 2))).any()
    ]


def _rle(mask):
    rle = mask_utils.encode(np.asfortranarray(mask, np.uint8))
    return dict(size=rle['size'], counts=rle['counts'].decode())


def _corners(box):
    left, top, width, height = box
    return [left, top, left + width, top + height]


def frame_samples(truth, detections, dense, with_instances=False):
    """For each video its frames as a model's predictions."""
    videos = []
    for video in truth['videos']:
        frames = []
        for frame_id in range(LENGTH):
            found = [
                (identity, masks[frame_id], labels[frame_id], scores[frame_id])
                for identity, (video_id, masks, labels, scores) in enumerate(detections)
                if video_id == video['id'] and masks[frame_id].any()
            ]
            sample = DetDataSample(
                metainfo=dict(
                    video_id=video['id'],
                    frame_id=frame_id,
                    img_id=video['id'] * 100 + frame_id,
                    ori_shape=(96, 160),
                    ori_video_length=LENGTH,
                    video_length=LENGTH,
                )
            )
            masks = [mask for _, mask, _, _ in found]
            sample.pred_track_instances = InstanceData(
                instances_id=torch.tensor([item[0] for item in found], dtype=torch.long),
                labels=torch.tensor([int(item[2]) for item in found], dtype=torch.long),
                scores=torch.tensor([item[3] for item in found], dtype=torch.float64),
                bboxes=torch.zeros(len(found), 4),
                masks=torch.from_numpy(np.reshape(masks, (-1, 96, 160)).astype(bool))
                if dense
                else [_rle(mask) for mask in masks],
            )
            if with_instances:
                sample.set_metainfo(
                    dict(
                        instances=[
                            dict(
                                bbox=_corners(track['bboxes'][frame_id]),
                                bbox_label=19 - track['category_id'],
                                ignore_flag=0,
                                mask=dict(track['segmentations'][frame_id]),
                                instance_id=track['id'],
                            )
                            for track in truth['annotations']
                            if track['video_id'] == video['id'] and track['segmentations'][frame_id]
                        ]
                    )
                )
            frames.append(sample)
        videos.append(frames)
    return videos


def run(metric, videos, whole=False):
    metric.dataset_meta = dict(classes=CLASSES)
    for frames in videos:
        for group in [frames] if whole else [[frame] for frame in frames]:
            sample = TrackDataSample()
            sample.video_data_samples = group
            metric.process(None, [sample.to_dict()])
    return metric.evaluate(len(videos))


@pytest.mark.parametrize('whole', [False, True], ids=['frames', 'videos'])
@pytest.mark.parametrize('dense', [False, True], ids=['rle', 'dense'])
def test_any_video_model(ann_file, truth, detections, tmp_path, dense, whole):
    prefix = tmp_path / 'new' / 'results'
    metric = METRICS.build(
        dict(type='mmvis_cl.VISMetric', ann_file=str(ann_file), outfile_prefix=str(prefix))
    )
    scores = run(metric, frame_samples(truth, detections, dense), whole)
    results = expected_results(detections)
    expected = evaluate_tracks(results, truth)
    assert 0.2 < expected['AP'] < 0.95
    assert scores == {f'youtube_vis/{name}': value for name, value in expected.items()}
    written = load_results(f'{prefix}.json')
    key = lambda track: (track['video_id'], track['score'])  # noqa: E731
    assert sorted(written, key=key) == sorted(results, key=key)
    assert [path.name for path in prefix.parent.iterdir()] == ['results.json']


def test_agrees_with_the_metric_of_mmdet(truth, detections):
    samples = frame_samples(truth, detections, dense=True, with_instances=True)
    theirs = run(YouTubeVISMetric(metric_items=['mAP', 'mAP_50', 'mAP_75', 'AR@1']), samples, True)
    ours = run(VISMetric(), samples, True)
    for their_name, our_name in [
        ('mAP', 'AP'),
        ('mAP_50', 'AP50'),
        ('mAP_75', 'AP75'),
        ('AR@1', 'AR1'),
    ]:
        theirs_value = theirs[f'youtube_vis/segm_{their_name}']
        assert theirs_value == pytest.approx(ours[f'youtube_vis/{our_name}'], abs=5.1e-4)


def test_truth_from_the_samples(ann_file, truth, detections):
    samples = frame_samples(truth, detections, dense=False, with_instances=True)
    assert run(VISMetric(), samples) == pytest.approx(run(VISMetric(str(ann_file)), samples))


def test_video_result_is_taken_as_it_is(ann_file, truth, detections):
    """It comes with the last frame, and several of its tracks can share an identity."""
    metric = VISMetric(str(ann_file))
    metric.dataset_meta = dict(classes=CLASSES)
    results = []
    for frames in frame_samples(truth, detections, dense=False):
        video_id = frames[0].video_id
        tracks = []
        for label in (0, 2):
            masks = [_rle(np.eye(96, 160, dtype=bool)), *[None] * (LENGTH - 1)]
            tracks.append(SimpleNamespace(identity=4, label=label, score=0.5, segmentations=masks))
        for annotation in truth['annotations']:
            if annotation['video_id'] == video_id:
                tracks.append(
                    SimpleNamespace(
                        identity=annotation['id'],
                        label=19 - annotation['category_id'],
                        score=0.7,
                        segmentations=annotation['segmentations'],
                    )
                )
        for frame in frames:
            sample = TrackDataSample()
            sample.video_data_samples = [frame]
            if frame is frames[-1]:
                video_result = SimpleNamespace(
                    video_id=video_id, length=LENGTH, ori_shape=(96, 160), tracks=tracks
                )
                sample.set_metainfo(dict(video_result=video_result))
            metric.process(None, [sample])
        results += [
            dict(
                video_id=video_id,
                category_id=19 - track.label,
                score=track.score,
                segmentations=track.segmentations,
            )
            for track in tracks
        ]
    assert metric._open_videos == {}
    scores = metric.evaluate(4)
    expected = evaluate_tracks(results, truth)
    assert scores == {f'youtube_vis/{name}': value for name, value in expected.items()}
    assert scores['youtube_vis/AP'] == pytest.approx(1)


@pytest.mark.parametrize('with_file', [True, False], ids=['ann_file', 'instances'])
@pytest.mark.parametrize('dense', [False, True], ids=['rle', 'dense'])
def test_nothing_found_in_any_video(ann_file, truth, tmp_path, dense, with_file):
    metric = VISMetric(str(ann_file) if with_file else None, outfile_prefix=str(tmp_path / 'r'))
    scores = run(metric, frame_samples(truth, [], dense, with_instances=not with_file))
    assert scores['youtube_vis/AP'] == scores['youtube_vis/AR100'] == 0
    assert load_results(tmp_path / 'r.json') == []


def test_nothing_found_in_one_video(ann_file, truth, detections):
    some = [track for track in detections if track[0] != 2]
    scores = run(VISMetric(str(ann_file)), frame_samples(truth, some, dense=False))
    assert scores['youtube_vis/AP'] == evaluate_tracks(expected_results(some), truth)['AP']


def test_metric_can_be_used_again(ann_file, truth, detections):
    metric = VISMetric(str(ann_file), metric_items=['AP', 'AR10'], prefix='vis')
    samples = frame_samples(truth, detections, dense=False)
    first = run(metric, samples)
    assert set(first) == {'vis/AP', 'vis/AR10'}
    assert run(metric, samples) == first


def test_measures_of_identities(ann_file, truth, detections):
    pytest.importorskip('trackeval', reason='pip install mmvis_cl[measures]')
    samples = frame_samples(truth, detections, dense=False)
    tracks = checked_tracks(expected_results(detections), truth)
    expected = identity_measures(tracks, ['hota', 'clear'])
    assert 0 < expected['HOTA'] < 1
    metric = VISMetric(str(ann_file), metrics=['hota', 'clear'])
    assert run(metric, samples) == {
        f'youtube_vis/{name}': expected[name]
        for name in ('HOTA', 'DetA', 'AssA', 'LocA', 'MOTSA', 'sMOTSA', 'IDSW', 'Frag')
    }
    items = ['AP', 'HOTA']
    both = run(VISMetric(str(ann_file), metrics=['ap', 'hota'], metric_items=items), samples)
    assert both['youtube_vis/HOTA'] == expected['HOTA']
    assert both['youtube_vis/AP'] == run(VISMetric(str(ann_file)), samples)['youtube_vis/AP']


def test_short_and_long_videos(ann_file, truth, detections):
    samples = frame_samples(truth, detections, dense=False, with_instances=True)
    expected = evaluate_tracks(expected_results(detections), truth, long_videos=[2, 3])
    metric = VISMetric(str(ann_file), long_videos=[2, 3])
    scores = run(metric, samples)
    assert len(scores) == 4 * 12
    assert scores == {f'youtube_vis/{name}': value for name, value in expected.items()}
    assert scores['youtube_vis/AP_short'] != scores['youtube_vis/AP_long']
    items = ['AP_mean', 'AP50_long']
    few = run(VISMetric(long_videos=[2, 3], metric_items=items), samples)
    assert few == {f'youtube_vis/{name}': pytest.approx(expected[name]) for name in items}


def test_submission_of_videos_without_annotations(truth, detections, tmp_path):
    hidden = tmp_path / 'valid.json'
    hidden.write_text(json.dumps({key: truth[key] for key in ('videos', 'categories')}))
    with pytest.raises(InputError, match="no list 'annotations'"):
        VISMetric(str(hidden))
    prefix = str(tmp_path / 'submission')
    metric = VISMetric(str(hidden), format_only=True, outfile_prefix=prefix)
    assert run(metric, frame_samples(truth, detections, dense=False)) == {}
    with zipfile.ZipFile(f'{prefix}.zip') as archive:
        assert archive.namelist() == ['results.json']
    results = load_results(f'{prefix}.zip')
    assert results == load_results(f'{prefix}.json')
    expected = evaluate_tracks(expected_results(detections), truth)
    assert evaluate_tracks(results, truth) == expected


def test_incomplete_video(ann_file, truth, detections):
    samples = frame_samples(truth, detections, dense=False)
    samples[1] = samples[1][:4]
    with pytest.raises(InputError, match='only 4 of the 6 frames of video 2 were processed'):
        run(VISMetric(str(ann_file)), samples)


def test_videos_left_out(ann_file, truth, detections):
    samples = frame_samples(truth, detections, dense=False)[:3]
    with pytest.raises(InputError, match=r'3 of the 4 videos of .* video 4 for instance was not'):
        run(VISMetric(str(ann_file)), samples)


def test_classes_of_another_data_set(ann_file, truth, detections):
    metric = VISMetric(str(ann_file))
    for frames in frame_samples(truth, detections, dense=False):
        sample = TrackDataSample()
        sample.video_data_samples = frames
        metric.process(None, [sample])
    metric.dataset_meta = dict(classes=('disk', 'walrus'))
    with pytest.raises(InputError, match="has no category 'walrus'"):
        metric.evaluate(4)


def test_no_truth_at_all(truth, detections):
    with pytest.raises(InputError, match='give ann_file'):
        run(VISMetric(), frame_samples(truth, detections, dense=False))
    with pytest.raises(InputError, match='no video was processed'), pytest.warns(UserWarning):
        run(VISMetric(), [])


def test_model_without_masks(truth, detections):
    frames = frame_samples(truth, detections, dense=False)[0]
    del frames[0].pred_track_instances.masks
    with pytest.raises(InputError, match='no masks'):
        run(VISMetric(), [frames])


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(ann_file='/nowhere/valid.json'), '/nowhere/valid.json: no such file'),
        (dict(format_only=True), 'give outfile_prefix'),
        (dict(metric_items=['mAP']), "metric_items has 'mAP'"),
        (dict(metric_items=['AP_long']), "metric_items has 'AP_long'.* with long_videos those of"),
        (dict(metrics=['mota']), "no 'mota'; known are ap, hota, identity, clear, jf"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        VISMetric(**arguments)


def test_unusable_long_videos_are_found_before_the_test(ann_file):
    with pytest.raises(InputError, match=r'long_videos=99 .* none of the 4 videos is long'):
        VISMetric(str(ann_file), long_videos=99)


def test_results_of_two_processes(ann_file, truth, detections):
    """What they exchange are pickles; a video that both had, to be even, counts once."""
    videos = frame_samples(truth, detections, dense=False)
    parts = []
    for mine in (videos[:2], videos[1:]):
        metric = VISMetric(str(ann_file))
        metric.dataset_meta = dict(classes=CLASSES)
        metric.compute_metrics = lambda results: parts.append(pickle.dumps(results)) or {}
        run(metric, mine)
    metric = VISMetric(str(ann_file))
    metric.dataset_meta = dict(classes=CLASSES)
    scores = metric.compute_metrics([video for part in parts for video in pickle.loads(part)])
    expected = run(VISMetric(str(ann_file)), videos)
    assert {f'youtube_vis/{name}': value for name, value in scores.items()} == expected


BROKEN = broken_counts(96, 160)


@pytest.mark.parametrize('of_file', [True, False], ids=['truth of a file', 'truth of the frames'])
@pytest.mark.parametrize('kind', [str, bytes])
@pytest.mark.parametrize('name', BROKEN)
def test_broken_masks_of_a_model(ann_file, truth, detections, name, kind, of_file):
    """A model of somebody else can give any RLE."""
    videos = frame_samples(truth, detections, dense=False, with_instances=not of_file)
    counts = BROKEN[name]
    if kind is bytes:
        counts = counts.encode(errors='surrogatepass')
    found = next(frame.pred_track_instances for frame in videos[0] if frame.pred_track_instances)
    found.masks[0]['counts'] = counts
    metric = VISMetric(ann_file=str(ann_file) if of_file else None)
    message = r'RLE (is broken|covers)'
    with only_whole_masks_reach_pycocotools(), pytest.raises(InputError, match=message) as error:
        run(metric, videos)
    assert '\n' not in str(error.value)
