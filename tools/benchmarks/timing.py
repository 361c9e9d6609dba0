"""What the benchmarks of the network share: the machine in words, interleaved times, tables."""

import gc
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch


def machine(device: str = 'cpu') -> str:
    """The machine in words, with the number of threads and the load at this moment."""
    words = [f'{os.cpu_count()} CPU cores']
    if Path('/proc/cpuinfo').is_file():
        lines = Path('/proc/cpuinfo').read_text().splitlines()
        names = {line.split(':')[1].strip() for line in lines if line.startswith('model name')}
        words[0] += f' ({", ".join(sorted(names))}; {torch.backends.cpu.get_cpu_capability()})'
    if device == 'cuda':
        words.append(torch.cuda.get_device_name())
    words += [
        f'{platform.system()}, Python {platform.python_version()}, torch {torch.__version__}',
        f'{torch.get_num_threads()} threads',
        f'load {os.getloadavg()[0]:.1f}',
    ]
    return ', '.join(words)


def best_times(
    variants: dict[str, Callable[[], object]], repeat: int, device: str = 'cpu'
) -> dict[str, tuple[float, float]]:
    """Run the variants in turn, once to warm up and ``repeat`` times more.

    Args:
        variants: What to run, by name.
        repeat: How many runs of each are timed.
        device: 'cuda' waits for the GPU before and after each run.

    Returns:
        The least CPU seconds of all threads, and the least wall seconds, of each variant.
    """
    best = {}
    for timed in range(repeat + 1):
        for name, run in variants.items():
            gc.collect()
            _wait(device)
            cpu, wall = time.process_time(), time.perf_counter()
            run()
            _wait(device)
            now = (time.process_time() - cpu, time.perf_counter() - wall)
            if timed:
                best[name] = tuple(map(min, best.get(name, now), now))
    return best


def peak_memory() -> float:
    """The most memory that this process has had at once, in MiB."""
    status = Path('/proc/self/status')
    if status.is_file():  # ru_maxrss counts that of the process that started this one
        line = next(x for x in status.read_text().splitlines() if x.startswith('VmHWM'))
        return int(line.split()[1]) / 1024
    # bytes on a Mac, else KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        2**20 if sys.platform == 'darwin' else 2**10
    )


def _wait(device: str) -> None:
    if device == 'cuda':
        torch.cuda.synchronize()


def row(*cells: object) -> str:
    """A line of a Markdown table."""
    return '| ' + ' | '.join(map(str, cells)) + ' |'


def header(*cells: str) -> str:
    """The first two lines of a Markdown table: text at the left, figures at the right."""
    return f'{row(*cells)}\n{row("---", *["---:"] * (len(cells) - 1))}'
