"""The one reader of checkpoints: tensors and plain values, and no code of the file's is run."""

import os
import tarfile
import zipfile
from typing import BinaryIO

import safetensors.torch
import torch
from torch import Tensor

from mmvis_cl.errors import InputError, shortened

from . import inert_pickle

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
        file: A path, or an open file that can be read at any place.
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
    try:
        if isinstance(file, (str, os.PathLike)):
            with open(file, 'rb') as opened:
                return _read(opened, name, map_location, trusted or _trusted)
        return _read(file, name, map_location, trusted or _trusted)
    except FileNotFoundError as error:
        raise InputError(f'{name}: there is no such checkpoint') from error
    except IsADirectoryError as error:
        raise InputError(f'{name}: is a folder; name the file in it') from error
    except PermissionError as error:
        raise InputError(f'{name}: may not be read by you; change its permissions') from error
    except (InputError, MemoryError):
        raise
    except Exception as error:  # reading garbage can raise anything
        raise InputError(
            f'{name}: not a PyTorch checkpoint, or cut off when it was written or copied '
            f'({type(error).__name__}: {shortened(error, 100)}); copy or download it again'
        ) from error


def check_file(path: str) -> None:
    """Make sure that a checkpoint is there and whole; what is quick to read only of an archive.

    Raises:
        InputError: See :func:`read_file`.
    """
    if os.path.isfile(path) and zipfile.is_zipfile(path):
        with open(path, 'rb') as file:
            _check_archive(file, path)
    else:
        read_file(path)


def _read(file: BinaryIO, name: str, map_location: object, trusted: bool) -> object:
    start = file.read(512)
    file.seek(0)
    _check_start(start, name)
    if name.endswith('.safetensors'):
        tensors = safetensors.torch.load(file.read())
        device = map_location if isinstance(map_location, (str, torch.device)) else 'cpu'
        return {key: value.to(device) for key, value in tensors.items()}
    if zipfile.is_zipfile(file):
        _check_archive(file, name)
    else:
        file.seek(0)
        if tarfile.is_tarfile(file):  # PyTorch before 0.1.10 unpacked them into a folder
            raise InputError(f'{name}: is a tar archive; unpack it and name the checkpoint in it')
    file.seek(0)
    return torch.load(
        file,
        map_location=map_location,
        weights_only=False,
        pickle_module=None if trusted else inert_pickle.MODULE,
    )


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
        content (dict): the weights under 'model' (the release's) or 'state_dict' (ours), or bare.
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
