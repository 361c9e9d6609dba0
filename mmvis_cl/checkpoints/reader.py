"""The one reader of checkpoints: tensors and plain values, and no code of the file's is run."""

import os
import pickle
import stat
import tarfile
import zipfile
from typing import IO, Any, BinaryIO

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from mmvis_cl.errors import InputError, shortened
from mmvis_cl.files import is_zip
from mmvis_cl.weights import weights_file

from . import inert_pickle
from .inert_pickle import Storage, StorageType, Unpickler

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # of PyTorch's format from before 1.6
_CHUNK = 1 << 24  # bytes

torch_load = torch.load  # PyTorch's own, which may be replaced by our reader
_trusted = False


def trust_checkpoints() -> None:
    """From now on let checkpoints make objects of any type, and so run any code.

    For the state of one's own training with objects of one's own (``--trust-checkpoint``).
    """
    global _trusted
    _trusted = True


def read_file(
    file: str | os.PathLike | BinaryIO, map_location: object = 'cpu', trusted: bool = False
) -> object:
    """Read a file of ``torch.save`` or of safetensors without letting it run code.

    Args:
        file: A path, a name or address of weights (see :func:`~mmvis_cl.weights.weights_file`),
            or an open file that can be read at any place.
        map_location: Where tensors go; see :func:`torch.load`.
        trusted: Let it make objects of any type, and so run any code.

    Returns:
        Its content. A :class:`~mmvis_cl.checkpoints.inert_pickle.Placeholder` stands for each
        object that is no tensor, array, log of mmengine or plain value.

    Raises:
        InputError: The file is missing, cut off, or no checkpoint.
    """
    name = os.fspath(file) if isinstance(file, (str, os.PathLike)) else 'the checkpoint'
    if not isinstance(name, str):
        name = os.fsdecode(name)
    if isinstance(file, str):
        file = weights_file(file)
    try:
        if isinstance(file, (str, os.PathLike)):
            kind = os.stat(file).st_mode
            if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
                raise InputError(f'{name}: is a pipe or device, not a checkpoint; give a file')
            with open(file, 'rb') as opened:
                return _read(opened, name, map_location, trusted or _trusted)
        return _read(file, name, map_location, trusted or _trusted)
    except FileNotFoundError as error:
        raise InputError(f'{name}: there is no such checkpoint') from error
    except IsADirectoryError as error:
        raise InputError(f'{name}: is a folder; name the file in it') from error
    except PermissionError as error:
        raise InputError(f'{name}: may not be read by you; change its permissions') from error
    except InputError:
        raise
    except Exception as error:  # reading garbage can raise anything
        raise InputError(
            f'{name}: not a PyTorch checkpoint, or cut off when it was written or copied '
            f'({type(error).__name__}: {shortened(error, 100)}); copy or download it again'
        ) from error


def check_file(path: str) -> None:
    """Make sure that a checkpoint is there and whole; what is quick to read only of an archive.

    Weights of a name are fetched.

    Raises:
        InputError: See :func:`read_file`.
    """
    path = weights_file(path)
    try:
        if os.path.isfile(path) and is_zip(path):
            with open(path, 'rb') as file:
                _check_archive(file, path)
            return
    except InputError:
        raise
    except Exception:  # garbage can raise anything: reading it whole says what is wrong
        pass
    read_file(path)


def _read(file: BinaryIO, name: str, map_location: Any, trusted: bool) -> object:
    start = file.read(512)
    file.seek(0)
    _check_start(start, name)
    is_safetensors = start[8:9] == b'{'  # after the length of its header
    if is_safetensors or name.endswith('.safetensors'):
        tensors = safetensors.torch.load(file.read())
        device = map_location if isinstance(map_location, (str, torch.device)) else 'cpu'
        return {key: value.to(device) for key, value in tensors.items()}
    if trusted:
        return torch_load(file, map_location=map_location, weights_only=False)
    size = file.seek(0, os.SEEK_END)
    if start.startswith(b'PK'):
        _check_archive(file, name)
        content = _read_zip(file, name, size)
    else:
        file.seek(0)
        if tarfile.is_tarfile(file):  # PyTorch before 0.1.10 unpacked them into a folder
            raise InputError(f'{name}: is a tar archive; unpack it and name the checkpoint in it')
        file.seek(0)
        content = _read_legacy(file, name, size)
    return inert_pickle.finished(content, map_location, size)


def _read_zip(file: IO[bytes], name: str, size: int) -> object:
    with zipfile.ZipFile(file) as archive:
        records = {info.filename: info for info in archive.infolist()}
        (folder,) = (
            name.removesuffix('data.pkl')
            for name in records
            if name.endswith('/data.pkl') and name.count('/') == 1
        )
        order = records.get(f'{folder}byteorder')
        if order is not None and archive.read(order) != b'little':
            raise InputError(
                f'{name}: was written on a big-endian machine; save it again on another'
            )
        storages: dict[str, Storage] = {}

        def storage_of(kind: StorageType, key: str, location: str, count: int) -> Storage:
            if key not in storages:
                record = records[f'{folder}data/{key}']
                values = _values(kind, count, size)
                if len(values) != record.file_size:
                    raise pickle.UnpicklingError(
                        f'{len(values)} bytes of values announced, {record.file_size} there'
                    )
                with archive.open(record) as stream:
                    _fill(values, stream)
                storages[key] = Storage(values, kind.dtype, location)
            return storages[key]

        with archive.open(records[f'{folder}data.pkl']) as stream:
            return Unpickler(stream, storage_of).load()


