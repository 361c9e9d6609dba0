"""Batches of a test whose pass through the network has begun before they are asked for."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader

from mmvis_cl.fast.fast_vis import FastVIS
from mmvis_cl.fast.network_ahead import decided_on_cpu, network_ahead


class LoaderAhead:
    """A data loader in front of a model on a GPU, whose network is a batch ahead.

    Each batch has ``states`` beside ``inputs`` and ``data_samples``: what
    :meth:`FastVIS.test_step` goes on with. All else is the loader's.

    Args:
        loader (DataLoader): of a test, frames in order.
        model (FastVIS): on a GPU.
    """

    def __init__(self, loader: DataLoader, model: FastVIS) -> None:
        self.loader = loader
        self.model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[dict]:
        device = next(self.model.parameters()).device
        for batch, states in network_ahead(self._batches(), self._states, device):
            yield dict(batch, states=states)

    def _batches(self) -> Iterator[dict]:
        for batch in self.loader:
            yield self.model.data_preprocessor(batch, False)

    def _states(self, batch: dict) -> list[tuple]:
        frames = [frame for sample in batch['data_samples'] for frame in sample]
        passes: dict[int, Any] = {}  # once for all frames of a pass
        states = []
        with torch.no_grad():
            for of_pass, t in self.model.frame_states(batch['inputs'].flatten(0, 1), frames):
                if id(of_pass) not in passes:
                    passes[id(of_pass)] = of_pass, decided_on_cpu(of_pass)
                states.append((passes[id(of_pass)][1], t))
        return states
