"""Unpickling that makes tensors and plain values and nothing else.

What a pickle names is never imported. Names of a short list get a stand-in of this module, which
only remembers its arguments; :func:`finished` turns the stand-ins into what they stand for, after
the whole pickle is read and with every value checked.
"""

import pickle
import re
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

_SPARE = 1 << 20  # bytes that a tensor may have beyond the file, as zeros(1).expand(1000) has


class _StandIn:
    """What a pickle gets to hold; it can set nothing on it unless ``__setstate__`` says so."""

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError(f'a state for a {type(self).__name__}')


class _Call(_StandIn):
    """Stands for a function or class of the list."""

    __slots__ = ('_function',)

    def __init__(self, function: Callable) -> None:
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)


class StorageType(_StandIn):
    """Stands for ``torch.FloatStorage`` and the like; ``dtype`` is None for bare bytes."""

    __slots__ = ('dtype',)

    def __init__(self, dtype: torch.dtype | None) -> None:
        self.dtype = dtype


class Storage(_StandIn):
    """The bytes of tensors: (n,) uint8, filled by who reads the file."""

    __slots__ = ('dtype', 'location', 'values')

    def __init__(self, values: torch.Tensor, dtype: torch.dtype | None, location: str) -> None:
        self.values, self.dtype, self.location = values, dtype, location


class _Tensor(_StandIn):
    __slots__ = ('dtype', 'offset', 'parameter', 'requires_grad', 'size', 'storage', 'stride')

    def __init__(
        self,
        storage: Any,
        offset: Any,
        size: Any,
        stride: Any,
        requires_grad: Any = False,
        hooks: Any = None,
        *rest: Any,
    ) -> None:
        if not isinstance(storage, Storage):
            raise pickle.UnpicklingError('a tensor without a storage')
        self.storage, self.dtype = storage, storage.dtype
        self.offset, self.size, self.stride = offset, tuple(size), tuple(stride)
        self.requires_grad, self.parameter = bool(requires_grad), False


class _DType(_StandIn):
    """Of NumPy."""

    __slots__ = ('code',)

    def __init__(self, code: str, *copy: Any) -> None:
        if not re.fullmatch(r'[<>|=]?(b1|[iu][1248]|f[248]|c8|c16|[SU]\d{1,6})', code):
            raise pickle.UnpicklingError(f'arrays of type {str(code)[:20]!r} are not read')
        self.code = code

    def __setstate__(self, state: Any) -> None:
        if state[1] in ('<', '>'):
            self.code = state[1] + self.code.lstrip('<>|=')


