"""Starting a network from a checkpoint of an earlier stage."""

import logging
import os

from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from mmvis_cl.errors import InputError


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
    if '://' not in path and not os.path.isfile(path):
        raise InputError(
            f'{path}: there is no such checkpoint to start {name} from; train the stage before, or '
            'give another one as init_cfg.checkpoint (init_cfg=None: start from its backbone alone)'
        )
    try:
        checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
        weights = dict(checkpoint.get('state_dict', checkpoint))
    except OSError:
        raise
    except Exception as error:  # unpickling garbage can raise anything
        raise InputError(
            f'{path}: not a PyTorch checkpoint, or cut off when it was written or copied; '
            'use another one or copy it again'
        ) from error
    if prefix:
        weights = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    wanted = network.state_dict()
    fitting = {k: v for k, v in weights.items() if k in wanted and v.shape == wanted[k].shape}
    if not fitting:
        raise InputError(
            f'{path}: none of the {len(wanted)} weights of {name} is in it; '
            + (
                "it is of a whole video model: say prefix='detector.' in init_cfg"
                if any(k.startswith('detector.') for k in weights)
                else 'it was made by another program or for another kind of model'
            )
        )
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
