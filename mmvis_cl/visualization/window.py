"""A window that shows a video while it is being tracked."""

import os
import sys
from contextlib import suppress

import cv2
import numpy as np

from mmvis_cl.errors import InputError


class Window:
    """Shows RGB images one after the other; ``q``, Esc or its button closes it.

    Args:
        title: Of the window.

    Raises:
        InputError: If this OpenCV cannot open windows, or there is no screen.
    """

    def __init__(self, title: str) -> None:
        # Asked first: without a screen OpenCV's Qt ends the process instead of raising an error.
        if sys.platform == 'linux' and not (
            os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')
        ):
            raise InputError(
                '--show: there is no screen (DISPLAY is not set); leave it out and write a video'
            )
        self.title = title
        self.closed = False
        try:
            cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        except cv2.error as error:
            raise InputError(
                '--show: this OpenCV cannot open windows; pip uninstall opencv-python-headless, '
                'then pip install --force-reinstall opencv-python'
            ) from error
        self._sized = False

    def show(self, image: np.ndarray) -> None:
        """Show an image; afterwards ``closed`` says whether the user has had enough.

        Args:
            image: (H, W, 3) uint8, RGB.
        """
        if not self._sized:
            cv2.resizeWindow(self.title, image.shape[1], image.shape[0])
            self._sized = True
        cv2.imshow(self.title, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        quit_keys = (ord('q'), 27)
        self.closed = (
            cv2.waitKey(1) & 0xFF in quit_keys
            or cv2.getWindowProperty(self.title, cv2.WND_PROP_VISIBLE) < 1
        )

    def close(self) -> None:
        """Close the window."""
        with suppress(cv2.error):  # closed by its button already
            cv2.destroyWindow(self.title)
