"""Several tensors of a GPU come to the CPU by one copy."""

import math

import torch
from torch import Tensor


def to_cpu(*tensors: Tensor) -> list[Tensor]:
    """The tensors on the CPU, by one copy of those that are not.

    A copy by itself takes a GPU microseconds, but the CPU waits each time for all that was
    launched before.

    Args:
        *tensors: Of any shapes and types; those that are not on the CPU on one device.

    Returns:
        As many, in order.
    """
    far = [i for i, tensor in enumerate(tensors) if tensor.device.type != 'cpu']
    if not far:
        return list(tensors)
    arrived = list(tensors)
    there = [tensors[i] for i in far]
    for i, tensor in zip(far, unpacked(packed(there).cpu(), there), strict=True):
        arrived[i] = tensor
    return arrived


def packed(tensors: list[Tensor]) -> Tensor:
    """The bytes of tensors, (b,) uint8, those of the widest numbers first, so that all are aligned.

    Args:
        tensors: Of one device.
    """
    # a view of other numbers needs an axis
    flat = [tensors[i].contiguous().flatten() for i in _widest_first(tensors)]
    return torch.cat([values.view(torch.uint8) for values in flat])


def unpacked(data: Tensor, like: list[Tensor]) -> list[Tensor]:
    """What :func:`packed` was given, as views of its bytes.

    Args:
        data: (b,) uint8.
        like: Has the shapes and types.
    """
    found: list[Tensor] = list(like)
    first = 0
    for i in _widest_first(like):
        end = first + math.prod(like[i].shape) * like[i].element_size()
        found[i] = data[first:end].view(like[i].dtype).view(like[i].shape)
        first = end
    return found


def _widest_first(tensors: list[Tensor]) -> list[int]:
    return sorted(range(len(tensors)), key=lambda i: -tensors[i].element_size())
