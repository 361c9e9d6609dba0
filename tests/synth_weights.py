"""The value of every parameter of the measured networks, made from its name and shape alone.

The same function serves the idol_* and the ctvis_* fixtures.
"""

import math
import zlib

import torch

# Buffers that are not learned: left as the network's constructor makes them.
NOT_MADE = ('relative_position_index', 'criterion.empty_weight')

# Factor on 1/sqrt(fan in), by what a name starts and ends with; the first that fits counts.
P = 'sem_seg_head.predictor.'
GAINS = [
    (P + 'transformer', 'in_proj_weight', 2.0),
    (P + 'transformer', 'out_proj.weight', 0.5),
    (P + 'transformer', 'linear2.weight', 0.7),
    (P + 'class_embed', '', 3.0),
    (P + 'mask_embed', '', 1.5),
    (P + 'reid_embed', '', 1.2),
]


def synth(name: str, shape: tuple, dtype: torch.dtype) -> torch.Tensor:
    """Value of the release's parameter or buffer `name`.

    Args:
        name: the key in the release's state dict, e.g. 'sem_seg_head.predictor.query_feat.weight'.
        shape: its shape.
        dtype: its dtype; integer buffers are zeros.
    """
    g = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    if not dtype.is_floating_point:
        return torch.zeros(shape, dtype=dtype)
    r = torch.randn(shape, generator=g)
    if name.endswith('running_var'):
        return 1 + 0.2 * r.abs()
    if name.endswith('running_mean'):
        return 0.1 * r
    if len(shape) >= 2:
        if any(k in name for k in ('query_embed', 'query_feat', 'level_embed', 'position_bias')):
            return r
        gain = next((v for a, b, v in GAINS if name.startswith(a) and name.endswith(b)), 1.0)
        gain = 1.4 if 'backbone' in name else gain
        return r * (1.0 / math.sqrt(math.prod(shape[1:]))) * gain
    if name.endswith('weight'):
        return 1 + 0.1 * r
    if 'sampling_offsets' in name:
        return 2 * r
    return 0.1 * r


def release_state_dict(ref_keys) -> dict:
    """The state dict, as the release would have saved it, without the entries that NOT_MADE names.

    Args:
        ref_keys: json.loads(str(npz['ref_keys_json'])), a list of [name, shape, dtype name].
    """
    return {
        name: synth(name, tuple(shape), getattr(torch, dtype))
        for name, shape, dtype in ref_keys
        if not any(k in name for k in NOT_MADE)
    }
