"""From the dicts of the transforms to tensors and data samples."""

import mmcv
from mmdet.datasets.transforms import PackTrackInputs

from mmvis_cl.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackVISInputs(PackTrackInputs):
    """mmdet's ``PackTrackInputs`` for frames that may differ in size.

    The frames of a sample are padded with zeros at the right and at the bottom to the largest
    height and width among them. ``img_shape`` stays each frame's own unpadded (height, width), and
    so do its masks. Arguments are those of ``PackTrackInputs``.
    """

    def transform(self, results: dict) -> dict:
        """Packs a sample of T frames.

        Args:
            results: A dict of lists of length T; ``img`` holds arrays (h, w, 3), uint8.

        Returns:
            ``inputs``, a uint8 tensor (T, 3, H, W), and ``data_samples``, a ``TrackDataSample`` of
            T ``DetDataSample``.
        """
        height = max(img.shape[0] for img in results['img'])
        width = max(img.shape[1] for img in results['img'])
        padded = [mmcv.impad(img, shape=(height, width)) for img in results['img']]
        return super().transform({**results, 'img': padded})
