"""How fast the training pipeline of a config gives frames, and where its time goes.

``python tools/benchmarks/loading.py configs/vis_cl/r50_ytvis21.py`` makes videos of 1280x720 in a
folder of its own, as YouTube-VIS has them, and loads pairs of frames from them in one process: what
one worker of the data loader does. Or from data that is there: ``--ann-file FILE --images FOLDER``.
Tables in Markdown: frames a second, and the steps of the pipeline.
"""

import argparse
import json
import logging
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter, process_time

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DefaultScope
from timing import header, machine, row

from mmvis_cl.datasets.class_lists import class_list
from mmvis_cl.engine.cli import load_config, one_line_errors
from mmvis_cl.errors import InputError
from mmvis_cl.registry import DATASETS
from mmvis_cl.structures import encode_masks

# Parts of transforms that deserve a line of their own.
INNER = {
    '_load_masks': 'masks from RLE',
    '_resize_img': 'image',
    '_resize_masks': 'masks',
}


def make_videos(
    folder: Path, names: list[str], videos: int, length: int, size: tuple[int, int], objects: int
) -> Path:
    """Write videos of ellipses that drift over a picture, in the YouTube-VIS format.

    Args:
        folder: Images go to ``JPEGImages`` in it.
        names: Of all categories.
        videos: How many.
        length: Frames in each.
        size: Height and width, in pixels.
        objects: In each video.

    Returns:
        The annotation file.
    """
    rng = np.random.default_rng(0)
    h, w = size
    y, x = np.mgrid[:h, :w]
    content = dict(
        videos=[],
        annotations=[],
        categories=[dict(id=i + 1, name=name) for i, name in enumerate(names)],
    )
    for video in range(1, videos + 1):
        # a coarse picture with fine noise makes files of the size that those of YouTube-VIS have
        picture = cv2.resize(rng.uniform(0, 255, (h // 40, w // 40, 3)), (w, h))
        picture = np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)
        place = rng.uniform(0.3, 0.7, (objects, 2)) * (w, h)
        radius = rng.uniform(0.06, 0.2, (objects, 2)) * (w, h)
        speed = rng.uniform(-0.01, 0.01, (objects, 2)) * (w, h)
        files, tracks = [], [[] for _ in range(objects)]
        for t in range(length):
            frame, masks = np.roll(picture, 4 * t, 1), []
            for (cx, cy), (rx, ry) in zip(place + t * speed, radius, strict=True):
                masks.append(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1)
                frame[masks[-1]] //= 2
            files.append(f'{video:04d}/{t:05d}.jpg')
            path = folder / 'JPEGImages' / files[-1]
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), frame, [cv2.IMWRITE_JPEG_QUALITY, 90])
            for track, rle in zip(tracks, encode_masks(np.stack(masks)), strict=True):
                track.append(rle)
        content['videos'].append(dict(id=video, width=w, height=h, length=length, file_names=files))
        for track in tracks:
            content['annotations'].append(
                dict(
                    id=len(content['annotations']) + 1,
                    video_id=video,
                    category_id=int(rng.integers(len(names))) + 1,
                    segmentations=track,
                    iscrowd=0,
                )
            )
    path = folder / 'train.json'
    path.write_text(json.dumps(content))
    return path


def build_dataset(cfg: Config, ann_file: Path, images: Path) -> BaseDataset:
    """The training set of a config, on other files."""
    dataset = cfg.train_dataloader.dataset.copy()
    dataset.update(
        data_root='',
        ann_file=str(ann_file.resolve()),
        data_prefix=dict(img_path=str(images.resolve())),
    )
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        return DATASETS.build(dataset)


def leaf_transforms(part: object) -> Iterator[BaseTransform]:
    """The transforms of a pipeline that hold no others."""
    inner = list(getattr(part, 'transforms', []))
    if getattr(part, 'resize', None) is not None:  # of RandomChoiceResize
        inner.append(part.resize)
    if not inner:
        yield part
    for transform in inner:
        yield from leaf_transforms(transform)


