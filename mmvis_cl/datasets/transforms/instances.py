"""What happens to objects that a transform has moved out of the frame."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.structures.bbox import autocast_box_type
from mmdet.structures.mask import BitmapMasks

from mmvis_cl.registry import TRANSFORMS


@TRANSFORMS.register_module()
class BoxesFromMasks(BaseTransform):
    """Gives every object the box of its mask, and drops those of which no pixel is left.

    A crop may leave a box but nothing of its object, or a corner of an object in a box of its old
    size, and shrinking can wipe out a tiny mask. Put this after the last transform that moves or
    resizes. Boxes, labels, masks and ids go together, so that the identities of the others are
    untouched.
    """

    KEYS = ('gt_bboxes_labels', 'gt_masks', 'gt_ignore_flags', 'gt_instances_ids')

    @autocast_box_type()
    def transform(self, results: dict) -> dict:
        """Filters the per-object entries of a frame.

        Args:
            results: A frame with ``gt_masks`` (BitmapMasks of n objects) and other entries of
                length n.

        Returns:
            The frame with the objects that are still visible; ``gt_bboxes`` are x1, y1, x2, y2 in
            pixels, the right and lower edges being those of the last pixel.
        """
        visible = results['gt_masks'].masks.any(axis=(1, 2))
        for key in self.KEYS:
            if key in results:
                results[key] = results[key][visible]
        results['gt_bboxes'] = results['gt_masks'].get_bboxes(type(results['gt_bboxes']))
        return results


@TRANSFORMS.register_module()
class LostObjects(BaseTransform):
    """Keeps what is annotated in a frame and has left it as ignored, with an empty mask.

    A clip's matching tells an object that was cut away from one that was not annotated. Nothing
    else looks at ignored objects. Put this last.
    """

    @autocast_box_type()
    def transform(self, results: dict) -> dict:
        """Adds the objects.

        Args:
            results: A frame with ``instances``, its annotations, and what is left of them in
                ``gt_bboxes``, ``gt_bboxes_labels``, ``gt_masks``, ``gt_ignore_flags`` and
                ``gt_instances_ids``.

        Returns:
            The frame; the objects that were added come last.
        """
        left = set(results['gt_instances_ids'].tolist())
        lost = [one for one in results['instances'] if one['instance_id'] not in left]
        lost = [one for one in lost if not one.get('ignore_flag')]
        if not lost:
            return results
        boxes, masks = results['gt_bboxes'], results['gt_masks']
        none = boxes.tensor.new_zeros((len(lost), 4))
        results['gt_bboxes'] = type(boxes).cat((boxes, type(boxes)(none)))
        empty = np.zeros((len(lost), masks.height, masks.width), masks.masks.dtype)
        masks = np.concatenate((masks.masks.reshape(-1, masks.height, masks.width), empty))
        results['gt_masks'] = BitmapMasks(masks, *masks.shape[1:])
        for key, values in {
            'gt_bboxes_labels': [one['bbox_label'] for one in lost],
            'gt_instances_ids': [one['instance_id'] for one in lost],
            'gt_ignore_flags': [True] * len(lost),
        }.items():
            results[key] = np.concatenate((results[key], np.array(values, results[key].dtype)))
        return results
