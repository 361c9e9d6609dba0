"""Time from mask logits to the COCO RLE of a frame, against dense masks of the whole frame.

``python tools/benchmarks/masks.py`` makes logits of stride 4 for a frame of 480x854: objects of
some 100x120 pixels with uneven borders as a network gives them, noise, which changes at each eighth
pixel, and masks of the whole frame. They become RLE of the frame's size and of 720x1280, once by
dense masks (``mask_logits_to_image``, then ``encode_masks``), once by ``encode_logits``. CPU and
wall milliseconds, least of ``--repeat`` runs in turn, and whether both give the same.
"""

import argparse
from functools import partial

import torch
from timing import best_times, header, machine, row
from torch import Tensor
from torch.nn import functional as F

from mmvis_cl.engine.cli import one_line_errors
from mmvis_cl.errors import InputError
from mmvis_cl.structures import encode_logits, encode_masks, mask_logits_to_image

FRAME, LOGITS = (480, 854), (120, 216)
OUT_SHAPES = (480, 854), (720, 1280)


def logits_of(kind: str, n: int, size: tuple[int, int] = LOGITS) -> Tensor:
    """Logits (n, *size) of 'objects', 'noise' or 'everything'."""
    generator = torch.Generator().manual_seed(n)
    h, w = size
    if kind == 'noise':
        return torch.randn(n, h, w, generator=generator)
    if kind == 'everything':
        return torch.ones(n, h, w)
    y, x = torch.arange(h)[:, None] / h, torch.arange(w) / w
    center_y, center_x, wide, high = torch.rand(4, n, 1, 1, generator=generator)
    inside = 1 - ((y - center_y) / (0.05 + 0.15 * high)) ** 2
    inside = inside - ((x - center_x) / (0.03 + 0.06 * wide)) ** 2
    uneven = torch.randn(n, 1, 8, 12, generator=generator)
    uneven = F.interpolate(uneven, size, mode='bicubic', align_corners=False)[:, 0]
    return 6 * inside.clamp(min=-3) + uneven


def dense_rle(logits: Tensor, out_shape: tuple[int, int]) -> list[dict]:
    """By masks of the whole frame."""
    return encode_masks(mask_logits_to_image(logits, FRAME, out_shape))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--number', type=int, default=30, help='of masks; default: %(default)s')
    parser.add_argument('--repeat', type=int, default=5, help='default: %(default)s')
    parser.add_argument('--threads', type=int, default=1, help='default: %(default)s')
    parser.add_argument('--device', default='cpu', choices=('cpu', 'cuda'))
    args = parser.parse_args(argv)
    with one_line_errors():
        if min(args.number, args.repeat, args.threads) < 1:
            raise InputError('--number, --repeat and --threads of at least 1 are needed')
        if args.device == 'cuda' and not torch.cuda.is_available():
            raise InputError('--device cuda: PyTorch sees no GPU; leave it out')
        torch.set_num_threads(args.threads)
        print(f'Machine: {machine(args.device)}\n')
        print(header(f'{args.number} masks', 'dense CPU ms', 'ms', 'ours CPU ms', 'ms', 'ratio'))
        for kind in ('objects', 'noise', 'everything'):
            logits = logits_of(kind, args.number).to(args.device)
            for out_shape in OUT_SHAPES:
                same = dense_rle(logits, out_shape) == encode_logits(logits, FRAME, out_shape)
                runs = dict(
                    dense=partial(dense_rle, logits, out_shape),
                    ours=partial(encode_logits, logits, FRAME, out_shape),
                )
                times = best_times(runs, args.repeat, args.device)
                figures = [f'{1000 * seconds:.1f}' for pair in times.values() for seconds in pair]
                name = f'{kind} to {out_shape[0]}x{out_shape[1]}' + ('' if same else ', DIFFERS')
                ratio = times['dense'][1] / times['ours'][1]
                print(row(name, *figures, f'{ratio:.1f}'), flush=True)


if __name__ == '__main__':
    main()
