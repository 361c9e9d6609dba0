import copy
import json
import os
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmvis_cl.errors import InputError
from mmvis_cl.evaluation import (
    evaluate_tracks,
    format_scores,
    load_annotations,
    load_results,
    shuffle_identities,
)
from mmvis_cl.evaluation.track_ap import METRICS, checked_tracks, score_tracks

REPO = Path(__file__).parents[2]
SHARED = Path(os.environ.get('MMVIS_CL_SHARED', REPO.parent / 'shared'))
HEIGHT, WIDTH = 40, 60


def rle(top, left, height, width):
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8, order='F')
    mask[top : top + height, left : left + width] = 1
    encoded = mask_utils.encode(mask)
    return dict(size=[HEIGHT, WIDTH], counts=encoded['counts'].decode())


def annotations_of(*tracks, length=4, num_videos=1):
    """Annotations of (video id, category id, segmentations)."""
    return dict(
        videos=[
            dict(id=video_id + 1, height=HEIGHT, width=WIDTH, length=length)
            for video_id in range(num_videos)
        ],
        categories=[dict(id=1, name='cat'), dict(id=7, name='dog')],
        annotations=[
            dict(
                id=index + 1,
                video_id=video_id,
                category_id=category_id,
                segmentations=masks,
                areas=[mask and int(mask_utils.area(mask)) for mask in masks],
                iscrowd=0,
            )
            for index, (video_id, category_id, masks) in enumerate(tracks)
        ],
    )


def result(video_id, category_id, score, masks):
    return dict(video_id=video_id, category_id=category_id, score=score, segmentations=masks)


BOX = rle(5, 5, 10, 10)
FAR = rle(25, 40, 10, 10)


def test_figures_of_the_official_evaluation():
    expected = json.loads((REPO / 'tests/data/metric_paste_valid.json').read_text())
    annotations = SHARED / expected['annotations']
    if not annotations.exists():
        pytest.skip(f'{annotations} is not there; set MMVIS_CL_SHARED to the folder with data/')
    scores = evaluate_tracks(expected['results'], annotations)
    assert set(scores) == set(expected['stats'])
    for name, value in expected['stats'].items():
        assert scores[name] == pytest.approx(value, abs=1e-9), name


def test_perfect_results():
    annotations = annotations_of((1, 1, [BOX] * 4), (1, 7, [FAR, None, None, FAR]))
    results = [result(1, 1, 0.3, [BOX] * 4), result(1, 7, 0.9, [FAR, None, None, FAR])]
    scores = evaluate_tracks(results, annotations)
    # Areas are below 128^2: nothing is annotated in the two larger classes.
    expected = {name: -1.0 if name[-2:] in ('_m', '_l') else 1.0 for name in METRICS}
    assert scores == pytest.approx(expected)


@pytest.mark.parametrize(
    ('side', 'name'), [(20, 'AP_s'), (150, 'AP_m'), (260, 'AP_l')], ids=['small', 'medium', 'large']
)
def test_size_is_the_mean_area_over_the_frames_in_which_it_is_seen(side, name):
    mask = np.zeros((300, 300), dtype=np.uint8, order='F')
    mask[:side, :side] = 1
    encoded = mask_utils.encode(mask)
    masks = [encoded, None, None, None]
    annotations = annotations_of((1, 1, masks))
    annotations['videos'][0].update(height=300, width=300)
    scores = evaluate_tracks([result(1, 1, 0.5, masks)], annotations)
    for key in ('AP_s', 'AP_m', 'AP_l'):
        assert scores[key] == pytest.approx(1.0 if key == name else -1.0)


def test_iou_is_of_the_whole_track():
    # 62 of 100 pixels in every frame: IoU 0.62 passes the thresholds 0.5, 0.55 and 0.6 out of 10.
    part = mask_utils.merge([rle(5, 5, 6, 10), rle(11, 5, 1, 2)])
    annotations = annotations_of((1, 1, [BOX] * 4))
    scores = evaluate_tracks([result(1, 1, 0.9, [part] * 4)], annotations)
    assert scores['AP'] == pytest.approx(0.3)
    assert (scores['AP50'], scores['AP75']) == pytest.approx((1, 0))
    assert scores['AR1'] == pytest.approx(0.3)

    # Perfect masks in three of four frames: 0.75, six thresholds.
    scores = evaluate_tracks([result(1, 1, 0.9, [BOX] * 3 + [None])], annotations)
    assert scores['AP'] == pytest.approx(0.6)
    # A perfect track that goes on for one frame after the object has left: 3 / 4 likewise.
    annotations = annotations_of((1, 1, [BOX] * 3 + [None]))
    scores = evaluate_tracks([result(1, 1, 0.9, [BOX] * 4)], annotations)
    assert scores['AP'] == pytest.approx(0.6)


