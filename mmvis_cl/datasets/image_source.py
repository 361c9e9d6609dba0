"""Image files as a source: one for each frame, or one file that holds all frames."""

from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from mmvis_cl.errors import InputError

from .frame_source import IMAGES_FPS, SourceFrame, VideoSource
from .image_files import open_image, pages_of, read_image, to_rgb


class ImageFiles(VideoSource):
    """An image file for each frame."""

    def __init__(
        self, files: Sequence[Path], name: str, start: int, max_frames: int | None
    ) -> None:
        super().__init__(name, start, max_frames)
        if start >= len(files):
            raise InputError(
                f'{files[0].parent}: has {len(files)} images and so no frame {start}; start lower'
            )
        self._files = files
        self.size = read_image(files[start]).shape[:2]
        self._set_length(len(files))

    def _read(self) -> Generator[SourceFrame, None, None]:
        for index in range(self.start, len(self._files)):
            yield SourceFrame(index, index / self.fps, read_image(self._files[index]))

    def _where(self, index: int) -> str:
        return str(self._files[index])


class PagedImage(VideoSource):
    """One file with several images: an animated WebP or PNG, a TIFF of several pages.

    Its ``fps`` is that of the first image. The times are those of the file; of pages, which have
    none, as many a second as of other images.
    """

    def __init__(self, path: Path, start: int, max_frames: int | None) -> None:
        super().__init__(path.stem, start, max_frames)
        self._path = path
        with closing(self._pages()) as pages:
            _, seconds, image = next(pages)
        self.size = image.shape[:2]
        self.fps = 1 / seconds
        with open_image(path, str(path)) as image:
            self._set_length(len(pages_of(image)))

    def _pages(self) -> Generator[tuple[int, float, np.ndarray], None, None]:
        """Number, seconds for which it is shown, and pixels of each."""
        with open_image(self._path, str(self._path)) as image:
            for index, page in enumerate(pages_of(image)):
                image.seek(page)
                pixels = to_rgb(image, f'{self._path}, frame {index}')
                # in milliseconds; 0 is "as fast as you can", which nobody takes at its word
                yield index, (image.info.get('duration') or 1000 / IMAGES_FPS) / 1000, pixels

    def _read(self) -> Generator[SourceFrame, None, None]:
        begin = 0.0
        with closing(self._pages()) as pages:
            for index, seconds, pixels in pages:
                if index >= self.start:
                    yield SourceFrame(index, begin, pixels)
                begin += seconds