def _read_legacy(file: IO[bytes], name: str, size: int) -> object:
    magic = Unpickler(file).load()
    if isinstance(magic, dict) and isinstance(magic.get('model'), dict):
        return magic  # a plain pickle of arrays, as detectron2 publishes weights
    if magic != _MAGIC or Unpickler(file).load() != _PROTOCOL:
        raise InputError(
            f'{name}: is a pickle or archive of another program, not a PyTorch checkpoint; save it '
            'with torch.save'
        )
    system = Unpickler(file).load()
    if system['little_endian'] is not True:
        raise InputError(f'{name}: was written on a big-endian machine; save it again on another')
    storages: dict[str, Storage] = {}
    announced = 0

    def storage_of(
        kind: StorageType, key: str, location: str, count: int, view: tuple | None = None
    ) -> Storage:
        nonlocal announced
        if view is not None:
            raise pickle.UnpicklingError('a part of a storage, as PyTorch 0.x wrote')
        if key not in storages:
            values = _values(kind, count, size - announced)
            announced += len(values)
            storages[key] = Storage(values, kind.dtype, location)
        return storages[key]

    content = Unpickler(file, storage_of).load()
    keys = Unpickler(file).load()
    if sorted(keys) != sorted(storages):
        raise pickle.UnpicklingError('other values than its tensors have')
    for key in keys:
        storage = storages[key]
        count = int.from_bytes(file.read(8), 'little')
        if storage.dtype is None or count * storage.dtype.itemsize != len(storage.values):
            raise pickle.UnpicklingError('another number of values than announced')
        _fill(storage.values, file)
    return content


def _values(kind: StorageType, count: int, most: int) -> Tensor:
    nbytes = count * (kind.dtype.itemsize if kind.dtype else 1)
    if type(count) is not int or not 0 <= nbytes <= most:
        raise pickle.UnpicklingError(f'{count} values announced, more than the file can hold')
    return torch.empty(nbytes, dtype=torch.uint8)


def _fill(values: Tensor, stream: IO[bytes]) -> None:
    rest = memoryview(values.numpy().data)
    while rest:
        chunk = stream.read(min(len(rest), _CHUNK))
        if not chunk:
            raise pickle.UnpicklingError('it ends before its values do')
        rest[: len(chunk)] = chunk
        rest = rest[len(chunk) :]


def _check_start(start: bytes, name: str) -> None:
    if not start:
        raise InputError(f'{name}: is empty; copy or download it again')
    text = start.lstrip()[:64].lower()
    if text.startswith((b'<!doctype', b'<html', b'<?xml')):
        raise InputError(f'{name}: is a web page, not a checkpoint; download the file itself')
    if text.startswith(b'version https://git-lfs'):
        raise InputError(
            f'{name}: is the pointer of Git LFS to a checkpoint; fetch the file with `git lfs pull`'
        )


def _check_archive(file: BinaryIO, name: str) -> None:
    size = file.seek(0, os.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
    names = {entry.filename.rpartition('/')[2] for entry in entries}
    if 'data.pkl' not in names:
        raise InputError(f'{name}: not a PyTorch checkpoint but another zip archive; give one')
    if 'constants.pkl' in names:
        raise InputError(
            f'{name}: is a TorchScript program, which would be run; save its state_dict() instead'
        )
    stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
    if not stored or sum(entry.file_size for entry in entries) > size:
        raise InputError(
            f'{name}: is compressed, as PyTorch does not write its checkpoints; unpack it, or save '
            'it again with torch.save'
        )


def read_checkpoint(path: str, trusted: bool = False, skip_objects: bool = False) -> dict:
    """Read a checkpoint without letting it run code.

    Args:
        path (str): of the file.
        trusted (bool): let it make objects of any type, and so run any code.
        skip_objects (bool): leave a placeholder where an object of another type stands than
            tensors and plain values, instead of raising. Runs no code of theirs.

    Returns:
        dict: its content.

    Raises:
        InputError: the file is missing, cut off, no checkpoint, or holds other things than tensors
            and plain values.
    """
    content = read_file(path, trusted=trusted)
    if not isinstance(content, dict):
        kind = getattr(content, 'type_name', '') or type(content).__name__
        raise InputError(f'{path}: holds a {kind}, not a state dict; give a checkpoint')
    other = None if skip_objects else next(inert_pickle.placeholders(content), None)
    if other is not None:
        raise InputError(
            f'{path}: holds an object of type {other.type_name}, and making objects could run '
            'code; save it again with tensors and plain values only, or, if the file is your own, '
            'let it: --trust-checkpoint'
        )
    return content


def tensors_of(content: dict, path: str) -> dict[str, Tensor]:
    """The state dict of a checkpoint.

    Args:
        content (dict): the weights under 'model' (the release's) or 'state_dict' (ours), or bare;
            tensors, or arrays as detectron2 publishes them.
        path (str): for the error.

    Returns:
        dict[str, Tensor]: the weights.

    Raises:
        InputError: it is empty or holds something else than tensors of names.
    """
    weights = content.get('model', content.get('state_dict', content))
    where = f"{path}: no state dict, neither under 'model' or 'state_dict' nor at the top level"
    if not isinstance(weights, dict) or not weights:
        raise InputError(f'{where} ({type(weights).__name__}, empty or of another kind)')
    weights = {
        name: torch.tensor(value) if _is_array_of_numbers(value) else value
        for name, value in weights.items()
    }
    other = [str(name) for name, value in weights.items() if not isinstance(value, Tensor)]
    if other:
        few = ', '.join(shortened(name, 60) for name in other[:5]) + ', ...' * (len(other) > 5)
        raise InputError(f'{where} (not a tensor: {few})')
    for name in weights:
        if not isinstance(name, str):
            raise InputError(
                f'{path}: a weight is called {shortened(repr(name), 60)}, which is no text; save '
                'it with names'
            )
    return weights


def _is_array_of_numbers(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in 'fiub'
