"""Association of detections with the identities in a memory bank, frame by frame."""

import numpy as np
import torch
from mmengine.model import BaseModule
from torch import Tensor
from torch.nn import functional as F

from mmvis_cl.errors import InputError
from mmvis_cl.models.layers.guided_memory import guided_memory
from mmvis_cl.registry import MODELS

from .memory_bank import MemoryBank

BACKGROUND = -1
DROPPED = -2


@MODELS.register_module()
class MemoryBankTracker(BaseModule):
    """Gives identities to the detections of each frame by their embeddings.

    The tracker has no state: everything kept between frames is in the bank that :meth:`track` takes
    and gives back, so that several videos can run at once.

    Args:
        memory_len (int): embeddings kept of each identity.
        match_thr (float): least (weighted) similarity for an identity.
        new_thr (float): a detection scoring more that matches nothing starts an identity.
        first_thr (float): the same, while the bank is empty.
        background_iou_thr (float): an unmatched detection that overlaps every better-scored one by
            less is kept as background, else dropped.
        max_unseen (int): an identity not seen for this many frames is forgotten.
        frame_weight (bool): where several identities are similar, prefer those seen more often.
        similar_thr (float): least similarity of those.
        memory (str): what an identity is compared by: 'mean', the mean of its stored embeddings by
            their scores; or 'guided', CTVIS's :func:`guided_memory`, for which as many are stored.
        temporal_weight (bool): weight later embeddings of the mean more.
        cosine_thr (float, optional): least cosine of a detection's embedding and what its identity
            is compared by. A detection alone with one identity is always most similar to that, and
            takes it if None.
        motion_gate (float, optional): an identity is not given to a detection whose centre is
            farther from its last one than this many times the longer side of its last box, for each
            frame since. Everything is near enough if None.
        long_term (dict, optional): a :class:`LongTermMemory`, which keeps identities when they are
            forgotten here. They are forgotten for good if None, as in the report.
        init_cfg (dict, optional): mmengine's initialisation config.

    Raises:
        InputError: there is no such memory.
    """

    def __init__(
        self,
        memory_len: int = 3,
        match_thr: float = 0.5,
        new_thr: float = 0.2,
        first_thr: float = 0.2,
        background_iou_thr: float = 0.05,
        max_unseen: int = 10,
        frame_weight: bool = True,
        temporal_weight: bool = True,
        similar_thr: float = 0.5,
        memory: str = 'mean',
        cosine_thr: float | None = None,
        motion_gate: float | None = None,
        long_term: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.memory_len = memory_len
        self.match_thr = match_thr
        self.new_thr = new_thr
        self.first_thr = first_thr
        self.background_iou_thr = background_iou_thr
        self.max_unseen = max_unseen
        self.frame_weight = frame_weight
        self.temporal_weight = temporal_weight
        self.similar_thr = similar_thr
        if memory not in ('mean', 'guided'):
            raise InputError(f"MemoryBankTracker has no memory={memory!r}; give 'mean' or 'guided'")
        self.memory = memory
        if cosine_thr is not None and not -1 <= cosine_thr <= 1:
            raise InputError(
                f'MemoryBankTracker has cosine_thr={cosine_thr}; give a number from -1 to 1'
            )
        self.cosine_thr = cosine_thr
        if motion_gate is not None and not motion_gate > 0:
            raise InputError(
                f'MemoryBankTracker has motion_gate={motion_gate}; give more than 0, or None'
            )
        self.motion_gate = motion_gate
        self.long_term = None if long_term is None else MODELS.build(long_term)

    @torch.no_grad()
    def track(
        self,
        bank: MemoryBank | None,
        frame: int,
        embeds: Tensor,
        scores: Tensor,
        labels: Tensor,
        boxes: Tensor,
        mask_iou: Tensor,
    ) -> tuple[Tensor, MemoryBank]:
        """Associate the detections of a frame and remember them, on the CPU.

        One ms for 100 detections and 100 identities (``tools/benchmarks/association.py``).

        Args:
            bank (MemoryBank, optional): of this video so far; None before its first frame.
            frame (int): index of the frame.
            embeds (Tensor): (n, E), detections in order of score, best first.
            scores (Tensor): (n,).
            labels (Tensor): (n,) long.
            boxes (Tensor): (n, 4), any format; the bank keeps them as they are.
            mask_iou (Tensor): (n, n) overlap of the detections' masks.

        Returns:
            tuple[Tensor, MemoryBank]: the identity of each detection, (n,) long on the CPU, -1 for
            background, -2 for dropped; and the new bank.
        """
        # A hundred identities are too few to keep a GPU busy, and each look at one waits for it.
        embeds, scores, labels, boxes, mask_iou = (
            given.cpu() for given in (embeds, scores, labels, boxes, mask_iou)
        )
        if bank is None:
            bank = MemoryBank.empty(self.memory_len, embeds)
        n = len(embeds)
        ids = np.full(n, DROPPED)
        new_thr = self.first_thr
        if len(bank):
            new_thr = self.new_thr
            affinity = self.affinity(bank, embeds, boxes)
            if self.cosine_thr is not None:
                memory = self.matching_embeds(bank)
                cosine = F.cosine_similarity(embeds[:, None].float(), memory[None].float(), dim=2)
                affinity = affinity * (cosine > self.cosine_thr)
            if self.motion_gate is not None:
                affinity = affinity * self.within_reach(bank, frame, boxes)
            matched = self.match(affinity.numpy(), bank.num_frames.numpy())
            ids = np.where(matched >= 0, bank.ids.numpy()[matched], DROPPED)

        new = (ids == DROPPED) & (scores > new_thr).numpy()
        if self.long_term is not None and bank.gone is not None:
            found = self.long_term.come_back(bank, embeds, labels, torch.from_numpy(~new))
            back = found >= 0
            ids[back] = bank.gone.ids.numpy()[found[back]]
            new &= ~back
            bank = bank_with_returned(bank, torch.from_numpy(found[back]))
        ids[new] = bank.next_id + np.arange(new.sum())
        overlaps_better = torch.tril(mask_iou, diagonal=-1) >= self.background_iou_thr
        ids[(ids == DROPPED) & ~overlaps_better.any(1).numpy()] = BACKGROUND

        ids = torch.from_numpy(ids)
        return ids, self.remember(bank, frame, ids, embeds, scores, labels, boxes)

    def affinity(self, bank: MemoryBank, embeds: Tensor, boxes: Tensor) -> Tensor:
        """How well each detection fits each identity: (n, M), 0 to 1. Here by embeddings alone.

        Args:
            bank (MemoryBank): M identities.
            embeds (Tensor): (n, E) of the detections.
            boxes (Tensor): (n, 4) of the detections.
        """
        return self.similarity(embeds, self.matching_embeds(bank))

    def within_reach(self, bank: MemoryBank, frame: int, boxes: Tensor) -> Tensor:
        """Which detections are near enough to where identities were seen last: (n, M) bool.

        Args:
            bank (MemoryBank): M identities.
            frame (int): index of the frame.
            boxes (Tensor): (n, 4) cx, cy, w, h of the detections.
        """
        distance = (boxes[:, None, :2] - bank.boxes[:, :2]).norm(dim=2)
        reach = self.motion_gate * bank.boxes[:, 2:].amax(1) * (frame - bank.last_frame)
        return distance <= reach

    def matching_embeds(self, bank: MemoryBank) -> Tensor:
        """What each identity is compared by, (M, E).

        In the mean the weight is the detection's score, plus 1/n, 2/n .. 1 from the oldest to the
        newest of the n stored ones if ``temporal_weight``.
        """
        if self.memory == 'guided':
            return bank.guided
        age_rank = torch.arange(1, self.memory_len + 1, device=bank.ids.device)
        age_rank = age_rank - (self.memory_len - bank.num_stored[:, None])  # 1 .. n for stored ones
        weight = bank.scores  # 0 in places not in use
        if self.temporal_weight:
            weight = weight + age_rank.clamp(min=0) / bank.num_stored[:, None]
        return (bank.embeds * weight[..., None]).sum(1) / weight.sum(1, keepdim=True)

    @staticmethod
    def similarity(embeds: Tensor, memory: Tensor) -> Tensor:
        """Softmax over the memory and over the detections, averaged (report, eq. 3): (n, M)."""
        with torch.autocast(embeds.device.type, enabled=False):
            product = embeds.float() @ memory.float().T
        return (product.softmax(1) + product.softmax(0)) / 2

    def match(self, similarity: np.ndarray, num_frames: np.ndarray) -> np.ndarray:
        """Let each detection in turn choose an identity that is still free.

        Args:
            similarity (ndarray): (n, M) in [0, 1], detections in order of score.
            num_frames (ndarray): (M,) frames in which each identity was seen.

        Returns:
            ndarray: (n,) position in the memory, -1 for none.
        """
        matched = np.full(len(similarity), -1)
        if not similarity.size:
            return matched
        free = np.ones(similarity.shape[1], bool)
        # Most rows need one look, at all of them together; what is taken can only make others less.
        several = (similarity > self.similar_thr).sum(1) > 1
        best, highest = similarity.argmax(1), similarity.max(1)
        for i, row in enumerate(similarity):
            choice, value = best[i], highest[i]
            if several[i] or not free[choice]:
                row = row * free
                similar = row > self.similar_thr
                if self.frame_weight and similar.sum() > 1:
                    row = row * np.where(similar, num_frames, num_frames[similar].mean())
                choice = row.argmax()
                value = row[choice]
            if value > self.match_thr:
                matched[i] = choice
                free[choice] = False
        return matched

    def remember(
        self,
        bank: MemoryBank,
        frame: int,
        ids: Tensor,
        embeds: Tensor,
        scores: Tensor,
        labels: Tensor,
        boxes: Tensor,
    ) -> MemoryBank:
        """The bank after a frame: new identities added, old ones updated, unseen ones forgotten.

        Args: as for :meth:`track`, with ``ids`` (n,) the identities of the detections.

        Returns:
            MemoryBank: a new bank.
        """
        kept = ids >= 0
        ids, embeds, scores = ids[kept], embeds[kept], scores[kept].to(embeds.dtype)
        labels, boxes = labels[kept], boxes[kept]

        new = ids[ids >= bank.next_id]
        grown = MemoryBank.empty(self.memory_len, embeds)
        for name, old in bank.tensors.items():
            added = old.new_zeros((len(new), *old.shape[1:]))
            setattr(grown, name, torch.cat((old, added)))
        grown.ids[len(bank) :] = new
        grown.next_id, grown.gone = bank.next_id + len(new), bank.gone

        row = (grown.ids == ids[:, None]).int().argmax(1) if len(ids) else ids
        if self.memory == 'guided':
            places = torch.arange(self.memory_len, 0, -1, device=ids.device)
            in_use = places <= grown.num_stored[row, None]
            grown.guided[row] = guided_memory(grown.guided[row], embeds, grown.embeds[row], in_use)
        grown.embeds[row] = torch.cat((grown.embeds[row, 1:], embeds[:, None]), 1)
        grown.scores[row] = torch.cat((grown.scores[row, 1:], scores[:, None]), 1)
        grown.num_stored[row] = (grown.num_stored[row] + 1).clamp(max=self.memory_len)
        grown.num_frames[row] += 1
        if self.long_term is not None:
            grown.weights[row] += scores
            share = (scores / grown.weights[row])[:, None]
            grown.prototypes[row] += share * (embeds - grown.prototypes[row])
        grown.last_frame[row] = frame
        grown.boxes[row] = boxes.to(grown.boxes.dtype)
        grown.labels[row] = labels
        unforgotten = frame - grown.last_frame < self.max_unseen
        if unforgotten.all():
            return grown
        kept_bank = grown.rows(unforgotten)
        if self.long_term is not None:
            kept_bank.gone = self.long_term.keep(grown.gone, grown.rows(~unforgotten))
        return kept_bank


def bank_with_returned(bank: MemoryBank, index: Tensor) -> MemoryBank:
    """The bank with some of the identities that were gone, which are not gone any more.

    Args:
        bank (MemoryBank): with its ``gone``.
        index (Tensor): (r,) positions there.
    """
    if not len(index):
        return bank
    still = torch.ones(len(bank.gone), dtype=torch.bool)
    still[index] = False
    bank, gone = bank.with_rows(bank.gone.rows(index)), bank.gone.rows(still)
    bank.gone = gone
    return bank
