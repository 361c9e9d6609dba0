"""``tools/analysis_tools/merge_results.py``, as a user meets it."""

import copy
import json
import runpy
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as mask_util

from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes
from mmvis_cl.evaluation import evaluate_tracks, merge_tracks
from mmvis_cl.structures import encode_masks

TOOL = Path(__file__).parents[2] / 'tools' / 'analysis_tools' / 'merge_results.py'


@pytest.fixture(scope='module')
def annotations(tmp_path_factory):
    root = tmp_path_factory.mktemp('merge') / 'shapes'
    make_moving_shapes(root, seed=2, train_videos=1, valid_videos=5, length=6)
    return root / 'valid.json'


def detections(annotations, seed):
    """The annotated tracks moved by up to two pixels, one in five missed, with random scores."""
    rng = np.random.default_rng(seed)
    tracks = []
    for track in json.loads(annotations.read_text())['annotations']:
        if rng.random() < 0.2:
            continue
        masks = []
        for rle in track['segmentations']:
            if rle:
                moved = np.roll(mask_util.decode(rle), rng.integers(-2, 3, size=2), (0, 1))
                rle = encode_masks(moved[None])[0]
            masks.append(rle)
        tracks.append(
            dict(
                video_id=track['video_id'],
                category_id=track['category_id'],
                score=float(rng.uniform(0.3, 1)),
                segmentations=masks,
            )
        )
    return tracks


@pytest.fixture(scope='module')
def results(annotations):
    """Three result files; the last is a submission, and its masks are counts in the open."""
    root = annotations.parent
    runs = [detections(annotations, seed) for seed in range(3)]
    for name, run in zip('abc', runs, strict=True):
        (root / f'{name}.json').write_text(json.dumps(run))
    opened = copy.deepcopy(runs[2])
    for track in opened:
        track['segmentations'] = [rle and open_counts(rle) for rle in track['segmentations']]
    with zipfile.ZipFile(root / 'c.zip', 'w') as archive:
        archive.writestr('results.json', json.dumps(opened))
    return runs


def open_counts(rle):
    pixels = mask_util.decode(rle).T.flatten()
    turns = np.flatnonzero(np.diff(pixels, prepend=0))
    return dict(size=rle['size'], counts=np.diff([0, *turns, len(pixels)]).tolist())


@pytest.fixture
def run(monkeypatch, capsys, annotations):
    """Runs the tool on files of the annotations' folder; gives the exit code and both outputs."""

    def call(out, *args, ann_file=annotations):
        files = [annotations.parent / a if a.endswith(('.json', '.zip')) else a for a in args]
        argv = [TOOL.name, out, *files, '--annotations', ann_file]
        monkeypatch.setattr('sys.argv', [str(arg) for arg in argv])
        code = 0
        try:
            runpy.run_path(str(TOOL), run_name='__main__')
        except SystemExit as stop:
            code = stop.code
        return code, capsys.readouterr()

    return call


@pytest.mark.parametrize('method', ['suppress', 'fuse'])
def test_each_video_is_merged_and_scored(run, annotations, results, tmp_path, method):
    out = tmp_path / 'new' / 'merged.json'
    args = ('--weights', '1', '2', '1.5', '--method', method, '--iou-thr', '0.4', '--eval')
    code, printed = run(out, 'a.json', 'b.json', 'c.zip', *args)
    assert code == 0, printed.err
    merged = json.loads(out.read_text())
    expected = []
    for video_id in range(20):
        runs = [[t for t in tracks if t['video_id'] == video_id] for tracks in results]
        options = dict(weights=[1, 2, 1.5], method=method, iou_thr=0.4)
        for track in merge_tracks(runs, **options):
            del track['members']
            expected.append(dict(video_id=video_id, **track))
    assert merged == expected
    assert max(map(len, results)) <= len(merged) < sum(map(len, results))
    scores = evaluate_tracks(merged, str(annotations))
    assert scores['AR100'] > max(evaluate_tracks(r, str(annotations))['AR100'] for r in results)
    assert f'{scores["AP"]:.3f}' in printed.out


