"""A model that is only tested need not keep the form in which it was trained."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import TestLoop

from mmvis_cl.engine.loader_ahead import LoaderAhead
from mmvis_cl.fast.fast_inference import prepare_for_inference
from mmvis_cl.fast.fast_vis import FastVIS
from mmvis_cl.registry import HOOKS


@HOOKS.register_module()
class FastInferenceHook(Hook):
    """Before a test, once the checkpoint is loaded, calls :func:`prepare_for_inference`.

    Not before the validations of a training. ``tools/test.py`` adds it, with the defaults, to a
    config that has none.

    Args:
        fuse_bn (bool): put batch norms into the convolutions before them, and the sums and ReLUs of
            bottlenecks.
        channels_last (bool): let channels lie next to each other.
        packed_linear (bool): keep the weights of linear layers as oneDNN reads them, on a CPU, and
            put the ReLUs after them into them.
        compile_network (bool): give the network to ``torch.compile``.
    """

    def __init__(
        self,
        fuse_bn: bool = True,
        channels_last: bool = True,
        packed_linear: bool = True,
        compile_network: bool = False,
    ) -> None:
        self.options = (fuse_bn, channels_last, packed_linear, compile_network)

    def before_test(self, runner) -> None:
        """Change the runner's model, and let its network be a batch ahead where it is on a GPU."""
        prepare_for_inference(runner.model, *self.options)
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if type(model) is not FastVIS or not next(model.parameters()).is_cuda:
            return
        loop = runner.test_loop
        if type(loop) is TestLoop and not loop.fp16:
            loop.dataloader = LoaderAhead(loop.dataloader, model)

    def after_test(self, runner) -> None:
        """Give the loader back."""
        if isinstance(runner.test_loop.dataloader, LoaderAhead):
            runner.test_loop.dataloader = runner.test_loop.dataloader.loader
