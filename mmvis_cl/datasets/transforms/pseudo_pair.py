"""The frames of a video made from one image."""

import copy

from mmcv.transforms import BaseTransform

from mmvis_cl.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PseudoPair(BaseTransform):
    """Gives an image twice, as the key and the reference frame of a video, or more often.

    What follows makes the two differ: transforms inside a ``TransformBroadcaster`` with
    ``share_random_params=False`` draw for each frame anew. An object is known in both frames by its
    ``instance_id``, its place in the image's list of objects where the data set gives none, counted
    from 1: mmdet's QDTrack takes 0 for an object that is in no other frame. Crowds
    (``ignore_flag``) are left out.

    Args:
        num_frames: Frames of the video, at least 2.
    """

    def __init__(self, num_frames: int = 2) -> None:
        if num_frames < 2:
            raise ValueError(f'num_frames must be at least 2, got {num_frames}')
        self.num_frames = num_frames

    def transform(self, image: dict) -> dict:
        """Makes the frames.

        Args:
            image: An image as mmdet's ``CocoDataset`` describes it, with ``img_id`` and
                ``instances``, a list of any length.

        Returns:
            A dict of lists of length ``num_frames`` as from `KeyRefFrameSample`, key frame first,
            with ``key_frame_flags``. ``video_id`` is the image's id. The frames share nothing.
        """
        instances = [
            dict(instance, instance_id=instance.get('instance_id', place))
            for place, instance in enumerate(image['instances'], start=1)
            if not instance.get('ignore_flag')
        ]
        frames = [
            dict(
                copy.deepcopy(dict(image, instances=instances)),
                video_id=image['img_id'],
                frame_id=frame_id,
                video_length=self.num_frames,
                ori_video_length=self.num_frames,
            )
            for frame_id in range(self.num_frames)
        ]
        pair = {key: [frame[key] for frame in frames] for key in frames[0]}
        return dict(pair, key_frame_flags=[True] + [False] * (self.num_frames - 1))

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(num_frames={self.num_frames})'
