"""The releases whose checkpoints we read, told apart by the names in a state dict."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from torch import Tensor

from .ctvis_checkpoint import from_ctvis, is_ctvis, is_our_mask_former, to_ctvis
from .release_checkpoint import from_release, is_our_detr, is_release, to_release

State = dict[str, Tensor]
Rest = dict[str, Tensor | None]


class Release(NamedTuple):
    """How the checkpoints of a release are read and written.

    Attributes:
        name (str): whose it is.
        tool (str): the converter in tools/model_converters.
        is_theirs (Callable): whether names are the release's.
        is_ours (Callable): whether names are ours, of the network that the release has.
        from_theirs (Callable): from a state dict of theirs to ours, and what is needed for the way
            back.
        to_theirs (Callable): from a state dict of ours, and that, back.
    """

    name: str
    tool: str
    is_theirs: Callable[[Iterable[str]], bool]
    is_ours: Callable[[Iterable[str]], bool]
    from_theirs: Callable[[State], tuple[State, Rest]]
    to_theirs: Callable[[State, Rest | None], State]


AUTHORS = Release(
    "the authors' release",
    'release_to_mmvis_cl.py',
    is_release,
    is_our_detr,
    from_release,
    to_release,
)
CTVIS = Release(
    "CTVIS's release",
    'ctvis_to_mmvis_cl.py',
    is_ctvis,
    is_our_mask_former,
    from_ctvis,
    to_ctvis,
)
RELEASES = (AUTHORS, CTVIS)


def release_of(names: Iterable[str]) -> Release | None:
    """The release that a state dict is of, None if it is of none."""
    return next((release for release in RELEASES if release.is_theirs(names)), None)


def release_like(names: Iterable[str]) -> Release | None:
    """The release that has the network whose names are ours, None if there is none."""
    return next((release for release in RELEASES if release.is_ours(names)), None)
