"""Cameras of this machine."""

import itertools
import time
from collections.abc import Generator
from contextlib import closing

import cv2

from mmvis_cl.errors import InputError

from .frame_source import UNKNOWN_FPS, SourceFrame, VideoSource


class Camera(VideoSource):
    """A camera of this machine."""

    is_live = True
    rereadable = False

    def __init__(self, number: int, start: int, max_frames: int | None) -> None:
        super().__init__(f'camera{number}', start, max_frames)
        self._camera = None
        if not 0 <= number < 1000:  # OpenCV takes -1 for any, and thousands for other libraries
            raise InputError(f'camera {number}: cameras are counted from 0 to 999; give its number')
        # OpenCV has lines of its own to say about each way that it tries
        log = cv2 if hasattr(cv2, 'setLogLevel') else cv2.utils.logging  # OpenCV 4; 5
        level = log.getLogLevel()
        log.setLogLevel(0)
        try:
            self._camera = cv2.VideoCapture(number)
        finally:
            log.setLogLevel(level)
        self._first = self._camera.read()[1] if self._camera.isOpened() else None
        if self._first is None:
            self.close()
            raise InputError(
                f'camera {number}: there is none of this number, or it gives no picture; check '
                'that it is plugged in, that no other program uses it and that you may read it'
            )
        self.size = self._first.shape[:2]
        rate = self._camera.get(cv2.CAP_PROP_FPS)
        self.fps = rate if 0 < rate <= 1000 else UNKNOWN_FPS
        self._set_length(None)

    def close(self) -> None:
        """Let other programs use the camera."""
        if self._camera is not None:
            self._camera.release()
            self._camera = None

    def _read(self) -> Generator[SourceFrame, None, None]:
        if self._camera is None or self._first is None:
            raise InputError(f'{self.name}: was closed; open it again')
        image, self._first = self._first, None
        begin = time.monotonic()
        with closing(self):
            for index in itertools.count():
                if index >= self.start:
                    seconds = time.monotonic() - begin
                    yield SourceFrame(index, seconds, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
                there, image = self._camera.read()
                if not there:
                    self.problem = f'{self.name}: gave no more pictures after {index + 1} frames'
                    return
