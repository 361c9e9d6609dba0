"""Images annotated in the COCO format."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any, ClassVar

from mmdet.datasets import CocoDataset
from mmengine import fileio
from mmengine.logging import print_log

from mmvis_cl.errors import InputError, quoted
from mmvis_cl.json_file import parse_json, read_bytes
from mmvis_cl.registry import DATASETS

from .annotation_file import (
    check_box,
    check_categories,
    check_file_name,
    check_id,
    check_new_id,
    check_size,
    is_crowd,
    is_number,
    listed,
    require,
)
from .class_lists import class_list
from .coco_classes import COCO_TO_VIS, CTVIS_COCO_TO_VIS
from .seeded_sampler import seed_sample
from .segmentations import check_image_mask


@DATASETS.register_module()
class COCOImages(CocoDataset):
    """mmdet's ``CocoDataset`` whose labels go by name, and whose samples can be seeded.

    The file's categories are matched to the classes by name, a label is the position in the class
    list. Annotations of further categories are skipped, and in training crowds as well.

    Args:
        ann_file: Annotation file, relative to ``data_root`` unless absolute.
        classes: 'coco' for its 80; '2019', '2021', '2022' or 'ovis' for the lists of YouTube-VIS
            and OVIS; a sequence of names; or None for the categories of the file in its order.
        class_map: Which class a category of the file is: a dict {category: class}, or 'coco' for
            `COCO_TO_VIS` of ``classes``, which must be one of the VIS lists then, or 'ctvis' for
            what CTVIS's release takes. None: they have the same names. Several categories may be
            one class.
        metainfo: Further information on the data set.
        data_prefix: ``dict(img=...)``, the folder that the file's image paths start from.
        absolute_paths: Take images that the file names by absolute paths. By default only those
            in the folder of the data are read.
        **kwargs: Arguments of mmdet's ``CocoDataset``: ``data_root``, ``pipeline``, ``test_mode``,
            ... With ``filter_cfg=dict(filter_empty_gt=True)`` training leaves out images without
            objects.

    Raises:
        InputError: The file is missing, broken or contradicts itself, a class or category is not
            there, the first image is not where ``data_prefix`` says, or nothing is left.
    """

    # No palette: it would be wrong for other classes.
    METAINFO: ClassVar[dict] = dict(classes=CocoDataset.METAINFO['classes'])

    def __init__(
        self,
        ann_file: str,
        classes: str | Sequence[str] | None = 'coco',
        class_map: str | dict[str, str] | None = None,
        metainfo: dict | None = None,
        data_prefix: dict | None = None,
        absolute_paths: bool = False,
        **kwargs,
    ) -> None:
        self._absolute_paths = absolute_paths
        if isinstance(class_map, str):
            tables = dict(coco=COCO_TO_VIS, ctvis=CTVIS_COCO_TO_VIS)
            if class_map not in tables:
                raise InputError(
                    f"COCOImages: class_map={class_map!r}; give 'coco', 'ctvis' or a dict"
                )
            if not isinstance(classes, str) or classes not in COCO_TO_VIS:
                raise InputError(
                    f'COCOImages: class_map={class_map!r} leads to the classes of '
                    f'{", ".join(map(repr, COCO_TO_VIS))}, but classes={classes!r}; '
                    'give one of them, or a dict as class_map'
                )
            class_map = tables[class_map][classes]
        self.class_map = class_map
        if isinstance(classes, str) and classes != 'coco':
            classes = class_list(classes)
        self.classes_of_file = classes is None
        if classes is not None and classes != 'coco':
            metainfo = {**(metainfo or {}), 'classes': tuple(classes)}
        prefix = {'img': '', **(data_prefix or {})}
        super().__init__(ann_file=ann_file, metainfo=metainfo, data_prefix=prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Reads ``ann_file``.

        Returns:
            One dict an image, as mmdet's ``CocoDataset``.

        Raises:
            InputError: See the class.
        """
        if not fileio.exists(self.ann_file, backend_args=self.backend_args):
            raise InputError(
                f'{self.ann_file}: the annotation file is missing; check data_root and ann_file'
            )
        with fileio.get_local_path(self.ann_file, backend_args=self.backend_args) as path:
            content = parse_json(read_bytes(path), self.ann_file)
        if not isinstance(content, dict):
            raise InputError(
                f'{self.ann_file}: not a COCO annotation file (no object {{...}}); copy or '
                'download it again'
            )
        required = ['images', 'categories']
        if not self.test_mode or content.get('annotations') is not None:
            required.append('annotations')
        missing = [key for key in required if not isinstance(content.get(key), list)]
        if missing:
            raise InputError(
                f'{self.ann_file}: no list {", ".join(map(repr, missing))} at its top level; give '
                'a file in the COCO format'
            )
        categories = check_categories(content['categories'], self.ann_file)
        self._match_categories(categories)
        images = {}
        for index, image in enumerate(content['images']):
            self._check_image(image, f'{self.ann_file}: entry {index} of images', images)
            images[image['id']] = image
        of_image, self.cat_img_map = defaultdict(list), defaultdict(list)
        seen = set()
        for index, annotation in enumerate(content.get('annotations') or ()):
            self._check_annotation(annotation, index, images, categories, seen)
            of_image[annotation['image_id']].append(annotation)
            self.cat_img_map[annotation['category_id']].append(annotation['image_id'])
        return [
            self.parse_data_info(
                dict(
                    raw_img_info=dict(image, img_id=image_id),
                    raw_ann_info=of_image.get(image_id, []),
                )
            )
            for image_id, image in images.items()
        ]

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Takes what is needed of an image and its annotations; leaves crowds out in training.

        Args:
            raw_data_info: ``raw_img_info``, the image's entry, and ``raw_ann_info``, a list.

        Returns:
            The image as mmdet's ``CocoDataset`` describes it.
        """
        annotations = raw_data_info['raw_ann_info']
        if not self.test_mode:
            annotations = [a for a in annotations if not a['iscrowd']]
        image = super().parse_data_info(dict(raw_data_info, raw_ann_info=annotations))
        if not self.test_mode and any('mask' not in i for i in image['instances']):
            raise InputError(
                f'{self.ann_file}: image {quoted(image["img_id"])} has an annotation without '
                "'segmentation'; masks are needed for training, add it or remove the annotation"
            )
        return image

    def filter_data(self) -> list[dict]:
        """Applies ``filter_cfg``; checks that the first image can be found.

        Returns:
            The images to use.

        Raises:
            InputError: No image is left, or the first does not exist.
        """
        images = super().filter_data()
        if not self.test_mode:
            if (self.filter_cfg or {}).get('filter_empty_gt'):
                images = [image for image in images if image['instances']]
            print_log(
                f'{self.ann_file}: {len(images)} of {len(self.data_list)} images are used for '
                'training',
                'current',
            )
        if not images:
            raise InputError(
                f'{self.ann_file}: the {"test" if self.test_mode else "training"} set is empty: '
                f'it has {len(self.data_list)} images, and none with an annotation of the classes '
                'that is large enough; give another file, other classes or another filter_cfg'
            )
        # Looking for all files takes minutes on a network disk; one is enough for a wrong prefix.
        first = images[0]['img_path']
        if not fileio.exists(first, backend_args=self.backend_args):
            raise InputError(
                f'{first}: the first image of {self.ann_file} is missing; check data_root and '
                "data_prefix=dict(img=...), the folder that the file's image paths start from"
            )
        return images

    def prepare_data(self, idx: int) -> Any:
        """Runs the pipeline on an image.

        Args:
            idx: What the sampler gave. If it carries a seed (`SeededInfiniteSampler`), the sample's
                random choices follow from that alone.

        Returns:
            The pipeline's output.
        """
        seed_sample(idx)
        return super().prepare_data(idx)

    def _check_image(self, image: object, where: str, known: Collection) -> None:
        require(image, ('id', 'file_name', 'height', 'width'), where, 'COCO')
        check_id(image['id'], where, known)
        where = f'{self.ann_file}: image {quoted(image["id"])}'
        if image['id'] in known:
            raise InputError(f'{where}: this id is given to two images; make ids unique')
        check_size(image['height'], image['width'], where)
        if not isinstance(image['file_name'], str):
            raise InputError(
                f'{where}: the name of its file is {quoted(image["file_name"])}; give its path'
            )
        check_file_name(image['file_name'], where, self._absolute_paths)

    def _check_annotation(
        self, annotation: object, index: int, images: dict, categories: dict, seen: set
    ) -> None:
        """Also makes ``iscrowd`` 0 or 1, and a list of a polygon that is in none."""
        where = f'{self.ann_file}: entry {index} of annotations'
        require(annotation, ('image_id', 'category_id', 'bbox', 'area'), where, 'COCO')
        if 'id' in annotation:
            check_id(annotation['id'], where)
            where = f'{self.ann_file}: annotation {quoted(annotation["id"])}'
            check_new_id(annotation['id'], where, seen)
        for key, known, kind in (
            ('image_id', images, 'images'),
            ('category_id', categories, 'categories'),
        ):
            check_id(annotation[key], where)
            if annotation[key] not in known:
                raise InputError(
                    f"{where}: {key} {quoted(annotation[key])} is not in the list '{kind}'; "
                    'correct it or remove the annotation'
                )
        image = images[annotation['image_id']]
        check_box(annotation['bbox'], image['height'], image['width'], where)
        if not is_number(annotation['area']):
            raise InputError(
                f'{where}: the area is {quoted(annotation["area"])}; give its number of pixels'
            )
        annotation['iscrowd'] = int(is_crowd(annotation, where))
        if annotation.get('segmentation') not in (None, []):
            annotation['segmentation'] = check_image_mask(
                annotation['segmentation'], image['height'], image['width'], where
            )

    def _match_categories(self, names: dict[int | str, str]) -> None:
        """Sets ``cat_ids``, ``cat2label`` and, if they are to be the file's, the classes."""
        names_of_file = list(names.values())
        if self.class_map is not None:
            absent = [name for name in self.class_map if name not in names.values()]
            names = {i: self.class_map[name] for i, name in names.items() if name in self.class_map}
        if self.classes_of_file:
            self._metainfo['classes'] = tuple(dict.fromkeys(names.values()))
        classes = list(self._metainfo['classes'])
        if self.class_map is None:
            absent = [name for name in classes if name not in names.values()]
        else:
            strange = [name for name in self.class_map.values() if name not in classes]
            if strange:
                raise InputError(
                    f'COCOImages: class_map leads to {", ".join(map(repr, strange))}, and classes '
                    'does not have it; make them agree'
                )
        if absent:
            raise InputError(
                f'{self.ann_file}: has no category {", ".join(map(repr, absent))}; it has '
                f'{listed(list(map(repr, names_of_file)), 300)}; set classes (and num_classes), or '
                'class_map, to those of the file'
            )
        self.cat2label = {i: classes.index(name) for i, name in names.items() if name in classes}
        self.cat_ids = list(self.cat2label)
        # mmdet's CocoMetric takes the n-th category of the file for label n
        if self.test_mode and list(self.cat2label.values()) != list(range(len(classes))):
            raise InputError(
                f'{self.ann_file}: its categories are not the classes one by one in the same '
                'order, and CocoMetric would confuse them; give classes in the order of the file'
            )
