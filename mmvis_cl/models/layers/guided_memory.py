"""A memory that follows an object the faster, the more it looks like itself (CTVIS, eq. 4)."""

import torch
from torch import Tensor
from torch.nn import functional as F


def guided_memory(memory: Tensor, embeds: Tensor, stored: Tensor, in_use: Tensor) -> Tensor:
    """Memories of n objects after new embeddings: (1 - b) memory + b embedding.

    b is the mean cosine of the new embedding with those stored before it, at least 0: an embedding
    that does not look like the object, as when it is half hidden, changes little.

    Args:
        memory (Tensor): (n, E) before; not used for objects of which nothing is stored.
        embeds (Tensor): (n, E) new ones.
        stored (Tensor): (n, T, E) raw embeddings of earlier frames.
        in_use (Tensor): (n, T) bool, which of the T places are.

    Returns:
        Tensor: (n, E); the embedding itself where it is the first.
    """
    cosine = F.cosine_similarity(stored, embeds[:, None], dim=-1)
    count = in_use.sum(1)
    mean = (cosine * in_use).sum(1) / count.clamp(min=1)
    share = torch.where(count > 0, mean.clamp(min=0), torch.ones_like(mean))[:, None]
    return (1 - share) * memory + share * embeds
