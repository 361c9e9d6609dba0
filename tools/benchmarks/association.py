"""Time of what happens to the detections of a frame, against loops over pairs.

``python tools/benchmarks/association.py`` takes n detections of a frame (embeddings of 256 values,
masks of 120x214 as in a frame of 480x854) and n identities in a full memory bank, and prints tables
in Markdown for the association, the box NMS and the mask NMS: CPU and wall milliseconds of loops
over pairs (kept below) and of ours, their ratios, and whether both give the same. One thread; ours
is called ten times in a row, as in a video.
"""

import argparse
import math
from collections.abc import Callable

import torch
from timing import best_times, header, machine, row
from torch import Tensor
from torchvision.ops import batched_nms

from mmvis_cl.engine.cli import one_line_errors
from mmvis_cl.errors import InputError
from mmvis_cl.models import MemoryBankTracker
from mmvis_cl.models.layers.mask_nms import mask_iou, mask_nms

SIZES = (10, 25, 50, 100, 200, 400)
MASK_SIZE = (120, 214)
EMBED_DIMS, CLASSES = 256, 40
BOX_THR, MASK_THR = 0.9, 0.5
CALLS = 10


def make_frames(n: int, frames: int) -> list[dict[str, Tensor]]:
    """What the tracker is given in each frame: n objects, in another order and a bit changed."""
    generator = torch.Generator().manual_seed(n)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    objects = random(n, EMBED_DIMS)
    made = []
    for _ in range(frames):
        order = torch.randperm(n, generator=generator)
        made.append(
            dict(
                embeds=objects[order] + 0.3 * random(n, EMBED_DIMS),
                scores=torch.linspace(0.95, 0.25, n),
                labels=order % CLASSES,
                boxes=torch.rand(n, 4, generator=generator),
                mask_iou=torch.eye(n),
            )
        )
    return made


def plain_track(memory: list[dict], tracker: MemoryBankTracker, given: dict) -> tuple[list, list]:
    """Association of a frame pair by pair; every identity was seen in the last frame.

    Args:
        memory: Of each identity ``embeds`` and ``scores``, the newest last, and ``frames``.
        tracker: Its thresholds count.
        given: As for the tracker.

    Returns:
        The identity of each detection, and the new memory.
    """
    embeds, scores = given['embeds'], given['scores'].tolist()
    n, m = len(embeds), len(memory)
    means = []
    for identity in memory:
        stored = len(identity['embeds'])
        weights = [score + (i + 1) / stored for i, score in enumerate(identity['scores'])]
        pairs = zip(weights, identity['embeds'], strict=True)
        means.append(sum(w * e for w, e in pairs) / sum(weights))
    product = [[math.exp(float(embed @ mean)) for mean in means] for embed in embeds]
    column_sums = [sum(product[i][j] for i in range(n)) for j in range(m)]
    ids, taken = [], set()
    for i in range(n):
        row_sum = sum(product[i])
        affinity = [
            0.0 if j in taken else (product[i][j] / row_sum + product[i][j] / column_sums[j]) / 2
            for j in range(m)
        ]
        similar = [j for j in range(m) if affinity[j] > 0.5]
        if len(similar) > 1:
            mean_frames = sum(memory[j]['frames'] for j in similar) / len(similar)
            for j in range(m):
                affinity[j] *= memory[j]['frames'] if j in similar else mean_frames
        best = max(range(m), key=affinity.__getitem__, default=None)
        if best is not None and affinity[best] > tracker.match_thr:
            taken.add(best)
            ids.append(best)
        else:
            ids.append(-2)
    memory = [dict(identity) for identity in memory]
    for i in range(n):
        if ids[i] == -2 and scores[i] > (tracker.new_thr if m else tracker.first_thr):
            ids[i] = len(memory)
            memory.append(dict(embeds=[], scores=[], frames=0))
        elif ids[i] == -2:
            overlaps = any(
                float(given['mask_iou'][i, j]) >= tracker.background_iou_thr for j in range(i)
            )
            ids[i] = -2 if overlaps else -1
        if ids[i] >= 0:
            identity = memory[ids[i]]
            identity['embeds'] = [*identity['embeds'], embeds[i]][-tracker.memory_len :]
            identity['scores'] = [*identity['scores'], scores[i]][-tracker.memory_len :]
            identity['frames'] += 1
    return ids, memory


