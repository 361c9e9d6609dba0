"""As many threads as there are CPUs for this process.

PyTorch starts a thread for each core that it sees. In a container that may use two of them, or on a
machine that others use, the threads wait for one another at every step.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_GIVEN = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS')


def allowed_cpus(root: str | os.PathLike = '/') -> int:
    """The CPUs that this process may use: by its affinity and by the quota of its cgroup.

    Args:
        root: Where ``proc`` and ``sys`` are.

    Returns:
        At least 1. A quota of two and a half CPUs counts as 2: a third thread would be stopped half
        of the time, and the others wait for it.
    """
    allowed = os.sched_getaffinity(0) if hasattr(os, 'sched_getaffinity') else None
    cpus = len(allowed) if allowed else os.cpu_count() or 1
    return max(1, int(min([cpus, *_quotas(Path(root))])))


def set_threads(processes: int | None = None) -> int:
    """Give PyTorch and OpenCV no more threads than there are CPUs for this process.

    What the user says with ``OMP_NUM_THREADS`` or its like stays. Of the processes that torchrun
    starts on a machine each gets its share. Loader workers need nothing: PyTorch gives each one
    thread, and mmengine turns those of OpenCV off.

    Args:
        processes: That share this machine; those of torchrun, or one, if None.

    Returns:
        Threads of PyTorch.
    """
    import cv2
    import torch

    if not any(name in os.environ for name in _GIVEN):
        share = allowed_cpus() // int(processes or os.environ.get('LOCAL_WORLD_SIZE', 1))
        threads = max(1, min(torch.get_num_threads(), share))
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
    return torch.get_num_threads()


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch work in this thread alone: for decisions on tensors of some hundred numbers.

    With a GPU they are all that is left to the CPU. Sixteen threads that share each of them spin
    for the next one in between: 224 ms of CPU time a frame, and nothing is faster.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def warn_if_busy(threads: int) -> None:
    """One line on stderr where other programs keep the machine busy.

    Args:
        threads: Of this process; with one, nothing is to be done.
    """
    load = os.getloadavg()[0] if hasattr(os, 'getloadavg') else 0.0
    cpus = os.cpu_count() or 1
    if load > cpus and threads > 1:
        print(
            f'this machine is busy: load average {load:.1f} on {cpus} CPUs, and {threads} threads '
            'here wait for one another; with OMP_NUM_THREADS=1 in front of the command it may be '
            'several times as fast',
            file=sys.stderr,
        )


def _quotas(root: Path) -> Iterator[float]:
    """CPUs that the cgroups of this process, and those above them, allow."""
    try:
        groups = (root / 'proc/self/cgroup').read_text().splitlines()
    except OSError:  # no Linux
        return
    tree = root / 'sys/fs/cgroup'
    for line in groups:
        _, controllers, path = line.split(':', 2)
        names = controllers.split(',')
        if not controllers:  # version 2
            trees, read = (tree, tree / 'unified'), _quota
        elif 'cpu' in names:  # version 1
            trees, read = (tree / 'cpu', tree / controllers), _quota_of_version_1
        else:
            continue
        # In a container the path is often that of the host, of which only the end is there.
        parts = Path(path.lstrip('/')).parts
        for top in trees:
            for length in range(len(parts) + 1):
                quota = read(top.joinpath(*parts[:length]))
                if quota is not None:
                    yield quota


def _quota(folder: Path) -> float | None:
    try:
        quota, period = (folder / 'cpu.max').read_text().split()
        return None if quota == 'max' else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_of_version_1(folder: Path) -> float | None:
    try:
        quota = int((folder / 'cpu.cfs_quota_us').read_text())
        return quota / int((folder / 'cpu.cfs_period_us').read_text()) if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
