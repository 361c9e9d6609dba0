import json
import os
import subprocess
import sys

import pytest

from mmvis_cl.engine import work_dir_lock
from mmvis_cl.engine.work_dir_lock import only_training_in
from mmvis_cl.errors import InputError

OTHER = """
import sys, time
import mmvis_cl_command
mmvis_cl_command.put_off_set_up()
import importlib.util
spec = importlib.util.spec_from_file_location('lock', sys.argv[2])
lock = importlib.util.module_from_spec(spec)
spec.loader.exec_module(lock)
try:
    with lock.only_training_in(sys.argv[1], *sys.argv[3:]):
        print('begun', flush=True)
        sys.stdin.read()
except lock.InputError as error:
    print(error)
"""


def other_training(work_dir, *launcher, **env):
    """In a process of its own, which has said whether it may train."""
    process = subprocess.Popen(
        [sys.executable, '-c', OTHER, work_dir, work_dir_lock.__file__, *launcher],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
    )
    return process, process.stdout.readline().strip()


def test_a_second_training_is_refused_until_the_first_has_ended(tmp_path):
    work_dir = tmp_path / 'new' / 'work'
    first, said = other_training(work_dir)
    assert said == 'begun'
    with pytest.raises(InputError) as caught, only_training_in(work_dir):
        pass
    owner = json.loads((work_dir / '.training.lock').read_text())
    assert owner['process'] == first.pid
    assert str(caught.value) == (
        f'{work_dir}: another training is at work here (process {first.pid} on {owner["host"]}, '
        f'since {owner["since"]}); wait for its end, stop it, or give another --work-dir'
    )
    first.communicate('')
    with only_training_in(work_dir):
        second, said = other_training(work_dir)
        second.communicate('')
        assert f'(process {os.getpid()} on' in said
    assert not list(work_dir.iterdir())


def test_the_lock_of_one_that_was_killed_is_taken_over(tmp_path):
    first, said = other_training(tmp_path)
    assert said == 'begun'
    first.kill()
    first.wait()
    assert (tmp_path / '.training.lock').exists()
    with only_training_in(tmp_path):
        owner = json.loads((tmp_path / '.training.lock').read_text())
        assert owner['process'] == os.getpid()
    assert not (tmp_path / '.training.lock').exists()


@pytest.mark.parametrize(
    'content',
    [
        '', '{"host": "a', '[]', 'null', '{"host": 1}', '[' * 4096, '\xff',
        '{"host": "a", "process": 1e999, "since": 0}',
    ],
)  # fmt: skip
def test_a_lock_that_names_nobody_is_taken_over(tmp_path, content):
    (tmp_path / '.training.lock').write_text(content)
    with only_training_in(tmp_path):
        pass
    assert not (tmp_path / '.training.lock').exists()


def test_the_lock_of_another_host(tmp_path, monkeypatch):
    lock = tmp_path / '.training.lock'
    owner = dict(host='gpu7', boot='x', process=os.getpid(), since='2026-11-26 12:00:00')
    lock.write_text(json.dumps(owner))
    with pytest.raises(InputError) as caught, only_training_in(tmp_path):
        pass
    assert str(caught.value) == (
        f'{lock}: a training of another host has not ended (process {os.getpid()} on gpu7, since '
        '2026-11-26 12:00:00); if it runs no more, remove this file, or give another --work-dir'
    )
    assert json.loads(lock.read_text()) == owner
    monkeypatch.setattr(work_dir_lock, '_boot', lambda: 'x')  # another container, which is gone
    with only_training_in(tmp_path):
        pass


@pytest.mark.parametrize('process', [2**31, 10**30])
def test_a_number_that_no_process_has(process):
    assert not work_dir_lock.is_running(process)


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    """There the number of the process must do."""

    def no_locks(*_):
        raise OSError(37, 'No locks available')

    monkeypatch.setattr(work_dir_lock.fcntl, 'lockf', no_locks)
    first, said = other_training(tmp_path)
    assert said == 'begun'
    with pytest.raises(InputError, match=rf'at work here \(process {first.pid} on'):
        only_training_in(tmp_path).__enter__()
    first.kill()
    first.wait()
    with only_training_in(tmp_path):
        pass


def test_errors_release_it(tmp_path):
    with pytest.raises(KeyError), only_training_in(tmp_path):
        raise KeyError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('launcher', 'name'),
    [('pytorch', 'RANK'), ('slurm', 'SLURM_PROCID'), ('mpi', 'OMPI_COMM_WORLD_RANK')],
)
def test_the_processes_of_one_training_do_not_refuse_each_other(
    tmp_path, monkeypatch, launcher, name
):
    monkeypatch.setenv(name, '0')
    with only_training_in(tmp_path, launcher):
        other, said = other_training(tmp_path, launcher, **{name: '1'})
        assert said == 'begun'
        other.communicate('')
        other, said = other_training(tmp_path, launcher, **{name: '0'})
        assert 'another training' in said
        other.communicate('')
        assert (tmp_path / '.training.lock').exists()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(InputError, match=r'file/run/\.training\.lock: cannot be written'):
        only_training_in(tmp_path / 'file' / 'run').__enter__()
