"""What a download shows: a bar on a terminal, a line elsewhere."""

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


class FetchProgress:
    """Shows how far a file is, on stderr.

    Args:
        name: Of the weights.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._said = False
        columns = (
            '{task.description}',
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        console = Console(stderr=True)
        self._bar = Progress(*columns, console=console) if console.is_terminal else None
        self._task = None if self._bar is None else self._bar.add_task(f'fetching {name}')

    def __enter__(self) -> 'FetchProgress':
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, total: int | None) -> None:
        """Tell how many bytes there are, of how many; None if nobody knows."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total)
        elif not self._said:
            self._said = True
            size = '' if total is None else f' ({total / 1e6:.0f} MB)'
            begun = f', {done / 1e6:.0f} MB are there' if done else ''
            print(f'fetching {self._name}{size}{begun}', file=sys.stderr, flush=True)