def association(n: int) -> tuple[Callable[[], list], Callable[[], list]]:
    """The association of a frame, pair by pair and ours, with the memory of five frames before."""
    tracker = MemoryBankTracker()
    *before, last = make_frames(n, 6)
    memory, bank = [], None
    for frame, given in enumerate(before):
        _, memory = plain_track(memory, tracker, given)
        _, bank = tracker.track(bank, frame, **given)
    return (
        lambda: plain_track(memory, tracker, last)[0],
        lambda: tracker.track(bank, len(before), **last)[0].tolist(),
    )


def box_nms(n: int) -> tuple[Callable[[], list], Callable[[], list]]:
    """Class-aware NMS of n boxes, half of which are near another one of the same class."""
    generator = torch.Generator().manual_seed(n)
    corners = 0.7 * torch.rand(n, 2, generator=generator)
    boxes = torch.cat((corners, corners + 0.05 + 0.25 * torch.rand(n, 2, generator=generator)), 1)
    boxes[n // 2 :] = boxes[: n - n // 2] + 0.003 * torch.randn(n - n // 2, 4, generator=generator)
    labels = torch.arange(n) % (n // 2) % CLASSES
    scores = torch.rand(n, generator=generator)

    def plain() -> list[int]:
        corners, classes = boxes.tolist(), labels.tolist()
        kept = []
        for i in scores.argsort(descending=True).tolist():
            if all(
                classes[i] != classes[j] or plain_box_iou(corners[i], corners[j]) <= BOX_THR
                for j in kept
            ):
                kept.append(i)
        return kept

    return plain, lambda: batched_nms(boxes, scores, labels, BOX_THR).tolist()


def plain_box_iou(one: list[float], other: list[float]) -> float:
    """IoU of two boxes x1, y1, x2, y2."""
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (one, other)]
    return width * height / (sum(areas) - width * height)


def mask_nms_of(n: int) -> tuple[Callable[[], list], Callable[[], list]]:
    """NMS of n masks, some of which overlap."""
    generator = torch.Generator().manual_seed(n)
    h, w = MASK_SIZE
    masks = torch.zeros(n, h, w, dtype=torch.bool)
    for mask in masks:
        top, left, height, width = (
            int(torch.randint(low, high, (), generator=generator))
            for low, high in ((0, h - 40), (0, w - 60), (20, 40), (30, 60))
        )
        mask[top : top + height, left : left + width] = True

    def plain() -> list[int]:
        areas = [int(mask.sum()) for mask in masks]
        kept = []
        for i in range(n):
            dropped = False
            for j in range(i):
                shared = int((masks[i] & masks[j]).sum())
                union = areas[i] + areas[j] - shared
                dropped = dropped or (shared + 1e-6) / (union + 1e-6) > MASK_THR
            if not dropped:
                kept.append(i)
        return kept

    return plain, lambda: mask_nms(mask_iou(masks), MASK_THR).nonzero()[:, 0].tolist()


WORK = {'association': association, 'box NMS': box_nms, 'mask NMS': mask_nms_of}


def table(name: str, sizes: list[int], repeat: int) -> None:
    """Times of one kind of work as it grows."""
    columns = ('plain CPU ms', 'plain wall ms', 'ours CPU ms', 'ours wall ms')
    print(header(f'{name}, detections', *columns, 'CPU ratio', 'wall ratio', 'same'))
    for n in sizes:
        plain, ours = WORK[name](n)
        same = 'yes' if plain() == ours() else 'NO'
        slow = best_times(dict(plain=plain), 1)['plain']
        times = best_times(dict(ours=lambda run=ours: [run() for _ in range(CALLS)]), repeat)
        fast = [seconds / CALLS for seconds in times['ours']]
        cells = [f'{1000 * seconds:.2f}' for seconds in (*slow, *fast)]
        ratios = [f'{a / b:.0f}' for a, b in zip(slow, fast, strict=True)]
        print(row(n, *cells, *ratios, same), flush=True)
    print()


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Time association, box NMS and mask NMS of a frame's detections."
    )
    parser.add_argument(
        '--sizes', type=int, nargs='+', default=SIZES, metavar='N', help=f'(default: {SIZES})'
    )
    parser.add_argument('--repeat', type=int, default=5, metavar='N', help='best of N (default: 5)')
    return parser.parse_args()


@torch.no_grad()
def main() -> None:
    args = parse_args()
    with one_line_errors():
        if args.repeat < 1 or min(args.sizes) < 2:
            raise InputError('--repeat: at least 1 is needed; --sizes: at least 2')
        torch.set_num_threads(1)
        print(f'Machine: {machine()}\n')
        for name in WORK:
            table(name, args.sizes, args.repeat)


if __name__ == '__main__':
    main()
