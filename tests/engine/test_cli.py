import ctypes
import os
import signal
import sys
import time
import zipfile

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.model import BaseModel

from mmvis_cl.engine import WholeCheckpointHook, cli
from mmvis_cl.errors import InputError
from mmvis_cl.registry import MODELS


@MODELS.register_module(name='PlainOfTestCli')
class Plain(BaseModel):
    def forward(self, *args):
        return {}


class BrokenFile(torch.utils.data.Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        raise InputError('a/b.jpg (video 3): truncated; download it again')


@pytest.mark.parametrize('num_workers', [0, 1])
def test_input_errors_are_one_line_and_exit_code_2(num_workers, capfd):
    with pytest.raises(SystemExit) as stop, cli.one_line_errors():
        next(iter(torch.utils.data.DataLoader(BrokenFile(), num_workers=num_workers)))
    assert stop.value.code == 2
    assert capfd.readouterr().err == ('error: a/b.jpg (video 3): truncated; download it again\n')


def test_other_errors_are_left_alone():
    with pytest.raises(KeyError), cli.one_line_errors():
        raise KeyError('bug')


def test_interrupt(capsys):
    with pytest.raises(SystemExit) as stop, cli.one_line_errors():
        raise KeyboardInterrupt
    assert stop.value.code == 130
    assert capsys.readouterr().err == 'interrupted\n'


def test_sigterm(capsys):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stop, cli.one_line_errors():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    assert stop.value.code == 143
    assert capsys.readouterr().err == 'terminated\n'
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_second_sigterm_does_not_stop_the_cleaning_up(tmp_path):
    path = tmp_path / 'half'
    with pytest.raises(SystemExit) as stop, cli.one_line_errors():
        try:
            path.touch()
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            path.unlink()
    assert stop.value.code == 143
    assert not path.exists()


class StateOfWorker(torch.utils.data.Dataset):
    """The signal that its worker gets at the end of its parent."""

    def __len__(self):
        return 1

    def __getitem__(self, index):
        number = ctypes.c_int()
        assert ctypes.CDLL(None).prctl(2, ctypes.byref(number)) == 0  # PR_GET_PDEATHSIG
        return number.value, os.environ.get('OWN', '')


def can_dump_classes():
    """mmengine before 0.10.9 cannot write a config with a class in it, which every run does."""
    try:
        return bool(Config(dict(hook=dict(type=CheckpointHook))).pretty_text)
    except Exception:
        return False


@pytest.mark.parametrize(
    'hook',
    [
        None,
        'CheckpointHook',
        pytest.param(
            CheckpointHook,
            marks=pytest.mark.skipif(not can_dump_classes(), reason='not by this mmengine'),
        ),
        'WholeCheckpointHook',
    ],
)
def test_every_checkpoint_hook_saves_whole_ones(tmp_path, hook):
    cfg = Config(
        dict(model=dict(type='mmvis_cl.PlainOfTestCli'), work_dir=str(tmp_path), launcher='none')
    )
    cfg.experiment_name = tmp_path.name  # the time, in seconds, may be that of another runner
    if hook is not None:
        cfg.default_hooks = dict(checkpoint=dict(type=hook, interval=7))
        cfg.default_scope = 'mmvis_cl'
    hooks = [hook for hook in cli.build_runner(cfg).hooks if isinstance(hook, CheckpointHook)]
    assert [type(hook) for hook in hooks] == [WholeCheckpointHook]
    assert hooks[0].interval == (1 if hook is None else 7)


def own_worker_init_fn(worker_id, name):
    os.environ['OWN'] = name


@pytest.mark.skipif(sys.platform != 'linux', reason='asks Linux')
def test_the_workers_of_all_loaders_end_with_the_process(tmp_path):
    loader = dict(
        dataset=StateOfWorker(),
        batch_size=1,
        num_workers=1,
        sampler=dict(type='DefaultSampler', shuffle=False),
        worker_init_fn=dict(type=own_worker_init_fn, name='own'),
    )
    default = {key: value for key, value in loader.items() if key != 'worker_init_fn'}
    cfg = Config(
        dict(
            model=dict(type='mmvis_cl.PlainOfTestCli'),
            work_dir=str(tmp_path),
            launcher='none',
            log_level='ERROR',
        )
    )
    runner = cli.build_runner(cfg)
    for config, own in ((loader, 'own'), (default, '')):
        batch = next(iter(runner.build_dataloader(config, seed=3)))
        assert [values[0] for values in batch] == [signal.SIGKILL, own]


def test_load_config(tmp_path):
    path = tmp_path / 'some.py'
    path.write_text('a = dict(b=1)\nwork_dir = None\n')
    cfg = cli.load_config(str(path), {'a.b': 2}, None, 'none')
    assert (cfg.a.b, cfg.work_dir, cfg.launcher) == (2, 'work_dirs/some', 'none')
    assert cli.load_config(str(path), None, 'here', 'none').work_dir == 'here'
    path.write_text("work_dir = 'there'")
    assert cli.load_config(str(path), None, None, 'none').work_dir == 'there'
    with pytest.raises(InputError, match=r'no\.py: there is no such config file'):
        cli.load_config('no.py', None, None, 'none')


@pytest.mark.parametrize('new_format', [True, False])
def test_whole_and_cut_checkpoints(tmp_path, new_format):
    path = tmp_path / 'a.pth'
    torch.save({'w': torch.zeros(3000)}, path, _use_new_zipfile_serialization=new_format)
    cli.check_checkpoint_file(str(path))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match=r'a\.pth: not a PyTorch checkpoint, or cut off'):
        cli.check_checkpoint_file(str(path))


def test_what_is_no_checkpoint(tmp_path):
    with pytest.raises(InputError, match='there is no such checkpoint'):
        cli.check_checkpoint_file(str(tmp_path / 'none.pth'))
    path = tmp_path / 'results.zip'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('results.json', '[]')
    with pytest.raises(InputError, match='not a PyTorch checkpoint'):
        cli.check_checkpoint_file(str(path))


def test_launchers_that_cannot_work_say_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.delenv('RANK', raising=False)
    with pytest.raises(InputError, match='only --launcher pytorch'):
        cli.build_runner(Config(dict(launcher='slurm')))
    with pytest.raises(InputError, match='start it with torchrun'):
        cli.build_runner(Config(dict(launcher='pytorch')))
