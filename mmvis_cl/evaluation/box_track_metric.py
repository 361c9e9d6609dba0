"""The YouTube-VIS metric for models that track boxes."""

from typing import Any

import numpy as np
from mmengine.structures import BaseDataElement
from pycocotools import mask as mask_utils

from mmvis_cl.datasets.segmentations import masks_of_track
from mmvis_cl.errors import InputError
from mmvis_cl.registry import METRICS

from .vis_metric import VISMetric


@METRICS.register_module()
class BoxTrackMetric(VISMetric):
    """AP and AR of tracks of boxes: `VISMetric` with each object's box in place of its mask.

    Boxes are cut at the frame's border and rasterised. Written results (``outfile_prefix``) have
    the boxes as masks.

    Args:
        ann_file: Annotations in the format of YouTube-VIS, with masks.
        any_class: Take all classes for one, as QDTrack does, which learns boxes without classes.
        **kwargs: Other arguments of `VISMetric`.

    Raises:
        InputError: See `VISMetric`.
    """

    default_prefix = 'box_track'

    def __init__(self, ann_file: str, any_class: bool = False, **kwargs: Any) -> None:
        super().__init__(ann_file=ann_file, **kwargs)
        self.any_class = any_class
        if self.annotations is None:
            raise InputError('BoxTrackMetric: ann_file is None; give annotations with masks')
        sizes = {v['id']: (v['height'], v['width']) for v in self.annotations['videos']}
        tracks = []
        for index, track in enumerate(self.annotations.get('annotations') or []):
            size = sizes[track['video_id']]
            where = f'{ann_file}: annotation {track.get("id", index)}'
            boxes = [
                mask and _box_rle(mask_utils.toBbox(mask), size)
                for mask in masks_of_track(track['segmentations'], *size, where)
            ]
            # without the areas, which are those of the masks
            tracks.append({key: value for key, value in track.items() if key != 'areas'})
            tracks[-1]['segmentations'] = boxes
            if any_class:
                tracks[-1]['category_id'] = 1
        self.annotations = {**self.annotations, 'annotations': tracks}
        if any_class:
            self.annotations['categories'] = [dict(id=1, name='object')]

    def _category_ids(self) -> list[int]:
        if self.any_class:
            return [1] * len(self.dataset_meta['classes'])
        return super()._category_ids()

    def _process_frame(self, frame: BaseDataElement) -> None:
        found = frame.pred_track_instances
        h, w = (int(side) for side in frame.ori_shape[:2])
        corners = found.bboxes.detach().cpu().numpy().clip(0, (w, h, w, h)).astype(np.float64)
        corners[:, 2:] -= corners[:, :2]
        found.masks = [_box_rle(box, (h, w)) for box in corners]
        super()._process_frame(frame)


def _box_rle(box: np.ndarray, size: tuple[int, int]) -> dict:
    """RLE, of ``size`` (h, w), of a box x, y, w, h in pixels."""
    return mask_utils.frPyObjects(box[None], *size)[0]
