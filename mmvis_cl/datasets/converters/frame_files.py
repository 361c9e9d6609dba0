"""Frames of one's own videos: where they are, and how they get into a data set."""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from mmvis_cl.datasets.image_files import entries_in, images_in, read_image
from mmvis_cl.datasets.video_source import open_source
from mmvis_cl.errors import InputError

VIDEO_SUFFIXES = ('.mp4', '.mov', '.m4v', '.avi', '.mkv', '.webm', '.mpg', '.mpeg', '.ts', '.wmv')
JPEG_QUALITY = 95
ORIENTATION = 0x0112  # in EXIF


@dataclass
class ImageFrames:
    """Frames that are image files.

    Attributes:
        paths: Of the images, in order.
    """

    paths: list[Path]

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self.paths)

    def check_size(self, size: tuple[int, int] | None) -> tuple[int, int]:
        """Height and width of the first frame in pixels.

        Args:
            size: What the annotations say, before anything is made of that size; None if nothing.

        Raises:
            InputError: The image cannot be decoded, or is of another size.
        """
        image = read_image(self.paths[0])
        _check_size(image.shape[:2], size, str(self.paths[0]))
        return image.shape[:2]

    def bytes_to_copy(self) -> int:
        """Room that the JPEGs among them need; others are encoded, of which nobody knows."""
        files = [path for path in self.paths if path.suffix.lower() in ('.jpg', '.jpeg')]
        return sum(path.stat().st_size for path in files)

    def save(self, folder: Path, size: tuple[int, int]) -> Iterator[Path]:
        """Write ``00000.jpg`` and so on; a JPEG is copied, others are encoded anew.

        Args:
            folder: Where to; it is there.
            size: Height and width that each frame must have.

        Yields:
            The name of each image when it is written.

        Raises:
            InputError: An image cannot be decoded, or is of another size.
        """
        for number, path in enumerate(self.paths):
            image = read_image(path)  # also of a JPEG, which may be cut off
            _check_size(image.shape[:2], size, str(path))
            target = folder / f'{number:05d}.jpg'
            with Image.open(path) as file:
                as_it_is = (
                    file.format == 'JPEG'
                    and file.mode in ('RGB', 'L')
                    and file.getexif().get(ORIENTATION, 1) == 1
                )
            if as_it_is:
                shutil.copyfile(path, target)
            else:
                Image.fromarray(image).save(target, quality=JPEG_QUALITY)
            yield target


@dataclass
class VideoFrames:
    """Frames of a video file.

    Attributes:
        path: Of the file.
        numbers: Of the frames, from 0 on, in order.
    """

    path: Path
    numbers: Sequence[int]

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self.numbers)

    def check_size(self, size: tuple[int, int] | None) -> tuple[int, int]:
        """Height and width of the frames in pixels.

        Args:
            size: What the annotations say, before anything is made of that size; None if nothing.

        Raises:
            InputError: It is no video, is of another size, or is far too short.
        """
        with open_source(self.path) as source:
            _check_size(source.size, size, str(self.path))
            # the length that a file gives may be a guess
            if source.length and self.numbers[-1] > 2 * source.length + 100:
                raise self._too_short(f'about {source.length}')
            return source.size

    def bytes_to_copy(self) -> int:
        """Nothing is copied."""
        return 0

    def save(self, folder: Path, size: tuple[int, int]) -> Iterator[Path]:
        """See :meth:`ImageFrames.save`; the file is read to its end.

        Raises:
            InputError: The file ends before the last frame, is damaged (frames would be missing,
                and the annotations lie on wrong ones), or is of another size.
        """
        saved = 0
        with open_source(self.path) as source:
            for frame in source:
                if saved == len(self.numbers) or frame.index != self.numbers[saved]:
                    continue
                _check_size(frame.image.shape[:2], size, f'{self.path}, frame {frame.index}')
                target = folder / f'{saved:05d}.jpg'
                Image.fromarray(frame.image).save(target, quality=JPEG_QUALITY)
                saved += 1
                yield target
            frames = frame.index + 1
            if source.problem:
                raise InputError(
                    f'{source.problem}: the annotations could lie on wrong frames; give a whole '
                    'file, or the frames as images'
                )
        if saved < len(self.numbers):
            raise self._too_short(str(frames))

    def _too_short(self, frames: str) -> InputError:
        return InputError(
            f'{self.path}: has {frames} frames, the annotations go to frame '
            f'{self.numbers[-1]} (the first is 0); give the video that was annotated'
        )


