"""Videos annotated in the YouTube-VIS format."""

import os.path as osp
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import mmengine
from mmdet.datasets import BaseVideoDataset
from mmengine import fileio
from mmengine.logging import print_log
from pycocotools import mask as mask_utils

from mmvis_cl.errors import InputError
from mmvis_cl.registry import DATASETS

from .class_lists import as_spelled_in_file, class_list
from .seeded_sampler import seed_sample
from .segmentations import to_rle


@DATASETS.register_module()
class VISDataset(BaseVideoDataset):
    """Reads the official YouTube-VIS JSON: videos, and one annotation a track.

    One item is one video. In training, items go through a pipeline that samples frames
    (`KeyRefFrameSample`); in test mode an index (video, frame) gives one frame.

    The file's categories are matched to the classes *by name*; a label is the position in the
    class list. Annotations of further categories of the file are skipped. ``instance_id`` is the
    annotation's id. Masks may be compressed RLE, uncompressed RLE or polygons, and are kept as
    compressed RLE. Training leaves out crowd annotations, and videos in which nothing is annotated.
    Frames in which nothing is visible stay.

    Args:
        ann_file: Annotation file, relative to ``data_root`` unless absolute. The official test
            files, which have no annotations, are read in test mode only.
        classes: '2019', '2021' or '2022' for the lists of YouTube-VIS (2022's is 2021's), 'ovis'
            for OVIS's, a sequence of names, or None for the categories of the file in the order of
            their ids. ``metainfo=dict(classes=...)`` does the same. Of the official names the
            file's spelling is taken ('Vehical' and 'Vehicle' are one class).
        metainfo: Further information on the data set.
        **kwargs: Arguments of mmdet's ``BaseVideoDataset``: ``data_root``, ``data_prefix``
            (``dict(img_path=...)``, the folder that the file's image paths start from),
            ``pipeline``, ``test_mode``, ``indices``, ...

    Raises:
        InputError: The file is missing, broken or contradicts itself, a class is not in it, the
            first image is not where ``data_prefix`` says, or nothing is left to train on.
    """

    def __init__(
        self,
        ann_file: str,
        classes: str | Sequence[str] | None = None,
        metainfo: dict | None = None,
        **kwargs,
    ) -> None:
        self._official_classes = isinstance(classes, str)
        if isinstance(classes, str):
            classes = class_list(classes)
        if classes is not None:
            metainfo = {**(metainfo or {}), 'classes': tuple(classes)}
        super().__init__(ann_file=ann_file, metainfo=metainfo, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Reads and checks ``ann_file``.

        Returns:
            One dict a video: ``video_id``, ``video_length`` and ``images``, a list of dicts, one a
            frame, with ``img_id``, ``img_path``, ``file_name``, ``height``, ``width`` (pixels),
            ``frame_id``, ``video_id`` and ``instances``: dicts with ``bbox`` (x1, y1, x2, y2 in
            pixels), ``bbox_label``, ``ignore_flag``, ``mask`` (RLE) and ``instance_id``.

        Raises:
            InputError: See the class.
        """
        content = self._read_ann_file()
        self._match_categories(content)
        videos = {}
        for index, raw in enumerate(content['videos']):
            with self._one_problem(f'{self.ann_file}: entry {index} of videos'):
                self._add_video(raw, videos)
        seen = set()
        for index, annotation in enumerate(content.get('annotations') or []):
            with self._one_problem(f'{self.ann_file}: entry {index} of annotations'):
                self._add_track(annotation, videos, seen)
        return list(videos.values())

    def filter_data(self) -> list[dict]:
        """Drops what cannot be trained on; checks that the first image can be found.

        Returns:
            The videos to use.

        Raises:
            InputError: No video is left, or the first image does not exist.
        """
        videos = self.data_list
        if not self.test_mode:
            videos = [v for v in videos if any(image['instances'] for image in v['images'])]
            print_log(
                f'{self.ann_file}: {len(videos)} of {len(self.data_list)} videos have an annotation'
                ' and are used for training',
                'current',
            )
        if not videos:
            raise InputError(
                f'{self.ann_file}: the {"test" if self.test_mode else "training"} set is empty: '
                + (
                    'the file has no videos'
                    if not self.data_list
                    else 'none of its videos has an annotation (crowd annotations do not count)'
                )
                + '; give another file or other classes'
            )
        # Looking for all files takes minutes on a network disk; one is enough for a wrong prefix.
        first = videos[0]['images'][0]['img_path']
        if not fileio.exists(first, backend_args=self.backend_args):
            raise InputError(
                f'{first}: the first image of {self.ann_file} is missing; check data_root and '
                "data_prefix=dict(img_path=...), the folder that the file's image paths start from"
            )
        return videos

    def prepare_data(self, idx: int | tuple[int, int]) -> Any:
        """Runs the pipeline on a video, or on a frame given as (video, frame).

        Args:
            idx: What the sampler gave. If it carries a seed (`SeededInfiniteSampler`), the sample's
                random choices follow from that alone.

        Returns:
            The pipeline's output.
        """
        seed_sample(idx)
        return super().prepare_data(idx)

    def _one_problem(self, where: str) -> AbstractContextManager:
        """Around what is checked on its own: a subclass can collect the errors and go on."""
        return nullcontext()

    def _read_ann_file(self) -> dict:
        try:
            content = mmengine.load(
                self.ann_file, file_format='json', backend_args=self.backend_args
            )
        except FileNotFoundError as error:
            raise InputError(
                f'{self.ann_file}: the annotation file is missing; check data_root and ann_file'
            ) from error
        except ValueError as error:
            raise InputError(
                f'{self.ann_file}: not valid JSON ({error}); copy or download the file again'
            ) from error
        required = ['videos', 'categories'] + ([] if self.test_mode else ['annotations'])
        found = content if isinstance(content, dict) else {}
        missing = [key for key in required if not isinstance(found.get(key), list)]
        if missing:
            raise InputError(
                f'{self.ann_file}: no list {", ".join(map(repr, missing))} at its top level; give '
                'a file in the YouTube-VIS format'
                + (', with annotations for training' if 'annotations' in missing else '')
            )
        return content

    def _match_categories(self, content: dict) -> None:
        """Sets ``cat_ids``, ``cat2label`` and, where not given, the classes."""
        for category in content['categories']:
            _require(category, ('id', 'name'), f'{self.ann_file}: a category')
        categories = sorted(content['categories'], key=lambda category: category['id'])
        names = [category['name'] for category in categories]
        if self._metainfo.get('classes') is None:
            self._metainfo['classes'] = tuple(names)
        if self._official_classes:
            self._metainfo['classes'] = as_spelled_in_file(self._metainfo['classes'], names)
        classes = list(self._metainfo['classes'])
        absent = [name for name in classes if name not in names]
        if absent and (content.get('annotations') or not self.test_mode):
            raise InputError(
                f'{self.ann_file}: has no category for the classes {", ".join(absent)}; it has '
                f'{", ".join(map(str, names))}; set classes (and num_classes) to those of the file'
            )
        for kind, values in (
            ('category id', [category['id'] for category in categories]),
            ('category name', [name for name in names if name in classes]),
            ('class', classes),
        ):
            repeated = sorted({str(value) for value in values if values.count(value) > 1})
            if repeated:
                raise InputError(
                    f'{self.ann_file}: {kind} given more than once: {", ".join(repeated)}; '
                    'make them differ'
                )
        self.known_cat_ids = {category['id'] for category in categories}
        self.cat2label = {
            category['id']: classes.index(category['name'])
            for category in categories
            if category['name'] in classes
        }
        self.cat_ids = list(self.cat2label)

    def _add_video(self, raw: dict, videos: dict[int, dict]) -> None:
        """Checks one video and lists its frames."""
        _require(raw, ('id', 'width', 'height', 'file_names'), f'{self.ann_file}: a video')
        video_id, file_names = raw['id'], raw['file_names']
        where = f'{self.ann_file}: video {video_id}'
        if not file_names:
            raise InputError(
                f"{where}: has no frames ('file_names' is empty); remove it or list its images"
            )
        if raw.get('length', len(file_names)) != len(file_names):
            raise InputError(
                f"{where}: 'length' is {raw['length']} but 'file_names' lists "
                f'{len(file_names)} images; make them agree'
            )
        if video_id in videos:
            raise InputError(f'{where}: this id is given to two videos; make ids unique')
        last = next(reversed(videos.values()), None)
        first_id = 0 if last is None else last['images'][-1]['img_id'] + 1
        images = [
            dict(
                img_id=first_id + frame_id,
                img_path=osp.join(self.data_prefix.get('img_path') or '', file_name),
                file_name=file_name,
                height=raw['height'],
                width=raw['width'],
                frame_id=frame_id,
                video_id=video_id,
                instances=[],
            )
            for frame_id, file_name in enumerate(file_names)
        ]
        videos[video_id] = dict(video_id=video_id, video_length=len(images), images=images)

    def _add_track(self, annotation: dict, videos: dict[int, dict], seen: set) -> None:
        """Checks one annotation and spreads it over the frames of its video."""
        _require(
            annotation,
            ('id', 'video_id', 'category_id', 'segmentations'),
            f'{self.ann_file}: an annotation',
        )
        ann_id, video_id = annotation['id'], annotation['video_id']
        where = f'{self.ann_file}: annotation {ann_id} of video {video_id}'
        if video_id not in videos:
            raise InputError(f"{where}: no such video in 'videos'; add it or remove the annotation")
        video = videos[video_id]
        images = video['images']
        where += f' ({osp.dirname(images[0]["file_name"]) or images[0]["file_name"]})'
        if ann_id in seen:
            raise InputError(f'{where}: this id is given to two annotations; make ids unique')
        seen.add(ann_id)
        if annotation['category_id'] not in self.known_cat_ids:
            raise InputError(
                f"{where}: category_id {annotation['category_id']} is not in the list 'categories'"
                f' ({", ".join(map(str, sorted(self.known_cat_ids)))}); correct it or add the '
                'category'
            )
        segmentations = annotation['segmentations']
        bboxes = annotation.get('bboxes') or [None] * len(images)
        for key, values in (('segmentations', segmentations), ('bboxes', bboxes)):
            if not isinstance(values, list) or len(values) != len(images):
                entries = len(values) if isinstance(values, list) else 'no'
                raise InputError(
                    f"{where}: '{key}' has {entries} entries, the video has {len(images)} frames; "
                    'give one entry a frame, null where the object is not seen'
                )
        label = self.cat2label.get(annotation['category_id'])
        crowd = bool(annotation.get('iscrowd', 0))
        skipped = label is None or (crowd and not self.test_mode)
        for image, segmentation, bbox in zip(images, segmentations, bboxes, strict=True):
            if not segmentation:
                continue
            frame = f'{where}, frame {image["frame_id"]}'
            with self._one_problem(frame):
                mask = to_rle(segmentation, image['height'], image['width'], frame)
                if bbox is None:
                    bbox = mask_utils.toBbox(mask).tolist()
                elif len(bbox) != 4:
                    raise InputError(
                        f'{frame}: the box {bbox} is not [x, y, width, height]; mend it'
                    )
                if skipped:
                    continue
                x, y, width, height = bbox
                image['instances'].append(
                    dict(
                        bbox=[x, y, x + width, y + height],
                        bbox_label=label,
                        ignore_flag=int(crowd),
                        mask=mask,
                        instance_id=ann_id,
                    )
                )


def _require(entry: dict, keys: Sequence[str], where: str) -> None:
    missing = [key for key in keys if key not in entry]
    if missing:
        name = f' (id {entry["id"]})' if 'id' in entry else ''
        raise InputError(
            f'{where}{name} lacks {", ".join(map(repr, missing))}; give a file in the YouTube-VIS '
            'format'
        )
