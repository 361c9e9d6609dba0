"""Joins identities of a finished video that are one object, which nobody recognised in time."""

import numpy as np
from scipy.optimize import linear_sum_assignment


def join_identities(
    first: np.ndarray,
    last: np.ndarray,
    embeds: np.ndarray,
    labels: np.ndarray,
    cosine_thr: float,
    max_gap: int | None = None,
) -> np.ndarray:
    """Which identity goes on as which.

    One goes on as another that begins after its end, has its class, and looks like it. Of all ways
    to join them so that each goes on as one at most and is gone on with by one at most, this is the
    one with the largest sum of what the cosines are above the threshold: exact, by an assignment.

    Args:
        first: (n,) frame in which each identity was first seen.
        last: (n,) the last of these frames.
        embeds: (n, E) what each looks like.
        labels: (n,) class of each.
        cosine_thr: Least cosine of two that are joined, less than 1.
        max_gap: Most frames between the two; any number if None.

    Returns:
        (n,) int64, the place of the first identity of the chain that each belongs to; its own if
        it belongs to none.
    """
    unit = embeds / np.maximum(np.linalg.norm(embeds, axis=1, keepdims=True), 1e-12)
    gain = unit @ unit.T - cosine_thr
    between = first[None] - last[:, None] - 1
    possible = (gain > 0) & (between >= 0) & (labels[:, None] == labels)
    if max_gap is not None:
        possible &= between <= max_gap
    chain = np.arange(len(first))
    pairs = linear_sum_assignment(np.where(possible, gain, 0), maximize=True)
    before = {int(j): int(i) for i, j in zip(*pairs, strict=True) if possible[i, j]}
    for identity in np.argsort(first, kind='stable'):  # who goes before has its chain already
        if identity in before:
            chain[identity] = chain[before[identity]]
    return chain
