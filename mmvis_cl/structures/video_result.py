"""The tracks of a video while it is watched and when it is over."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pycocotools.mask as mask_util
import torch
from mmdet.structures import DetDataSample, TrackDataSample
from mmengine.structures import InstanceData

from .join_identities import join_identities


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


# What class scores are whose mean over time is taken, and how it becomes the probabilities (K,).
SCORE_KINDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    'probabilities': lambda mean: mean,
    'logits': lambda mean: 1 / (1 + np.exp(-mean)),
    'logits with background': lambda mean: _softmax(mean)[:-1],
}


class Track(NamedTuple):
    """One result: an identity seen as one class.

    Attributes:
        identity (int): several tracks of a video can share it, one for each plausible class.
        label (int): class index.
        score (float): mean class probability over the frames in which the identity was seen, times
            the quality of its masks where that counts.
        segmentations (list[dict | None]): COCO RLE of each frame, None where unseen.
        bboxes (list[list[float] | None]): x1, y1, x2, y2 in original pixels, None where unseen.
    """

    identity: int
    label: int
    score: float
    segmentations: list
    bboxes: list

    def __repr__(self) -> str:
        """One line, without the masks."""
        seen = sum(mask is not None for mask in self.segmentations)
        return (
            f'Track(identity={self.identity}, label={self.label}, score={self.score:.3f}, seen in '
            f'{seen} of {len(self.segmentations)} frames)'
        )


@dataclass
class _Identity:
    """What is kept of an identity; its masks only as RLE."""

    score_sum: np.ndarray
    quality: np.ndarray | None = None
    masks: dict = field(default_factory=dict)
    bboxes: dict = field(default_factory=dict)
    embed_sum: np.ndarray | None = None

    def mean_scores(self, kind: str) -> np.ndarray:
        return SCORE_KINDS[kind](self.score_sum / len(self.masks))

    @property
    def mask_quality(self) -> float:
        return 1.0 if self.quality is None else float(self.quality[0] / (self.quality[1] + 1e-6))

    def going_on_as(self, other: '_Identity') -> '_Identity':
        """Both as one, where the other was seen in later frames alone."""
        return _Identity(
            self.score_sum + other.score_sum,
            None if self.quality is None else self.quality + other.quality,
            self.masks | other.masks,
            self.bboxes | other.bboxes,
        )


@dataclass
class VideoResult:
    """Collects identities frame by frame, and gives the tracks.

    Args:
        video_id: the video's id in its annotation file, or any name.
        length (int): frames of the video, 0 if not known yet. Grows when more frames come.
        ori_shape (tuple[int, int]): h, w of the frames.
        score_thr (float): each class with a score above it gives a track.
        max_tracks (int, optional): of all identities and classes only the most probable ones give
            tracks, in that order, whatever the quality of their masks.
        scores_are (str): the class scores that are averaged: 'probabilities'; 'logits', of which
            the sigmoid is taken at the end; or 'logits with background', (K + 1) of which the
            softmax is taken and the last one left out.
        noise_from_frame (int): from this frame index on, an identity unseen in the two newest
            frames and seen in fewer than ``noise_min_frames`` is removed. If it comes back it
            starts anew.
        noise_min_frames (int): see above.
        only_labels (frozenset[int], optional): class indices that give tracks; all if None.
        join_thr (float, optional): identities of one class, of which one ends before the other
            begins, are one where the cosine of their mean embeddings is above it, see
            :func:`join_identities`. Nothing is joined if None.
        join_max_gap (int, optional): most frames between two that are joined; any number if None.
    """

    video_id: int | str
    length: int
    ori_shape: tuple[int, int]
    score_thr: float = 0.05
    noise_from_frame: int = 9
    noise_min_frames: int = 3
    max_tracks: int | None = None
    scores_are: str = 'probabilities'
    identities: dict[int, _Identity] = field(default_factory=dict)
    only_labels: frozenset[int] | None = None
    join_thr: float | None = None
    join_max_gap: int | None = None

    def __repr__(self) -> str:
        """One line, without the masks."""
        h, w = self.ori_shape
        return (
            f'{type(self).__name__}(video_id={self.video_id!r}, {self.length} frames of {w}x{h}, '
            f'{len(self.tracks)} tracks)'
        )

    def add_frame(
        self,
        frame: int,
        ids: np.ndarray,
        class_scores: np.ndarray,
        masks: list[dict],
        bboxes: np.ndarray,
        quality: np.ndarray | None = None,
        embeds: np.ndarray | None = None,
    ) -> None:
        """Add the identities seen in a frame; frames come in order.

        Args:
            frame (int): index of the frame, from 0.
            ids (ndarray): (n,) identities, >= 0.
            class_scores (ndarray): (n, K) class scores of the kind ``scores_are``; K + 1 with
                background.
            masks (list[dict]): n masks as COCO RLE at the original size.
            bboxes (ndarray): (n, 4) x1, y1, x2, y2 in original pixels.
            quality (ndarray, optional): (n, 2) sum of the masks' probabilities over their pixels,
                and how many these are: the mean of all frames is a factor on an identity's scores.
            embeds (ndarray, optional): (n, E), needed to join identities.
        """
        self.length = max(self.length, frame + 1)
        for i, (identity, scores, mask, bbox) in enumerate(
            zip(ids.tolist(), class_scores, masks, bboxes, strict=True)
        ):
            seen = self.identities.setdefault(
                identity, _Identity(np.zeros(len(scores), dtype=np.float64))
            )
            seen.score_sum += scores
            if quality is not None:
                seen.quality = quality[i] + (0 if seen.quality is None else seen.quality)
            if embeds is not None and self.join_thr is not None:
                seen.embed_sum = embeds[i] + (0 if seen.embed_sum is None else seen.embed_sum)
            seen.masks[frame] = mask
            seen.bboxes[frame] = bbox.tolist()
        if frame >= self.noise_from_frame:
            self.identities = {
                i: seen
                for i, seen in self.identities.items()
                if len(seen.masks) >= self.noise_min_frames or max(seen.masks) >= frame - 1
            }

    def mean_scores(self, identity: int) -> np.ndarray:
        """Class probabilities (K,) of an identity, averaged over the frames where it was seen."""
        return self.identities[identity].mean_scores(self.scores_are)

    def mask_quality(self, identity: int) -> float:
        """Mean probability of an identity's pixels in all frames so far; 1 where none is given."""
        return self.identities[identity].mask_quality

    def joined(self) -> dict[int, _Identity]:
        """The identities so far, those that are one joined, if that is asked for."""
        seen = self.identities
        if self.join_thr is None or len(seen) < 2:
            return seen
        names = list(seen)
        chain = join_identities(
            np.array([min(one.masks) for one in seen.values()]),
            np.array([max(one.masks) for one in seen.values()]),
            np.stack([np.asarray(one.embed_sum) for one in seen.values()]),
            np.array([one.mean_scores(self.scores_are).argmax() for one in seen.values()]),
            *(self.join_thr, self.join_max_gap),
        )
        joined: dict[int, _Identity] = {}
        for place in sorted(range(len(names)), key=lambda i: min(seen[names[i]].masks)):
            name, one = names[chain[place]], seen[names[place]]
            joined[name] = joined[name].going_on_as(one) if name in joined else one
        return {name: joined[name] for name in names if name in joined}

    @property
    def tracks(self) -> list[Track]:
        """The tracks so far, by identity and class; the most probable first if ``max_tracks``."""
        identities = self.joined()
        probable = [
            (float(probability), label, identity)
            for identity, seen in identities.items()
            for label, probability in enumerate(seen.mean_scores(self.scores_are))
        ]
        if self.max_tracks is not None:
            probable = sorted(probable, key=lambda each: -each[0])[: self.max_tracks]
        quality = {identity: seen.mask_quality for identity, seen in identities.items()}
        return [
            Track(
                identity,
                label,
                probability * quality[identity],
                [identities[identity].masks.get(t) for t in range(self.length)],
                [identities[identity].bboxes.get(t) for t in range(self.length)],
            )
            for probability, label, identity in probable
            if probability * quality[identity] > self.score_thr
            and (self.only_labels is None or label in self.only_labels)
        ]

    def to_youtube_vis(self, category_ids: list[int]) -> list[dict]:
        """The tracks as entries of a YouTube-VIS submission.

        Args:
            category_ids (list[int]): the annotation file's category id of each class index.

        Returns:
            list[dict]: ``video_id``, ``score``, ``category_id``, ``segmentations``.
        """
        return [
            dict(
                video_id=self.video_id,
                score=track.score,
                category_id=category_ids[track.label],
                segmentations=track.segmentations,
            )
            for track in self.tracks
        ]

    def to_track_data_sample(
        self, frame_metas: list[dict], dense_masks: bool = False
    ) -> TrackDataSample:
        """The finished video for users of mmdet's data samples.

        Each (identity, class) has an instance id of its own, its score is the track's in every
        frame.

        Args:
            frame_metas (list[dict]): the meta information of each frame's data sample.
            dense_masks (bool): give masks as a (n, h, w) bool tensor, as mmdet's own metric wants
                them. All frames of the video are then in memory at once.

        Returns:
            TrackDataSample: a frame's ``pred_track_instances`` has instances_id, labels, scores,
            bboxes (n, 4; x1 y1 x2 y2 in original pixels) and masks (n COCO RLE dicts).
        """
        tracks = self.tracks
        frames = []
        for t, meta in enumerate(frame_metas):
            here = [i for i, track in enumerate(tracks) if track.segmentations[t] is not None]
            frame = DetDataSample(metainfo=meta)
            frame.pred_track_instances = InstanceData(
                instances_id=torch.tensor(here, dtype=torch.long),
                labels=torch.tensor([tracks[i].label for i in here], dtype=torch.long),
                scores=torch.tensor([tracks[i].score for i in here]),
                bboxes=torch.tensor([tracks[i].bboxes[t] for i in here]).reshape(-1, 4),
                masks=self._masks([tracks[i].segmentations[t] for i in here], dense_masks),
            )
            frames.append(frame)
        sample = TrackDataSample(metainfo=dict(video_id=self.video_id, video_length=self.length))
        sample.video_data_samples = frames
        return sample

    def _masks(self, rles: list[dict], dense: bool) -> list[dict] | torch.Tensor:
        if not dense:
            return rles
        masks = torch.zeros((len(rles), *self.ori_shape), dtype=torch.bool)
        for mask, rle in zip(masks, rles, strict=True):
            mask.copy_(torch.from_numpy(mask_util.decode(rle)))
        return masks


@dataclass(repr=False)
class MergedResult(VideoResult):
    """The result of a finished video whose tracks are given.

    Args:
        merged (list[Track]): the tracks.
    """

    merged: list[Track] = field(default_factory=list)

    def add_frame(self, *args: object, **kwargs: object) -> None:
        """Not possible any more."""
        raise TypeError('the result is finished; add frames to the results that it was merged from')

    @property
    def tracks(self) -> list[Track]:
        """The tracks that were given."""
        return self.merged
