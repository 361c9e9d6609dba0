"""The line that a validation or test leaves in the log."""

import re

from mmengine.runner import LogProcessor, Runner

from mmvis_cl.registry import LOG_PROCESSORS

# A score below 0 is none: nothing is annotated that it could be of.
_NO_SCORE = re.compile(r'(\bA[PR]\w*: )-1(?:\.0+)?(?![\d.])')


@LOG_PROCESSORS.register_module()
class ScoreLogProcessor(LogProcessor):
    """mmengine's ``LogProcessor`` that writes '-' for a score of which nothing is annotated.

    Only the text has it; the scores themselves, and the files of figures, stay -1.

    Args:
        **kwargs: Arguments of mmengine's ``LogProcessor``: ``window_size``, ``by_epoch``, ...
    """

    def get_log_after_epoch(
        self, runner: Runner, batch_idx: int, mode: str, with_non_scalar: bool = False
    ) -> tuple[dict, str]:
        """What is logged after a validation or test.

        Args:
            runner: Of the run.
            batch_idx: Index of the last batch.
            mode: 'val' or 'test'.
            with_non_scalar: Give what is no number as well.

        Returns:
            The figures, and the line.
        """
        figures, line = super().get_log_after_epoch(runner, batch_idx, mode, with_non_scalar)
        return figures, _NO_SCORE.sub(r'\1-', line)
