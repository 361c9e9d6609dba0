"""The forms of deformable attention: mmcv's in PyTorch, gathered rows, compiled.

``python tools/benchmarks/attention.py`` times an encoder layer's and a decoder layer's attention in
each form, projections included, at several sizes, forward and backward, and prints a table in
Markdown: wall milliseconds, how many times as fast as mmcv's PyTorch form the one that we take is,
and the largest differences from it, relative to the largest value. What is compiled is our kernel
on a CPU, mmcv's CUDA op with ``--device cuda``.
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from unittest.mock import patch

import torch
from mmcv.ops import multi_scale_deform_attn
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttention
from timing import best_times, header, machine, row
from torch import Tensor

from mmvis_cl.compat import has_compiled_ops
from mmvis_cl.engine.cli import one_line_errors
from mmvis_cl.errors import InputError
from mmvis_cl.models import GatherDeformableAttention
from mmvis_cl.ops import deformable_sums

# name, input size (h, w), levels from stride 8 on, channels, images
SIZES = (
    ('small config, 4 pairs', (160, 240), 3, 96, 8),
    ('240x426', (240, 426), 4, 256, 1),
    ('480x854', (480, 854), 4, 256, 1),
    ('720x1280', (720, 1280), 4, 256, 1),
    ('480x854, 4 frames', (480, 854), 4, 256, 4),
)


def make_modules(channels: int, levels: int, device: str = 'cpu') -> tuple[torch.nn.Module, ...]:
    """mmcv's module and ours with the same weights; points some pixels around the reference."""
    torch.manual_seed(0)
    options = dict(embed_dims=channels, num_levels=levels, dropout=0.0, batch_first=True)
    plain = MultiScaleDeformableAttention(**options)
    torch.nn.init.normal_(plain.sampling_offsets.weight, std=1 / channels**0.5)
    torch.nn.init.normal_(plain.attention_weights.weight, std=1 / channels**0.5)
    ours = GatherDeformableAttention(**options)
    ours.load_state_dict(plain.state_dict())
    return plain.to(device), ours.to(device)


def make_inputs(
    size: tuple[int, int], levels: int, channels: int, images: int, queries: int | None, device: str
) -> dict[str, Tensor]:
    """What the encoder (``queries`` None: each pixel is one) or the decoder gives its attention."""
    shapes = [[-(-side // (8 << i)) for side in size] for i in range(levels)]
    pixels = sum(h * w for h, w in shapes)
    value = torch.randn(images, pixels, channels)
    if queries is None:
        grids = [
            torch.stack(torch.meshgrid(*[(torch.arange(s) + 0.5) / s for s in shape]), -1)
            for shape in shapes
        ]
        points = torch.cat([grid.flip(-1).flatten(0, 1) for grid in grids])
        inputs = dict(
            query=value, reference_points=points[None, :, None].repeat(images, 1, levels, 1)
        )
    else:
        boxes = torch.rand(images, queries, 1, 4) * torch.tensor([1, 1, 0.3, 0.3])
        inputs = dict(
            query=torch.randn(images, queries, channels),
            value=value,
            reference_points=boxes.repeat(1, 1, levels, 1),
        )
    starts = torch.tensor([0] + [h * w for h, w in shapes[:-1]]).cumsum(0)
    inputs |= dict(spatial_shapes=torch.tensor(shapes), level_start_index=starts)
    return {name: tensor.to(device) for name, tensor in inputs.items()}


def forward(module: torch.nn.Module, inputs: dict[str, Tensor]) -> list[Tensor]:
    """The output, no gradient wanted."""
    with torch.no_grad():
        return [module(**inputs)]


def forward_backward(module: torch.nn.Module, inputs: dict[str, Tensor]) -> list[Tensor]:
    """The gradient of the value; those of query and parameters are computed as well.

    The gradient of a sampling point has a jump at each pixel's centre, where a rounding error
    decides on which side the point lies: it is not compared here, but in the tests.
    """
    inputs = {name: inputs.get(name, inputs['query']) for name in ('value', *inputs)}
    wanted = [inputs[name] for name in ('value', 'query')]
    wanted = [tensor.detach().requires_grad_() for tensor in wanted]
    inputs = dict(inputs, value=wanted[0], query=wanted[1])
    output = module(**inputs)
    return list(torch.autograd.grad(output.sum(), [*wanted, *module.parameters()]))[:1]


def largest_difference(expected: list[Tensor], found: list[Tensor]) -> float:
    """Relative to the largest value of each tensor."""
    return max(
        float((a - b).abs().max() / a.abs().max()) for a, b in zip(expected, found, strict=True)
    )


def without_mmcvs_op() -> AbstractContextManager:
    """Let mmcv's module take its PyTorch form on a GPU."""
    return patch.object(multi_scale_deform_attn, 'IS_CUDA_AVAILABLE', False)


@contextmanager
def gathering() -> Iterator[None]:
    """Let our module gather rows, on a CPU as on a GPU."""
    with (
        patch.object(deformable_sums, 'has_compiled_ops', lambda: False),
        patch.object(deformable_sums, 'sampling_kernel', lambda *sizes: None),
    ):
        yield


def forms(device: str) -> dict[str, tuple[int, Callable[[], AbstractContextManager]]]:
    """By name, which of the two modules it is, mmcv's or ours, and what it is called in.

    The first is what the others are compared with, the last what we take.
    """
    both = {'mmcv PyTorch': (0, without_mmcvs_op), 'gathered': (1, gathering)}
    if device == 'cpu':
        return both | {'compiled': (1, nullcontext)}
    if has_compiled_ops():
        return both | {"mmcv's CUDA op": (0, nullcontext), 'ours with the op': (1, nullcontext)}
    return both


def table_row(
    what: str, run: Callable, modules: tuple, inputs: dict, repeat: int, device: str
) -> str:
    """Times of all forms of one attention."""
    calls = {}
    for name, (which, context) in forms(device).items():

        def call(which: int = which, context: Callable = context) -> list:
            with context():
                return run(modules[which], inputs)

        calls[name] = call
    expected, *found = (call() for call in calls.values())
    differences = [f'{largest_difference(expected, tensors):.0e}' for tensors in found]
    times = [wall for _, wall in best_times(calls, repeat, device).values()]
    ratio = f'{times[0] / times[-1]:.1f}'
    return row(what, *(f'{1000 * wall:.2f}' for wall in times), ratio, *differences)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Time the forms of deformable attention.')
    parser.add_argument('--repeat', type=int, default=5, metavar='N', help='best of N (default: 5)')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument(
        '--sizes', type=int, default=len(SIZES), metavar='N', help='only the first N sizes'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors():
        if min(args.repeat, args.sizes) < 1:
            raise InputError('--repeat and --sizes: at least 1 is needed')
        if args.device == 'cuda' and not torch.cuda.is_available():
            raise InputError('--device cuda: no GPU was found')
        print(f'Machine: {machine(args.device)}\n')
        names = list(forms(args.device))
        columns = *(f'{name} ms' for name in names), 'ratio'
        print(header('attention', *columns, *(f'{name} differs by' for name in names[1:])))
        for name, size, levels, channels, images in SIZES[: args.sizes]:
            modules = make_modules(channels, levels, args.device)
            for layer, queries in (('encoder', None), ('decoder', 300)):
                inputs = make_inputs(size, levels, channels, images, queries, args.device)
                for way, run in (('forward', forward), ('and backward', forward_backward)):
                    what = f'{name}, {layer}, {way}'
                    print(
                        table_row(what, run, modules, inputs, args.repeat, args.device), flush=True
                    )


if __name__ == '__main__':
    main()
