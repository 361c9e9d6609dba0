"""Videos annotated in the YouTube-VIS format."""

import os.path as osp
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from mmdet.datasets import BaseVideoDataset
from mmengine import fileio
from mmengine.logging import print_log
from pycocotools import mask as mask_utils

from mmvis_cl.errors import InputError, quoted
from mmvis_cl.json_file import parse_json, read_json
from mmvis_cl.registry import DATASETS

from .annotation_file import (
    check_box,
    check_categories,
    check_file_name,
    check_length,
    check_new_id,
    check_track,
    check_video,
    is_crowd,
    listed,
    require,
)
from .class_lists import as_spelled_in_file, class_list
from .seeded_sampler import seed_sample
from .segmentations import masks_of_track


@DATASETS.register_module()
class VISDataset(BaseVideoDataset):
    """Reads the official YouTube-VIS JSON: videos, and one annotation a track.

    One item is one video. In training, items go through a pipeline that samples frames
    (`KeyRefFrameSample`); in test mode an index (video, frame) gives one frame.

    The file's categories are matched to the classes *by name*; a label is the position in the
    class list. Annotations of further categories of the file are skipped. ``annotation_id`` is the
    annotation's id, any number or text, and ``instance_id`` too if all of them fit into 31 bits, or
    else its place in the file. Ids of videos may be texts as well. Masks may be compressed RLE,
    uncompressed RLE or polygons, and are kept as compressed RLE. Training leaves out crowd
    annotations, and videos in which nothing is annotated. Frames in which nothing is visible stay.

    Args:
        ann_file: Annotation file, relative to ``data_root`` unless absolute. The official test
            files, which have no annotations, are read in test mode only.
        classes: '2019', '2021' or '2022' for the lists of YouTube-VIS (2022's is 2021's), 'ovis'
            for OVIS's, a sequence of names, or None for the categories of the file in the order of
            their ids. ``metainfo=dict(classes=...)`` does the same. Of the official names the
            file's spelling is taken ('Vehical' and 'Vehicle' are one class).
        metainfo: Further information on the data set.
        absolute_paths: Take images that the file names by absolute paths. By default only those
            in the folder of the data are read.
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
        absolute_paths: bool = False,
        **kwargs,
    ) -> None:
        self._absolute_paths = absolute_paths
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
            pixels), ``bbox_label``, ``ignore_flag``, ``mask`` (RLE), ``instance_id`` and
            ``annotation_id``.

        Raises:
            InputError: See the class.
        """
        content = self._read_ann_file()
        self._match_categories(content)
        videos = {}
        for index, raw in enumerate(content['videos']):
            with self._one_problem(f'{self.ann_file}: entry {index} of videos'):
                self._add_video(raw, index, videos)
        lengths = {video_id: video['video_length'] for video_id, video in videos.items()}
        annotations = content.get('annotations') or []
        seen = set()
        # Arrays and tensors hold the numbers of the tracks.
        self._ids_fit = all(
            isinstance(annotation, dict)
            and type(annotation.get('id')) is int
            and 0 <= annotation['id'] < 2**31
            for annotation in annotations
        )
        for index, annotation in enumerate(annotations):
            with self._one_problem(f'{self.ann_file}: entry {index} of annotations'):
                self._add_track(annotation, index, videos, lengths, seen)
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
        if not fileio.exists(self.ann_file, backend_args=self.backend_args):
            raise InputError(
                f'{self.ann_file}: the annotation file is missing; check data_root and ann_file'
            )
        if self.backend_args is None and '://' not in self.ann_file:
            content = read_json(self.ann_file)
        else:
            content = parse_json(
                fileio.get(self.ann_file, backend_args=self.backend_args), self.ann_file
            )
        found = content if isinstance(content, dict) else {}
        required = ['videos', 'categories']
        if not self.test_mode or found.get('annotations') is not None:
            required.append('annotations')
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
        names_by_id = check_categories(content['categories'], self.ann_file)
        names = [names_by_id[category_id] for category_id in sorted(names_by_id)]
        if self._metainfo.get('classes') is None:
            self._metainfo['classes'] = tuple(names)
        if self._official_classes:
            self._metainfo['classes'] = as_spelled_in_file(self._metainfo['classes'], names)
        classes = list(self._metainfo['classes'])
        absent = [name for name in classes if name not in names]
        if absent and (content.get('annotations') or not self.test_mode):
            raise InputError(
                f'{self.ann_file}: has no category for the classes {listed(absent)}; it has '
                f'{listed(names, 300)}; set classes (and num_classes) to those of the file'
            )
        repeated = sorted({str(name) for name in classes if classes.count(name) > 1})
        if repeated:
            raise InputError(
                f'{self.ann_file}: class given more than once: {listed(repeated)}; make them differ'
            )
        self.known_cat_ids = set(names_by_id)
        self.cat2label = {
            category_id: classes.index(names_by_id[category_id])
            for category_id in sorted(names_by_id)
            if names_by_id[category_id] in classes
        }
        self.cat_ids = list(self.cat2label)

    def _add_video(self, raw: dict, index: int, videos: dict[int | str, dict]) -> None:
        """Checks one video and lists its frames."""
        check_video(raw, index, self.ann_file, videos)
        require(raw, ('file_names',), f'{self.ann_file}: a video')
        video_id, file_names = raw['id'], raw['file_names']
        for frame, file_name in enumerate(file_names):
            where = f'{self.ann_file}: video {quoted(video_id)}, frame {frame}'
            check_file_name(file_name, where, self._absolute_paths)
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

    def _add_track(
        self,
        annotation: dict,
        index: int,
        videos: dict[int | str, dict],
        lengths: dict[int | str, int],
        seen: set,
    ) -> None:
        """Checks one annotation and spreads it over the frames of its video."""
        where = check_track(annotation, index, self.ann_file, lengths, self.known_cat_ids)
        images = videos[annotation['video_id']]['images']
        where += f' ({osp.dirname(images[0]["file_name"]) or images[0]["file_name"]})'
        check_new_id(annotation.get('id'), where, seen)
        bboxes = annotation.get('bboxes')
        if bboxes is None:
            bboxes = [None] * len(images)
        check_length('bboxes', bboxes, len(images), where)
        label = self.cat2label.get(annotation['category_id'])
        crowd = is_crowd(annotation, where)
        skipped = label is None or (crowd and not self.test_mode)
        size = images[0]['height'], images[0]['width']
        masks = self._masks(annotation['segmentations'], *size, where)
        for image, mask, bbox in zip(images, masks, bboxes, strict=True):
            if mask is None:
                continue
            frame = f'{where}, frame {image["frame_id"]}'
            with self._one_problem(frame):
                if bbox is None:
                    bbox = mask_utils.toBbox(mask).tolist()
                else:
                    check_box(bbox, *size, frame)
                if skipped:
                    continue
                x, y, width, height = bbox
                image['instances'].append(
                    dict(
                        bbox=[x, y, x + width, y + height],
                        bbox_label=label,
                        ignore_flag=int(crowd),
                        mask=mask,
                        instance_id=annotation['id'] if self._ids_fit else index,
                        annotation_id=annotation.get('id', index),
                    )
                )

    def _masks(self, segmentations: list, height: int, width: int, where: str) -> list[dict | None]:
        return masks_of_track(segmentations, height, width, where)
