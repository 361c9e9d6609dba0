"""What happens to objects that a transform has moved out of the frame."""

from mmcv.transforms import BaseTransform

from mmvis_cl.registry import TRANSFORMS


@TRANSFORMS.register_module()
class DropEmptyInstances(BaseTransform):
    """Drops every object of which no mask pixel is left.

    mmdet's ``RandomCrop`` keeps an object whose box reaches into the crop even if its mask does
    not, and shrinking a frame can wipe out a tiny mask. Put this after the last such transform.
    Boxes, labels, masks and ids go together, so that the identities of the others are untouched.
    """

    KEYS = ('gt_bboxes', 'gt_bboxes_labels', 'gt_masks', 'gt_ignore_flags', 'gt_instances_ids')

    def transform(self, results: dict) -> dict:
        """Filters the per-object entries of a frame.

        Args:
            results: A frame with ``gt_masks`` (BitmapMasks of n objects) and other entries of
                length n.

        Returns:
            The frame with the objects that are still visible.
        """
        visible = results['gt_masks'].masks.any(axis=(1, 2))
        for key in self.KEYS:
            if key in results:
                results[key] = results[key][visible]
        return results