def test_two_processes_write_the_same_and_a_zip_is_a_submission(run, results, tmp_path):
    assert run(tmp_path / 'one.json', 'a.json', 'b.json')[0] == 0
    assert run(tmp_path / 'two.zip', 'a.json', 'b.json', '--workers', '2')[0] == 0
    with zipfile.ZipFile(tmp_path / 'two.zip') as archive:
        text = archive.read('results.json').decode()
    assert text == (tmp_path / 'one.json').read_text()


@pytest.mark.parametrize('method', ['suppress', 'fuse'])
def test_a_file_merged_with_itself_is_unchanged(run, annotations, results, tmp_path, method):
    out = tmp_path / 'merged.json'
    assert run(out, 'a.json', 'a.json', '--method', method)[0] == 0

    def ordered(tracks):
        return sorted(tracks, key=lambda t: (t['video_id'], t['score']))

    assert ordered(json.loads(out.read_text())) == ordered(results[0])


def test_annotated_tracks_are_needed_for_scores_only(run, annotations, results, tmp_path):
    content = json.loads(annotations.read_text())
    del content['annotations']
    bare = tmp_path / 'bare.json'
    bare.write_text(json.dumps(content))
    assert run(tmp_path / 'out.json', 'a.json', ann_file=bare)[0] == 0
    code, printed = run(tmp_path / 'out.json', 'a.json', '--eval', ann_file=bare)
    assert code == 2 and "no list 'annotations'" in printed.err


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda t: t.update(video_id=99), 'entry 1: video_id 99 is not in the annotations'),
        (lambda t: t.update(category_id=99), 'category_id 99 is not in the annotations'),
        (lambda t: t.update(score='high'), "the score is 'high', not a finite number"),
        (lambda t: t.update(score=-2.5), 'the score is -2.5; scores must be comparable'),
        (lambda t: t.update(score=float('nan')), 'the score is nan'),
        (lambda t: t.pop('score'), "entry 1: has no 'score'"),
        (
            lambda t: t['segmentations'].pop(),
            "'segmentations' has 5 entries, the video",
        ),
        (
            lambda t: t.update(segmentations=None),
            "'segmentations' has no entries, the",
        ),
        (lambda t: t['segmentations'].insert(0, mask(8, 9)), "'segmentations' has 7 entries"),
        (
            lambda t: t['segmentations'].__setitem__(2, mask(8, 9)),
            'frame 2: the RLE is of size [8, 9], the video is [96, 160]',
        ),
    ],
)
def test_tracks_that_do_not_fit(run, annotations, results, tmp_path, change, message):
    broken = copy.deepcopy(results[0][:3])
    change(broken[1])
    path = annotations.parent / 'broken.json'
    path.write_text(json.dumps(broken))
    code, printed = run(tmp_path / 'out.json', 'b.json', 'broken.json')
    assert code == 2
    assert printed.err.startswith(f'error: {path}: entry 1')
    assert message in printed.err
    assert printed.err.count('\n') == 1
    assert not (tmp_path / 'out.json').exists()


def mask(height, width):
    return encode_masks(np.ones((1, height, width)))[0]


def test_other_errors_are_one_line(run, annotations, results, tmp_path):
    (annotations.parent / 'cut.json').write_text('[{"video_id": 1')
    for out, args, message in (
        ('out.json', ['missing.json'], 'missing.json: no such file'),
        ('out.json', ['cut.json'], 'not valid JSON'),
        ('out.json', ['valid.json'], 'not a YouTube-VIS result file'),
        ('out.txt', ['a.json'], 'must end in .json or .zip'),
        ('out.json', ['a.json', '--weights', '1', '2'], '2 weights for 1 runs'),
        ('out.json', ['a.json', '--iou-thr', '2'], 'iou_thr is 2.0'),
        ('out.json', ['a.json', '--workers', '0'], '--workers 0'),
    ):
        code, printed = run(tmp_path / out, *args)
        assert code == 2
        assert printed.err.startswith('error: ') and printed.err.count('\n') == 1
        assert message in printed.err
    code, printed = run(tmp_path / 'out.json', 'a.json', ann_file=annotations.parent / 'a.json')
    assert code == 2 and 'not a YouTube-VIS annotation file' in printed.err
