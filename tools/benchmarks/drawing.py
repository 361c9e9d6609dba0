"""Time of drawing a tracked frame, and of drawing and encoding a video, on one CPU core.

``python tools/benchmarks/drawing.py`` draws made-up frames of 720p with 5, 10 and 35 objects, from
what a tracker gives (RLE, boxes, scores): by ours, by supervision's annotators on dense masks,
which is the straightforward way, and, where this supervision has them, on its compact masks.
Objects are as large as people in a street, 180x180 pixels in the mean; they move, and scores change
with each frame. CPU time, which the load of the machine changes less; least of ``--repeat`` runs.

Then the frames are drawn and written to an mp4, one after the other and with the thread of
``VideoWriter``: wall time. Before each frame ``--wait`` milliseconds pass, as for a GPU's network;
x264 has as many threads as it likes in both.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import supervision as sv
from timing import best_times, header, machine, row

from mmvis_cl.engine.cli import one_line_errors
from mmvis_cl.errors import InputError
from mmvis_cl.structures import FrameResult, encode_masks
from mmvis_cl.visualization import FrameDrawer, VideoWriter, identity_colors

OBJECTS = 5, 10, 35
CLASSES = 'person', 'car', 'skateboard', 'dog', 'giant_panda'
SUPERVISION, COMPACT, OURS = 'supervision', 'supervision, compact masks', 'ours'


def frames_with(objects: int, number: int, height: int = 720, width: int = 1280) -> list:
    """Frames with as many objects: outlines with waves, some with a hole or cut in two."""
    rng = np.random.default_rng(objects)
    noise = rng.integers(60, 190, (height // 80, width // 80, 3), np.uint8)
    image = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    angle = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    centers = rng.uniform(0.1, 0.9, (objects, 2)) * (width, height)
    radii = rng.uniform(0.055, 0.235, (objects, 1)) * height * (0.6, 1.1)
    steps = rng.uniform(-4, 4, (objects, 2))
    waves = np.ones((objects, len(angle)))
    for k in range(2, 7):
        size, phase = rng.uniform(0, 0.25 / k, (objects, 1)), rng.uniform(0, 7, (objects, 1))
        waves += size * np.cos(k * angle + phase)
    scores = rng.uniform(0.3, 0.95, objects)
    frames = []
    for t in range(number):
        masks = np.zeros((objects, height, width), np.uint8)
        for i, mask in enumerate(masks):
            center = centers[i] + t * steps[i]
            outline = (
                center + np.stack((np.cos(angle), np.sin(angle)), 1) * waves[i, :, None] * radii[i]
            )
            cv2.fillPoly(mask, [outline.round().astype(np.int32)], 1)
            x, y = center.round().astype(int).tolist()
            if i % 4 == 0:
                cv2.circle(mask, (x, y), int(radii[i, 0] * 0.3), 0, -1)
            elif i % 4 == 1:
                mask[:, max(0, x) : x + 12] = 0
        seen = [i for i in range(objects) if masks[i].any()]
        boxes = [cv2.boundingRect(masks[i]) for i in seen]
        frames.append(
            FrameResult(
                index=t,
                time=t / 25,
                image=image,
                identities=np.array(seen),
                labels=np.array(seen) % len(CLASSES),
                classes=[CLASSES[i % len(CLASSES)] for i in seen],
                scores=(scores[seen] + 0.004 * t).astype(np.float32),
                bboxes=np.float32([(x, y, x + w, y + h) for x, y, w, h in boxes]),
                rles=encode_masks(masks[seen]),
            )
        )
    return frames


def draw_with_supervision(frame: FrameResult, compact: bool = False) -> np.ndarray:
    """What ``FrameDrawer`` draws, by supervision's annotators."""
    detections = (
        frame.to_supervision()
        if not compact
        else sv.Detections(
            xyxy=frame.bboxes,
            mask=sv.CompactMask.from_coco_rle(frame.rles, frame.bboxes, frame.image.shape[:2]),
            tracker_id=frame.identities,
        )
    )
    colors = frame.identities % 20
    table = identity_colors(range(20))
    palette = sv.ColorPalette([sv.Color(*color) for color in table.tolist()])
    light = table @ np.array([0.299, 0.587, 0.114]) > 128
    texts = sv.ColorPalette([sv.Color.BLACK if each else sv.Color.WHITE for each in light])
    unit = min(frame.image.shape[:2]) / 360
    thickness = max(1, round(1.5 * unit))
    canvas = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
    for annotator in (
        sv.MaskAnnotator(color=palette, opacity=0.45),
        sv.PolygonAnnotator(color=palette, thickness=thickness),
        sv.BoxAnnotator(color=palette, thickness=thickness),
    ):
        canvas = annotator.annotate(canvas, detections, custom_color_lookup=colors)
    labels = [
        f'#{identity} {name} {score:.2f}'
        for identity, name, score in zip(frame.identities, frame.classes, frame.scores, strict=True)
    ]
    canvas = sv.LabelAnnotator(
        color=palette,
        text_color=texts,
        text_scale=0.4 * unit,
        text_thickness=max(1, round(unit)),
        text_padding=max(2, round(3 * unit)),
        smart_position=True,
    ).annotate(canvas, detections, labels=labels, custom_color_lookup=colors)
    return cv2.cvtColor(canvas, cv2.COLOR_BGR2RGB)


