"""A ``pickle_module`` for ``torch.load`` that reads tensors and plain values and nothing else.

The checkpoints of a training hold objects (logs, the state of schedulers) that PyTorch's own safe
reading refuses. Who wants their weights only need not make these objects: a placeholder stands for
each, and what the file would call is not called.
"""

import pickle
from collections import OrderedDict

import torch
from torch import _utils

_ALLOWED = {
    ('collections', 'OrderedDict'): OrderedDict,
    ('torch', 'Size'): torch.Size,
    ('torch', 'device'): torch.device,
    ('torch._utils', '_rebuild_tensor'): _utils._rebuild_tensor,
    ('torch._utils', '_rebuild_tensor_v2'): _utils._rebuild_tensor_v2,
    ('torch._utils', '_rebuild_parameter'): _utils._rebuild_parameter,
}


class Placeholder:
    """Takes any arguments, items and state, and does nothing with them."""

    def __new__(cls, *args, **kwargs) -> 'Placeholder':
        return object.__new__(cls)

    def __init__(self, *args, **kwargs) -> None:
        pass

    def __call__(self, *args, **kwargs) -> 'Placeholder':
        return self

    def __setitem__(self, key, value) -> None:
        pass

    def __setstate__(self, state) -> None:
        pass

    def append(self, value) -> None:
        """Nothing."""

    def extend(self, values) -> None:
        """Nothing."""


class Unpickler(pickle.Unpickler):
    """Finds what tensors are made of; anything else is a :class:`Placeholder`."""

    def find_class(self, module: str, name: str) -> object:
        """The object of a name in a pickle.

        Args:
            module (str): its module.
            name (str): its name there.

        Returns:
            object: the object if it is one of those allowed, else the placeholder's class.
        """
        found = _ALLOWED.get((module, name))
        if found is None and module == 'torch':
            # float32 and the like, FloatStorage and the like: types without any effect
            value = getattr(torch, name, None)
            if isinstance(value, torch.dtype) or name.endswith('Storage'):
                found = value
        return found or Placeholder


def load(file, **kwargs) -> object:
    """As ``pickle.load``; PyTorch reads its format from before 1.6 with it."""
    return Unpickler(file, **kwargs).load()
