"""The measures of identities are those of trackeval, read from files by trackeval itself."""

import contextlib
import importlib.util
import io
import json

import numpy as np
import pytest
from pycocotools import mask as mask_utils
from random_tracks import random_set
from small_tracks import rectangle, small_set

from mmvis_cl.errors import InputError
from mmvis_cl.evaluation import identity_measures as measures_of
from mmvis_cl.evaluation.identity_measures import (
    MEASURES,
    check_measures,
    figure_names,
    format_measures,
)
from mmvis_cl.evaluation.track_ap import checked_tracks

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec('trackeval') is None,
    reason='trackeval is not installed: pip install mmvis_cl[measures]',
)
MEANS = 'HOTA', 'DetA', 'AssA', 'LocA', 'IDF1', 'IDP', 'IDR', 'MOTSA', 'sMOTSA'


def counts(rle):
    """RLE with its counts as numbers, the only one that trackeval reads of annotations."""
    if rle is None:
        return None
    columns = mask_utils.decode(rle).T.ravel()
    ends = [*(np.flatnonzero(np.diff(columns)) + 1), columns.size]
    runs = np.diff([0, *ends]).tolist()
    return dict(size=rle['size'], counts=[0, *runs] if columns[0] else runs)


def by_trackeval(annotations, results, folder):
    """What trackeval gives for files: {class: {metric: {field: value}}}."""
    from trackeval import Evaluator, datasets, metrics

    truth, found = folder / 'gt' / 'youtube_vis_val', folder / 'youtube_vis_val' / 'ours' / 'data'
    for path in (truth, found):
        path.mkdir(parents=True)
    content = dict(
        annotations,
        videos=[dict(v, file_names=[f'{v["id"]}/0.jpg'] * 5) for v in annotations['videos']],
        annotations=[
            dict(a, segmentations=[counts(m) for m in a['segmentations']], height=300, width=340)
            for a in annotations['annotations']
        ],
    )
    (truth / 'gt.json').write_text(json.dumps(content))
    (found / 'results.json').write_text(json.dumps(results))
    quiet = dict(PRINT_CONFIG=False, PRINT_RESULTS=False, TIME_PROGRESS=False, LOG_ON_ERROR=None)
    quiet |= dict(OUTPUT_SUMMARY=False, OUTPUT_DETAILED=False, PLOT_CURVES=False)
    places = dict(GT_FOLDER=f'{folder}/gt/', TRACKERS_FOLDER=f'{folder}/', SPLIT_TO_EVAL='val')
    with contextlib.redirect_stdout(io.StringIO()):
        data = datasets.YouTubeVIS(dict(places, PRINT_CONFIG=False))
        all_of = [
            metrics.HOTA(),
            metrics.Identity(),
            metrics.CLEAR(dict(PRINT_CONFIG=False)),
        ]
        results, _ = Evaluator(quiet).evaluate([data], all_of)
    return results['YouTubeVIS']['ours']['COMBINED_SEQ']


def of(found, name):
    for measure in MEASURES.values():
        if name in measure.fields:
            return float(np.mean(found[measure.metric][measure.fields[name]]))
    raise KeyError(name)


@pytest.mark.parametrize('seed', range(3))
def test_figures_are_trackevals(seed, tmp_path):
    annotations, results = random_set(seed)
    expected = by_trackeval(annotations, results, tmp_path)
    found = measures_of(checked_tracks(results, annotations))
    annotated = sorted(found['per_class'])
    assert len(annotated) == 3  # of five classes
    for name in (*MEANS, 'IDSW', 'Frag'):
        for of_class, figures in found['per_class'].items():
            assert figures[name] == pytest.approx(of(expected[of_class], name), abs=1e-9), name
        alike = of(expected['cls_comb_det_av'], name)
        if name in MEANS:
            mean = np.mean([of(expected[of_class], name) for of_class in annotated])
            assert found[name] == pytest.approx(mean, abs=1e-9)
            assert found[f'{name}_all'] == pytest.approx(alike, abs=1e-9)
        else:
            assert found[name] == alike


LEFT, RIGHT = [rectangle(0)] * 4, [rectangle(60)] * 4


def test_an_identity_that_is_perfect():
    found = measures_of(small_set([LEFT, RIGHT], [(0.9, LEFT), (0.5, RIGHT)]), list(MEASURES))
    for name in (*MEANS, 'J&F', 'J', 'F'):
        assert found[name] == pytest.approx(1), name
    assert found['IDSW'] == found['Frag'] == 0


