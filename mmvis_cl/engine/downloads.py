"""Pretrained weights that come from the network: fetched before anything else, or not at all."""

import difflib
import functools
import os
from collections.abc import Iterator
from urllib.parse import urlparse

import torch
from mmengine.model import is_model_wrapper
from mmengine.runner import CheckpointLoader, Runner, find_latest_checkpoint
from mmengine.runner.checkpoint import get_external_models, get_torchvision_models
from torch import nn

from mmvis_cl.checkpoints.reader import read_checkpoint, tensors_of
from mmvis_cl.errors import InputError, shortened


def fetch_pretrained(runner: Runner) -> None:
    """Download what the model starts from, unless a checkpoint replaces it at once.

    Where ``load_from``, the checkpoint of a resumed run or an ``init_cfg`` further up has all
    weights of a part, the part itself is not initialised.

    Args:
        runner: Before its training.

    Raises:
        InputError: A download fails, or torchvision has no such model.
    """
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    source = runner._load_from
    if runner._resume and source is None:
        source = find_latest_checkpoint(runner.work_dir)
    for name, module in model.named_modules():
        downloads = list(_downloads(module))
        if not downloads:
            continue
        cover = _covering(model, name, module, source)
        if cover is not None:
            runner.logger.info(
                f'model.{name}: {downloads[0]} is not fetched, for {cover} has all of its weights'
            )
            module.is_init = True
            continue
        for download in downloads:
            if '://' in download:
                _fetch(download, f'model.{name}.init_cfg')
            else:  # timm fetches and loads in one step
                module.init_weights()


def _inits(module: nn.Module) -> list[dict]:
    inits = getattr(module, 'init_cfg', None) or []
    inits = [inits] if isinstance(inits, dict) else inits
    return [init for init in inits if init.get('type') == 'Pretrained' and init.get('checkpoint')]


def _downloads(module: nn.Module) -> Iterator[str]:
    """What a module would fetch: addresses, or timm's name of the model."""
    for init in _inits(module):
        if '://' in str(init['checkpoint']):
            yield init['checkpoint']
    if getattr(module, 'pretrained', False) is True and hasattr(module, 'model_name'):
        yield f'timm {module.model_name}'


def _covering(model: nn.Module, name: str, module: nn.Module, source: str | None) -> str | None:
    """The checkpoint that has all weights of a part of the model and is loaded after it."""
    if source is not None and _has_all(source, module, f'{name}.' if name else ''):
        return source
    parts = name.split('.')
    for length in range(len(parts)):
        above = '.'.join(parts[:length])
        inside = '.'.join(parts[length:])
        for init in _inits(model.get_submodule(above)):
            prefix = (init.get('prefix') or '') + f'{inside}.'
            if _has_all(init['checkpoint'], module, prefix):
                return init['checkpoint']
    return None


def _has_all(path: str, module: nn.Module, prefix: str) -> bool:
    shapes = _shapes(path)
    return all(
        shapes.get(prefix + key) == value.shape
        for key, value in module.state_dict().items()
        if not key.endswith('num_batches_tracked')
    )


@functools.lru_cache(maxsize=2)
def _shapes(path: str) -> dict[str, torch.Size]:
    """Shape of each weight of a checkpoint; none of one that is elsewhere or cannot be read."""
    if '://' in path:
        return {}
    try:
        weights = tensors_of(read_checkpoint(path, skip_objects=True), path)
    except InputError:  # said where it is loaded
        return {}
    return {key.removeprefix('module.'): value.shape for key, value in weights.items()}


def _fetch(checkpoint: str, place: str) -> None:
    """Download a file into PyTorch's cache, if it is not there."""
    address = checkpoint
    for schemes, known in (
        (('modelzoo://', 'torchvision://'), get_torchvision_models),
        (('open-mmlab://', 'openmmlab://'), get_external_models),
    ):
        if checkpoint.startswith(schemes):
            name = checkpoint.partition('://')[2]
            addresses = known()
            if name not in addresses:
                near = difflib.get_close_matches(name, addresses, n=1)
                raise InputError(
                    f'{place}: there is no {checkpoint}; '
                    + (f'did you mean {near[0]}?' if near else 'give the path of a file')
                )
            address = addresses[name]
    if not address.startswith(('http://', 'https://')):
        return
    name = os.path.basename(urlparse(address).path)
    file = os.path.join(torch.hub.get_dir(), 'checkpoints', name)
    if os.path.isfile(file):
        return
    try:
        CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
    except Exception as error:  # of urllib, sockets, the file system, a hash that does not fit
        raise InputError(
            f'{place}: {checkpoint} cannot be downloaded ({type(error).__name__}: '
            f'{shortened(error, 150)}); download {address} elsewhere and put it at {file}, or give '
            f'a file with --cfg-options {place}.checkpoint=FILE, or start without: {place}=None'
        ) from error
