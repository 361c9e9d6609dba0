"""Normalisation and padding of a batch of frame pairs or of a video's frames."""

from mmdet.models.data_preprocessors import TrackDataPreprocessor

from mmvis_cl.registry import MODELS


@MODELS.register_module()
class VISDataPreprocessor(TrackDataPreprocessor):
    """mmdet's track preprocessor for frames that differ in size within a pair.

    The packed frames of a pair lie at the top left of the larger frame's canvas. Their surplus must
    be 0 after the normalisation, as the padding of a batch is, or the network would see a dark
    border.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Normalise, pad to the batch's largest frame, and clear what lies outside each frame.

        Args:
            data (dict): ``inputs``, a list of N uint8 tensors (T, 3, h, w), and ``data_samples``, N
                :obj:`TrackDataSample` with T frames each.
            training (bool): whether the batch is for training.

        Returns:
            dict: ``inputs`` float (N, T, 3, H, W), H and W multiples of ``pad_size_divisor``, and
            the data samples with ``batch_input_shape`` (H, W) set.
        """
        data = super().forward(data, training)
        inputs = data['inputs']
        for n, sample in enumerate(data['data_samples'] or []):
            for t, frame in enumerate(sample):
                h, w = frame.img_shape[:2]
                inputs[n, t, :, h:] = 0
                inputs[n, t, :, :, w:] = 0
        return data
