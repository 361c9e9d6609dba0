"""The commands of ``mmvis-cl`` other than ``track``, and what they share."""

import argparse
import importlib.util
import inspect
import json
import platform
import re
import resource
import runpy
import subprocess
import sys
from pathlib import Path

import mmdet
import numpy as np
import pytest
import torch
from synth_weights import release_state_dict

from mmvis_cl.cli import evaluate, info, main, merge
from mmvis_cl.evaluation import evaluate_tracks, merge_tracks
from mmvis_cl.evaluation.identity_measures import MEASURES
from mmvis_cl.ops.deformable_sums import chosen_way
from mmvis_cl.structures import encode_masks

ROOT = Path(__file__).parents[2]

needs_trackeval = pytest.mark.skipif(
    importlib.util.find_spec('trackeval') is None,
    reason='trackeval is not installed: pip install mmvis_cl[measures]',
)


@pytest.fixture
def files(tmp_path):
    """Annotations of one track in two frames, and two result files that each see half of it."""
    mask = np.zeros((1, 40, 60), bool)
    mask[:, 10:30, 10:30] = True
    rle = encode_masks(mask)[0]
    track = dict(video_id=1, category_id=1, segmentations=[rle, rle])
    content = dict(
        videos=[dict(id=1, length=2, height=40, width=60)],
        categories=[dict(id=1, name='cat')],
        annotations=[dict(track, id=1, iscrowd=0)],
    )
    (tmp_path / 'gt.json').write_text(json.dumps(content))
    for name, score in (('a', 0.8), ('b', 0.4)):
        (tmp_path / f'{name}.json').write_text(json.dumps([dict(track, score=score)]))
    return tmp_path


def test_eval(run, files):
    out = files / 'scores.json'
    code, printed, err = run('eval', files / 'a.json', files / 'gt.json', '--json', out)
    assert code == 0, err
    expected = evaluate_tracks(str(files / 'a.json'), str(files / 'gt.json'))
    assert json.loads(out.read_text())['AP'] == expected['AP'] == pytest.approx(1)
    assert '1 results for 1 annotated tracks in 1 videos' in printed


@needs_trackeval
def test_eval_of_identities(run, files):
    out = files / 'scores.json'
    command = ['eval', files / 'a.json', files / 'gt.json', '--metrics', 'ap', 'hota', 'clear']
    code, printed, err = run(*command, '--json', out)
    assert code == 0, err
    figures = json.loads(out.read_text())
    assert [figures[name] for name in ('AP', 'HOTA', 'MOTSA_all')] == pytest.approx([1] * 3)
    assert figures['per_class']['cat']['HOTA'] == figures['HOTA']
    assert re.search(r'class +AP .* results *\n(.*\n)+ *class +HOTA .* Frag *\n', printed)
    code, _, err = run(*command, '--score-thr', '0.9', '--json', out)
    assert code == 0, err
    figures = json.loads(out.read_text())
    assert figures['AP'] == pytest.approx(1) and figures['HOTA'] == figures['MOTSA'] == 0


@pytest.mark.parametrize(
    'options, said',
    [
        (['--metrics', 'mota'], "--metrics: invalid choice: 'mota' (choose from "),
        (['--score-thr', '2'], '--score-thr 2: scores are 0 to 1'),
        (['--metrics', 'hota', '--long-videos', '3'], '--long-videos: only ap'),
    ],
)
def test_eval_of_what_there_is_not(run, files, options, said):
    code, _, err = run('eval', files / 'a.json', files / 'gt.json', *options)
    assert code == 2 and said in err.splitlines()[-1]


def test_eval_knows_all_metrics():
    assert ('ap', *MEASURES) == evaluate.METRICS


def test_eval_without_trackeval_says_how_to_install_it(run, files, monkeypatch):
    monkeypatch.setitem(sys.modules, 'trackeval', None)
    monkeypatch.delitem(sys.modules, 'trackeval.metrics', raising=False)
    code, _, err = run('eval', files / 'a.json', files / 'gt.json', '--metrics', 'hota')
    assert code == 2 and "pip install 'mmvis_cl[measures]'" in err and err.count('\n') == 1


def test_merge(run, files):
    out = files / 'merged.json'
    paths = [files / name for name in ('merged.json', 'a.json', 'b.json')]
    code, printed, err = run('merge', *paths, '--annotations', files / 'gt.json')
    assert code == 0, err
    (track,) = json.loads(out.read_text())
    assert track['score'] == pytest.approx(0.6)  # the mean of 0.8 and 0.4
    assert '1 + 1 tracks merged to 1' in printed


