"""Work of the image network that a GPU repeats by itself: recorded once, launched at once.

A frame of r50 is some 800 operations, and in bfloat16 a GPU does them faster than Python can launch
them one by one.
"""

import threading
from collections import deque
from collections.abc import Callable, Hashable
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from mmvis_cl.ops.deformable_sums import can_be_recorded

States = TypeVar('States', bound=NamedTuple)

# A graph keeps all that lies between the operations of its run: the sizes of an image tested at
# several scales, or mirrored.
GRAPHS_KEPT = 4
# Kinds of runs that are remembered until they come a second time: the sizes of some videos.
KINDS_REMEMBERED = 16


def can_record(frames: Tensor, attention: str) -> bool:
    """Whether work on these frames can be recorded: some ways of attention wait for a GPU."""
    return frames.is_cuda and can_be_recorded(attention, frames.device)


class GraphedRuns:
    """The runs of an image network as CUDA graphs, one for each kind of run.

    The first run of a kind is done as it is, so that the last frames of a video, which may be fewer
    than the others, are not recorded for one use. A recorded run may not wait for the device: its
    operations and their places in memory must always be the same.
    """

    def __init__(self) -> None:
        self._replays: dict[Hashable, Callable] = {}
        self._seen: deque[Hashable] = deque(maxlen=KINDS_REMEMBERED)
        self._places: tuple[int, ...] | None = None
        self._done: torch.cuda.Event | None = None  # the copies of the last replay
        self._one_at_a_time = threading.Lock()  # a replay and the copies of what it wrote

    def use_weights_at(self, places: tuple[int, ...]) -> None:
        """Drop the graphs of weights that lay elsewhere: loaded anew, moved, or of another type.

        A graph reads the weights themselves: what is written into them needs no new one.

        Args:
            places (tuple[int]): of all weights and buffers.
        """
        if places != self._places:
            self.__init__()
            self._places = places

    def __call__(
        self,
        kind: Hashable,
        run: Callable[[Tensor], States],
        frames: Tensor,
        reads: Callable[[], object],
    ) -> States:
        """``run(frames)``, replayed if a run of its kind was recorded.

        Args:
            kind (Hashable): all that decides what the run does but the values of the frames.
            run (Callable): gives a NamedTuple of tensors and lists of tensors.
            frames (Tensor): on a GPU.
            reads (Callable): gives what holds the tensors that the run reads and does not make,
                weights included; they are kept as long as its graph.

        Returns:
            The states; nobody else has their memory.
        """
        with self._one_at_a_time:
            if kind not in self._replays and kind not in self._seen:
                self._seen.append(kind)
                return run(frames)
            stream = torch.cuda.current_stream(frames.device)
            if self._done is not None:  # a thread of another video may be on another stream
                stream.wait_event(self._done)
            replay = self._replays.pop(kind, None) or record(run, frames, reads)
            self._replays[kind] = replay  # the last one is the one that was used last
            if len(self._replays) > GRAPHS_KEPT:
                del self._replays[next(iter(self._replays))]
            states = replay(frames)
            # the next replay writes into them
            copies = (
                [t.clone() for t in part] if isinstance(part, list) else part.clone()
                for part in states
            )
            own = type(states)(*copies)
            self._done = stream.record_event()
            return own

    def __getstate__(self) -> dict:
        return {}  # a graph can be neither copied nor saved

    def __setstate__(self, state: dict) -> None:
        self.__init__()


def record(
    run: Callable[[Tensor], States], frames: Tensor, reads: Callable[[], object]
) -> Callable[[Tensor], States]:
    """Record a run; gives what repeats it on other frames, always into the same tensors.

    Args:
        run (Callable): see :class:`GraphedRuns`.
        frames (Tensor): on a GPU.
        reads (Callable): what it gives is kept as long as the graph.
    """
    frames = frames.clone()
    graph = torch.cuda.CUDAGraph()
    # weights that autocast keeps in another precision would be gone when it ends
    cached = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        with torch.cuda.device(frames.device):
            # What libraries allocate in their first runs may not be part of the graph.
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(2):
                    run(frames)
            torch.cuda.current_stream().wait_stream(stream)
            with torch.cuda.graph(graph):
                states = run(frames)
    finally:
        torch.set_autocast_cache_enabled(cached)

    def replay(new: Tensor, kept: object = reads()) -> States:
        frames.copy_(new)
        graph.replay()
        return states

    return replay
