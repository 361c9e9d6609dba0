"""Ctrl-C, or SIGTERM of a job's end, in a training: nothing that was learned is lost."""

import os
import signal
import sys
import threading

import torch
from mmengine.dist import all_reduce, is_distributed, is_main_process
from mmengine.hooks import Hook

from mmvis_cl.engine.hooks.whole_checkpoint_hook import save_now
from mmvis_cl.registry import HOOKS

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@HOOKS.register_module()
class StopHook(Hook):
    """Lets the iteration under way end, saves a checkpoint and stops; ``--resume`` goes on there.

    The second Ctrl-C stops at once; SIGTERM, which schedulers send more than once, does not.
    ``tools/train.py`` adds this hook to each training.

    Raises:
        KeyboardInterrupt: After SIGINT.
        SystemExit: With code 143 after SIGTERM.
    """

    priority = 'LOWEST'  # what other hooks do after an iteration is part of it

    def before_train(self, runner) -> None:
        """Take the signals."""
        self._signal: int | None = None
        self._process = os.getpid()
        self._before = {}
        if threading.current_thread() is threading.main_thread():  # others cannot take signals
            self._before = {number: signal.signal(number, self._stop) for number in _SIGNALS}

    def after_train(self, runner) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Stop if that was asked for."""
        if is_distributed():  # at the same iteration: one that goes on waits for the others
            number = torch.tensor(self._signal or 0)
            all_reduce(number, 'max')
            self._signal = int(number) or None
        if self._signal is not None:
            self._save(runner, runner.iter + 1)  # this one is done, but not counted yet

    def after_val_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Stop a validation between two iterations."""
        if getattr(self, '_signal', None) is not None:
            self._save(runner, runner.iter)

    def _stop(self, number: int, frame) -> None:
        if os.getpid() != self._process:  # a worker, which has the handler by the fork
            if number == signal.SIGTERM:  # the training waits for the end of those it terminates
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        if self._signal is not None:
            if number == signal.SIGINT:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        self._signal = number
        print(
            'stopping after this iteration, with a checkpoint; Ctrl-C '
            + ('once more ' if number == signal.SIGINT else '')
            + 'stops at once',
            file=sys.stderr,
            flush=True,
        )

    def _save(self, runner, iteration: int) -> None:
        self.after_train(runner)
        path = save_now(runner, iteration)
        runner.logger.info(f'stopped at iteration {iteration}, saved {path}')
        if is_main_process():
            print(
                f'stopped at iteration {iteration}; give the same command with --resume to go on',
                file=sys.stderr,
                flush=True,
            )
        if self._signal == signal.SIGTERM:
            sys.exit(128 + signal.SIGTERM)
        raise KeyboardInterrupt