Frames = ImageFrames | VideoFrames


def folders_in(folder: Path) -> list[Path]:
    """The folders of a folder in natural order; hidden ones, as ``.ipynb_checkpoints``, are not."""
    return [path for path in entries_in(folder) if os.path.isdir(path)]


def files_in(folder: Path) -> list[Path]:
    """The files of a folder in natural order; hidden ones are not."""
    return [path for path in entries_in(folder) if os.path.isfile(path)]


def find_video(root: Path, names: Sequence[str], alone: bool) -> Path:
    """The folder of images, or the video file, that belongs to a video.

    Args:
        root: A video file, a folder of images, or a folder that holds one of both for each video.
        names: Names that it may have, without a video's suffix; the first that is there counts.
        alone: The video is the only one, so that ``root`` itself may be it.

    Raises:
        InputError: It is not there, or several videos are to come from one file.
    """
    if os.path.isfile(root) and alone:
        return root
    if os.path.isfile(root):
        raise InputError(
            f'{root}: is one file, but several videos are annotated; give a folder that holds a '
            f'folder of images or a video file for each, here {names[0]!r}'
        )
    if not os.path.isdir(root):
        raise InputError(f'{root}: there is no such file or folder; correct --frames')
    files = [path for path in files_in(root) if path.suffix.lower() in VIDEO_SUFFIXES]
    for name in names:
        if not is_below(name):
            continue
        if os.path.isdir(root / name):
            return root / name
        for path in sorted(files):
            if name in (path.name, path.stem):
                return path
    if alone and images_in(root):
        return root
    raise InputError(
        f'{root}: holds no folder of images and no video file with the name '
        f'{" or ".join(repr(name) for name in names if name)}; put it there or correct --frames'
    )


def is_below(name: str) -> bool:
    """Whether what has this name lies in the folder that the name starts from.

    Names in files of annotations are others' words: ``..`` or an absolute path would read what
    nobody wanted to give away.
    """
    path = Path(name)
    return bool(path.parts) and not path.is_absolute() and '..' not in path.parts


def pick_images(folder: Path, numbers: Sequence[int]) -> dict[int, Path]:
    """Which image is which frame.

    With as many images as frames they belong together in order. Else, if the images are called
    ``frame_000012`` as CVAT's are, their numbers count; else the images are those of the whole
    video, from frame 0 on.

    Args:
        folder: With the images.
        numbers: Of the frames that are wanted, in order.

    Returns:
        The image of each frame that has one; only with names as CVAT's some may have none.

    Raises:
        InputError: There are too few images.
    """
    files = images_in(folder)
    if len(files) == len(numbers):
        return dict(zip(numbers, files, strict=True))
    named = [re.fullmatch(r'frame_(\d+)', path.stem, re.IGNORECASE) for path in files]
    if files and all(named):
        by_number = {int(match[1]): path for match, path in zip(named, files, strict=True)}
        return {number: by_number[number] for number in numbers if number in by_number}
    if len(files) > numbers[-1]:
        return {number: files[number] for number in numbers}
    raise InputError(
        f'{folder}: holds {len(files)} images for {len(numbers)} frames ({numbers[0]} to '
        f'{numbers[-1]}); give the images of these frames or of the whole video'
    )


def _check_size(found: tuple[int, int], size: tuple[int, int] | None, where: str) -> None:
    if size is not None and tuple(found) != tuple(size):
        raise InputError(
            f'{where}: is {found[1]}x{found[0]} (width x height), its annotations are for '
            f'{size[1]}x{size[0]}; give the frames that were annotated'
        )
