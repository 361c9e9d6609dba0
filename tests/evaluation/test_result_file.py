"""Results that programs give, not files: their masks are checked at the same door."""

import json
from itertools import chain

import pytest
from annotation_readers import HEIGHT, WIDTH, make_annotations, make_results
from broken_rle import broken_counts, only_whole_masks_reach_pycocotools

from mmvis_cl.errors import InputError
from mmvis_cl.evaluation import (
    analyse_errors,
    check_results_alone,
    evaluate_tracks,
    load_results,
    merge_tracks,
    spatio_temporal_iou,
    tracks_by_video,
)

BROKEN = broken_counts(HEIGHT, WIDTH)


def masks_of(results):
    return [entry['segmentations'] for entry in results]


DOORS = {
    'evaluate_tracks': lambda results: evaluate_tracks(results, make_annotations()),
    'analyse_errors': lambda results: analyse_errors(results, make_annotations()),
    'tracks_by_video': lambda results: tracks_by_video(results, 'a.json', make_annotations()),
    'check_results_alone': lambda results: check_results_alone(results, 'a.json'),
    'merge_tracks': lambda results: merge_tracks([results, make_results()], method='fuse'),
    'merge_tracks of one run': lambda results: merge_tracks([results]),
    'spatio_temporal_iou': lambda results: spatio_temporal_iou(
        masks_of(results), masks_of(results)
    ),
}


@pytest.fixture(autouse=True)
def guard():
    with only_whole_masks_reach_pycocotools() as seen:
        yield seen


@pytest.mark.parametrize('kind', [str, bytes])
@pytest.mark.parametrize('name', BROKEN)
@pytest.mark.parametrize('door', DOORS)
def test_broken_masks_do_not_get_in(door, name, kind):
    for entry, frame in ((0, 0), (1, 2)):
        results = make_results()
        counts = BROKEN[name]
        if kind is bytes:
            counts = counts.encode(errors='surrogatepass')
        results[entry]['segmentations'][frame]['counts'] = counts
        with pytest.raises(InputError, match=r'broken|covers') as raised:
            DOORS[door](results)
        assert '\n' not in str(raised.value) and f'frame {frame}' in str(raised.value)


@pytest.mark.parametrize('kind', [str, bytes])
@pytest.mark.parametrize('door', DOORS)
def test_whole_masks_do(door, kind):
    results = make_results()
    if kind is bytes:
        for mask in filter(None, chain(*masks_of(results))):
            mask['counts'] = mask['counts'].encode()
    DOORS[door](results)


def test_among_many_results_a_broken_mask_is_found_before_any_is_used():
    """Masks are checked some hundreds at once."""
    results = make_results() * 400
    results[-1] = make_results()[1]
    results[-1]['segmentations'][0]['counts'] = BROKEN['too few pixels']
    for door in ('evaluate_tracks', 'analyse_errors', 'tracks_by_video', 'check_results_alone'):
        with pytest.raises(InputError, match=r'entry 799.* frame 0: .*covers 5 pixels'):
            DOORS[door](results)


def test_a_folder_of_many_videos_is_joined(tmp_path, caplog):
    """As mmvis-cl track-all writes it; a video that failed has no results, which is said."""
    track = dict(category_id=1, score=0.5, segmentations=[None])
    for name in ('a', 'b', 'failed'):
        folder = tmp_path / 'videos' / name
        folder.mkdir(parents=True)
        (folder / 'record.json').write_text('{}')
        if name != 'failed':
            (folder / 'results.json').write_text(json.dumps([dict(track, video_id=name)]))
    assert [track['video_id'] for track in load_results(tmp_path)] == ['a', 'b']
    assert '1 of 3 videos have no results' in caplog.text
    with pytest.raises(InputError, match=r'has no videos/NAME/results\.json'):
        load_results(tmp_path / 'videos')
