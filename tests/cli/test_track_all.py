"""``mmvis-cl track-all`` with a network: its results are those of ``track``, one by one."""

import filecmp
import json
import os
import shutil
from pathlib import Path

import pytest

from mmvis_cl.apis import track_all
from mmvis_cl.cli.many_progress import ManyProgress

KINDS = ('json', 'coco', 'video', 'masks')
ALL_OUTPUTS = [f'--out-{kind}' for kind in KINDS]
FILES = dict(json='results.json', coco='coco.json', video='tracked.mp4', masks='masks')


@pytest.fixture(scope='module')
def folder(video, tmp_path_factory):
    """Two videos and frames as images."""
    folder = tmp_path_factory.mktemp('many')
    (folder / 'below').mkdir()
    shutil.copy(video, folder / 'a.mp4')
    shutil.copy(video, folder / 'below' / 'b c.mp4')
    return folder


def same(a: Path, b: Path) -> bool:
    """Whether two files or folders hold the same, byte for byte."""
    if a.is_file():
        return filecmp.cmp(a, b, shallow=False)
    names = sorted(os.listdir(a))
    return names == sorted(os.listdir(b)) and all(same(a / name, b / name) for name in names)


@pytest.fixture(scope='module')
def tracked(model, folder, tmp_path_factory):
    """All outputs, by two workers of the command."""
    from mmvis_cl.cli import main

    out = tmp_path_factory.mktemp('tracked') / 'out'
    words = [str(folder), '--out', str(out), *model, *ALL_OUTPUTS, '--workers', '2', '--trails']
    assert main(['track-all', *words, '--device', 'cpu']) == 0
    return out


def test_the_results_are_those_of_track(run, tracked, model, folder, tmp_path):
    ours = {json.loads(p.read_text())['id']: p.parent for p in tracked.glob('videos/*/record.json')}
    assert ours.keys() == {'a.mp4', 'below/b c.mp4'}
    for id, folder_of_id in ours.items():
        out = tmp_path / folder_of_id.name
        outputs = [w for kind, name in FILES.items() for w in (f'--out-{kind}', out / name)]
        more = ('--video-id', id, '--trails', '--device', 'cpu')
        code, _, err = run('track', folder / id, *model, *outputs, *more)
        assert code == 0, err
        record = json.loads((folder_of_id / 'record.json').read_text())
        assert sorted([*os.listdir(out), 'record.json']) == sorted(os.listdir(folder_of_id))
        for name in FILES.values():
            assert same(out / name, folder_of_id / name), f'{id}: {name}'
        assert record['outputs']['results.json'] == (out / 'results.json').stat().st_size
        assert (record['frames'], record['device']) == (5, 'cpu') and record['identities'] > 3


def test_the_command_given_again_has_nothing_to_do(run, tracked, model, folder):
    words = ('--out', tracked, *model, *ALL_OUTPUTS, '--trails', '--device', 'cpu')
    code, out, err = run('track-all', folder, *words)
    assert (code, err) == (0, '')
    assert out.startswith('2 videos: 2 were done before, 0 had failed, 0 to do\n')
    code, out, err = run('track-all', folder, *words, '--score-thr', 0.5)
    assert code == 2 and err.count('\n') == 1 and 'has results of another config' in err


def test_the_log_tells_of_each_video(tracked):
    text = (tracked / 'track_all.log').read_text()
    assert 'done: a.mp4: 5 frames, ' in text and 'done: below/b c.mp4: 5 frames, ' in text


