"""The tracked video as one to watch."""

import os
from fractions import Fraction

from mmvis_cl.structures.frame_result import FrameResult
from mmvis_cl.visualization import FrameDrawer, VideoWriter

from .output import Output


class VideoOutput(Output):
    """An ``.mp4`` (H.264, yuv420p, plays in browsers) of the drawn frames.

    Frames are shown at their own times, so a variable frame rate stays as it is.

    Args:
        path: Ends in ``.mp4``.
        fps: Frames a second of the source, > 0; the encoder's guide, and how long the last frame is
            shown.
        drawer: Draws the frames; one without trails if None.
        sample_aspect_ratio: See :class:`VideoWriter`.
        sound: See :class:`VideoWriter`.

    Raises:
        InputError: Nothing can be written there, or PyAV has no H.264 encoder.
    """

    suffix = '.mp4'

    def __init__(
        self,
        path: str | os.PathLike,
        fps: float,
        drawer: FrameDrawer | None = None,
        sample_aspect_ratio: Fraction | int = 1,
        sound: str | os.PathLike | None = None,
    ) -> None:
        super().__init__(path)
        self.drawer = drawer or FrameDrawer()
        self._writer = VideoWriter(
            path, fps=fps, sample_aspect_ratio=sample_aspect_ratio, sound=sound
        )
        self._writer.open()

    def _write(self, frame: FrameResult) -> None:
        self._writer.write(self.drawer.draw(frame), time=frame.time)

    def _finish(self) -> None:
        self._writer.close()

    def _clean_up(self) -> None:
        self._writer.discard()
