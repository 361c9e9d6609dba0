"""Is a downloaded data set whole? All problems of annotations and images, not only the first."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mmvis_cl.datasets.image_files import image_size, kind_of_path
from mmvis_cl.datasets.segmentations import to_rle
from mmvis_cl.datasets.transforms import LoadFrame
from mmvis_cl.datasets.youtube_vis import VISDataset
from mmvis_cl.errors import InputError
from mmvis_cl.processes import pool_of_workers

SPLITS = ('train', 'valid', 'test')
# Of a split: YouTube-VIS 2019 and data of one's own; 2021 and 2022; OVIS.
ANN_FILES = ('{}.json', '{}/instances.json', 'annotations_{}.json')
IMAGE_FOLDERS = ('{}/JPEGImages', 'JPEGImages', '{}')


@dataclass
class SplitFiles:
    """Where a split is.

    Attributes:
        name: 'train', 'valid' or 'test'; or 'annotations' for a file that was named by hand.
        ann_file: Its annotation file.
        image_folder: The folder that the file's image paths start from.
        others: Further annotation files of the split, which are not looked at.
    """

    name: str
    ann_file: Path
    image_folder: Path
    others: list[Path] = field(default_factory=list)


@dataclass
class SplitReport:
    """What was found in a split.

    Attributes:
        files: Where it is.
        videos: How many videos can be used, and so on.
        frames: Of those videos.
        tracks: Annotations, crowd included.
        masks: One for each frame of a track in which it is seen.
        problems: (kind, message) of each; the kinds are 'annotation', 'missing image' and 'broken
            image' (cannot be decoded, or is of another size than annotated).
    """

    files: SplitFiles
    videos: int = 0
    frames: int = 0
    tracks: int = 0
    masks: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)


def find_splits(tree: str | os.PathLike) -> list[SplitFiles]:
    """The splits of a data set, by the annotation files that its folder holds.

    Args:
        tree: Folder in the layout of YouTube-VIS 2019 (``train.json``), 2021 or 2022
            (``train/instances.json``), OVIS (``annotations_train.json``), or as the moving shapes
            (``train.json`` and one ``JPEGImages`` for all).

    Returns:
        The splits of which the annotation file or a folder of images is there.

    Raises:
        InputError: If ``tree`` is no folder, or holds no annotation file.
    """
    tree = Path(tree)
    if not os.path.isdir(tree):
        raise InputError(f'{tree}: there is no such folder')
    there = {
        name: [pattern for pattern in ANN_FILES if os.path.isfile(tree / pattern.format(name))]
        for name in SPLITS
    }
    patterns = [pattern for found in there.values() for pattern in found]
    if not patterns:
        raise InputError(
            f'{tree}: no annotation file of any split (for training {tree / "train.json"}, '
            f'{tree / "train/instances.json"} or {tree / "annotations_train.json"}); give the '
            'folder of YouTube-VIS or OVIS, or an annotation file with --images'
        )
    splits = []
    for name, found in there.items():
        if not found and not os.path.isdir(tree / name):
            continue
        # Images without annotations: the file should be where it is for the other splits.
        ann_file, *others = found or patterns[:1]
        folders = [tree / folder.format(name) for folder in IMAGE_FOLDERS]
        if ann_file == ANN_FILES[2]:
            folders.reverse()
        image_folder = next((folder for folder in folders if os.path.isdir(folder)), folders[0])
        splits.append(
            SplitFiles(
                name,
                tree / ann_file.format(name),
                image_folder,
                [tree / other.format(name) for other in others],
            )
        )
    return splits


def check_split(
    files: SplitFiles,
    decode: bool = True,
    workers: int = 0,
    absolute_paths: bool = False,
    progress: Callable[[Iterable, int], Iterable] = lambda items, total: items,
) -> SplitReport:
    """Check the annotations of a split and all of its images.

    Args:
        files: Where the split is. Annotations are required of 'train' only.
        decode: Decode each image; otherwise only look for it and read its size from its header.
        workers: Processes that look at the images; 0 for none but this.
        absolute_paths: Take images that the file names by absolute paths.
        progress: Wraps the iterable over the images, whose number is the second argument.

    Returns:
        The counts and all problems. An annotation file that cannot be read at all is one problem,
        and ends the check of the split.
    """
    report = SplitReport(files)
    dataset = _CollectingDataset(files, absolute_paths)
    try:
        videos = dataset.load_data_list()
    except InputError as error:
        report.problems.append(('annotation', str(error)))
        return report
    report.problems += [('annotation', problem) for problem in dataset.problems]
    report.tracks = dataset.tracks
    report.videos = len(videos)
    images = []
    for video in videos:
        report.frames += video['video_length']
        report.masks += sum(len(image['instances']) for image in video['images'])
        folder = os.path.dirname(video['images'][0]['img_path'])
        if os.path.isdir(folder):
            images += [
                {key: image[key] for key in ('img_path', 'height', 'width', 'video_id', 'frame_id')}
                for image in video['images']
            ]
        else:
            message = (
                f'{folder} (video {video["video_id"]}): the folder with its '
                f'{video["video_length"]} images is missing; unpack or download it again'
            )
            report.problems.append(('missing image', message))
    check = partial(_check_image, decode=decode)
    with _mapped(check, images, workers) as results:
        report.problems += [problem for problem in progress(results, len(images)) if problem]
    return report


class _CollectingDataset(VISDataset):
    """Notes what is wrong with the annotations and goes on."""

    def __init__(self, files: SplitFiles, absolute_paths: bool) -> None:
        self.problems, self.tracks = [], 0
        super().__init__(
            ann_file=os.path.abspath(files.ann_file),
            data_prefix=dict(img_path=str(files.image_folder)),
            test_mode=files.name != 'train',
            pipeline=[],
            absolute_paths=absolute_paths,
            lazy_init=True,
        )

    @contextmanager
    def _one_problem(self, where: str) -> Iterator[None]:
        try:
            yield
        except InputError as error:
            self.problems.append(str(error))

    def _add_track(self, annotation: dict, *args) -> None:
        self.tracks += 1
        super()._add_track(annotation, *args)

    def _masks(self, segmentations: list, height: int, width: int, where: str) -> list[dict | None]:
        """Tells of each broken mask, where reading ends with the first."""
        try:
            return super()._masks(segmentations, height, width, where)
        except InputError:
            masks = [None] * len(segmentations)
        for frame, segmentation in enumerate(segmentations):
            of_frame = f'{where}, frame {frame}'
            with self._one_problem(of_frame):
                if segmentation not in (None, []):
                    masks[frame] = to_rle(segmentation, height, width, of_frame)
        return masks


def _check_image(image: dict, decode: bool) -> tuple[str, str] | None:
    where = f'{image["img_path"]} (video {image["video_id"]}, frame {image["frame_id"]})'
    if not kind_of_path(image['img_path']):
        return 'missing image', f'{where}: the image is missing; unpack or download it again'
    if decode:
        try:
            LoadFrame().transform(image)
        except InputError as error:
            return 'broken image', str(error)
        return None
    try:
        height, width = image_size(image['img_path'], where)
    except InputError as error:
        return 'broken image', str(error)
    if (width, height) != (image['width'], image['height']):
        return 'broken image', (
            f'{where}: the image is {width}x{height} (width x height), its annotation says '
            f'{image["width"]}x{image["height"]}; use the images that the annotations were made on'
        )
    return None


@contextmanager
def _mapped(function: Callable, items: list, workers: int) -> Iterator[Iterable]:
    if workers == 0:
        yield map(function, items)
        return
    with pool_of_workers(workers) as pool:
        yield pool.map(function, items, chunksize=16)