def test_broken_videos_are_told_and_do_not_stop_the_others(run, model, video, tmp_path):
    """In this process, from Python and by the command; then they are mended."""
    folder = tmp_path / 'in'
    folder.mkdir()
    content = video.read_bytes()
    broken = {
        'empty.mp4': b'',
        'none.mp4': b'this is no video',
        'cut.mp4': content[: len(content) // 2],
    }
    for name, data in (broken | {'right.mp4': content}).items():
        (folder / name).write_bytes(data)
    out = tmp_path / 'out'
    words = (folder, '--out', out, *model, '--workers', 0)
    code, printed, err = run('track-all', *words)
    assert (code, err) == (1, '')
    assert '1 done, 0 before, 3 failed, 0 left; 5 frames' in printed
    for name in broken:
        assert name in printed
    failed = [json.loads(line) for line in (out / 'failed.jsonl').read_text().splitlines()]
    assert {record['id'] for record in failed} == broken.keys()
    assert all('\n' not in record['error'] and record['error'] for record in failed)
    assert os.listdir(out / 'videos' / 'cut.mp4') == ['record.json']

    for name in broken:
        (folder / name).write_bytes(content)
    assert run('track-all', *words)[0] == 1  # what failed is left alone
    code, printed, _ = run('track-all', *words, '--retry-failed')
    assert code == 0 and '3 done, 1 before, 0 failed' in printed
    right = out / 'videos' / 'right.mp4' / 'results.json'
    expected = right.read_text().replace('right', '')
    for name in broken:
        found = (out / 'videos' / name / 'results.json').read_text()
        assert found.replace(name.removesuffix('.mp4'), '') == expected


def test_several_videos_in_a_pass_have_their_results(run, model, folder, video, tmp_path):
    """With one among them that is broken, and one of another length."""
    for name in ('a.mp4', 'b.mp4', 'c.mp4'):
        (tmp_path / name).write_bytes(video.read_bytes())
    (tmp_path / 'broken.mp4').write_bytes(b'no video')
    (tmp_path / 'v.csv').write_text('source,end\na.mp4,\nbroken.mp4,\nb.mp4,2\nc.mp4,\n')
    words = ('track-all', tmp_path / 'v.csv', *model, '--workers', 0, '--device', 'cpu')
    assert run(*words, '--out', tmp_path / 'alone')[0] == 1
    code, printed, _ = run(*words, '--out', tmp_path / 'together', '--videos-per-pass', 3)
    assert code == 1 and '3 done, 0 before, 1 failed, 0 left; 12 frames' in printed
    for name in ('a.mp4', 'b.mp4', 'c.mp4'):
        alone, together = (
            json.loads((tmp_path / kind / 'videos' / name / 'results.json').read_text())
            for kind in ('alone', 'together')
        )
        assert len(alone) == len(together) > 3
        for one, other in zip(alone, together, strict=True):
            assert one['score'] == pytest.approx(other['score'], abs=1e-5)
            assert [one[k] for k in ('video_id', 'category_id')] == [
                other[k] for k in ('video_id', 'category_id')
            ]
            seen = [[mask is None for mask in t['segmentations']] for t in (one, other)]
            assert seen[0] == seen[1]


def test_a_damaged_video_is_done_if_it_is_accepted(run, model, tmp_path):
    """Frames that can be read of a file that ends early."""
    from small_videos import write_video

    path = write_video(tmp_path / 'v.mkv', length=40, codec='mpeg4')
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    words = (path, *model, '--workers', 0)
    assert run('track-all', *words, '--out', tmp_path / 'strict')[0] == 1
    assert 'accept it by --accept-damaged' in (tmp_path / 'strict' / 'failed.jsonl').read_text()
    code, _, err = run('track-all', *words, '--out', tmp_path / 'kind', '--accept-damaged')
    assert code == 0, err
    record = json.loads((tmp_path / 'kind' / 'videos' / 'v.mkv' / 'record.json').read_text())
    assert record['status'] == 'done' and 'frames' in record['problem']
    assert 0 < record['frames'] < 40


def test_lists_say_what_is_wanted_of_each_video(run, model, video, tmp_path):
    (tmp_path / 'v.csv').write_text(f'source,id,start,end,classes\n{video},x,1,3,disk\n')
    code, _, err = run(
        *('track-all', tmp_path / 'v.csv', '--out', tmp_path / 'out', *model, '--workers', 0),
    )
    assert code == 0, err
    single = tmp_path / 'single.json'
    more = ('--start', 1, '--max-frames', 2, '--classes', 'disk', '--video-id', 'x')
    assert run('track', video, *model, '--out-json', single, *more)[0] == 0
    found = (tmp_path / 'out' / 'videos' / 'x' / 'results.json').read_text()
    assert found == single.read_text() and json.loads(found)


def test_from_python_a_record_comes_as_each_video_ends(model, folder, tmp_path):
    videos = track_all(folder, tmp_path / 'out', model[1], model[3], workers=0, limit=1)
    assert len(videos) == 1 and videos.summary.videos == 2
    with ManyProgress(videos, verbose=True) as progress:
        (record,) = [record for record in videos if progress.ended(record) is None]
    assert record.done and record.frames == 5 and record.outputs.keys() == {'results.json'}
    assert progress.told().startswith('5 frames, ')
    assert (videos.summary.done, videos.summary.left) == (1, 1)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--shard', '8/8'], '--shard 8/8: the parts count from 0; of 8 the last is 7/8'),
        (['--shard', '3'], '--shard 3: is none; give it as 0/8'),
        (['--workers', '-1'], '--workers -1: are too few; give 1 or more, or 0'),
        (['--device', 'cpu', '--devices', 'cpu'], 'both are given'),
        (['--score-thr', '30'], '--score-thr 30.0'),
        (['--weights', 'none.pth'], '--weights none.pth: there is no such checkpoint'),
        (['--limit', '0'], 'limit 0: is too low; give 1'),
        (['--timeout', '0'], 'timeout 0: cannot be kept; give seconds above 0'),
        (['--classes', 'stars', '--workers', '0'], "did you mean 'star'?"),
    ],
)
def test_bad_arguments_are_one_line(run, model, video, tmp_path, arguments, message):
    code, _, err = run('track-all', video, '--out', tmp_path / 'out', *model, *arguments)
    assert code == 2 and err.count('\n') == 1 and err.startswith('error: '), err
    assert message in err


@pytest.mark.parametrize(
    ('array', 'told'),
    [
        (dict(ID=5, COUNT=8, MIN=0, MAX=7), 'in shard 5/8 (of the array of Slurm)'),
        (dict(ID=1, COUNT=8, MIN=1, MAX=8), 'in shard 0/8 (of the array of Slurm)'),
        (dict(ID=2, COUNT=3), 'in shard 2/3 (of the array of Slurm)'),
    ],
)
def test_a_task_of_slurm_takes_its_part(run, model, video, tmp_path, monkeypatch, array, told):
    for name, value in array.items():
        monkeypatch.setenv(f'SLURM_ARRAY_TASK_{name}', str(value))
    words = ('track-all', video, '--out', tmp_path / 'out', *model)
    code, printed, err = run(*words, '--workers', 0, '--max-frames', 1)
    assert code == 0, err
    assert printed.startswith(('0 videos ' + told, '1 videos ' + told))


def test_an_array_of_slurm_with_gaps_is_refused(run, model, video, tmp_path, monkeypatch):
    for name, value in dict(ID=5, COUNT=3, MIN=0, MAX=7).items():
        monkeypatch.setenv(f'SLURM_ARRAY_TASK_{name}', str(value))
    code, _, err = run('track-all', video, '--out', tmp_path / 'out', *model)
    assert code == 2 and 'number them without gaps' in err
