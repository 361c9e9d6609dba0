"""A pair of frames made from one image."""

import copy

from mmcv.transforms import BaseTransform

from mmvis_cl.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PseudoPair(BaseTransform):
    """Gives an image twice, as the key and the reference frame of a video of two frames.

    What follows makes the two differ: transforms inside a ``TransformBroadcaster`` with
    ``share_random_params=False`` draw for each frame anew. An object is known in both frames by its
    ``instance_id``, its place in the image's list of objects where the data set gives none, counted
    from 1: mmdet's QDTrack takes 0 for an object that is in no other frame. Crowds
    (``ignore_flag``) are left out.
    """

    def transform(self, image: dict) -> dict:
        """Makes the pair.

        Args:
            image: An image as mmdet's ``CocoDataset`` describes it, with ``img_id`` and
                ``instances``, a list of any length.

        Returns:
            A dict of lists of length 2 as from `KeyRefFrameSample`, key frame first, with
            ``key_frame_flags``. ``video_id`` is the image's id. The two frames share nothing.
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
                video_length=2,
                ori_video_length=2,
            )
            for frame_id in (0, 1)
        ]
        pair = {key: [frame[key] for frame in frames] for key in frames[0]}
        return dict(pair, key_frame_flags=[True, False])

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}()'
