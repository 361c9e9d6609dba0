"""Embeddings learned from clips, against a memory that works as in testing (CTVIS)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mmvis_cl.models.layers.guided_memory import guided_memory
from mmvis_cl.models.task_modules.clip_objects import ClipQueries
from mmvis_cl.registry import MODELS

from .contrastive_head import ContrastiveHead


@MODELS.register_module()
class ClipContrastiveHead(ContrastiveHead):
    """An embedding for each query, learned over all frames of a clip.

    Frame by frame each object's embedding is an anchor. It is drawn to the object's memory
    (:func:`guided_memory`) or, with a probability of one half, to its newest embedding before; to
    the next one after where it was never seen before. It is driven off all embeddings of the
    frame before that are not the object's. Nothing is detached: gradients reach all frames.

    Args:
        noise_prob (float): probability with which an object that is not to be seen stores a random
            embedding of its frame, as a confused tracker would.
        release_quirk (bool): leave out what the release leaves out by its way of counting: an
            object seen for the first time in frame t that is missing in exactly t frames after.
        **kwargs: of :class:`ContrastiveHead`; there is no use for ``selector``.
    """

    def __init__(self, noise_prob: float = 0.0, release_quirk: bool = False, **kwargs) -> None:
        super().__init__(**kwargs)
        self.noise_prob = noise_prob
        self.release_quirk = release_quirk

    def loss_of_clips(self, embeds: Tensor, queries: list[ClipQueries]) -> dict[str, Tensor]:
        """Contrastive and auxiliary loss, averaged over the anchors of all clips.

        Args:
            embeds (Tensor): (B, T, Q, E) of B clips.
            queries (list[ClipQueries]): of each clip.

        Returns:
            dict[str, Tensor]: ``loss_embed`` and ``loss_embed_aux``; 0 with a gradient where there
            is no anchor.
        """
        rows = []
        # products of half precision would tell similar embeddings no longer apart
        with torch.autocast(embeds.device.type, enabled=False):
            for clip, of in zip(embeds.float(), queries, strict=True):
                rows += self._rows_of_clip(clip, of)
        nothing = 0 * embeds.sum()  # keeps every embedding in the graph
        if not rows:
            return dict(loss_embed=nothing, loss_embed_aux=nothing)
        product, cosine, positive, negative = (torch.cat(part) for part in zip(*rows, strict=True))
        contrast = self.loss_embed(product, positive, negative)
        auxiliary = self.loss_embed_aux(cosine, positive, negative)
        return dict(loss_embed=contrast.mean() + nothing, loss_embed_aux=auxiliary.mean() + nothing)

    def _rows_of_clip(self, embeds: Tensor, queries: ClipQueries) -> list[tuple[Tensor, ...]]:
        """Of each frame with anchors: products and cosines (n, 1 + Q), positives and negatives."""
        length = len(embeds)
        frame = torch.arange(length, device=embeds.device)[:, None]
        seen = queries.best >= 0
        own = embeds[frame, queries.best.clamp(min=0)]  # (T, N, E)
        stored = seen
        if self.noise_prob:
            noise = ~seen & (torch.rand(seen.shape) < self.noise_prob).to(seen.device)
            drawn = torch.randint(embeds.shape[1], seen.shape).to(seen.device)
            own = torch.where(noise[..., None], embeds[frame, drawn], own)
            stored = seen | noise
        coins = self.coins(stored, seen)

        rows = []
        memory = torch.zeros_like(own[0])
        for t in range(length):
            if t:
                anchors, positives = self._pairs(t, own, memory, seen, stored, coins)
                if anchors:
                    negatives = ~queries.own[t - 1, anchors]
                    rows.append(_rows(own[t, anchors], positives, embeds[t - 1], negatives))
            before, in_use = own[:t].transpose(0, 1), stored[:t].T
            updated = guided_memory(memory, own[t], before, in_use)
            memory = torch.where(stored[t, :, None], updated, memory)
        return rows

    def _pairs(
        self,
        t: int,
        own: Tensor,
        memory: Tensor,
        seen: Tensor,
        stored: Tensor,
        coins: Tensor,
    ) -> tuple[list[int], list[Tensor]]:
        """The objects that are anchors in frame t, and the positive (E,) of each."""
        anchors, positives = [], []
        for i in seen[t].nonzero()[:, 0].tolist():
            earlier, later = stored[:t, i].nonzero()[:, 0], stored[t + 1 :, i].nonzero()[:, 0]
            if len(earlier):
                positive = memory[i] if coins[t, i] > 0.5 else own[earlier[-1], i]
            elif len(later):
                missing = len(own) - 1 - t - len(later)
                if self.release_quirk and missing == t:
                    continue
                positive = own[t + 1 + later[0], i]
            else:
                continue
            anchors.append(i)
            positives.append(positive)
        return anchors, positives

    def coins(self, stored: Tensor, seen: Tensor) -> Tensor:
        """A uniform number for each anchor seen before, in the order of frames and objects.

        Args:
            stored (Tensor): (T, N) bool, of which frames the memory has an embedding.
            seen (Tensor): (T, N) bool, in which frames an object is an anchor.

        Returns:
            Tensor: (T, N) on the CPU, above 0.5 for the memory as the positive; 0 elsewhere.
        """
        before = (stored.cumsum(0) - stored.long()) > 0
        asked = (seen & before).cpu()
        coins = torch.zeros(asked.shape)
        coins[asked] = torch.rand(int(asked.sum()))
        return coins


def _rows(
    anchors: Tensor, positives: list[Tensor], others: Tensor, negative: Tensor
) -> tuple[Tensor, ...]:
    """Anchors (n, E) against their positives and the queries (Q, E) of a frame."""
    positives = torch.stack(positives)
    product = torch.cat(((anchors * positives).sum(1, keepdim=True), anchors @ others.T), 1)
    unit, unit_positives = (F.normalize(x, dim=1) for x in (anchors, positives))
    cosine = torch.cat(
        (
            (unit * unit_positives).sum(1, keepdim=True),
            unit @ F.normalize(others, dim=1).T,
        ),
        1,
    )
    yes, no = negative.new_ones((len(anchors), 1)), torch.zeros_like(negative)
    return product, cosine, torch.cat((yes, no), 1), torch.cat((~yes, negative), 1)