def test_switched_identities_miss():
    annotations = annotations_of((1, 1, [BOX] * 4), (1, 1, [FAR] * 4))
    # Perfect masks, but the two swap names half way: 2 frames of 6, IoU 1/3.
    results = [
        result(1, 1, 0.9, [BOX, BOX, FAR, FAR]),
        result(1, 1, 0.8, [FAR, FAR, BOX, BOX]),
    ]
    scores = evaluate_tracks(results, annotations)
    assert scores['AP'] == scores['AR100'] == 0


def test_broken_track_counts_once():
    # One object as two tracks of half the length, IoU 0.5 each: the first is a match at the
    # threshold 0.5 only, the second a false positive behind it.
    annotations = annotations_of((1, 1, [BOX] * 4))
    results = [
        result(1, 1, 0.9, [BOX, BOX, None, None]),
        result(1, 1, 0.8, [None, None, BOX, BOX]),
    ]
    scores = evaluate_tracks(results, annotations)
    assert scores['AP50'] == pytest.approx(1)
    assert scores['AP'] == pytest.approx(0.1)


def test_precision_and_recall_over_videos():
    annotations = annotations_of((1, 1, [BOX] * 4), (2, 1, [BOX] * 4), num_videos=3)
    found = result(1, 1, 0.5, [BOX] * 4)
    # One of two objects: precision 1 up to recall 0.5, that is at 51 of 101 recalls.
    scores = evaluate_tracks([found], annotations)
    assert scores['AP'] == pytest.approx(51 / 101)
    assert scores['AR100'] == 0.5
    # A better-scored mistake in a third video halves the precision.
    scores = evaluate_tracks([found, result(3, 1, 0.9, [BOX] * 4)], annotations)
    assert scores['AP'] == pytest.approx(0.5 * 51 / 101)
    # The wrong class is as bad as nothing.
    scores = evaluate_tracks([result(1, 7, 0.5, [BOX] * 4)], annotations)
    assert scores['AP'] == 0


def test_recall_is_limited_to_the_best_results_of_a_video():
    annotations = annotations_of((1, 1, [BOX] * 4), (1, 1, [FAR] * 4))
    results = [result(1, 1, 0.9, [BOX] * 4), result(1, 1, 0.8, [FAR] * 4)]
    scores = evaluate_tracks(results, annotations)
    assert (scores['AR1'], scores['AR10']) == (0.5, 1)


def test_nothing_found_and_nothing_annotated():
    annotations = annotations_of((1, 1, [BOX] * 4), num_videos=2)
    assert evaluate_tracks([], annotations)['AP'] == 0
    assert evaluate_tracks([], annotations)['AR100'] == 0
    assert evaluate_tracks([result(1, 1, 0.9, [None] * 4)], annotations)['AP'] == 0
    scores = evaluate_tracks([result(1, 1, 0.9, [BOX] * 4)], annotations_of())
    assert set(scores.values()) == {-1.0}


def test_crowds_are_neither_right_nor_wrong():
    annotations = annotations_of((1, 1, [BOX] * 4), (1, 1, [FAR] * 4))
    annotations['annotations'][1]['iscrowd'] = 1
    results = [result(1, 1, 0.9, [FAR] * 4), result(1, 1, 0.5, [BOX] * 4)]
    assert evaluate_tracks(results, annotations)['AP'] == pytest.approx(1)


def test_other_encodings_of_the_same_masks():
    counts = [5 * HEIGHT + 5] + [10, HEIGHT - 10] * 9 + [10]
    counts.append(HEIGHT * WIDTH - sum(counts))
    forms = [
        BOX,
        dict(BOX, counts=BOX['counts'].encode()),
        dict(size=[HEIGHT, WIDTH], counts=counts),
        [[5, 5, 15, 5, 15, 15, 5, 15]],
    ]
    for annotated in forms:
        for predicted in forms[:3]:
            annotations = annotations_of((1, 1, [BOX] * 4))
            annotations['annotations'][0]['segmentations'] = [annotated] * 4
            scores = evaluate_tracks([result(1, 1, 0.9, [predicted] * 4)], annotations)
            assert scores['AP'] == pytest.approx(1)


def test_annotations_may_start_at_0_and_lack_areas():
    annotations = annotations_of((1, 1, [BOX] * 4))
    annotations['annotations'][0]['id'] = 0
    del annotations['annotations'][0]['areas']
    scores = evaluate_tracks([result(1, 1, 0.9, [BOX] * 4)], annotations)
    assert (scores['AP_s'], scores['AP_m']) == pytest.approx((1, -1))


