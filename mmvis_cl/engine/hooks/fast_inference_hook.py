"""A model that is only tested need not keep the form in which it was trained."""

from mmengine.hooks import Hook

from mmvis_cl.fast.fast_inference import prepare_for_inference
from mmvis_cl.registry import HOOKS


@HOOKS.register_module()
class FastInferenceHook(Hook):
    """Before a test, once the checkpoint is loaded, calls :func:`prepare_for_inference`.

    Not before the validations of a training. ``tools/test.py`` adds it, with the defaults, to a
    config that has none.

    Args:
        fuse_bn (bool): put batch norms into the convolutions before them, and the sums and ReLUs of
            bottlenecks.
        channels_last (bool, optional): let channels lie next to each other; if None, on the CPU
            only.
        packed_linear (bool): keep the weights of linear layers as oneDNN reads them, on a CPU, and
            put the ReLUs after them into them.
    """

    def __init__(
        self,
        fuse_bn: bool = True,
        channels_last: bool | None = None,
        packed_linear: bool = True,
    ) -> None:
        self.options = (fuse_bn, channels_last, packed_linear)

    def before_test(self, runner) -> None:
        """Change the runner's model."""
        prepare_for_inference(runner.model, *self.options)