class _Array(_StandIn):
    """Of NumPy."""

    __slots__ = ('state',)

    def __init__(self, *empty: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _History(_StandIn):
    """Of mmengine: the values of one figure of the log."""

    __slots__ = ('state',)

    def __setstate__(self, state: Any) -> None:
        self.state = state


class Placeholder:
    """Stands for an object of a type that is not read.

    Takes any arguments, items and state, and does nothing with them.

    Attributes:
        type_name (str): the type that the file names, with its module.
    """

    type_name = ''

    def __new__(cls, *args: Any, **kwargs: Any) -> 'Placeholder':
        """One more, whatever it is made of."""
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __call__(self, *args: Any, **kwargs: Any) -> 'Placeholder':
        """Itself: a call in a pickle makes nothing either."""
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        """As of a list: nothing is kept."""

    def extend(self, values: Any) -> None:
        """As of a list: nothing is kept."""


class _NotNeeded(Placeholder):
    """Stands for settings of the program that made the file, which nothing reads: None."""


def placeholders(content: object) -> Iterator[Any]:
    """The placeholders in a checkpoint's dicts, lists and tuples."""
    rest, seen = [content], set()
    while rest:
        value = rest.pop()
        if _is_placeholder(value):
            yield value
        elif isinstance(value, (dict, list, tuple, deque)) and id(value) not in seen:
            seen.add(id(value))  # a list may hold itself
            rest.extend(value.values() if isinstance(value, dict) else value)


def _is_placeholder(value: object) -> bool:
    """Whether it is one, or the class of one."""
    return isinstance(value, Placeholder) or (
        isinstance(value, type) and issubclass(value, Placeholder)
    )


def _with_dtype(*given: Any) -> _Tensor:
    tensor = _Tensor(*given[:5])  # what follows are its hooks and its type
    if len(given) < 7 or not isinstance(given[6], torch.dtype):
        raise pickle.UnpicklingError('a tensor of no dtype')
    tensor.dtype = given[6]
    return tensor


def _parameter(data: _Tensor, requires_grad: bool, *rest: Any) -> _Tensor:
    parameter = _Tensor(data.storage, data.offset, data.size, data.stride, requires_grad)
    parameter.dtype, parameter.parameter = data.dtype, True
    return parameter


def _scalar(dtype: _DType, value: bytes) -> np.generic:
    return np.frombuffer(value, dtype.code, count=1)[0]


def _encode(text: str, encoding: str) -> bytes:
    # how pickles of protocol 2 hold bytes
    return text.encode({'latin1': 'latin1', 'latin-1': 'latin1'}[encoding])


def _attribute(owner: object, name: str) -> None:
    """Histories of older mmengines hold their own methods, which they get back when made anew."""
    if owner is not _History:
        raise pickle.UnpicklingError(f'attributes are not read ({str(name)[:20]!r})')


_TENSORS = {
    '_rebuild_tensor': _Call(_Tensor),
    '_rebuild_tensor_v2': _Call(_Tensor),
    '_rebuild_tensor_v3': _Call(_with_dtype),
    '_rebuild_parameter': _Call(_parameter),
    '_rebuild_parameter_with_state': _Call(_parameter),
}
_ALLOWED = {
    ('collections', 'OrderedDict'): _Call(OrderedDict),
    ('collections', 'Counter'): _Call(lambda items=(): dict(items)),
    ('collections', 'defaultdict'): _Call(lambda factory=None, items=(): dict(items)),
    ('collections', 'deque'): _Call(lambda items=(), maxlen=None: deque(items, maxlen)),
    ('builtins', 'list'): _Call(list),
    ('builtins', 'dict'): _Call(dict),
    ('builtins', 'int'): _Call(_NotNeeded),  # of a defaultdict
    ('builtins', 'bytes'): _Call(lambda: b''),
    ('builtins', 'complex'): _Call(complex),
    ('builtins', 'slice'): _Call(slice),
    ('builtins', 'set'): _Call(set),
    ('builtins', 'frozenset'): _Call(frozenset),
    ('builtins', 'getattr'): _Call(_attribute),
    ('_codecs', 'encode'): _Call(_encode),
    ('torch', 'Size'): _Call(lambda sizes=(): torch.Size(sizes)),
    ('torch', 'device'): _Call(torch.device),
    ('torch', 'Tensor'): _Call(_NotNeeded),
    ('torch.nn.parameter', 'Parameter'): _Call(_NotNeeded),
    ('torch._tensor', '_rebuild_from_type_v2'): _Call(lambda make, kind, args, state: make(*args)),
    ('numpy', 'ndarray'): _Call(_NotNeeded),
    ('numpy', 'dtype'): _Call(_DType),
    ('mmengine.logging.history_buffer', 'HistoryBuffer'): _History,
    **{('torch._utils', name): call for name, call in _TENSORS.items()},
    **{
        (f'numpy.{core}.multiarray', name): _Call(make)
        for core in ('core', '_core')
        for name, make in (('_reconstruct', _Array), ('scalar', _scalar))
    },
}
_STORAGES = {
    'FloatStorage': torch.float32,
    'DoubleStorage': torch.float64,
    'HalfStorage': torch.float16,
    'BFloat16Storage': torch.bfloat16,
    'LongStorage': torch.int64,
    'IntStorage': torch.int32,
    'ShortStorage': torch.int16,
    'CharStorage': torch.int8,
    'ByteStorage': torch.uint8,
    'BoolStorage': torch.bool,
    'ComplexFloatStorage': torch.complex64,
    'ComplexDoubleStorage': torch.complex128,
    'UntypedStorage': None,
}
_NOT_NEEDED = {
    ('argparse', 'Namespace'),
    ('yacs.config', 'CfgNode'),
    ('detectron2.config.config', 'CfgNode'),
    ('mmengine.config.config', 'ConfigDict'),
    ('mmcv.utils.config', 'ConfigDict'),
}


class Unpickler(pickle._Unpickler):
    """Finds what :data:`_ALLOWED` and the like name.

    The one in Python: that in C makes room for as many objects as a file says that it has.

    Args:
        file: A binary file.
        storage_of: From the persistent id of a storage, without its first item, to the storage.
    """

    def __init__(self, file: Any, storage_of: Callable[..., Storage] | None = None) -> None:
        super().__init__(file, encoding='utf-8')  # as torch.load
        self._storage_of = storage_of

    def find_class(self, module: str, name: str) -> object:
        """The stand-in for a name.

        Args:
            module (str): its module.
            name (str): its name there.

        Returns:
            object: see above.
        """
        module = {'__builtin__': 'builtins'}.get(module, module)  # of Python 2
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        if module in ('torch', 'torch.cuda', 'torch.storage') and name in _STORAGES:
            return StorageType(_STORAGES[name])
        if module == 'torch' and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        if (module, name) in _NOT_NEEDED:
            return _NotNeeded
        return type('Placeholder', (Placeholder,), dict(type_name=f'{module}.{name}'))

    def persistent_load(self, pid: object) -> object:
        """The storage that a pickle refers to.

        Args:
            pid (object): what it says of it.

        Returns:
            object: the storage, or a placeholder of a network's class.
        """
        if not isinstance(pid, tuple) or self._storage_of is None:
            raise pickle.UnpicklingError('an unknown kind of reference')
        if pid[0] == 'module':  # of a whole network; its source comes along
            return pid[1]
        if _is_placeholder(pid[1]):
            raise pickle.UnpicklingError(f'values of type {pid[1].type_name} are not read')
        if pid[0] != 'storage' or not isinstance(pid[1], StorageType):
            raise pickle.UnpicklingError('an unknown kind of storage')
        return self._storage_of(*pid[1:])


def finished(value: object, map_location: Any, file_size: int) -> object:
    """What was unpickled, with what the stand-ins stand for in their places.

    Args:
        value: From :class:`Unpickler`; the storages are filled.
        map_location: As of ``torch.load``; None stands for the CPU.
        file_size: Bytes of the file, which bound what one tensor may need.

    Returns:
        Dicts, lists and the like of tensors, NumPy arrays, plain values, ``HistoryBuffer`` and
        placeholders.

    Raises:
        pickle.UnpicklingError: A value cannot be what it says it is.
    """
    made: dict[int, object] = {}  # what stands at several places stays one object
    moved: dict[int, torch.UntypedStorage] = {}

    def finish(value: object) -> object:
        if value is None or isinstance(value, (str, int, float, bytes, bool)):
            return value
        if id(value) not in made:
            made[id(value)] = make(value)
        return made[id(value)]

    def make(value: Any) -> object:
        if isinstance(value, dict):
            new: Any
            made[id(value)] = new = type(value)()
            for key, item in value.items():
                new[_key(key)] = finish(item)
            metadata = getattr(value, '_metadata', None)  # versions, in a state dict of PyTorch
            if isinstance(metadata, dict):
                new._metadata = finish(metadata)
            return new
        if isinstance(value, (list, deque)):
            made[id(value)] = new = deque(maxlen=value.maxlen) if isinstance(value, deque) else []
            new.extend(map(finish, value))
            return new
        if isinstance(value, tuple) and not isinstance(value, torch.Size):
            return tuple(map(finish, value))
        if isinstance(value, (set, frozenset)):
            return type(value)(map(_key, value))
        if isinstance(value, _Tensor):
            return _tensor(value, storage_at(value.storage), file_size)
        if isinstance(value, Storage):
            untyped = storage_at(value)
            if value.dtype is None:
                return untyped
            # What pickle makes tensors of: each is written with a file of its storage in it.
            return torch.TypedStorage(wrap_storage=untyped, dtype=value.dtype, _internal=True)
        if isinstance(value, _Array):
            return _array(*value.state[1:5])
        if isinstance(value, _History):
            return _history(**{key: finish(item) for key, item in value.state.items()})
        if isinstance(value, (torch.Size, torch.dtype, torch.device, np.generic, complex, slice)):
            return value
        if isinstance(value, _DType):
            return np.dtype(value.code)
        if _is_placeholder(value) and not isinstance(value, _NotNeeded):
            return value
        return None

    def storage_at(storage: Storage) -> torch.UntypedStorage:
        if id(storage) not in moved:
            moved[id(storage)] = _moved(storage, map_location)
        return moved[id(storage)]

    return finish(value)


def _moved(storage: Storage, map_location: Any) -> torch.UntypedStorage:
    if callable(map_location):
        untyped = storage.values.untyped_storage()
        return map_location(untyped, storage.location) or untyped
    if isinstance(map_location, dict):
        map_location = map_location.get(storage.location)
    return storage.values.to(map_location or 'cpu').untyped_storage()


def _key(key: object) -> object:
    if isinstance(key, tuple):
        return tuple(map(_key, key))
    if key is None or isinstance(key, (str, int, float, bytes, np.generic)):
        return key
    raise pickle.UnpicklingError(f'a key that is a {type(key).__name__}')


def _tensor(
    tensor: _Tensor, storage: torch.UntypedStorage, file_size: int
) -> torch.Tensor | torch.nn.Parameter:
    numbers = (tensor.offset, *tensor.size, *tensor.stride)
    if (
        tensor.dtype is None
        or len(tensor.size) != len(tensor.stride)
        or not all(type(number) is int and number >= 0 for number in numbers)
    ):
        raise pickle.UnpicklingError('a tensor of no known kind')
    pairs = zip(tensor.size, tensor.stride, strict=True)
    last = tensor.offset + sum((size - 1) * stride for size, stride in pairs)
    needed = (last + 1) * tensor.dtype.itemsize if prod(tensor.size) else 0
    wanted = prod(tensor.size) * tensor.dtype.itemsize
    if needed > storage.nbytes() or wanted > file_size + _SPARE:
        raise pickle.UnpicklingError(
            f'a tensor of shape {tensor.size} with {storage.nbytes()} bytes of values'
        )
    new = torch.empty(0, dtype=tensor.dtype, device=storage.device)
    new.set_(storage, tensor.offset, tensor.size, tensor.stride)
    if tensor.parameter:
        return torch.nn.Parameter(new, tensor.requires_grad)
    return new.requires_grad_(tensor.requires_grad)


def _array(shape: tuple[int, ...], dtype: _DType, fortran: bool, values: bytes) -> np.ndarray:
    flat = np.frombuffer(values, dtype.code) if values else np.empty(0, dtype.code)
    array = flat.reshape(shape, order='F' if fortran else 'C')
    return array.astype(array.dtype.newbyteorder('='))  # a copy, which can be written to


def _history(
    _log_history: Any = (), _count_history: Any = (), max_length: Any = 1000000, **other: Any
) -> HistoryBuffer:
    log, count = np.asarray(_log_history), np.asarray(_count_history)
    if log.shape != count.shape or log.ndim != 1 or type(max_length) is not int or max_length < 1:
        raise pickle.UnpicklingError('a history that has other counts than values')
    for values in (log, count):
        if values.dtype.kind not in 'biuf':
            raise pickle.UnpicklingError('a history that does not hold numbers')
    return HistoryBuffer(log[-max_length:], count[-max_length:], max_length)