def test_input_is_left_as_it_is_and_nothing_is_printed(capsys):
    annotations = annotations_of((1, 1, [BOX] * 4))
    results = [result(1, 1, 0.9, [BOX] * 4)]
    before = copy.deepcopy((annotations, results))
    evaluate_tracks(results, annotations)
    assert (annotations, results) == before
    assert capsys.readouterr().out == ''


def test_details():
    annotations = annotations_of(
        (1, 1, [BOX] * 4), (1, 7, [FAR] * 4), (2, 7, [FAR] * 4), num_videos=2
    )
    results = [result(1, 1, 0.9, [BOX] * 4), result(1, 7, 0.9, [FAR] * 4)]
    scores = evaluate_tracks(results, annotations, details=True)
    assert (scores['num_videos'], scores['num_tracks'], scores['num_results']) == (2, 3, 2)
    cat, dog = scores['per_class']['cat'], scores['per_class']['dog']
    assert (cat['AP'], cat['AR10'], cat['tracks'], cat['results']) == pytest.approx((1, 1, 1, 1))
    assert (dog['AP50'], dog['AR10']) == (pytest.approx(51 / 101), 0.5)
    assert (dog['tracks'], dog['results']) == (2, 1)
    assert scores['AP'] == pytest.approx((cat['AP'] + dog['AP']) / 2)
    assert score_tracks(checked_tracks(results, annotations)).keys() == set(METRICS)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            dict(segmentations=[BOX] * 3),
            r"entry 1 \(video 1\): 'segmentations' has 3 entries, .* has 4 frames",
        ),
        (dict(video_id=9), 'entry 1: video_id 9 is not in the annotations'),
        (dict(category_id=2), r'entry 1 \(video 1\): category_id 2 is not .* which have 1, 7'),
        (
            dict(segmentations=[None, None, dict(BOX, size=[60, 40]), None]),
            r'entry 1 \(video 1\), frame 2: the RLE is of size \[60, 40\], the video is \[40, 60\]',
        ),
        (dict(score=float('nan')), 'entry 1: the score is nan'),
        (dict(score='high'), "entry 1: the score is 'high'"),
    ],
)
def test_results_that_do_not_fit(change, message):
    annotations = annotations_of((1, 1, [BOX] * 4))
    results = [result(1, 1, 0.9, [BOX] * 4), result(1, 1, 0.9, [BOX] * 4) | change]
    with pytest.raises(InputError, match=message) as caught:
        evaluate_tracks(results, annotations)
    assert '\n' not in str(caught.value)


def test_annotations_that_do_not_fit():
    annotations = annotations_of((1, 1, [BOX] * 5))
    with pytest.raises(
        InputError, match=r"annotation 1 .*'segmentations' has 5 entries, the video has 4"
    ):
        evaluate_tracks([], annotations)
    annotations = annotations_of((1, 3, [BOX] * 4))
    with pytest.raises(InputError, match=r'annotation 1 .*category_id 3'):
        evaluate_tracks([], annotations)


def test_files(tmp_path):
    results = [result(1, 1, 0.9, [BOX] * 4)]
    annotations = annotations_of((1, 1, [BOX] * 4))
    plain, packed, truth = (tmp_path / name for name in ('r.json', 'r.zip', 'valid.json'))
    plain.write_text(json.dumps(results))
    with zipfile.ZipFile(packed, 'w') as archive:
        archive.writestr('results.json', json.dumps(results))
    truth.write_text(json.dumps(annotations))
    assert load_results(plain) == load_results(packed) == results
    assert load_annotations(truth) == annotations
    assert evaluate_tracks(packed, str(truth))['AP'] == pytest.approx(1)


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('r.json', b'[{"video_id": 1,', 'not valid JSON'),
        ('r.json', b'\xff\xfe\x00', 'not valid JSON'),
        ('r.json', b'{"videos": []}', 'not a YouTube-VIS result file'),
        ('r.zip', b'PK of another kind', 'not a usable zip file'),
        ('r.json', None, 'no such file'),
    ],
)
def test_broken_result_files(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        load_results(path)
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)


def test_a_zip_bomb_is_not_inflated(tmp_path, monkeypatch):
    path = tmp_path / 'r.zip'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('results.json', b'[' + b' ' * (60 << 20) + b']')
    monkeypatch.setenv('MMVIS_CL_MAX_UNZIPPED_BYTES', str(50 << 20))
    with pytest.raises(InputError, match='or raise MMVIS_CL_MAX_UNZIPPED_BYTES'):
        load_results(path)
    # the same bytes under a header that states 99 of them
    data = path.read_bytes().replace(struct.pack('<I', (60 << 20) + 2), struct.pack('<I', 99))
    path.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(InputError, match='not a usable zip file'):
        load_results(path)
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()
    monkeypatch.delenv('MMVIS_CL_MAX_UNZIPPED_BYTES')


