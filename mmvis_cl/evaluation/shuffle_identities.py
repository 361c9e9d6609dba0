"""The same detections with the association replaced by chance: what tracking is worth."""

from collections import defaultdict

import numpy as np


def shuffle_identities(results: list[dict], seed: int = 0) -> list[dict]:
    """Hand out the identities of each video at random in each of its frames.

    The detections of a frame stay as they are: every mask with the class scores that it had. Only
    which identity a mask belongs to is drawn anew, frame by frame, among the identities of the
    video. The class scores of an identity are then the mean over its detections, as a tracker
    takes them.

    Args:
        results: Tracks in the format of a YouTube-VIS submission. Tracks of a video with the same
            masks are one identity with several classes.
        seed: Of the random numbers.

    Returns:
        Tracks in the same format; ``results`` is left as it is.
    """
    rng = np.random.default_rng(seed)
    videos: defaultdict[int, dict] = defaultdict(dict)
    for track in results:
        masks = tuple(str(mask['counts']) if mask else None for mask in track['segmentations'])
        identity = videos[track['video_id']].setdefault(masks, (track['segmentations'], {}))
        identity[1][track['category_id']] = track['score']

    shuffled: list[dict] = []
    for video_id, by_masks in videos.items():
        identities = list(by_masks.values())
        length = len(identities[0][0])
        orders = np.stack([rng.permutation(len(identities)) for _ in range(length)])
        for order in orders.T:
            # order[t] is the old identity whose detection of frame t the new one gets.
            segmentations = [identities[old][0][frame] for frame, old in enumerate(order)]
            classes = [
                identities[old][1] for old, mask in zip(order, segmentations, strict=True) if mask
            ]
            totals: defaultdict[int, float] = defaultdict(float)
            for scores in classes:
                for category_id, score in scores.items():
                    totals[category_id] += score
            shuffled.extend(
                dict(
                    video_id=video_id,
                    category_id=category_id,
                    score=total / len(classes),
                    segmentations=segmentations,
                )
                for category_id, total in totals.items()
            )
    return shuffled
