"""Identities that the memory bank has forgotten are kept for longer, and may come back."""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from mmvis_cl.errors import InputError
from mmvis_cl.registry import MODELS

from .memory_bank import MemoryBank


@MODELS.register_module()
class LongTermMemory:
    """The identities that are gone, and when a new detection is one of them.

    A detection is compared with the mean of all embeddings of an identity, not with its last ones,
    on which something lay when it went. It may take the identity back where it is more like it than
    like any other, gone or not, and like it at all: whoever is compared with one alone is always
    most like that.

    It keeps nothing itself: the identities that are gone are the ``gone`` of the memory bank.

    Args:
        capacity (int): identities kept at most. Those seen in the fewest frames are dropped first,
            among them those that are gone for longest.
        return_thr (float): least similarity, as the tracker's, to all identities and all new
            detections. Stricter than its ``match_thr``: whoever was gone may be anywhere.
        cosine_thr (float): least cosine of the embedding and the identity's mean.
        min_frames (int): identities seen in fewer frames are forgotten for good.
        same_class (bool): only a detection of the identity's newest class may take it.

    Raises:
        InputError: there is no room for an identity, or a threshold is out of range.
    """

    def __init__(
        self,
        capacity: int = 100,
        return_thr: float = 0.6,
        cosine_thr: float = 0.5,
        min_frames: int = 3,
        same_class: bool = True,
    ) -> None:
        if capacity < 1:
            raise InputError(f'LongTermMemory has capacity={capacity}; give 1 or more')
        for name, value in (('return_thr', return_thr), ('cosine_thr', cosine_thr)):
            if not 0 <= value <= 1:
                raise InputError(f'LongTermMemory has {name}={value}; give a number from 0 to 1')
        self.capacity = capacity
        self.return_thr = return_thr
        self.cosine_thr = cosine_thr
        self.min_frames = min_frames
        self.same_class = same_class

    def keep(self, gone: MemoryBank | None, forgotten: MemoryBank) -> MemoryBank:
        """The identities that are gone, with those that the bank forgets now.

        Args:
            gone (MemoryBank, optional): those before.
            forgotten (MemoryBank): those that the bank has not seen for too long.
        """
        forgotten = forgotten.rows(forgotten.num_frames >= self.min_frames)
        forgotten.gone = None
        together = forgotten if gone is None else gone.with_rows(forgotten)
        if len(together) <= self.capacity:
            return together
        # stable sorts, the less important first
        order = together.last_frame.argsort(descending=True, stable=True)
        order = order[together.num_frames[order].argsort(descending=True, stable=True)]
        return together.rows(order[: self.capacity].sort().values)

    def come_back(
        self, bank: MemoryBank, embeds: Tensor, labels: Tensor, known: Tensor
    ) -> np.ndarray:
        """Which detections are identities that are gone.

        Of all ways to give each detection one identity and each identity one detection, that with
        the largest sum of similarities.

        Args:
            bank (MemoryBank): M identities, and N in its ``gone``.
            embeds (Tensor): (n, E) of all detections of the frame.
            labels (Tensor): (n,) their classes.
            known (Tensor): (n,) bool, those that are identities of the bank, or nothing.

        Returns:
            ndarray: (n,) position among those that are gone, -1 for none.
        """
        gone = bank.gone
        found = np.full(len(embeds), -1)
        if gone is None or not len(gone) or bool(known.all()):
            return found
        prototypes = torch.cat((gone.prototypes, bank.prototypes)).float()
        product = embeds.float() @ prototypes.T
        similarity = ((product.softmax(1) + product.softmax(0)) / 2)[:, : len(gone)]
        cosine = F.cosine_similarity(embeds[:, None].float(), gone.prototypes[None].float(), dim=2)
        possible = (similarity > self.return_thr) & (cosine > self.cosine_thr) & ~known[:, None]
        if self.same_class:
            possible &= labels[:, None] == gone.labels
        gain = torch.where(possible, similarity, 0).numpy()
        for detection, identity in zip(*linear_sum_assignment(gain, maximize=True), strict=True):
            if possible[detection, identity]:
                found[detection] = identity
        return found
