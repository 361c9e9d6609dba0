"""The YouTube-VIS metric for mmengine's loops."""

import json
import os
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from mmdet.evaluation.metrics import BaseVideoMetric
from mmengine.logging import MMLogger
from mmengine.structures import BaseDataElement
from pycocotools import mask as mask_utils

from mmvis_cl.datasets.annotation_file import load_annotations
from mmvis_cl.datasets.segmentations import to_rle
from mmvis_cl.errors import InputError, quoted
from mmvis_cl.files import whole_file
from mmvis_cl.registry import METRICS

from .identity_measures import (
    check_measures,
    figure_names,
    format_measures,
    identity_measures,
)
from .long_videos import LongVideos, long_video_ids
from .track_ap import METRICS as SCORE_NAMES
from .track_ap import SUBSETS, checked_tracks, format_scores, score_tracks


@METRICS.register_module()
class VISMetric(BaseVideoMetric):
    """AP and AR of tracks, as YouTube-VIS measures them.

    It takes the samples of any mmdet video model with masks, frame by frame or whole videos. A
    sample with a ``video_result`` (see ``mmvis_cl.structures.VideoResult``) gives the tracks of
    its video as they are; otherwise they are put together from the frames'
    ``pred_track_instances``: the masks of one ``instances_id`` are a track, with the most frequent
    label and the mean score. Masks, RLE or dense, are kept as RLE.

    Args:
        ann_file: Annotations in the format of YouTube-VIS. Without it the annotations come from
            the samples' ``instances``, and category ids are label + 1.
        format_only: Write the results for a submission and do not score them; the annotations
            may then be absent from ``ann_file``, which still gives the category ids.
        outfile_prefix: Results are written to ``{outfile_prefix}.json``; with ``format_only``
            also to ``{outfile_prefix}.zip``, for which it is required.
        metric_items: Names of the scores to return, out of AP, AP50, AP75, AP_s, AP_m, AP_l, AR1,
            AR10, AR100, AR_s, AR_m, AR_l; with ``long_videos`` also each of them followed by
            _short, _long or _mean; and of the figures of ``metrics``. All by default. -1 stands for
            nothing annotated.
        long_videos: Which videos are long: a number of frames (so many or more), a list of ids, a
            .json or .txt file, or a key of the videos in ``ann_file``; see ``long_video_ids``.
            Short and long videos are then scored apart too, as YouTube-VIS 2022 does, whose score
            is AP_mean.
        metrics: Out of ap, hota, identity, clear, jf; see :func:`.identity_measures`.
        score_thr: Tracks with a lower score count for ap alone.
        collect_device: 'cpu', the only one that mmdet's video metrics support.
        prefix: Put before the names of the scores.

    Raises:
        InputError: If ``ann_file`` is missing or unusable; in evaluation if a video is incomplete,
            videos of ``ann_file`` were not processed, or its categories lack a class.
    """

    default_prefix = 'youtube_vis'

    def __init__(
        self,
        ann_file: str | None = None,
        format_only: bool = False,
        outfile_prefix: str | None = None,
        metric_items: Sequence[str] | None = None,
        long_videos: LongVideos | None = None,
        metrics: Sequence[str] = ('ap',),
        score_thr: float = 0.0,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if format_only and outfile_prefix is None:
            raise InputError(
                'VISMetric: format_only writes a file; give outfile_prefix, the path without .zip'
            )
        self.metrics = metrics
        self.measures = [name for name in metrics if name != 'ap']
        check_measures(self.measures)
        self.score_thr = score_thr
        ap = list(SCORE_NAMES) if 'ap' in metrics else []
        known = [*ap, *figure_names(self.measures)]
        if long_videos is not None:
            known += [f'{name}_{subset}' for subset in SUBSETS for name in ap]
        unknown = sorted(set(metric_items or ()) - set(known))
        if unknown:
            raise InputError(
                f'VISMetric: metric_items has {unknown[0]!r}; known are '
                f'{", ".join([*ap, *figure_names(self.measures)])}, and with long_videos those of '
                'ap followed by _short, _long or _mean'
            )
        self.ann_file = ann_file
        self.format_only = format_only
        self.outfile_prefix = outfile_prefix
        self.metric_items = metric_items or known
        self.long_videos = long_videos
        # Read at once, so that an unusable file is found before the test and not after it.
        self.annotations = (
            None if ann_file is None else load_annotations(ann_file, need_tracks=not format_only)
        )
        if long_videos is not None and self.annotations is not None:
            long_video_ids(self.annotations, long_videos)  # the same for what tells the long videos
        self._open_videos: dict[int | str, dict] = {}

    def process(self, data_batch: object, data_samples: Sequence) -> None:
        """Take in the predictions of a batch.

        Args:
            data_batch: Not used.
            data_samples: A TrackDataSample, or the dict made of it, for each video of the batch;
                with one frame, all frames or some of them, in order.
        """
        for sample in data_samples:
            if isinstance(sample, BaseDataElement):
                sample = sample.to_dict()
            for frame in sample['video_data_samples']:
                self._process_frame(frame)
            video = self._open_videos[_id_of(sample['video_data_samples'][-1])]
            video_result = sample.get('video_result')
            if video_result is not None:
                video['tracks'] = [
                    dict(label=track.label, score=track.score, segmentations=track.segmentations)
                    for track in video_result.tracks
                ]
            if 'tracks' in video or video['seen'] == video['length']:
                self.results.append(_finished(self._open_videos.pop(video['video_id'])))

    def evaluate(self, size: int = 1) -> dict:
        """Score all videos; see ``BaseVideoMetric.evaluate``."""
        # Incomplete ones travel along to the main process, which has something to say about them.
        self.results.extend(
            {key: video[key] for key in ('video_id', 'length', 'seen')}
            for video in self._open_videos.values()
        )
        self._open_videos = {}
        return super().evaluate(size)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Write and score the results of all videos.

        Args:
            results: One dict a video, of all processes; a video that two of them had counts once.

        Returns:
            The scores, unrounded; empty with ``format_only``.
        """
        videos: dict[int, dict] = {}
        for video in results:
            if 'tracks' not in video:
                raise InputError(
                    f'VISMetric: only {video["seen"]} of the {video["length"]} frames of video '
                    f'{quoted(video["video_id"])} were processed; test all frames of a video on '
                    'one process, for instance with the sampler TrackImgSampler'
                )
            videos.setdefault(video['video_id'], video)
        category_ids = self._category_ids()
        tracks = [
            dict(
                video_id=video_id,
                category_id=category_ids[track['label']],
                score=float(track['score']),
                segmentations=[rle and _text_rle(rle) for rle in track['segmentations']],
            )
            for video_id, video in sorted(videos.items())
            for track in video['tracks']
        ]
        if self.outfile_prefix is not None:
            self._write(tracks)
        if self.format_only:
            return {}
        checked = checked_tracks(tracks, self._annotations(videos))
        scores, tables = {}, []
        if 'ap' in self.metrics:
            scores = score_tracks(checked, long_videos=self.long_videos)
            tables.append(format_scores(scores))
        if self.measures:
            figures = identity_measures(checked, self.measures, self.score_thr)
            tables.append(format_measures(figures))
            scores |= figures
        MMLogger.get_current_instance().info(
            '\n'.join(
                [f'YouTube-VIS scores of {len(tracks)} tracks in {len(videos)} videos', *tables]
            )
        )
        return {name: scores[name] for name in self.metric_items}

    def _process_frame(self, frame: BaseDataElement) -> None:
        video = self._open_videos.setdefault(
            _id_of(frame),
            dict(
                video_id=_id_of(frame),
                length=int(frame.ori_video_length),
                ori_shape=tuple(int(side) for side in frame.ori_shape[:2]),
                seen=0,
                identities={},
                truth=None,
            ),
        )
        video['seen'] += 1
        frame_id = int(frame.frame_id)
        found = frame.pred_track_instances
        if 'masks' not in found:
            raise InputError(
                'VISMetric: the predictions have no masks; it measures models for video instance '
                'segmentation only'
            )
        where = f'video {quoted(video["video_id"])}, frame {frame_id}'
        for identity, label, score, rle in zip(
            found.instances_id.tolist(),
            found.labels.tolist(),
            found.scores.tolist(),
            _encoded(found.masks, video['ori_shape'], f'{where}, predicted'),
            strict=True,
        ):
            track = video['identities'].setdefault(
                identity, dict(labels=[], scores=[], segmentations={})
            )
            track['labels'].append(label)
            track['scores'].append(score)
            track['segmentations'][frame_id] = rle
        if self.annotations is None and 'instances' in frame:
            video['truth'] = video['truth'] or {}
            self._add_truth(video, frame_id, frame.instances, where)

    @staticmethod
    def _add_truth(video: dict, frame_id: int, instances: list[dict], where: str) -> None:
        for instance in instances:
            track = video['truth'].setdefault(
                instance['instance_id'],
                dict(
                    label=int(instance['bbox_label']),
                    iscrowd=int(instance.get('ignore_flag', 0)),
                    segmentations=[None] * video['length'],
                ),
            )
            height, width = video['ori_shape']
            track['segmentations'][frame_id] = to_rle(instance['mask'], height, width, where)

    def _category_ids(self) -> list[int]:
        """The category id of each label."""
        classes = self.dataset_meta['classes']
        if self.annotations is None:
            return [label + 1 for label in range(len(classes))]
        by_name = {category['name']: category['id'] for category in self.annotations['categories']}
        missing = [name for name in classes if name not in by_name]
        if missing:
            raise InputError(
                f'{self.ann_file}: has no category {quoted(missing[0])}, which is a class of the '
                'data set; give VISMetric the ann_file of the data set that is tested'
            )
        return [by_name[name] for name in classes]

    def _annotations(self, videos: dict[int, dict]) -> dict:
        if self.annotations is not None:
            known = {video['id'] for video in self.annotations['videos']}
            left_out = sorted(known - set(videos))
            if left_out:
                raise InputError(
                    f'VISMetric: {len(known) - len(left_out)} of the {len(known)} videos of '
                    f'{self.ann_file} were processed, video {quoted(left_out[0])} for instance was '
                    'not; to score some of the videos only, leave ann_file out'
                )
            return self.annotations
        without = [video_id for video_id, video in videos.items() if video['truth'] is None]
        if without or not videos:
            raise InputError(
                'VISMetric: nothing to compare the results with; give ann_file, or let the '
                "pipeline keep the annotations ('instances' in PackTrackInputs' meta_keys)"
                if videos
                else 'VISMetric: no video was processed; is the test set empty?'
            )
        return dict(
            videos=[
                dict(
                    id=video_id,
                    length=video['length'],
                    height=video['ori_shape'][0],
                    width=video['ori_shape'][1],
                )
                for video_id, video in videos.items()
            ],
            categories=[
                dict(id=label + 1, name=name)
                for label, name in enumerate(self.dataset_meta['classes'])
            ],
            annotations=[
                dict(
                    video_id=video_id,
                    category_id=track['label'] + 1,
                    iscrowd=track['iscrowd'],
                    segmentations=track['segmentations'],
                )
                for video_id, video in videos.items()
                for track in video['truth'].values()
            ],
        )

    def _write(self, tracks: list[dict]) -> None:
        text = json.dumps(tracks)
        path = Path(f'{self.outfile_prefix}.json')
        try:
            with whole_file(path) as file:
                file.write(text)
        except InputError as error:
            raise InputError(f'{error}; {_kept_elsewhere(text)}') from error
        if self.format_only:
            path = Path(f'{self.outfile_prefix}.zip')
            with (
                whole_file(path, 'wb') as file,
                zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive,
            ):
                archive.writestr('results.json', text)
        MMLogger.get_current_instance().info(f'{len(tracks)} tracks written to {path}')


def _kept_elsewhere(text: str) -> str:
    """Put results that took hours where there is room; what became of them."""
    log_dir = getattr(MMLogger.get_current_instance(), '_log_file', None)
    folders = [os.path.dirname(log_dir)] if log_dir else []
    for folder in [*folders, tempfile.gettempdir(), os.getcwd()]:
        path = os.path.join(folder, f'results-{time.strftime("%Y%m%d-%H%M%S")}-{os.getpid()}.json')
        with suppress(InputError):
            with whole_file(path) as file:
                file.write(text)
            return f'the results are in {path}'
    return 'the results could be written nowhere; make room and test again'


def _id_of(frame: BaseDataElement) -> int | str:
    """The video's id as its file has it: the text '12' does not become the number 12."""
    video_id = frame.video_id
    return video_id if isinstance(video_id, str) else int(video_id)


def _finished(video: dict) -> dict:
    """The video with its ``tracks``, made of what was found in the frames if need be."""
    identities = video.pop('identities')
    if 'tracks' not in video:
        video['tracks'] = [
            dict(
                label=Counter(sorted(track['labels'])).most_common(1)[0][0],
                score=float(np.mean(track['scores'])),
                segmentations=[
                    track['segmentations'].get(frame_id) for frame_id in range(video['length'])
                ],
            )
            for track in identities.values()
        ]
    return video


def _encoded(
    masks: torch.Tensor | np.ndarray | list | tuple, size: tuple[int, int], where: str
) -> list[dict]:
    """RLE of masks that are RLE, or dense as a tensor or array (n, H, W)."""
    if isinstance(masks, (list, tuple)):
        return [to_rle(mask, *size, where) for mask in masks]
    if isinstance(masks, torch.Tensor):
        masks = masks.detach().cpu().numpy()
    dense = np.asfortranarray(masks.astype(np.uint8).transpose(1, 2, 0))
    return [_text_rle(rle) for rle in mask_utils.encode(dense)]


def _text_rle(rle: dict) -> dict:
    """RLE as it goes into JSON."""
    counts = rle['counts']
    return dict(
        size=[int(side) for side in rle['size']],
        counts=counts.decode('latin-1') if isinstance(counts, bytes) else counts,
    )
