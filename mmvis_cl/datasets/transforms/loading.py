"""Reading one frame, with errors that say which frame of which video is at fault."""

import io

import cv2
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio

from mmvis_cl.datasets.image_files import check_image_path, decode_image
from mmvis_cl.errors import InputError
from mmvis_cl.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadFrame(LoadImageFromFile):
    """Loads a frame (BGR, uint8) and checks it against its annotation.

    By default the pixels are those that tracking sees, see :func:`read_image`: Pillow decodes, for
    it refuses a truncated JPEG, where older versions of OpenCV fill the missing part with grey.

    Args:
        imdecode_backend: Another decoder than 'pillow', see ``mmcv.imfrombytes``; it clips 16 bits.
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
                size than the annotation says; or see :func:`read_image`.
        """
        where = results['img_path']
        if 'video_id' in results:
            where += f' (video {results["video_id"]}, frame {results["frame_id"]})'
        try:
            if self.imdecode_backend == 'pillow' and self.color_type == 'color':
                results = self._decode(results, where)
            else:
                results = super().transform(results)
        except InputError:
            if self.ignore_empty:
                return None
            raise
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

    def _decode(self, results: dict, where: str) -> dict:
        path = results['img_path']
        if self.backend_args is None and '://' not in path:
            check_image_path(path, where)
            file = path
        else:
            file = io.BytesIO(fileio.get(path, backend_args=self.backend_args))
        image = cv2.cvtColor(decode_image(file, where), cv2.COLOR_RGB2BGR)
        results['img'] = image.astype(np.float32) if self.to_float32 else image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results
