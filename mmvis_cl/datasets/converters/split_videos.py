"""A validation set of one's own, cut from the training set by video."""

import random
from collections import Counter, defaultdict

from mmvis_cl.errors import InputError, quoted


def split_videos(content: dict, valid_share: float = 0.1, seed: int = 0) -> tuple[dict, dict]:
    """Divide annotations into those of a training and of a validation set.

    Classes are gone through from the rarest (by videos) on; of each, videos drawn at random join
    the validation set until it holds the class's share of videos, and at least one, but never the
    last video of a class. Then videos are added or put back at random until the validation set has
    its share of all videos, as far as all classes stay on both sides. Of up to 200 such draws the
    first is taken that has every class with two or more videos on both sides, or else the one with
    the most. A class with a single video stays in training, unless others would be missing then.

    Args:
        content: Annotations in the format of YouTube-VIS.
        valid_share: Of the videos, above 0 and below 1.
        seed: Of the random numbers; one seed, one split.

    Returns:
        The training and the validation annotations: ``content`` with some of its ``videos`` and
        their ``annotations`` each, in their order and with their ids, and all else as it was.

    Raises:
        InputError: If the share is out of its range, there are fewer than two videos, or an
            annotation is of no video.
    """
    if not 0 < valid_share < 1:
        raise InputError(f'valid_share is {valid_share}; give a number between 0 and 1, as 0.1')
    ids = [video['id'] for video in content['videos']]
    if len(set(ids)) < 2:
        raise InputError(f'{len(set(ids))} videos cannot be split; give two or more')
    classes_of = {video_id: set() for video_id in ids}
    for annotation in content['annotations']:
        if annotation['video_id'] not in classes_of:
            raise InputError(
                f'annotation {quoted(annotation.get("id"))}: there is no video '
                f'{quoted(annotation["video_id"])} in '
                "'videos'; add it or remove the annotation"
            )
        classes_of[annotation['video_id']].add(annotation['category_id'])
    rng = random.Random(seed)
    # In the second half videos may be taken that are the only ones of a class.
    draws = (_Draw(classes_of, valid_share, rng, attempt >= 100) for attempt in range(200))
    best = None
    for draw in draws:
        if best is None or draw.faults < best.faults:
            best = draw
        if best.faults == (0, 0, 0):
            break
    valid = best.valid
    return tuple(
        content
        | dict(
            videos=[video for video in content['videos'] if (video['id'] in valid) == chosen],
            annotations=[
                annotation
                for annotation in content['annotations']
                if (annotation['video_id'] in valid) == chosen
            ],
        )
        for chosen in (False, True)
    )


class _Draw:
    """A validation set drawn at random; ``faults`` are fewer in a better one."""

    def __init__(
        self, classes_of: dict[int, set], share: float, rng: random.Random, free_singles: bool
    ) -> None:
        self.classes_of = classes_of
        order = sorted(classes_of, key=str)
        rng.shuffle(order)
        videos_of = defaultdict(list)
        for video_id in order:
            for label in classes_of[video_id]:
                videos_of[label].append(video_id)
        single = {label for label, videos in videos_of.items() if len(videos) == 1}
        self.ignored = single if free_singles else set()
        self.in_train = Counter({label: len(videos) for label, videos in videos_of.items()})
        self.in_valid = Counter()
        self.valid = set()

        for label in sorted(videos_of, key=lambda label: (len(videos_of[label]), str(label))):
            wanted = 0 if label in single else max(1, round(share * len(videos_of[label])))
            for video_id in videos_of[label]:
                if self.in_valid[label] >= wanted:
                    break
                if video_id not in self.valid and self._dispensable(video_id, self.in_train):
                    self._move(video_id, 1)
        size = min(max(1, round(share * len(order))), len(order) - 1)
        for video_id in order:
            chosen = video_id in self.valid
            # How many more there are than there should be on the video's side.
            surplus = (len(self.valid) - size) * (1 if chosen else -1)
            if surplus > 0 and self._dispensable(
                video_id, self.in_valid if chosen else self.in_train
            ):
                self._move(video_id, -1 if chosen else 1)
        if not self.valid:
            self._move(order[0], 1)
        self.faults = (
            sum(
                self.in_train[label] == 0 or self.in_valid[label] == 0
                for label in videos_of
                if label not in single
            ),
            sum(self.in_valid[label] for label in single),
            int(not 0 < len(self.valid) < len(order)),
        )

    def _dispensable(self, video_id: int, left: Counter) -> bool:
        """Whether its side keeps all of its classes without it."""
        return all(left[label] > 1 for label in self.classes_of[video_id] - self.ignored)

    def _move(self, video_id: int, step: int) -> None:
        """Into the validation set, or back with ``step`` -1."""
        (self.valid.add if step == 1 else self.valid.remove)(video_id)
        for label in self.classes_of[video_id]:
            self.in_valid[label] += step
            self.in_train[label] -= step
