"""Work on some queries at a time, so that what lies between its steps stays in the cache."""

from collections.abc import Callable

import torch
from torch import Tensor


def add_in_query_steps(
    identity: Tensor, compute: Callable[..., Tensor], step: int, *inputs: Tensor | None
) -> Tensor:
    """``identity + compute(*inputs)``, in steps on a CPU where no gradient is needed.

    Args:
        identity (Tensor): (B, Q, C).
        compute (Callable): gives (B, q, C) of inputs (B, q, ...), each query on its own.
        step (int): q, the queries of a step.
        *inputs (Tensor, optional): (B, Q, ...); a None stays one.

    Returns:
        Tensor: (B, Q, C).
    """
    queries = identity.shape[1]
    if torch.is_grad_enabled() or identity.is_cuda or queries <= step:
        return identity + compute(*inputs)
    result = None
    for first in range(0, queries, step):
        part = slice(first, first + step)
        computed = compute(*(t if t is None else t[:, part] for t in inputs))
        if result is None:
            result = identity.new_empty(identity.shape, dtype=torch.result_type(identity, computed))
        torch.add(identity[:, part], computed, out=result[:, part])
    return result
