"""One video that somebody sent, from the file to the outputs."""

import os
import re
import time
import zipfile
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np

from mmvis_cl.apis import VISInferencer, open_source
from mmvis_cl.datasets.image_files import IMAGE_SUFFIXES
from mmvis_cl.datasets.video_file import open_container
from mmvis_cl.errors import InputError, in_one_line
from mmvis_cl.files import fitting_name, whole_file
from mmvis_cl.outputs import open_outputs
from mmvis_cl.visualization import FrameDrawer

SHOWN_HEIGHT = 540  # pixels, of a frame while it is tracked
SHOWN_EVERY = 0.2  # seconds
# What FFmpeg may take a file for. Its other formats include lists (HLS, ffconcat, DASH, SDP) that
# name further files or addresses: such an upload would show videos of this machine to its sender.
CONTAINERS = 'mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,flv,asf,ogg,mxf,h264,hevc,m4v'


class Kind(NamedTuple):
    """An output to choose: what the page calls it, and what its file's name ends in."""

    label: str
    ending: str


OUTPUTS = {
    'video': Kind('Video with masks drawn (.mp4)', '_tracked.mp4'),
    'json': Kind('Tracks, YouTube-VIS (.json)', '.json'),
    'coco': Kind('Tracks, COCO (.json)', '_coco.json'),
    'masks': Kind('Masks, indexed PNGs (.zip)', '_masks'),
    'csv': Kind('Table (.csv)', '.csv'),
    'mots': Kind('MOTS (.txt)', '_mots.txt'),
    'cvat': Kind('For CVAT (.zip)', '_cvat.zip'),
    'label-studio': Kind('For Label Studio (.json)', '_label_studio.json'),
}
USUAL = ('video', 'json', 'coco', 'masks')


@dataclass(frozen=True)
class Step:
    """How far a video is.

    Attributes:
        said: In a line.
        image: (h, w, 3) uint8, RGB: the newest frame with its masks drawn; None where there is
            none, or none newer.
        files: The outputs, by their kinds; empty before the end.
        failed: What is said is an error.
    """

    said: str
    image: np.ndarray | None = None
    files: dict[str, Path] = field(default_factory=dict)
    failed: bool = False


def check_upload(path: str | os.PathLike) -> None:
    """Make sure that a file is a video or a picture, and no list of other files.

    Raises:
        InputError: It is none.
    """
    path = Path(path)
    if path.suffix.lower() in (*IMAGE_SUFFIXES, '.gif', '.apng', '.avif'):
        return  # read without FFmpeg
    try:
        open_container(path, options=dict(format_whitelist=CONTAINERS)).close()
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(
            f'{path.name}: is no video that is read here; send an MP4, MOV, MKV, WebM or AVI'
        ) from error


def track_upload(
    inferencer: VISInferencer,
    path: str | os.PathLike,
    folder: Path,
    *,
    kinds: Sequence[str] = USUAL,
    score_thr: float = 0.3,
    max_frames: int = 3000,
    stopped: Callable[[], bool] = lambda: False,
) -> Generator[Step, None, None]:
    """Track a video and write its outputs.

    Args:
        inferencer: The model.
        path: Of the video.
        folder: For the outputs.
        kinds: Of :data:`OUTPUTS`.
        score_thr: Only objects with a score above it.
        max_frames: More are not tracked.
        stopped: Whether to end here; what was tracked so far is in the outputs then.

    Yields:
        How far it is, a few times a second; at the end the outputs.

    Raises:
        InputError: It is no video, or an output cannot be written. After the first frame, what is
            wrong with the video is said in the last step, with the outputs of the frames before.
    """
    check_upload(path)
    with open_source(path, max_frames=max_frames + 1) as source:
        stem = re.sub(r'[^\w.-]+', '_', source.name) or 'video'
        paths = {
            kind: folder
            / fitting_name(stem, OUTPUTS[kind].ending + '.zip', folder).removesuffix('.zip')
            for kind in kinds
        }
        drawer = FrameDrawer()
        outputs = open_outputs(
            paths, source, inferencer.classes, lambda: inferencer.result, drawer=drawer
        )
        of = '' if source.length is None else f' of {min(source.length, max_frames)}'
        done, identities, trouble = 0, set[int](), ''
        begun = shown = time.monotonic()
        try:
            with closing(inferencer.stream(source, score_thr=score_thr)) as frames:
                for frame in frames:
                    if done == max_frames:
                        trouble = f'; only the first {max_frames} frames are tracked here'
                        break
                    outputs.write(frame)
                    done += 1
                    identities.update(frame.identities.tolist())
                    now = time.monotonic()
                    if now - shown >= SHOWN_EVERY or done == 1:
                        shown = now
                        yield Step(
                            f'frame {done}{of}, {len(identities)} identities, '
                            f'{done / (now - begun):.1f} frames/s',
                            _small(drawer.draw(frame)),
                        )
                    if stopped():
                        trouble = '; stopped'
                        break
        except InputError as error:
            if not done:
                outputs.discard()
                raise
            trouble = f'; {in_one_line(error)}'
        except BaseException:
            outputs.discard()
            raise
        outputs.close()
        seconds = time.monotonic() - begun
        files = {
            output_kind: _zipped(made) if os.path.isdir(made) else made
            for output_kind, made in paths.items()
        }
        trouble = trouble or (f'; {source.problem}' if source.problem else '')
        yield Step(
            f'{done} frames, {len(identities)} identities, {done / seconds:.1f} frames/s{trouble}',
            _small(drawer.draw(frame)),
            files,
        )


def _small(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    if height <= SHOWN_HEIGHT:
        return image
    size = max(1, round(width * SHOWN_HEIGHT / height)), SHOWN_HEIGHT
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _zipped(folder: Path) -> Path:
    path = folder.with_name(f'{folder.name}.zip')
    with whole_file(path, 'wb') as file, zipfile.ZipFile(file, 'w') as packed:
        for image in sorted(folder.iterdir()):  # PNGs are compressed already
            packed.write(image, f'{folder.name}/{image.name}')
    return path
