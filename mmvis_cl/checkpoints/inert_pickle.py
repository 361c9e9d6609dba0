"""A ``pickle_module`` for ``torch.load`` that reads tensors and plain values and nothing else.

A pickle is a program: it names functions and calls them. Here it finds a few names only, those that
tensors, arrays and mmengine's logs are made of, each a function that does what its name says and
nothing more. A placeholder stands for every other object; what the file would call is not called.
"""

import math
import pickle
import re
from collections import OrderedDict
from collections.abc import Iterator
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch import _utils

# numpy's names of plain numbers: bool, int, float, complex
_NUMBER = re.compile(r'[biufc]\d{1,2}|\?')


class Placeholder:
    """Stands for an object of a type that is not read.

    Takes any arguments, items and state, and does nothing with them.

    Attributes:
        type_name (str): the type that the file names, with its module.
    """

    type_name = ''

    def __new__(cls, *args, **kwargs) -> 'Placeholder':
        return object.__new__(cls)

    def __init__(self, *args, **kwargs) -> None:
        pass

    def __call__(self, *args, **kwargs) -> 'Placeholder':
        return self

    def __setitem__(self, key, value) -> None:
        pass

    def append(self, value) -> None:
        """Nothing."""

    def extend(self, values) -> None:
        """Nothing."""


def placeholders(content: object) -> Iterator[Placeholder]:
    """The placeholders in a checkpoint's dicts, lists and tuples."""
    rest, seen = [content], set()
    while rest:
        value = rest.pop()
        if isinstance(value, Placeholder) or (
            isinstance(value, type) and issubclass(value, Placeholder)
        ):
            yield value
        elif isinstance(value, (dict, list, tuple)) and id(value) not in seen:
            seen.add(id(value))  # a list may hold itself
            rest.extend(value.values() if isinstance(value, dict) else value)


class _Array:
    """An array under way: numpy first makes an empty one and then gives it its state."""


def _empty_array(*_) -> _Array:
    return _Array()


def _number_type(code: str, *_) -> np.dtype:
    if not (isinstance(code, str) and _NUMBER.fullmatch(code)):
        raise pickle.UnpicklingError(f'arrays of type {str(code)[:20]!r} are not read')
    return np.dtype(code)


def _scalar(dtype: np.dtype, data: bytes) -> np.generic:
    return np.frombuffer(data, dtype)[0]


def _encoded(text: str, coding: str) -> bytes:
    return text.encode({'latin1': 'latin1'}[coding])


def _statistic(owner: type, name: str) -> object:
    """mmengine's logs name their statistics as attributes of their class."""
    if owner is not HistoryBuffer or name not in ('min', 'max', 'mean', 'current'):
        raise pickle.UnpicklingError(f'attributes are not read ({str(name)[:20]!r})')
    return getattr(HistoryBuffer, name)


_BUILTINS = dict(
    getattr=_statistic,
    slice=slice,
    complex=complex,
    set=set,
    frozenset=frozenset,
    bytearray=bytearray,
)
_NAMES = {
    ('collections', 'OrderedDict'): OrderedDict,
    ('collections', 'defaultdict'): lambda *_: OrderedDict(),
    ('torch', 'Size'): torch.Size,
    ('torch', 'device'): torch.device,
    ('torch._utils', '_rebuild_tensor'): _utils._rebuild_tensor,
    ('torch._utils', '_rebuild_tensor_v2'): _utils._rebuild_tensor_v2,
    ('torch._utils', '_rebuild_parameter'): _utils._rebuild_parameter,
    ('numpy', 'dtype'): _number_type,
    ('numpy', 'ndarray'): _Array,
    ('_codecs', 'encode'): _encoded,
    ('mmengine.logging.history_buffer', 'HistoryBuffer'): HistoryBuffer,
}
for _module in ('builtins', '__builtin__'):
    _NAMES |= {(_module, name): value for name, value in _BUILTINS.items()}
for _module in ('numpy.core.multiarray', 'numpy._core.multiarray'):  # of NumPy 1 and 2
    _NAMES |= {(_module, '_reconstruct'): _empty_array, (_module, 'scalar'): _scalar}


class Unpickler(pickle._Unpickler):
    """Finds the names above; any other is a :class:`Placeholder`."""

    dispatch: ClassVar = dict(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> object:
        """The object of a name in a pickle.

        Args:
            module (str): its module.
            name (str): its name there.

        Returns:
            object: the object if it is one of those allowed, else a placeholder's class.
        """
        found = _NAMES.get((module, name))
        if found is None and module == 'torch':
            value = getattr(torch, name, None)
            if isinstance(value, torch.dtype):
                return value
        return found or type('Placeholder', (Placeholder,), dict(type_name=f'{module}.{name}'))

    def load_build(self) -> None:
        """Give an object its state: never by a method of the file's choice, nor to a class."""
        state, value = self.stack.pop(), self.stack[-1]
        if isinstance(value, _Array):
            array = _array(*state)
            for i in [i for i, kept in self.memo.items() if kept is value]:
                self.memo[i] = array
            self.stack[-1] = array
        elif isinstance(value, HistoryBuffer):
            names = ('max_length', '_log_history', '_count_history')
            vars(value).update({name: state[name] for name in names if name in state})
        elif isinstance(value, OrderedDict):
            if isinstance(state, dict) and '_metadata' in state:  # versions of a network's parts
                value._metadata = state['_metadata']
        elif isinstance(value, np.dtype):
            if state[1] == '>':
                raise pickle.UnpicklingError('arrays whose numbers begin with the high byte')
        elif not isinstance(value, (Placeholder, torch.Tensor)):
            raise pickle.UnpicklingError(f'a state for a {type(value).__name__}')

    dispatch[pickle.BUILD[0]] = load_build


def _array(version: int, shape: tuple, dtype: np.dtype, fortran: bool, data: bytes) -> np.ndarray:
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise pickle.UnpicklingError(f'an array of shape {shape} in {len(data)} bytes')
    return np.frombuffer(data, dtype).copy().reshape(shape, order='F' if fortran else 'C')


def _load(file, **kwargs) -> object:
    return Unpickler(file, **kwargs).load()


# PyTorch reads its zip archives with the class, and its format from before 1.6 with `load` too.
MODULE = SimpleNamespace(
    __name__=__name__, Unpickler=Unpickler, load=_load, UnpicklingError=pickle.UnpicklingError
)
