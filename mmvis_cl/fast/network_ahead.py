"""The network is a pass ahead of the association: on a GPU both work at once."""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch

from mmvis_cl.models.detectors.deformable_detr import QueryStates
from mmvis_cl.models.detectors.query_mask_former import MaskQueryStates

Item = TypeVar('Item')
States = TypeVar('States')
StatesOfQueries = TypeVar('StatesOfQueries', QueryStates, MaskQueryStates)


def network_ahead(
    items: Iterable[Item], run: Callable[[Item], States], device: torch.device
) -> Iterator[tuple[Item, States]]:
    """Run the network on items, in order, each but the last before the one in front is given.

    On a GPU this happens on a stream of its own: the item that is given is ready, while the network
    works on the next one. At most two items and their states exist at once. On a CPU, which has no
    time left over, an item is run when it is asked for.

    Args:
        items: Are made within the network's stream: uploads and normalisation belong there.
        run: Gives the states of an item: a structure of tensors on the device. It waits for
            nothing, or the network would stop and wait with it.
        device: Of the model.

    Yields:
        The items and their states, which belong to the stream of who asks.
    """
    if device.type != 'cuda':
        for item in items:
            yield item, run(item)
        return
    stream = _network_stream(device)
    iterator = iter(items)
    before = error = None
    while True:
        # What the association still does with memory that this stream gets was launched before now.
        stream.wait_stream(torch.cuda.current_stream(device))
        launched = None
        with torch.cuda.stream(stream):
            try:
                for item in iterator:
                    launched = item, run(item), stream.record_event()
                    break
            except Exception as trouble:  # raised when all before it are given
                error = trouble
        if before is not None:
            item, states, done = before
            done.synchronize()
            yield item, states
        if error is not None:
            raise error
        if launched is None:
            return
        before = launched


@functools.lru_cache
def _network_stream(device: torch.device) -> torch.cuda.Stream:
    # The same for all videos: each stream keeps memory of its own.
    return torch.cuda.Stream(device)


def decided_on_cpu(states: StatesOfQueries) -> StatesOfQueries:
    """The states with what is decided on, logits and boxes, on the way to the CPU.

    They are there when :func:`network_ahead` gives the item. Without this each of them would be
    fetched when it is needed, and the CPU would wait.
    """
    decisive = {'logits', 'boxes', 'cls_scores'} & set(states._fields)
    return states._replace(**{name: _on_cpu(getattr(states, name)) for name in decisive})


def _on_cpu(values: torch.Tensor | list[torch.Tensor]) -> torch.Tensor | list[torch.Tensor]:
    if isinstance(values, list):
        return [value.to('cpu', non_blocking=True) for value in values]
    return values.to('cpu', non_blocking=True)
