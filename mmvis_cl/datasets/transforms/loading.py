"""Reading one frame, with errors that say which frame of which video is at fault."""

import cv2
import numpy as np
from mmcv.transforms import LoadImageFromFile

from mmvis_cl.errors import InputError
from mmvis_cl.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadFrame(LoadImageFromFile):
    """Loads a frame (BGR, uint8) and checks it against its annotation.

    Pillow decodes by default, for it refuses a truncated JPEG; older versions of OpenCV fill the
    missing part with grey instead.

    Args:
        imdecode_backend: Decoder, see ``mmcv.imfrombytes``.
        **kwargs: Arguments of mmcv's ``LoadImageFromFile``.
    """

    def __init__(self, imdecode_backend: str = 'pillow', **kwargs) -> None:
        super().__init__(imdecode_backend=imdecode_backend, **kwargs)

    def transform(self, results: dict) -> dict:
        """Reads ``results['img_path']``.

        Args:
            results: A frame: ``img_path``, and ``height``, ``width`` (pixels), ``video_id``,
                ``frame_id`` where known.

        Returns:
            The frame with ``img`` (h, w, 3), ``img_shape``, ``ori_shape`` and a unit
            ``homography_matrix``.

        Raises:
            InputError: The image is missing, cannot be decoded (e.g. truncated), or has another
                size than the annotation says.
        """
        where = results['img_path']
        if 'video_id' in results:
            where += f' (video {results["video_id"]}, frame {results["frame_id"]})'
        try:
            results = super().transform(results)
        except FileNotFoundError as error:
            raise InputError(
                f'{where}: the image is missing; check data_root and data_prefix, or put the file '
                'there'
            ) from error
        # Pillow raises OSError or SyntaxError for broken files; with OpenCV it is an assertion, or
        # its own error for an empty file.
        except (OSError, SyntaxError, ValueError, AssertionError, cv2.error) as error:
            reason = ' '.join(str(error).split())
            raise InputError(
                f'{where}: the image cannot be decoded ({reason}); replace the file'
            ) from error
        height, width = results['img_shape']
        expected = (results.get('height', height), results.get('width', width))
        if (height, width) != expected:
            raise InputError(
                f'{where}: the image is {width}x{height} (width x height), its annotation says '
                f'{expected[1]}x{expected[0]}; use the images that the annotations were made on'
            )
        # mmdet's RandomCrop adds this key. mmcv's TransformBroadcaster needs the same keys in all
        # frames, also where only one of them is cropped.
        results['homography_matrix'] = np.eye(3, dtype=np.float32)
        return results