def test_a_switch_in_the_middle():
    """Two identities for each half of an object: HOTA's association halves, as its paper says."""
    first, second = [*LEFT[:2], None, None], [None, None, *LEFT[2:]]
    found = measures_of(small_set([LEFT], [(0.9, first), (0.9, second)]))
    assert found['IDSW'] == 1 and found['Frag'] == 0
    assert found['DetA'] == pytest.approx(1) and found['AssA'] == pytest.approx(0.5)
    assert found['HOTA'] == pytest.approx(np.sqrt(0.5))
    assert found['IDF1'] == pytest.approx(0.5)
    assert found['MOTSA'] == pytest.approx(1 - 1 / 4)


def test_low_scores_can_be_left_out():
    tracks = small_set([LEFT], [(0.9, LEFT), (0.1, RIGHT)])
    assert measures_of(tracks)['IDF1'] == pytest.approx(2 * 4 / (4 + 8))
    assert measures_of(tracks, score_thr=0.1)['IDF1'] == pytest.approx(2 * 4 / (4 + 8))
    assert measures_of(tracks, score_thr=0.2)['IDF1'] == pytest.approx(1)
    assert measures_of(tracks, ['jf'], score_thr=0.95)['J'] == 0


def test_what_lies_in_a_crowd_is_no_error():
    """A crowd is no object, and what is found in it no mistake; beside it, it is one."""
    crowd, inside, beside = ([rectangle(*at)] * 4 for at in ((50, 50), (60, 10), (25, 10)))
    results = [(0.9, LEFT), (0.8, inside)]
    assert measures_of(small_set([LEFT], results))['MOTSA'] == pytest.approx(0)
    assert measures_of(small_set([LEFT], results, [crowd]))['MOTSA'] == pytest.approx(1)
    results = [(0.9, LEFT), (0.8, beside)]
    assert measures_of(small_set([LEFT], results, [crowd]))['MOTSA'] == pytest.approx(0)
    # what matches an object stays, though it lies in a crowd
    around = [rectangle(0, 60)] * 4
    assert measures_of(small_set([LEFT], [(0.9, LEFT)], [around]))['IDF1'] == pytest.approx(1)


def test_boxes_in_place_of_masks():
    """A frame around an object has its box."""
    ring = mask_utils.decode(LEFT[0])
    ring[12:38, 2:18] = 0
    rle = mask_utils.encode(np.asfortranarray(ring))
    tracks = small_set([LEFT], [(0.9, [dict(rle, counts=rle['counts'].decode())] * 4)])
    assert measures_of(tracks)['DetA'] == pytest.approx(6 / 19)  # IoU 0.307: 0.05 to 0.3
    found = measures_of(tracks, boxes=True)
    assert found['DetA'] == found['MOTA'] == found['sMOTA'] == pytest.approx(1)
    assert [*found] == [
        *(n for name in figure_names(['hota', 'identity'], True) for n in (name, f'{name}_all')),
        *('MOTA', 'MOTA_all', 'sMOTA', 'sMOTA_all', 'IDSW', 'Frag', 'per_class'),
    ]


def test_nothing_annotated_and_nothing_found():
    empty = measures_of(small_set([], [(0.9, LEFT)]), list(MEASURES))
    assert {empty[name] for name in (*MEANS, 'J&F')} == {-1} and empty['per_class'] == {}
    assert '-' in format_measures(empty) and '-1' not in format_measures(empty)
    missed = measures_of(small_set([LEFT], []), list(MEASURES))
    assert {missed[name] for name in ('HOTA', 'IDF1', 'MOTSA', 'J')} == {0}


def test_a_table_has_the_means_and_those_of_all_objects():
    lines = format_measures(measures_of(small_set([LEFT], [(0.9, LEFT)]), ['hota', 'clear']))
    names, means, alike = (line.split() for line in lines.splitlines())
    assert names == ['HOTA', 'DetA', 'AssA', 'LocA', 'MOTSA', 'sMOTSA', 'IDSW', 'Frag']
    assert means == ['1.000'] * 6 + ['0', '0'] and alike == ['all'] + ['1.000'] * 6


@pytest.mark.parametrize(
    'measures, boxes, said',
    [
        (['hotta'], False, "no 'hotta'; known are ap, hota, identity, clear, jf"),
        (['jf'], True, 'jf measures masks'),
    ],
)
def test_what_cannot_be_measured_is_refused(measures, boxes, said):
    with pytest.raises(InputError, match=said):
        check_measures(measures, boxes)
