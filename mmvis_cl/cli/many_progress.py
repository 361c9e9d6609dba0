"""How far many videos are: one line for all of them, and one for each worker if asked for."""

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from mmvis_cl.apis import TrackAll
    from mmvis_cl.many.record import VideoRecord


class ManyProgress:
    """Shows videos, frames, frames a second, the time left and how many failed, on stderr.

    Nothing where stderr is no terminal: there the log tells of each video.

    Args:
        videos: The run; it is watched within the block.
        verbose: A line for each worker, too.
    """

    def __init__(self, videos: 'TrackAll', verbose: bool = False) -> None:
        console = Console(stderr=True)
        self._shown = console.is_terminal
        self._videos, self._verbose = videos, verbose
        self._now: dict[int, tuple[str, int]] = {}  # worker -> its video, frames done
        self._lines: dict[int, TaskID] = {}
        self._progress = Progress(
            TextColumn('{task.description}'),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn('{task.fields[told]}'),
            TimeRemainingColumn(),
            console=console,
            disable=not self._shown,
        )
        self._total = self._progress.add_task('videos', total=len(videos), told='')

    def __enter__(self) -> 'ManyProgress':
        self._start = time.monotonic()
        self._videos.watch = self.frames
        if self._shown:  # older releases of rich write an empty line where it is disabled
            self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._shown:
            self._progress.stop()

    def frames(self, worker: int, video_id: str, done: int) -> None:
        """A worker has tracked so many frames of a video."""
        self._now[worker] = (video_id, done)
        if self._verbose:
            if worker not in self._lines:
                self._lines[worker] = self._progress.add_task(
                    f'worker {worker}', total=None, told=''
                )
            told = f'{escape(video_id)}, frame {done}'
            self._progress.update(self._lines[worker], told=told)
        self._tell()

    def ended(self, record: 'VideoRecord') -> None:
        """A video is done or has failed."""
        self._now = {w: (id, n) for w, (id, n) in self._now.items() if id != record.id}
        self._progress.advance(self._total)
        self._tell()

    def told(self) -> str:
        """The line, without its bar."""
        summary = self._videos.summary
        frames = summary.frames + sum(n for _, n in self._now.values())
        rate = frames / max(time.monotonic() - self._start, 1e-9)
        failed = f', {len(summary.failed)} failed' if summary.failed else ''
        return f'{frames} frames, {rate:.1f} frames/s{failed}'

    def _tell(self) -> None:
        self._progress.update(self._total, told=self.told())
