"""What happens to objects that a transform has moved out of the frame."""

from mmcv.transforms import BaseTransform
from mmdet.structures.bbox import autocast_box_type

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
