"""Starting a network, or a part of one, from a checkpoint."""

import logging
import os
from collections.abc import Iterator

from mmdet.models.backbones import PyramidVisionTransformer, SwinTransformer
from mmdet.models.backbones.pvt import pvt_convert
from mmdet.models.backbones.swin import swin_converter
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from mmvis_cl.errors import InputError
from mmvis_cl.weights import is_elsewhere

# mmdet's backbones that read files themselves: under `model`, too, and under other names
_READ_MODEL = SwinTransformer, PyramidVisionTransformer


def fitting_weights(network: nn.Module, path: str, prefix: str | None = None) -> dict[str, Tensor]:
    """The weights of a checkpoint that a network can take; a log line says which do not fit.

    Args:
        network (nn.Module): that is to start from them.
        path (str): of the checkpoint; anything that mmengine reads.
        prefix (str, optional): take only names that begin so, without it.

    Returns:
        dict[str, Tensor]: those of a name and shape that the network has.

    Raises:
        InputError: there is no such file, it is no checkpoint, or nothing in it fits.
    """
    name = type(network).__name__
    _check_is_there(path, name)
    weights = _read(path)
    if prefix:
        weights = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    wanted = network.state_dict()
    fitting = {k: v for k, v in weights.items() if k in wanted and v.shape == wanted[k].shape}
    if not fitting:
        raise _nothing_fits(path, name, list(wanted), list(weights))
    fresh = [k for k in wanted if k not in fitting]
    unused = [k for k in weights if k not in fitting]
    print_log(
        f'{path}: {len(fitting)} of {len(wanted)} weights of {name} are loaded'
        + (f'; start fresh: {", ".join(fresh)}' if fresh else '')
        + (f'; not used: {", ".join(unused)}' if unused else ''),
        'current',
        level=logging.WARNING if fresh or unused else logging.INFO,
    )
    return fitting


def check_pretrained(model: nn.Module) -> None:
    """Look at the files of all parts that are to start from one (``init_cfg`` of `Pretrained`).

    mmengine and mmdet warn of names that do not fit, and train on from random weights.

    Args:
        model (nn.Module): not initialised yet; parts that are (``is_init``) are left out.

    Raises:
        InputError: a file is missing, is no checkpoint, or not one weight of its part is in it.
    """
    for name, part, cfg in _pretrained_parts(model):
        path = cfg['checkpoint']
        _check_is_there(path, name)
        try:
            found = _read(path, ('state_dict', 'model') if isinstance(part, _READ_MODEL) else ())
        except OSError:
            if '://' not in path:
                raise
            continue  # it cannot be fetched: who loads it says so
        weights = _as_its_part_reads(part, found, cfg.get('prefix'))
        wanted = part.state_dict()
        if not any(k in wanted and v.shape == wanted[k].shape for k, v in weights.items()):
            raise _nothing_fits(path, name, list(wanted), list(found))


def _pretrained_parts(model: nn.Module) -> Iterator[tuple[str, nn.Module, dict]]:
    """Name as in a config, part and ``init_cfg`` of each part that starts from a file."""
    for name, part in model.named_modules(prefix='model'):
        if getattr(part, 'is_init', False):
            continue
        given = getattr(part, 'init_cfg', None) or []
        for cfg in [given] if isinstance(given, dict) else given:
            if _is_pretrained(cfg):
                yield name, part, cfg
            override = cfg.get('override') or []
            for inner in [override] if isinstance(override, dict) else override:
                if _is_pretrained(inner):
                    yield f'{name}.{inner["name"]}', getattr(part, inner['name']), inner


def _is_pretrained(cfg: dict) -> bool:
    kind = cfg.get('type', '')
    return getattr(kind, '__name__', str(kind)).split('.')[-1] in ('Pretrained', 'PretrainedInit')


def _as_its_part_reads(part: nn.Module, weights: dict, prefix: str | None) -> dict[str, Tensor]:
    """The weights under the names under which a part will look for them."""
    if isinstance(part, _READ_MODEL):  # they ignore prefixes
        prefix = 'backbone' if isinstance(part, SwinTransformer) else None
        if part.convert_weights:
            convert = swin_converter if isinstance(part, SwinTransformer) else pvt_convert
            try:
                weights = convert(weights)
            except Exception:  # names and shapes of other networks surprise them in many ways
                weights = {}
    if prefix:
        prefix = prefix.removesuffix('.') + '.'
        weights = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    return {k.removeprefix('module.'): v for k, v in weights.items() if hasattr(v, 'shape')}


def _check_is_there(path: str, name: str) -> None:
    if '://' not in path and not os.path.isfile(path) and not is_elsewhere(path):
        raise InputError(
            f'{path}: there is no such checkpoint to start {name} from; train the stage before, or '
            'give another one as init_cfg.checkpoint (init_cfg=None: start from its backbone '
            'alone)'
        )


def _read(path: str, keys: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """What a checkpoint has under the first of some keys, by default as mmengine looks for it."""
    checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    if isinstance(checkpoint, dict):
        for key in keys or ('state_dict',):
            if key in checkpoint:
                checkpoint = checkpoint[key]
                break
    if not isinstance(checkpoint, dict):
        raise InputError(
            f'{path}: holds a {type(checkpoint).__name__} in place of weights; give another file'
        )
    return {
        key: value
        for key, value in checkpoint.items()
        if isinstance(key, str) and isinstance(value, Tensor)
    }


def _nothing_fits(path: str, name: str, wanted: list[str], found: list[str]) -> InputError:
    few = [', '.join(map(str, names[:3])) + ', ...' * (len(names) > 3) for names in (wanted, found)]
    if any(str(k).startswith('detector.') for k in found):
        cure = "it is of a whole video model: say prefix='detector.' in init_cfg, or the part's"
    else:
        cure = 'it was made by another program or for another kind of model: give one that fits'
    return InputError(
        f'{path}: none of the {len(wanted)} weights of {name} ({few[0]}) is in it (it has '
        f'{few[1] or "none at all"}); {cure}'
    )