class Stopwatch:
    """CPU seconds of calls by name, without those of the calls that they make in turn."""

    def __init__(self) -> None:
        self.seconds = defaultdict(float)
        self._inside = [0.0]

    def timed(self, name: str, call: Callable) -> Callable:
        """The function, measured under this name."""

        def inner(*args: object, **kwargs: object) -> object:
            self._inside.append(0.0)
            start = process_time()
            try:
                return call(*args, **kwargs)
            finally:
                spent = process_time() - start
                self.seconds[name] += spent - self._inside.pop()
                self._inside[-1] += spent

        return inner

    def watch(self, dataset: BaseDataset) -> None:
        """Measure the steps of a data set's pipeline from now on."""
        for transform in leaf_transforms(dataset.pipeline):
            name = type(transform).__name__
            for method, words in INNER.items():
                if hasattr(transform, method):
                    setattr(
                        transform,
                        method,
                        self.timed(f'{name}: {words}', getattr(transform, method)),
                    )
            transform.transform = self.timed(name, transform.transform)
        dataset.get_data_info = self.timed('copy of the video', dataset.get_data_info)


def measure(dataset: BaseDataset, samples: int) -> tuple[float, float, dict[str, float]]:
    """Load some pairs, twice.

    Returns:
        Frames per CPU second and per wall second, and the CPU seconds of each step a frame, the
        longest first.
    """
    np.random.seed(0)
    for index in range(min(samples, len(dataset))):  # files into the disk cache
        dataset[index]
    cpu, wall = process_time(), perf_counter()
    for index in range(samples):
        dataset[index % len(dataset)]
    cpu, wall = process_time() - cpu, perf_counter() - wall
    watch = Stopwatch()
    watch.watch(dataset)
    np.random.seed(0)
    start = process_time()
    for index in range(samples):
        dataset[index % len(dataset)]
    spent = process_time() - start
    watch.seconds['everything else'] = spent - sum(watch.seconds.values())
    frames = 2 * samples
    steps = {name: seconds / frames for name, seconds in watch.seconds.items()}
    return frames / cpu, frames / wall, dict(sorted(steps.items(), key=lambda item: -item[1]))


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Speed of the training pipeline.')
    parser.add_argument('config', help='with a VISDataset to train on')
    parser.add_argument('--ann-file', type=Path, help='YouTube-VIS JSON (default: made videos)')
    parser.add_argument('--images', type=Path, help='folder that its image paths start from')
    parser.add_argument('--samples', type=int, default=60, metavar='N', help='pairs (default: 60)')
    parser.add_argument('--videos', type=int, default=6, metavar='N', help='to make (default: 6)')
    parser.add_argument(
        '--length', type=int, default=20, metavar='N', help='frames in each (default: 20)'
    )
    parser.add_argument(
        '--size', type=int, nargs=2, default=(720, 1280), metavar=('H', 'W'), help='of the frames'
    )
    parser.add_argument('--objects', type=int, default=4, metavar='N', help='a video (default: 4)')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with one_line_errors():
        if min(args.samples, args.videos, args.length, args.objects) < 1 or min(args.size) < 40:
            raise InputError(
                '--samples, --videos, --length, --objects: at least 1; --size: at least 40'
            )
        if (args.ann_file is None) != (args.images is None):
            raise InputError('--ann-file and --images: give both or none')
        cfg = load_config(args.config, None, None, 'none')
        source = cfg.train_dataloader.dataset
        if source.type.rpartition('.')[2] != 'VISDataset':
            raise InputError(f'{args.config}: trains on {source.type}; give one with a VISDataset')
        cv2.setNumThreads(0)  # as in the workers
        logging.disable(logging.INFO)
        with tempfile.TemporaryDirectory() as folder:
            ann_file, images = args.ann_file, args.images
            if ann_file is None:
                classes = source.get('classes') or ['object']
                names = class_list(classes) if isinstance(classes, str) else list(classes)
                ann_file = make_videos(
                    Path(folder), names, args.videos, args.length, args.size, args.objects
                )
                images = Path(folder) / 'JPEGImages'
            dataset = build_dataset(cfg, ann_file, images)
            cpu_rate, wall_rate, steps = measure(dataset, args.samples)
        print(f'Machine: {machine()}\n')
        what = args.ann_file or (
            f'{args.videos} made videos of {args.size[1]}x{args.size[0]}, {args.length} frames, '
            f'{args.objects} objects'
        )
        print(f'{Path(args.config).stem} on {what}, {args.samples} pairs, one process:\n')
        print(header('', 'frames a CPU second', 'frames a second'))
        print(row('one worker', f'{cpu_rate:.1f}', f'{wall_rate:.1f}'))
        print('\nCPU milliseconds a frame:\n')
        print(header('', 'ms', 'share'))
        total = sum(steps.values())
        for name, seconds in steps.items():
            print(row(name, f'{1e3 * seconds:.2f}', f'{seconds / total:.0%}'))
        print(row('all', f'{1e3 * total:.2f}', '100%'))


if __name__ == '__main__':
    main()
