"""Memory of a training step, measured and estimated."""

import argparse
import subprocess
import sys
import weakref
from collections import defaultdict
from pathlib import Path

import torch
from mmengine.config import Config
from timing import header, peak_memory, row
from torch import Tensor, nn
from training_step import forward, make_model, make_optimizer, random_batch, step

from mmvis_cl.models import ContrastiveVIS

TRAINING = Path(__file__).with_name('training.py')


def measure_memory(model: ContrastiveVIS, cfg: Config, batch: dict, args) -> tuple[float, float]:
    """Peak memory in MiB of two steps, and what was taken before them."""
    optimizer = make_optimizer(model, cfg)
    if args.device == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() / 2**20
    else:
        before = peak_memory()
    for _ in range(2):  # AdamW makes its states in the first
        step(model, optimizer, batch, args.amp)
    if args.device == 'cuda':
        return torch.cuda.max_memory_allocated() / 2**20, before
    return peak_memory(), before


def memory_table(args: argparse.Namespace) -> None:
    """Peak memory of steps in the straightforward forms and in ours, a process each."""
    print('\nPeak memory of two steps in a process of its own:\n')
    print(header('', 'MiB', 'MiB before the steps', 'MiB of the steps'))
    for name in ('straightforward', 'ours'):
        command = [sys.executable, str(TRAINING), '--memory-of', name, '--device', args.device]
        command += ['--pairs', str(args.pairs), '--objects', str(args.objects)]
        command += ['--size', *map(str, args.size), '--per-object', str(args.per_object)]
        command += ['--threads', str(torch.get_num_threads())] + ['--amp'] * args.amp
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        peak, before = map(float, done.stdout.split()[-2:])
        print(row(name, f'{peak:.0f}', f'{before:.0f}', f'{peak - before:.0f}'), flush=True)


class LiveBytes:
    """Counts what autograd keeps for the backward pass: bytes now, and the most at once.

    A storage that is kept several times counts once; those of parameters do not.
    """

    def __init__(self, model: nn.Module) -> None:
        self.weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
        self.holders = defaultdict(int)
        self.now = self.most = 0
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self._keep, lambda kept: kept.tensor)

    def _keep(self, tensor: Tensor) -> '_Kept':
        kept = _Kept(tensor)
        storage = tensor.untyped_storage()
        place, size = storage.data_ptr(), storage.nbytes()
        if place not in self.weights and size:
            self.holders[place] += 1
            if self.holders[place] == 1:
                self.now += size
                self.most = max(self.most, self.now)
            weakref.finalize(kept, self._free, place, size)
        return kept

    def _free(self, place: int, size: int) -> None:
        self.holders[place] -= 1
        if not self.holders[place]:
            self.now -= size


class _Kept:
    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def activations(model: ContrastiveVIS, batch: dict, amp: bool) -> int:
    """Most bytes that autograd keeps at once in a step, recomputed ones included."""
    live = LiveBytes(model)
    with live.hooks:
        sum(forward(model, batch, amp).values()).backward()
    model.zero_grad()
    return live.most


def estimate_memory(cfg: Config, args: argparse.Namespace) -> None:
    """The memory of a step: what stays, and what autograd keeps, from small steps on the CPU.

    What autograd keeps of a pair is a constant and a part that grows with the pixels; two sizes
    give both. Temporary buffers are a fifth of what is there besides the weights: so much more it
    was for r50 on a CPU, measured with a pair of 384x640. Left out: fragmentation, and the GPU's
    context of a few hundred MB.
    """
    model = make_model(cfg, 'cpu', args.per_object)
    classes = model.detector.bbox_head.num_classes
    learned = [p for p in model.parameters() if p.requires_grad]
    stays = {
        'weights': sum(p.numel() * p.element_size() for p in model.parameters()),
        'gradients': sum(p.numel() * p.element_size() for p in learned),
        "AdamW's two states": 2 * sum(p.numel() * p.element_size() for p in learned),
    }
    # windows of 12 at stride 32 fill these whole, so that no padding is counted up
    sizes = [(192, 384), (384, 384)] if min(args.size) >= 384 else [(96, 96), (96, 192)]
    kept = [
        activations(model, random_batch(1, size, classes, args.objects), args.amp) for size in sizes
    ]
    (h0, w0), (h1, w1) = sizes
    slope = (kept[1] - kept[0]) / (h1 * w1 - h0 * w0)
    h, w = (-(-side // 32) * 32 for side in args.size)
    a_pair = kept[0] + slope * (h * w - h0 * w0)
    stays[f'kept for the backward pass, {args.pairs} pairs'] = args.pairs * a_pair
    print(
        f'Estimated memory of a step of {args.pairs} pairs of {args.size[0]}x{args.size[1]}, '
        f'{args.objects} objects that take {args.per_object} queries a layer'
        f'{", bfloat16" if args.amp else ""}:\n'
    )
    print(header('', 'GiB'))
    stays['temporary buffers'] = (sum(stays.values()) - stays['weights']) / 5
    for name, size in (stays | {'all': sum(stays.values())}).items():
        print(row(name, f'{size / 2**30:.2f}'))
