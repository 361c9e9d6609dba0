"""The forms of deformable attention on one device: mmcv's CUDA op, its PyTorch form, gathered rows.

``python tools/benchmarks/attention_forms.py --device cuda`` times an encoder layer's and a decoder
layer's attention in each form, forward and backward, and prints a table in Markdown: wall
milliseconds, and the largest difference from mmcv's PyTorch form, relative to the largest value.
"""

import argparse
from contextlib import AbstractContextManager, nullcontext
from unittest.mock import patch

import torch
from attention import (
    SIZES,
    forward,
    forward_backward,
    largest_difference,
    make_inputs,
    make_modules,
)
from mmcv.ops import multi_scale_deform_attn
from timing import best_times, header, machine, row

from mmvis_cl.compat import has_compiled_ops
from mmvis_cl.engine.cli import one_line_errors
from mmvis_cl.errors import InputError
from mmvis_cl.models import deformable_attention


def without_mmcvs_op() -> AbstractContextManager:
    """Let mmcv's module take its PyTorch form on a GPU."""
    return patch.object(multi_scale_deform_attn, 'IS_CUDA_AVAILABLE', False)


def without_our_op() -> AbstractContextManager:
    """Let our module gather on a GPU."""
    return patch.object(deformable_attention, 'has_compiled_ops', lambda: False)


def table_row(what: str, run, modules: tuple, inputs: dict, args: argparse.Namespace) -> str:
    """Times of all forms of one attention."""
    plain, ours = modules
    forms = {
        'plain': (plain, without_mmcvs_op),
        'gathered': (ours, without_our_op),
        'mmcv op': (plain, nullcontext),
        'ours with op': (ours, nullcontext),
    }
    if args.device == 'cpu' or not has_compiled_ops():
        del forms['mmcv op'], forms['ours with op']

    def call(name: str) -> list:
        module, context = forms[name]
        with context():
            return run(module, inputs)

    expected = call('plain')
    differences = {name: f'{largest_difference(expected, call(name)):.0e}' for name in forms}
    times = best_times({name: lambda n=name: call(n) for name in forms}, args.repeat, args.device)
    cells = []
    for name in ('plain', 'gathered', 'mmcv op', 'ours with op'):
        cells.append(f'{1000 * times[name][1]:.2f}' if name in times else '-')
    return row(what, *cells, *(differences.get(n, '-') for n in ('gathered', 'mmcv op')))


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
        columns = ('mmcv PyTorch ms', 'gathered ms', 'mmcv CUDA op ms', 'ours with the op ms')
        print(header('attention', *columns, 'gathered differs by', 'the op differs by'))
        for name, size, levels, channels, images in SIZES[: args.sizes]:
            modules = make_modules(channels, levels, args.device)
            for layer, queries in (('encoder', None), ('decoder', 300)):
                inputs = make_inputs(size, levels, channels, images, queries, args.device)
                for way, run in (('forward', forward), ('and backward', forward_backward)):
                    line = table_row(f'{name}, {layer}, {way}', run, modules, inputs, args)
                    print(line, flush=True)


if __name__ == '__main__':
    main()
