"""Makes docs/tracked_video.webp: a made-up video, tracked by the network of ``make demo``.

``python tools/docs/moving_picture.py work_dirs/demo/iter_1000.pth docs/tracked_video.webp``. The
video has another seed than the demo's, and is longer. ``--video`` chooses one of those of the seed;
12 is one of the best of the first 24.
"""

import argparse
import tempfile
from pathlib import Path

from PIL import Image

from mmvis_cl.apis import VISInferencer
from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes
from mmvis_cl.visualization import FrameDrawer

SEED = 21
LENGTH = 36
FRAME_MS = 100
SIZE = (480, 288)


def main() -> None:
    """Track, draw, write the picture."""
    parser = argparse.ArgumentParser(description='Make the moving picture of the README.')
    parser.add_argument('weights', help='checkpoint of make demo')
    parser.add_argument('out', help='a .webp')
    parser.add_argument('--video', type=int, default=12)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        shapes = Path(folder) / 'shapes'
        number = args.video
        make_moving_shapes(shapes, SEED, train_videos=1, valid_videos=number + 1, length=LENGTH)
        inferencer = VISInferencer(weights=args.weights, device='cpu')
        frames = inferencer.stream(shapes / 'JPEGImages' / f'valid_{number:04}', score_thr=0.35)
        drawer = FrameDrawer()
        drawn = [Image.fromarray(drawer.draw(frame)) for frame in frames]
    first, *rest = (image.resize(SIZE, Image.Resampling.LANCZOS) for image in drawn)
    times = dict(save_all=True, append_images=rest, duration=FRAME_MS, loop=0)
    first.save(args.out, quality=75, method=6, **times)


if __name__ == '__main__':
    main()
