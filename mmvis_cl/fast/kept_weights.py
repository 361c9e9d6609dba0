"""What is made from weights and kept for the next frames, so that it never outlives them."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

T = TypeVar('T')


class KeepsFromWeights:
    """For modules that keep something made from their weights while these are final.

    Weights can be written to without a trace: fused optimisers and whoever writes to ``.data`` do
    not count in a tensor's ``_version``. So what is kept is dropped

    - when the mode is set, as before each training step and each validation,
    - when weights are loaded, moved or cast,
    - in a pass with gradients, without which no optimiser has anything to do,
    - when a video starts (:func:`drop_all_kept`).

    Within a video a write by hand is seen by the tensors' places and versions.
    """

    def kept_from(self, weights: tuple[Tensor, ...], make: Callable[[], T]) -> T:
        """What ``make`` gives, from now on without calling it again.

        Args:
            weights: All that it is made from.
            make: Makes it.
        """
        # Tensors made in inference mode do not count writes.
        state = tuple((w.data_ptr(), 0 if w.is_inference() else w._version) for w in weights)
        kept = self.__dict__.get('_kept_from_weights')
        if kept is None or kept[0] != state:
            kept = self.__dict__['_kept_from_weights'] = state, make()
        return kept[1]

    def drop_kept(self) -> None:
        """Make it anew when it is needed next."""
        self.__dict__.pop('_kept_from_weights', None)

    def train(self, mode: bool = True) -> nn.Module:
        """Set the mode of the module; see :meth:`torch.nn.Module.train`."""
        self.drop_kept()
        return super().train(mode)

    def _apply(self, *args, **kwargs) -> nn.Module:
        self.drop_kept()
        return super()._apply(*args, **kwargs)

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        # mmengine's loading calls it as PyTorch's does, and none of PyTorch's other hooks
        super()._load_from_state_dict(*args, **kwargs)
        self.drop_kept()

    def __getstate__(self) -> dict:
        # packed weights and CUDA graphs can be neither copied nor saved
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != '_kept_from_weights'}


def drop_all_kept(model: nn.Module) -> None:
    """Drop what the modules of a model keep from weights; some microseconds a module."""
    for module in model.modules():
        if isinstance(module, KeepsFromWeights):
            module.drop_kept()


def places(model: nn.Module) -> tuple[int, ...]:
    """Where the weights and buffers of a model lie."""
    return tuple(t.data_ptr() for t in (*model.parameters(), *model.buffers()))


def may_keep() -> bool:
    """Whether this is a pass in which something may be kept: nothing is learned or compiled."""
    return not torch.is_grad_enabled() and not torch.compiler.is_compiling()
