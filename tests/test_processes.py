"""Workers end with the process that started them, however that ends."""

import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest
from process_groups import members, wait_until_gone

from mmvis_cl.processes import end_with_parent

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='looks processes up in /proc')

START = """
import os, signal, sys, time
import mmvis_cl_command
mmvis_cl_command.put_off_set_up()
from mmvis_cl import processes
from mmvis_cl.errors import Terminated, one_line_errors

how = sys.argv[1]
if 'watch' in how:
    processes._ask_kernel = lambda: False
"""
LOADER = """
import torch

class Data:
    def __len__(self):
        return 100

    def __getitem__(self, index):
        # more than a pipe holds: a worker that nobody reads from waits for good
        return b'x' * 200_000

def own(worker_id):
    os.write(1, b'worker\\n')

loader = torch.utils.data.DataLoader(
    Data(), None, num_workers=2, worker_init_fn=own, prefetch_factor=8,
)
if 'plain' not in how:
    from functools import partial
    loader.worker_init_fn = partial(processes.start_worker, then=own)
if __name__ == '__main__':
    try:
        with one_line_errors():
            # as a training, which ends its iteration first: an exception in the middle of a batch
            # would leave the rest of it in the pipe
            stopped = []
            signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
            batches = iter(loader)
            next(batches)
            while not stopped:
                time.sleep(0.01)
            print(sum(len(next(batches)) for _ in range(50)))
            raise Terminated
    finally:
        processes.kill_workers()
"""
POOL = """
def work(seconds):
    os.write(1, b'worker\\n')
    time.sleep(seconds)
    return seconds

if __name__ == '__main__':
    seconds = 0.01 if 'short' in how else 1000
    if how in ('spawn', 'forkserver'):
        import multiprocessing
        multiprocessing.set_start_method(how)
    with one_line_errors(), processes.pool_of_workers(2) as pool:
        print(list(pool.map(work, [seconds, seconds])))
"""


def started(tmp_path, program, how):
    """Of the program that has two workers, both of which have said so."""
    script = tmp_path / 'program.py'
    script.write_text(START + program)
    process = subprocess.Popen(
        [sys.executable, script, how],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for _ in range(2):
        assert process.stdout.readline() == 'worker\n', process.stderr.read()
    return process


@pytest.mark.parametrize(
    ('program', 'how'),
    [(LOADER, ''), (POOL, ''), (POOL, 'watch'), (POOL, 'spawn'), (POOL, 'forkserver')],
    ids=['loader', 'pool', 'watched pool', 'spawned pool', 'pool of a fork server'],
)
def test_no_worker_outlives_a_process_that_was_killed(tmp_path, program, how):
    process = started(tmp_path, program, how)
    process.kill()
    process.wait()
    wait_until_gone(process.pid)


@pytest.mark.parametrize(
    ('program', 'to_all'),
    [(LOADER, True), (POOL, False), (POOL, True)],
    ids=['loader', 'pool, to it alone', 'pool'],
)
def test_sigterm_ends_the_process_and_its_workers(tmp_path, program, to_all):
    """After fifty more batches, which its workers load although they were signalled as well."""
    process = started(tmp_path, program, '')
    (os.killpg if to_all else os.kill)(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (143, 'terminated\n')
    assert out == ('10000000\n' if program == LOADER else '')
    wait_until_gone(process.pid)


def test_a_loader_can_terminate_a_worker(tmp_path):
    process = started(tmp_path, LOADER, '')
    worker = max(members(process.pid))
    while worker in members(process.pid):  # twice is enough, once it has answered the first
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGTERM)
    process.kill()
    wait_until_gone(process.pid)


def test_ctrl_c_is_the_parents_to_answer(tmp_path):
    process = started(tmp_path, POOL, '')
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=60) == ('', 'interrupted\n')
    assert process.returncode == 130
    wait_until_gone(process.pid)


def test_a_worker_that_was_killed_is_said_in_one_line(tmp_path):
    process = started(tmp_path, POOL, '')
    os.kill(max(members(process.pid)), signal.SIGKILL)
    assert process.communicate(timeout=60) == (
        '',
        'error: one of 2 worker processes was killed, as happens where memory is short; '
        'give fewer --workers\n',
    )
    assert process.returncode == 2
    wait_until_gone(process.pid)


def test_a_pool_that_is_done(tmp_path):
    process = started(tmp_path, POOL, 'short')
    assert process.communicate(timeout=60) == ('[0.01, 0.01]\n', '')
    assert process.returncode == 0
    wait_until_gone(process.pid)


def test_a_plain_loader_would_outlive_it(tmp_path):
    """What the tests above would find."""
    process = started(tmp_path, LOADER, 'plain')
    process.kill()
    process.wait()
    left = members(process.pid)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert len(left) == 2
    wait_until_gone(process.pid)


def test_a_main_process_has_no_parent_to_end_with():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    end_with_parent()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_program_ends_with_its_starter():
    """One that knows nothing of Python: the kernel does it."""
    start = (
        'import subprocess, mmvis_cl_command; mmvis_cl_command.put_off_set_up()\n'
        'from mmvis_cl.processes import end_with_starter\n'
        "sleep = subprocess.Popen(['sleep', '1000'], preexec_fn=end_with_starter)\n"
        'print(sleep.pid, flush=True); sleep.wait()\n'
    )
    process = subprocess.Popen(
        [sys.executable, '-c', start], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert int(process.stdout.readline()) in members(process.pid)
    process.kill()
    process.wait()
    wait_until_gone(process.pid)