def ways() -> dict[str, Callable[[list], list]]:
    """Each draws all frames of a list."""
    found = {SUPERVISION: lambda frames: [draw_with_supervision(frame) for frame in frames]}
    if hasattr(sv, 'CompactMask'):
        found[COMPACT] = lambda frames: [draw_with_supervision(frame, True) for frame in frames]

    def ours(frames: list) -> list:
        drawer = FrameDrawer()
        return [drawer.draw(frame) for frame in frames]

    return {**found, OURS: ours}


class SerialWriter(VideoWriter):
    """Encodes a frame before it goes on."""

    def open(self) -> None:
        super().open()
        self._thread.give = lambda task: task()


def write_video(writer: type[VideoWriter], path: Path, frames: list, wait: float = 0.0) -> None:
    """Draw frames that come after so many seconds each, and write them."""
    drawer = FrameDrawer()
    with writer(path, fps=25) as video:
        for frame in frames:
            time.sleep(wait)
            video.write(drawer.draw(frame))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--objects', type=int, nargs='+', default=OBJECTS, help='of a frame')
    parser.add_argument('--frames', type=int, default=10, help='default: %(default)s')
    parser.add_argument('--height', type=int, default=720, help='of 16:9; default: %(default)s')
    parser.add_argument('--wait', type=float, default=10, help='default: %(default)s')
    parser.add_argument('--repeat', type=int, default=5, help='default: %(default)s')
    args = parser.parse_args(argv)
    with one_line_errors():
        least = min(*args.objects, args.frames, args.repeat)
        if least < 1 or args.height < 80 or not args.wait >= 0:
            raise InputError(
                '--objects, --frames, --repeat of at least 1, --height of at least 80 and --wait '
                'of at least 0 are needed'
            )
        cv2.setNumThreads(1)
        width = args.height * 16 // 9
        print(f'Machine: {machine()}; OpenCV {cv2.__version__}, supervision {sv.__version__}')
        print(f'\nCPU milliseconds a frame of {width}x{args.height}, least of {args.repeat} runs\n')
        drawing = ways()
        print(header('objects', *drawing, *(f'{name} / ours' for name in drawing if name != OURS)))
        for objects in args.objects:
            frames = frames_with(objects, args.frames, args.height, width)
            runs = {name: partial(draw, frames) for name, draw in drawing.items()}
            times = {name: cpu for name, (cpu, _) in best_times(runs, args.repeat).items()}
            ratios = [f'{times[name] / times[OURS]:.1f}' for name in times if name != OURS]
            print(row(objects, *(per_frame(t, args.frames) for t in times.values()), *ratios))

        print(f'\nTo an mp4, {objects} objects, {args.wait} ms of waiting, wall time\n')
        names = 'one after the other', 'in a thread'
        print(header('', *names, 'ratio'))
        with tempfile.TemporaryDirectory() as folder:
            write = partial(
                write_video, path=Path(folder) / 'a.mp4', frames=frames, wait=args.wait / 1000
            )
            variants = dict(
                zip(names, (partial(write, SerialWriter), partial(write, VideoWriter)), strict=True)
            )
            walls = [wall for _, wall in best_times(variants, args.repeat).values()]
        figures = (per_frame(wall, args.frames) for wall in walls)
        print(row('ms a frame', *figures, f'{walls[0] / walls[1]:.2f}'))


def per_frame(seconds: float, frames: int) -> str:
    """Milliseconds."""
    return f'{1000 * seconds / frames:.2f}'


if __name__ == '__main__':
    main()
