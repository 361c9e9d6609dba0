"""How far a video is."""

import sys
import time
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class FrameProgress:
    """Shows frames done, frames a second and the time left, on stderr.

    A bar on a terminal; elsewhere a line every ``interval`` seconds.

    Args:
        description: What is being done.
        total: Frames to do; None if nobody knows.
        interval: Seconds between two lines if stderr is no terminal.
    """

    def __init__(self, description: str, total: int | None, interval: float = 10.0) -> None:
        console = Console(stderr=True)
        self._lines = not console.is_terminal
        self._interval = interval
        self._progress = Progress(
            TextColumn('{task.description}'),
            BarColumn(),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeElapsedColumn() if total is None else TimeRemainingColumn(),
            console=console,
            disable=self._lines,
        )
        self._id = self._progress.add_task(description, total=total)

    def __enter__(self) -> 'FrameProgress':
        self._start = self._last_line = time.monotonic()
        if not self._lines:  # older releases of rich write an empty line where it is disabled
            self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        if not self._lines:
            self._progress.stop()

    @property
    def rate(self) -> float:
        """Frames a second so far."""
        return self._task.completed / max(time.monotonic() - self._start, 1e-9)

    def update(self, done: int) -> None:
        """Say how many frames are done."""
        self._progress.update(self._id, completed=done)
        now = time.monotonic()
        if self._lines and now - self._last_line >= self._interval:
            self._last_line = now
            total, left = self._task.total, ''
            if total:
                seconds = round(max(0, total - done) / self.rate) if done else None
                left = '' if seconds is None else f', {timedelta(seconds=seconds)} left'
            of = f'/{total:.0f}' if total else ''
            print(
                f'{self._task.description}: {done}{of} frames, {self.rate:.1f} frames/s{left}',
                file=sys.stderr,
                flush=True,
            )

    @property
    def _task(self) -> Task:
        return self._progress.tasks[0]


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        rate = task.finished_speed or task.speed
        return Text('' if rate is None else f'{rate:.1f} frames/s', style='progress.data.speed')
