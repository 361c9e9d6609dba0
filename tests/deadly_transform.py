"""A transform for the test pipeline that kills its process at a frame that is red all over.

What memory that runs out, or a fault of a library, does to a worker in the middle of a video.
"""

import os
import signal

import numpy as np
from mmcv.transforms import BaseTransform

from mmvis_cl.registry import TRANSFORMS

RED = (255, 0, 0)  # RGB


@TRANSFORMS.register_module()
class Deadly(BaseTransform):
    """Passes on every other frame as it is."""

    def transform(self, results: dict) -> dict:
        """``results['img']`` has the frames, BGR, where they do not come from a data set."""
        for image in results.get('img', ()):
            distance = np.abs(image[..., ::-1].astype(int) - RED)
            if distance.mean() < 10:
                os.kill(os.getpid(), signal.SIGKILL)
        return results