def test_merge_has_the_choices_and_defaults_of_merge_tracks():
    """They are written out in the parser, which must not import numpy."""
    module = sys.modules[merge_tracks.__module__]
    parser = argparse.ArgumentParser()
    merge.add_arguments(parser)
    actions = {action.dest: action for action in parser._actions}
    assert actions['method'].choices == module.METHODS
    assert actions['score'].choices == module.SCORES
    defaults = inspect.signature(merge_tracks).parameters
    for name in ('method', 'score', 'iou_thr'):
        assert actions[name].default == defaults[name].default


def test_convert(run, tmp_path):
    keys = json.loads(str(np.load(ROOT / 'tests/data/idol_r50_hidden64.npz')['ref_keys_json']))
    torch.save(release_state_dict(keys), tmp_path / 'release.pth')
    code, printed, err = run('convert', tmp_path / 'release.pth', tmp_path / 'ours.pth')
    assert code == 0, err
    assert 'for a config with 5 classes and 120 queries' in printed
    code, _, err = run('convert', tmp_path / 'ours.pth', tmp_path / 'again.pth')
    assert code == 2 and 'has our names already' in err and err.count('\n') == 1


def test_convert_on_a_full_disk(run, tmp_path):
    keys = json.loads(str(np.load(ROOT / 'tests/data/idol_r50_hidden64.npz')['ref_keys_json']))
    torch.save(release_state_dict(keys), tmp_path / 'release.pth')
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        code, _, err = run('convert', tmp_path / 'release.pth', tmp_path / 'ours.pth')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 2 and err.count('\n') == 1
    assert err.startswith(f'error: {tmp_path}/ours.pth: cannot be written')
    assert [path.name for path in tmp_path.iterdir()] == ['release.pth']


def test_info(run):
    code, printed, _ = run('info')
    assert code == 0
    facts = dict(re.split(r'\s{2,}', line, maxsplit=1) for line in printed.splitlines())
    assert facts['mmvis_cl'].startswith('0.2.0.dev0 in ')
    assert facts['python'].startswith(platform.python_version())
    assert facts['torch'].startswith(torch.__version__)
    assert mmdet.__version__ in facts['mmdet']
    assert facts['H.264'] == 'libx264'
    assert ('no device' in facts['CUDA']) == (not torch.cuda.is_available())
    assert torch.backends.cpu.get_cpu_capability() in facts['CPU']
    way = chosen_way('auto', torch.device('cpu'), torch.float32, (32, 4, 16))
    assert f"'{way}' on cpu" in facts['attention']
    assert facts['attention'].count(' on cuda:') == torch.cuda.device_count()
    if (ROOT / '.git').exists():
        git = ['git', '-C', str(ROOT), 'rev-parse', '--short=12', 'HEAD']
        commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
        assert f'commit {commit}' in facts['mmvis_cl']


def test_info_names_what_cannot_be_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, 'timm', None)  # as if it were not there
    facts = dict(info.environment())
    assert 'cannot be imported' in facts['timm']


def test_version_and_wrong_commands(run):
    assert run('--version') == (0, 'mmvis_cl 0.2.0.dev0\n', '')
    for argv in ([], ['trak'], ['track'], ['track', 'a.mp4']):
        code, out, err = run(*argv)
        assert (code, out) == (2, '') and 'usage: mmvis-cl' in err


def test_main_reads_the_arguments_of_the_process(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['mmvis-cl', '--version'])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().out == 'mmvis_cl 0.2.0.dev0\n'


def test_python_m_is_the_same_command(monkeypatch, capsys, files):
    arguments = ['eval', str(files / 'none.json'), str(files / 'gt.json')]
    monkeypatch.setattr(sys, 'argv', ['mmvis_cl', *arguments])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module('mmvis_cl', run_name='__main__')
    assert stop.value.code == 2
    assert capsys.readouterr().err == f'error: {files}/none.json: no such file\n'


def test_help_where_python_drops_docstrings():
    """``-OO``: the commands are listed all the same."""
    code = "import mmvis_cl_command, sys; sys.argv[1:] = ['--help']; mmvis_cl_command.main()"
    done = subprocess.run([sys.executable, '-OO', '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert '    track ' in done.stdout
