"""What is kept of a video's identities between its frames."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class MemoryBank:
    """All that is kept between the frames of a video: M identities, T embeddings each at most.

    The tensors are on the CPU.

    Attributes:
        ids (Tensor): (M,) long.
        embeds (Tensor): (M, T, E), the newest last.
        guided (Tensor): (M, E), what all embeddings so far have left where the memory is guided by
            their similarity; else zeros.
        scores (Tensor): (M, T) detection scores of the stored embeddings.
        num_stored (Tensor): (M,) long, how many of the T places are in use (the last ones).
        num_frames (Tensor): (M,) long, frames in which the identity was seen.
        last_frame (Tensor): (M,) long, the newest of them.
        boxes (Tensor): (M, 4), the newest box.
        labels (Tensor): (M,) long, the newest class.
        prototypes (Tensor): (M, E), the mean of all embeddings so far, by their scores; zeros where
            nothing asks for it.
        weights (Tensor): (M,), the sum of these scores.
        next_id (int): the identity that a new object gets.
        gone (MemoryBank, optional): the identities that are kept for longer, see
            :class:`LongTermMemory`.
    """

    ids: Tensor
    embeds: Tensor
    guided: Tensor
    scores: Tensor
    num_stored: Tensor
    num_frames: Tensor
    last_frame: Tensor
    boxes: Tensor
    labels: Tensor
    prototypes: Tensor
    weights: Tensor
    next_id: int = 0
    gone: 'MemoryBank | None' = None

    def __repr__(self) -> str:
        """One line: who is remembered."""
        gone = '' if self.gone is None else f', {len(self.gone)} gone: {self.gone.ids.tolist()}'
        return (
            f'MemoryBank({len(self.ids)} identities: {self.ids.tolist()}, next_id={self.next_id}, '
            f'{self.embeds.shape[1]} embeddings of {self.embeds.shape[2]} at most each{gone})'
        )

    @classmethod
    def empty(cls, memory_len: int, like: Tensor) -> 'MemoryBank':
        """A bank without identities, for embeddings as in ``like`` (n, E)."""
        none = torch.empty(0, dtype=torch.long, device=like.device)
        return cls(
            ids=none,
            embeds=like.new_empty((0, memory_len, like.shape[1])),
            guided=like.new_empty((0, like.shape[1])),
            scores=like.new_empty((0, memory_len)),
            num_stored=none,
            num_frames=none,
            last_frame=none,
            boxes=like.new_empty((0, 4)),
            labels=none,
            prototypes=like.new_empty((0, like.shape[1])),
            weights=like.new_empty(0),
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All that has a row for each identity."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def rows(self, index: Tensor) -> 'MemoryBank':
        """The bank with only the identities at ``index`` (a mask or positions)."""
        tensors = {name: value[index] for name, value in self.tensors.items()}
        return MemoryBank(**tensors, next_id=self.next_id, gone=self.gone)

    def with_rows(self, other: 'MemoryBank') -> 'MemoryBank':
        """The bank with the identities of another one behind its own."""
        tensors = {
            name: torch.cat((value, getattr(other, name))) for name, value in self.tensors.items()
        }
        return MemoryBank(**tensors, next_id=self.next_id, gone=self.gone)
