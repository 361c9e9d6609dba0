"""Memory in the training log where there is no GPU."""

import sys

import torch
from mmengine.hooks import Hook

from mmvis_cl.registry import HOOKS


@HOOKS.register_module()
class PeakMemoryHook(Hook):
    """Logs ``memory``, the peak resident memory of this process in MiB, when training on a CPU.

    On a GPU mmengine logs the GPU's memory under the same name, and this hook does nothing. Loader
    workers are not counted.
    """

    def before_train(self, runner) -> None:
        """Find out whether there is anything to do."""
        # `resource` does not exist on Windows.
        self._enabled = not torch.cuda.is_available() and sys.platform != 'win32'

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Hand the peak to the log processor."""
        if self._enabled:
            import resource

            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            unit = 2**20 if sys.platform == 'darwin' else 2**10
            runner.message_hub.update_scalar('train/memory', peak // unit)
