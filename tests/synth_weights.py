"""The value of every parameter of the measured networks, made from its name and shape alone."""

import math
import zlib

import torch


def synth(name: str, shape: tuple, dtype: torch.dtype) -> torch.Tensor:
    """Value of the release's parameter or buffer `name`.

    Args:
        name: the key in the release's state dict, e.g. 'detr.detr.query_embed.weight'.
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
        if 'query_embed' in name or 'level_embed' in name or 'position_bias' in name:
            return r
        fan_in = math.prod(shape[1:])
        return r * (1.0 / math.sqrt(fan_in)) * (1.4 if 'backbone' in name else 1.0)
    if name.endswith('weight'):
        return 1 + 0.1 * r
    if 'sampling_offsets' in name:
        return 2 * r
    return 0.1 * r


def release_state_dict(ref_keys) -> dict:
    """The whole state dict, as the release would have saved it.

    Args:
        ref_keys: json.loads(str(npz['ref_keys_json'])), a list of [name, shape, dtype name].

    `relative_position_index` (Swin) holds the window's index table, not a learned value; it is left
    out.
    """
    return {
        n: synth(n, tuple(s), getattr(torch, d))
        for n, s, d in ref_keys
        if 'relative_position_index' not in n
    }