def test_a_zip_packed_otherwise_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / 'r.zip', 'w', zipfile.ZIP_LZMA) as archive:
        archive.writestr('results.json', '[]')
    with pytest.raises(InputError, match='packed in an unusual way'):
        load_results(tmp_path / 'r.zip')


def test_zip_without_results(tmp_path):
    with zipfile.ZipFile(tmp_path / 'r.zip', 'w') as archive:
        archive.writestr('folder/results.json', '[]')
    with pytest.raises(InputError, match=r'no results\.json inside'):
        load_results(tmp_path / 'r.zip')


def test_annotation_file_without_annotations(tmp_path):
    content = annotations_of()
    content['annotations'] = None
    path = tmp_path / 'valid.json'
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"no list 'annotations'.*format_only"):
        load_annotations(path)
    assert load_annotations(path, need_tracks=False) == content


def test_table_of_scores():
    scores = dict.fromkeys(METRICS, 0.12345) | dict(AP_l=-1.0)
    names, values = (line.split() for line in format_scores(scores).split('\n'))
    assert names == list(METRICS)
    assert values == ['-' if name == 'AP_l' else '0.123' for name in METRICS]


def test_table_of_some_scores_of_all_and_of_short_videos():
    table = format_scores(dict(AP=0.5, AP_short=0.25, AP50_short=1.0))
    assert [line.rstrip() for line in table.split('\n')] == [
        '         AP   AP50',
        'all   0.500',
        'short 0.250  1.000',
    ]


class TestShuffledIdentities:
    def _results(self):
        """Six videos with three objects each, one of them away for a while."""
        results = []
        for video_id in range(1, 7):
            for index in range(3):
                masks = [rle(12 * index, 3 * frame, 10, 10) for frame in range(12)]
                if index == 2:
                    masks[4:7] = [None] * 3
                results.append(result(video_id, (1, 1, 7)[index], 0.5 + 0.1 * index, masks))
        return results

    def _annotations(self, results):
        tracks = [
            (track['video_id'], track['category_id'], track['segmentations']) for track in results
        ]
        return annotations_of(*tracks, length=12, num_videos=6)

    @staticmethod
    def _detections(results):
        return {
            (track['video_id'], frame, mask['counts'])
            for track in results
            for frame, mask in enumerate(track['segmentations'])
            if mask
        }

    def test_same_detections_score_less_than_half(self):
        results = self._results()
        annotations = self._annotations(results)
        assert evaluate_tracks(results, annotations)['AP'] == pytest.approx(1)
        shuffled = shuffle_identities(results, seed=0)
        assert self._detections(shuffled) == self._detections(results)
        assert evaluate_tracks(shuffled, annotations)['AP'] < 0.5

    def test_each_mask_goes_to_one_identity(self):
        shuffled = shuffle_identities(self._results(), seed=1)
        for video_id in range(1, 7):
            # The classes of one identity share its list of masks.
            identities = {
                id(track['segmentations']): track['segmentations']
                for track in shuffled
                if track['video_id'] == video_id
            }
            assert len(identities) == 3
            for masks in zip(*identities.values(), strict=True):
                counts = [mask['counts'] for mask in masks if mask]
                assert len(set(counts)) == len(counts) >= 2

    def test_class_scores_are_means_over_the_detections(self):
        masks = [BOX, None, None], [FAR, FAR, None]
        results = [
            result(1, 1, 0.9, masks[0]),
            result(1, 7, 0.3, masks[0]),
            result(1, 1, 0.5, masks[1]),
        ]
        for seed in range(8):
            for track in shuffle_identities(results, seed):
                seen = [mask['counts'] for mask in track['segmentations'] if mask]
                scores = {
                    1: [0.9 if counts == BOX['counts'] else 0.5 for counts in seen],
                    7: [0.3 if counts == BOX['counts'] else 0.0 for counts in seen],
                }
                assert track['score'] == pytest.approx(np.mean(scores[track['category_id']]))

    def test_depends_on_the_seed_alone(self):
        results = self._results()
        assert shuffle_identities(results, 3) == shuffle_identities(results, 3)
        assert shuffle_identities(results, 3) != shuffle_identities(results, 4)

    def test_a_single_object_can_not_be_mixed_up(self):
        results = [result(1, 1, 0.9, [BOX, None, BOX, BOX])]
        assert shuffle_identities(results) == results
