"""How far a test is."""

import sys
import time

from mmdet.datasets.samplers import TrackImgSampler
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from tqdm import tqdm

from mmvis_cl.registry import HOOKS


@HOOKS.register_module()
class ProgressBarHook(Hook):
    """Shows frames done, frames a second and the time left while testing.

    A bar on a terminal; elsewhere a log line every ``interval`` seconds. Only the main process
    shows it, and of several processes it counts its own share of the frames.

    Args:
        interval: Seconds between two lines if the output is not a terminal.
    """

    def __init__(self, interval: float = 5.0) -> None:
        self.interval = interval

    def before_test_epoch(self, runner) -> None:
        """Start counting."""
        sampler = runner.test_dataloader.sampler
        self._total = len(sampler)
        # Without mmdet's frame-wise sampler one sample is a whole video.
        self._unit = 'frame' if isinstance(sampler, TrackImgSampler) else 'video'
        self._done = 0
        self._start = self._last = time.monotonic()
        self._bar = None
        if is_main_process() and sys.stderr.isatty():
            self._bar = tqdm(total=self._total, unit=self._unit, desc='test', dynamic_ncols=True)

    def after_test_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Count the samples of the batch."""
        inputs = data_batch['inputs']
        # With TestTimeAug there is a batch for each size.
        count = len(inputs[0] if isinstance(inputs[0], list) else inputs)
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
            if self._done >= self._total:
                self._bar.close()
        elif is_main_process():
            now = time.monotonic()
            if now - self._last >= self.interval or self._done >= self._total:
                self._last = now
                line = tqdm.format_meter(
                    self._done, self._total, now - self._start, ncols=80, unit=self._unit
                )
                runner.logger.info(f'test: {line}')
