"""What in a tracked video most needs a look: for the next round of labelling.

An association's own margins are not in the results, so doubts are told by what they look like from
outside. Each has an amount from 0 to 1 and belongs to a frame:

- ``low score``: the score is little above the threshold: 1 at it, 0 halfway from it to 1.
- ``just below``: an object that was left out, for its score is up to 0.1 below the threshold.
- ``two classes``: another class has more than half of the score of the best.
- ``two identities on one object``: their masks have an IoU above 0.5.
- ``look-alikes meet``: the boxes of two identities of one class have an IoU above 0.3.
- ``gap``: not seen for up to 5 frames, in which it was probably missed; or, where it comes back
  after more, whether it is the same.
- ``begins where another ended``: an identity of the same class, near it and at most 10 frames
  later, is probably the same.
- ``seen in few frames``: in one or two of a video of more than 4.
- ``size changes``: by more than half from one frame to the next.
- ``jumps``: from one frame to the next by more than half of its size, and three times as far as it
  usually moves.

The doubt about a frame is the sum of them, that about a video the mean of its frames, 0.5 where
nothing was found in it at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise

import numpy as np
from pycocotools import mask as mask_util

from .tracked_videos import TrackedIdentity, TrackedVideo

JUST_BELOW = 0.1  # of the threshold
SHORT_GAP = 5  # frames in which an object was rather missed than hidden
SOON = 10  # frames between the end of an identity and its next piece
SAME_OBJECT, NEAR = 0.5, 0.3  # IoU of two masks, and of two boxes
FEW, SHORT_VIDEO = 2, 4  # frames
CHANGE, LEAST_PIXELS = 1.5, 2.0  # of an area; of the side of a square of it
FAR, USUAL = 0.5, 3.0  # of the size; of the usual way
NOTHING = 0.5  # of a video in which nothing was found


@dataclass(frozen=True)
class Doubt:
    """A reason to look at a frame.

    Attributes:
        frame: Its place in the video.
        kind: See the module.
        amount: Above 0, up to 1.
        text: Of whom, and how much.
    """

    frame: int
    kind: str
    amount: float
    text: str


@dataclass
class DoubtfulVideo:
    """A video with its doubts.

    Attributes:
        video: The video.
        doubts: In order of frames.
        by_frame: The doubts of each frame that has any, by its place.
    """

    video: TrackedVideo
    doubts: list[Doubt]
    by_frame: dict[int, list[Doubt]] = field(init=False)

    def __post_init__(self) -> None:
        """Sorts the doubts by frames."""
        self.by_frame = {}
        for doubt in sorted(self.doubts, key=lambda doubt: (doubt.frame, -doubt.amount)):
            self.by_frame.setdefault(doubt.frame, []).append(doubt)

    @property
    def amount(self) -> float:
        """The mean over all frames."""
        if not self.video.identities:
            return NOTHING
        return sum(doubt.amount for doubt in self.doubts) / max(1, len(self.video.frames))

    @property
    def kinds(self) -> dict[str, int]:
        """How many doubts of each kind there are, the most frequent first."""
        if not self.video.identities:
            return {'nothing was found': 1}
        kinds = [doubt.kind for doubt in self.doubts]
        return dict(sorted(((k, kinds.count(k)) for k in set(kinds)), key=lambda p: (-p[1], p[0])))

    def worst_frames(self, apart: int) -> list[int]:
        """Places of frames with doubts, the worst first.

        Args:
            apart: Of frames that are less than so many apart only the worst is given.
        """
        amounts = {f: sum(doubt.amount for doubt in found) for f, found in self.by_frame.items()}
        chosen: list[int] = []
        near: set[int] = set()
        for frame in sorted(amounts, key=lambda frame: (-amounts[frame], frame)):
            if frame not in near:
                chosen.append(frame)
                near.update(range(frame - apart + 1, frame + apart))
        return chosen


class _Seen:
    """An identity that counts, with the places of its masks."""

    def __init__(self, identity: TrackedIdentity) -> None:
        self.identity = identity
        self.frames = sorted(identity.masks)
        self.place = {frame: place for place, frame in enumerate(self.frames)}
        rles = [identity.masks[frame] for frame in self.frames]
        # one by one: pycocotools counts the masks of a call in 8 bits
        self.areas = np.array([mask_util.area(rle) for rle in rles], np.float64)
        self.boxes = np.array([mask_util.toBbox(rle) for rle in rles]).reshape(-1, 4)
        self.centres = self.boxes[:, :2] + self.boxes[:, 2:] / 2
        self.sizes = np.sqrt(self.boxes[:, 2:].prod(1))
        self.name = next(iter(identity.classes))
        self.title = f'{self.name} #{identity.number}'


def find_doubts(video: TrackedVideo, score_thr: float = 0.3) -> DoubtfulVideo:
    """Look for what is doubtful in a video; see the module.

    Args:
        video: The video.
        score_thr: Identities with a lower score do not count; those little below are a doubt.

    Returns:
        The doubts.
    """
    seen, doubts = [], []
    for identity in video.identities:
        if not identity.masks:
            continue
        if max(identity.scores.values()) >= score_thr:
            seen.append(_Seen(identity))
        elif max(identity.scores.values()) > score_thr - JUST_BELOW:
            doubts += _just_below(_Seen(identity), score_thr)
    for one in seen:
        doubts += _of_scores(one, score_thr)
        doubts += _of_motion(one)
        doubts += _of_presence(one, len(video.frames))
    for one, other in combinations(seen, 2):
        doubts += _of_pair(one, other)
    for one in seen:
        doubts += _of_beginning(one, seen)
    return DoubtfulVideo(video, sorted(doubts, key=lambda doubt: doubt.frame))


def _just_below(one: _Seen, score_thr: float) -> list[Doubt]:
    return [
        Doubt(frame, 'just below', 1 - (score_thr - score) / JUST_BELOW, f'{one.title} {score:.2f}')
        for frame, score in sorted(one.identity.scores.items())
        if score > score_thr - JUST_BELOW
    ]


def _of_scores(one: _Seen, score_thr: float) -> list[Doubt]:
    found = []
    sure = (1 - score_thr) / 2  # above the threshold
    first, *others = one.identity.classes.items()
    for frame, score in sorted(one.identity.scores.items()):
        amount = 1 - max(0.0, score - score_thr) / sure if sure else 0.0
        if amount > 0:
            found.append(Doubt(frame, 'low score', amount, f'{one.title} {score:.2f}'))
        if others and others[0][1] > first[1] / 2:
            text = f'{one.title} {first[1]:.2f}, {others[0][0]} {others[0][1]:.2f}'
            found.append(Doubt(frame, 'two classes', others[0][1] / first[1], text))
    return found


def _of_motion(one: _Seen) -> list[Doubt]:
    found = []
    steps = np.linalg.norm(np.diff(one.centres, axis=0), axis=1)
    usual = float(np.median(steps)) if len(steps) else 0.0
    for place, (before, frame) in enumerate(pairwise(one.frames)):
        if frame != before + 1:
            continue
        old, new = one.areas[place : place + 2]
        small, large = sorted((old, new))
        if large > CHANGE * small and np.sqrt(large) - np.sqrt(small) >= LEAST_PIXELS:
            amount = min(1.0, float(np.log2(large / max(small, 1))))
            text = f'{one.title} {old:.0f} to {new:.0f} pixels'
            found.append(Doubt(frame, 'size changes', amount, text))
        size = max(1.0, float(one.sizes[place : place + 2].mean()))
        step = float(steps[place])
        if step > max(FAR * size, USUAL * usual, LEAST_PIXELS):
            text = f'{one.title} by {step:.0f} pixels'
            found.append(Doubt(frame, 'jumps', min(1.0, step / size), text))
    return found


def _of_presence(one: _Seen, length: int) -> list[Doubt]:
    found = []
    for before, frame in pairwise(one.frames):
        missing = frame - before - 1
        text = f'{one.title} for {missing} frame' + 's' * (missing > 1)
        if 0 < missing <= SHORT_GAP:
            found += [Doubt(place, 'gap', 0.8, text) for place in range(before + 1, frame)]
        elif missing:
            found.append(Doubt(frame, 'gap', 0.5, text))
    if len(one.frames) <= FEW and length > SHORT_VIDEO:
        text = f'{one.title} in {len(one.frames)}'
        found += [Doubt(frame, 'seen in few frames', 0.5, text) for frame in one.frames]
    return found


def _of_pair(one: _Seen, other: _Seen) -> list[Doubt]:
    found = []
    for frame in sorted(one.place.keys() & other.place.keys()):
        boxes = one.boxes[one.place[frame]], other.boxes[other.place[frame]]
        near = _box_iou(*boxes)
        if near <= NEAR:
            continue
        masks = one.identity.masks[frame], other.identity.masks[frame]
        same = float(mask_util.iou([masks[0]], [masks[1]], [False])[0, 0])
        text = f'{one.title} and {other.title}'
        if same > SAME_OBJECT:
            found.append(Doubt(frame, 'two identities on one object', same, text))
        elif one.name == other.name:
            found.append(Doubt(frame, 'look-alikes meet', near, text))
    return found


def _of_beginning(one: _Seen, seen: Sequence[_Seen]) -> list[Doubt]:
    begin = one.frames[0]
    nearest: tuple[float, _Seen] | None = None
    for other in seen:
        late = begin - other.frames[-1]
        if other is one or other.name != one.name or not 0 < late <= SOON:
            continue
        # it may have moved on while nobody saw it
        reach = max(1.0, float(one.sizes[0] + other.sizes[-1]) / 2) * (1 + 0.1 * late)
        way = float(np.linalg.norm(one.centres[0] - other.centres[-1]))
        amount = 1 - way / (2 * reach)
        if amount > 0 and (nearest is None or amount > nearest[0]):
            nearest = amount, other
    if nearest is None:
        return []
    text = f'{one.title} after {nearest[1].title}'
    return [Doubt(begin, 'begins where another ended', nearest[0], text)]


def _box_iou(one: np.ndarray, other: np.ndarray) -> float:
    """Of two boxes (x, y, width, height)."""
    low = np.maximum(one[:2], other[:2])
    high = np.minimum(one[:2] + one[2:], other[:2] + other[2:])
    both = float((high - low).clip(0).prod())
    union = float(one[2:].prod() + other[2:].prod()) - both
    return both / union if union else 0.0
