"""Frames of a video drawn while it is being tracked."""

from collections import deque

import numpy as np

from mmvis_cl.structures.frame_result import FrameResult

from .draw_tracks import draw_tracks


class FrameDrawer:
    """Draws the frames of one video: mask, box, class, score and identity.

    An identity keeps its colour, and the first identities to appear get the colours that are
    easiest to tell apart.

    Args:
        trails: The centre of each identity's box is followed back over so many frames; 0 for no
            trails.

    Examples:
        >>> drawer = FrameDrawer(trails=30)
        >>> for frame in inferencer.stream('street.mp4'):
        ...     image = drawer.draw(frame)  # (H, W, 3) uint8, RGB
    """

    def __init__(self, trails: int = 0) -> None:
        self.trails = trails
        self._color_of: dict[int, int] = {}
        self._centers: dict[int, deque] = {}
        self._drawn: tuple[FrameResult, np.ndarray] | None = None

    def draw(self, frame: FrameResult) -> np.ndarray:
        """Draw a frame. The same frame again, for another output, costs nothing.

        Args:
            frame: The frames come in order.

        Returns:
            (H', W', 3) uint8, RGB; not smaller than the frame, see :func:`draw_tracks`. It is for
            looking only: others may get the same array.
        """
        if self._drawn is not None and self._drawn[0] is frame:
            return self._drawn[1]
        identities = frame.identities.tolist()
        colors = [self._color_of.setdefault(i, len(self._color_of)) for i in identities]
        drawn = draw_tracks(
            frame.image,
            frame.rles,
            frame.bboxes,
            frame.classes,
            frame.scores,
            identities,
            color_ids=colors,
            trails=self._follow(frame) if self.trails else None,
        )
        self._drawn = frame, drawn
        return drawn

    def _follow(self, frame: FrameResult) -> list[np.ndarray]:
        for identity, (x1, y1, x2, y2) in zip(
            frame.identities.tolist(), frame.bboxes.tolist(), strict=True
        ):
            centers = self._centers.setdefault(identity, deque(maxlen=self.trails + 1))
            centers.append((frame.index, (x1 + x2) / 2, (y1 + y2) / 2))
        oldest = frame.index - self.trails
        for identity in list(self._centers):
            centers = self._centers[identity]
            while centers and centers[0][0] < oldest:
                centers.popleft()
            if not centers:
                del self._centers[identity]
        return [
            np.array([(x, y) for _, x, y in self._centers[identity]])
            for identity in frame.identities.tolist()
        ]
