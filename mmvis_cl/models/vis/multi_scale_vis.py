"""Multi-scale testing: a video tracked at several sizes, and the tracks merged."""

import itertools

import pycocotools.mask as mask_util
from mmdet.structures import TrackDataSample, TrackSampleList
from mmengine.model import BaseTTAModel
from torch import nn

from mmvis_cl.errors import InputError
from mmvis_cl.registry import MODELS
from mmvis_cl.structures import MergedResult, Track, VideoResult
from mmvis_cl.structures.merge_tracks import check_merge_options, merge_tracks


@MODELS.register_module()
class MultiScaleVIS(BaseTTAModel):
    """Tracks a video once for each size (and mirrored, if wanted) and merges the tracks at its end.

    The runs go side by side, frame by frame: each has a session of its own, and nothing but RLE is
    kept of its masks. A batch comes as mmcv's ``TestTimeAug`` makes it.

    Args:
        module (dict | nn.Module): a model with a ``session``, as :class:`ContrastiveVIS` has.
        merge_cfg (dict, optional): options of :func:`merge_tracks`: ``method``, ``iou_thr``,
            ``score``, ``weights`` of the runs.

    Raises:
        InputError: the model has no ``session``, or an option of ``merge_cfg`` is out of range.
    """

    def __init__(self, module: dict | nn.Module, merge_cfg: dict | None = None) -> None:
        module = MODELS.build(module) if isinstance(module, dict) else module
        if not hasattr(module, 'session'):
            raise InputError(
                f'multi-scale testing: a {type(module).__name__} does not keep a video in a '
                "'session'; use a ContrastiveVIS"
            )
        super().__init__(module)
        self.merge_cfg = dict(merge_cfg or {})
        check_merge_options(len(self.merge_cfg.get('weights') or ()), **self.merge_cfg)
        self._sessions = {}

    def test_step(self, data: dict) -> TrackSampleList:
        """Track the next frame in each run.

        Args:
            data (dict): ``inputs`` and ``data_samples``, each a list of the runs' batches.

        Returns:
            list[TrackDataSample]: those of the first run, with its state at the frame; with a
            video's last frame, ``video_result`` is the merged one.
        """
        predictions = []
        for run in range(len(data['inputs'])):
            self.module.session = self._sessions.get(run)
            batch = {key: value[run] for key, value in data.items()}
            predictions.append(self.module.test_step(batch))
            self._sessions[run] = self.module.session
        return self.merge_preds(list(zip(*predictions, strict=True)))

    def merge_preds(self, data_samples_list: list[tuple[TrackDataSample, ...]]) -> TrackSampleList:
        """The first run's sample of each video, with the merged result if the video is over."""
        for samples in data_samples_list:
            if 'video_result' in samples[0].metainfo:
                results = [sample.video_result for sample in samples]
                merged = merge_video_results(results, **self.merge_cfg)
                samples[0].set_metainfo(dict(video_result=merged))
        return [samples[0] for samples in data_samples_list]


def merge_video_results(results: list[VideoResult], **options) -> MergedResult:
    """Merge what several runs found in one video; see :func:`merge_tracks`.

    Tracks of one class each are merged; they share an identity where one of their members does.

    Args:
        results (list[VideoResult]): one a run, of the same finished video.
        **options: of :func:`merge_tracks`.

    Returns:
        MergedResult: the merged tracks. Boxes of fused masks are those of the masks.
    """
    runs = [result.tracks for result in results]
    entries = [
        [
            dict(category_id=track.label, score=track.score, segmentations=track.segmentations)
            for track in tracks
        ]
        for tracks in runs
    ]
    offsets = itertools.accumulate(
        (max((track.identity for track in tracks), default=0) + 1 for tracks in runs), initial=0
    )
    numbers = [
        [offset + track.identity for track in tracks]
        for offset, tracks in zip(offsets, runs, strict=False)
    ]
    merged, identity_of = [], {}
    for entry in merge_tracks(entries, **options):
        run, index = entry['members'][0]
        leader = runs[run][index]
        members = [numbers[run][index] for run, index in entry['members']]
        identity = next((identity_of[i] for i in members if i in identity_of), members[0])
        for member in members:
            identity_of.setdefault(member, identity)
        masks = entry['segmentations']
        kept = masks is leader.segmentations
        merged.append(
            Track(
                identity,
                leader.label,
                entry['score'],
                masks,
                leader.bboxes if kept else [_box(mask) for mask in masks],
            )
        )
    first = results[0]
    return MergedResult(first.video_id, first.length, first.ori_shape, merged=merged)


def _box(mask: dict | None) -> list[float] | None:
    """x1, y1, x2, y2 of a mask."""
    if mask is None:
        return None
    x, y, w, h = mask_util.toBbox(mask).tolist()
    return [x, y, x + w, y + h]
