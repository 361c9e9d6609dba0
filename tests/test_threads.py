"""How many threads a process gets, with made-up cgroups."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch

from mmvis_cl import threads

ROOT = Path(__file__).parents[1]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of 16 CPUs: gives a function that makes its files."""
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(16)), raising=False)

    def make(cgroup, **files):
        (tmp_path / 'proc/self').mkdir(parents=True)
        (tmp_path / 'proc/self/cgroup').write_text(cgroup)
        for name, text in files.items():
            name = name.replace('__', '/').replace('_dot_', '.')
            path = tmp_path / 'sys/fs/cgroup' / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return threads.allowed_cpus(tmp_path)

    return make


@pytest.mark.parametrize(
    ('cgroup', 'files', 'cpus'),
    [
        ('0::/\n', dict(cpu_dot_max='max 100000\n'), 16),
        ('0::/\n', dict(cpu_dot_max='300000 100000\n'), 3),
        ('0::/\n', dict(cpu_dot_max='250000 100000\n'), 2),
        ('0::/\n', dict(cpu_dot_max='30000 100000\n'), 1),
        ('0::/\n', {}, 16),
        ('0::/\n', dict(cpu_dot_max='nonsense'), 16),
        # the limit of a group above holds as well
        ('0::/a/b\n', dict(a__cpu_dot_max='400000 100000', a__b__cpu_dot_max='max 100000'), 4),
        ('0::/a/b\n', dict(a__cpu_dot_max='400000 100000', a__b__cpu_dot_max='200000 50000'), 4),
        ('0::/a/b\n', dict(a__b__cpu_dot_max='100000 50000', cpu_dot_max='800000 100000'), 2),
        # a container sees the path of the host, but only its own folder
        ('0::/host/docker/123\n', dict(cpu_dot_max='500000 100000'), 5),
    ],
)
def test_version_2(machine, cgroup, files, cpus):
    assert machine(cgroup, **files) == cpus


@pytest.mark.parametrize(
    ('folder', 'quota', 'period', 'cpus'),
    [
        ('cpu', '600000', '100000', 6),
        ('cpu,cpuacct', '600000', '100000', 6),
        ('cpu', '-1', '100000', 16),
        ('cpu,cpuacct/docker/7', '50000', '25000', 2),
        ('cpu', '0', '0', 16),
    ],
)
def test_version_1(machine, folder, quota, period, cpus):
    files = {
        f'{folder}/cpu_dot_cfs_quota_us': quota + '\n',
        f'{folder}/cpu_dot_cfs_period_us': period + '\n',
    }
    assert machine('3:memory:/docker/7\n4:cpu,cpuacct:/docker/7\n', **files) == cpus


def test_affinity(machine, monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: {3, 5, 6}, raising=False)
    assert machine('0::/\n', cpu_dot_max='900000 100000') == 3


def test_without_cgroups(tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: {1, 2}, raising=False)
    assert threads.allowed_cpus(tmp_path) == 2


@pytest.fixture
def unset(monkeypatch):
    for name in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'LOCAL_WORLD_SIZE'):
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(8)
    monkeypatch.setattr(threads, 'allowed_cpus', lambda: 4)
    yield monkeypatch
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


def test_threads_are_set(unset):
    assert threads.set_threads() == torch.get_num_threads() == cv2.getNumThreads() == 4


def test_never_more_than_pytorch_takes_itself(unset):
    unset.setattr(threads, 'allowed_cpus', lambda: 100)
    assert threads.set_threads() == 8


@pytest.mark.parametrize(('processes', 'share'), [('2', 2), ('3', 1), ('9', 1)])
def test_processes_of_one_machine_share(unset, processes, share):
    unset.setenv('LOCAL_WORLD_SIZE', processes)
    assert threads.set_threads() == share


@pytest.mark.parametrize('name', ['OMP_NUM_THREADS', 'MKL_NUM_THREADS'])
def test_what_the_user_says_stays(unset, name):
    unset.setenv(name, '8')
    assert threads.set_threads() == 8


@pytest.mark.parametrize(
    ('load', 'count', 'said'), [(9.1, 4, True), (2.0, 4, False), (9.1, 1, False)]
)
def test_a_busy_machine_is_told_once_where_it_hurts(monkeypatch, capsys, load, count, said):
    monkeypatch.setattr(os, 'getloadavg', lambda: (load, 1.0, 1.0), raising=False)
    monkeypatch.setattr(os, 'cpu_count', lambda: 8)
    threads.warn_if_busy(count)
    line = capsys.readouterr().err
    assert line.count('\n') == (1 if said else 0)
    assert ('load average 9.1 on 8 CPUs' in line and 'OMP_NUM_THREADS=1' in line) == said


@pytest.mark.skipif(not hasattr(os, 'sched_setaffinity'), reason='Linux alone')
def test_a_process_on_one_cpu_has_one_thread():
    """With the real files of this machine."""
    code = (
        'import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n'
        'from mmvis_cl.threads import set_threads; print(set_threads())'
    )
    env = {k: v for k, v in os.environ.items() if not k.endswith('_NUM_THREADS')}
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT, env=env
    )
    assert done.stdout.strip() == '1', done.stderr


class ThreadsOfWorker(torch.utils.data.Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return torch.get_num_threads()


def test_loader_workers_have_one_thread_each():
    loader = torch.utils.data.DataLoader(ThreadsOfWorker(), num_workers=1)
    assert [int(batch) for batch in loader] == [1, 1]
