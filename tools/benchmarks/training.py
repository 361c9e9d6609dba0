"""Time and memory of a training step, and what each trick saves.

``python tools/benchmarks/training.py`` takes steps (forward, backward, clipping, AdamW) of the
small network on pairs of made-up frames, first in the straightforward forms that are kept below
(mmcv's attention in PyTorch, masks by grouped convolutions, target masks padded and copied whole, a
loop over the objects for the contrastive terms, a loop over layers and images for the matching),
then with one trick more at a time. All have the same weights and data and must have the same
losses, or it fails. Tables in Markdown: seconds a step and ratios, where the time goes, memory.

``--config CONFIG --size H W`` measures steps of any network instead, and ``--estimate`` computes
the memory of a step on a GPU from small steps on the CPU.
"""

import argparse
import copy
import logging
import subprocess
import sys
import weakref
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import torch
from inference import grouped_masks, use_plain_transformer
from mmdet.structures import DetDataSample, TrackDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config, DictAction
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from timing import best_times, header, machine, peak_memory, row
from torch import Tensor, nn
from torch.nn import functional as F

from mmvis_cl.engine.cli import load_config, one_line_errors
from mmvis_cl.errors import InputError
from mmvis_cl.models import ContrastiveVIS, OTAAssigner
from mmvis_cl.models.dense_heads.query_head import normalized_boxes
from mmvis_cl.models.task_modules.ota_assigner import OTAMatch
from mmvis_cl.registry import MODELS

SMALL = Path(__file__).parents[2] / 'configs' / 'vis_cl' / 'small_moving-shapes.py'
STRAIGHTFORWARD = 'straightforward'
# In the order in which they are added; each name is what a variant has in its fast form.
TRICKS = {
    'attention': '+ compiled attention',
    'matched': '+ masks of the matched queries only',
    'masks': '+ masks as batched matrix products',
    'targets': '+ sampled target masks',
    'contrast': '+ contrastive terms of all objects at once',
    'matching': '+ matching of all layers and images at once (ours)',
}


def random_batch(
    pairs: int, size: tuple[int, int], num_classes: int, objects: int, seed: int = 0
) -> dict:
    """Pairs of frames with ellipses on noise, as the data loader gives them.

    Args:
        pairs: How many pairs.
        size: Height and width of the frames, in pixels.
        num_classes: Labels are below it.
        objects: A frame; all of them are seen in both frames of a pair.
        seed: Of the random numbers.

    Returns:
        ``inputs``, uint8 tensors (2, 3, H, W), and ``data_samples``.
    """
    rng = np.random.default_rng(seed)
    h, w = size
    y, x = np.mgrid[:h, :w]
    inputs, data_samples = [], []
    for _ in range(pairs):
        frames = rng.integers(0, 256, (2, 3, h, w), dtype=np.uint8)
        center = rng.uniform(0.25, 0.75, (objects, 2)) * (w, h)
        radius = rng.uniform(0.08, 0.2, (objects, 2)) * (w, h)
        colour = rng.integers(0, 256, (objects, 3), dtype=np.uint8)
        labels = torch.from_numpy(rng.integers(0, num_classes, objects))
        samples = []
        for frame in frames:
            masks = np.zeros((objects, h, w), np.uint8)
            at = center + rng.uniform(-0.05, 0.05, (objects, 2)) * (w, h)
            for mask, (cx, cy), (rx, ry), rgb in zip(masks, at, radius, colour, strict=True):
                mask[((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1] = 1
                frame[:, mask > 0] = rgb[:, None]
            masks = BitmapMasks(masks, h, w)
            sample = DetDataSample(metainfo=dict(img_shape=size, ori_shape=size))
            sample.gt_instances = InstanceData(
                bboxes=masks.get_bboxes(HorizontalBoxes).tensor,
                labels=labels,
                masks=masks,
                instances_ids=torch.arange(objects),
            )
            samples.append(sample)
        inputs.append(torch.from_numpy(frames))
        pair = TrackDataSample()
        pair.video_data_samples = samples
        data_samples.append(pair)
    return dict(inputs=inputs, data_samples=data_samples)


def make_model(cfg: Config, device: str, per_object: int) -> ContrastiveVIS:
    """The network of a config with random weights, whose objects take so many queries a layer."""
    torch.manual_seed(0)
    backbone = cfg.model.detector.backbone
    backbone.init_cfg = None  # nothing is downloaded
    if 'pretrained' in backbone:
        backbone.pretrained = False
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        model = MODELS.build(cfg.model)
    model.init_weights()
    head = model.embed_head
    # all negatives: a loop over the objects draws other ones on a GPU
    head.loss_embed_aux.negatives_per_positive = model.detector.num_queries
    for assigner in (model.detector.bbox_head.assigner, head.selector.assigner):
        assigner.__class__, assigner.per_object = GenerousAssigner, per_object
    return model.to(device).train()


class GenerousAssigner(OTAAssigner):
    """Takes IoUs as they are with a trained network, so that an object gets several queries.

    Attributes:
        per_object (int): how many, where as many are free.
    """

    per_object: int

    def cost(self, *args: object) -> tuple[Tensor, Tensor]:
        cost, iou = super().cost(*args)
        return cost, torch.full_like(iou, (self.per_object + 0.5) / self.candidate_topk)


def make_optimizer(model: nn.Module, cfg: Config) -> OptimWrapper:
    """The config's, at a rate of 0: the weights stay, and so do the losses."""
    wrapper = copy.deepcopy(cfg.optim_wrapper)
    wrapper.optimizer.lr = 0.0
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        return build_optim_wrapper(model, wrapper)


def forward(model: ContrastiveVIS, batch: dict, amp: bool) -> dict[str, Tensor]:
    """The losses of a batch, in bfloat16 where that is harmless if ``amp``."""
    with torch.autocast(next(model.parameters()).device.type, torch.bfloat16, enabled=amp):
        data = model.data_preprocessor(copy.copy(batch), training=True)
        return model(**data, mode='loss')


def step(
    model: ContrastiveVIS,
    optimizer: OptimWrapper,
    batch: dict,
    amp: bool,
    lap: Callable[[str], None] = lambda part: None,
) -> None:
    """One step; ``lap`` is called with the name of each part when it is done."""
    loss, _ = model.parse_losses(forward(model, batch, amp))
    lap('forward')
    optimizer.backward(loss)
    lap('backward')
    optimizer.step()
    optimizer.zero_grad()
    lap('clipping, AdamW')


def straightforward(model: ContrastiveVIS, fast: list[str]) -> ContrastiveVIS:
    """A copy with the same weights that has only these tricks, in the order of `TRICKS`."""
    model = copy.deepcopy(model)
    detector, embed_head = model.detector, model.embed_head
    if 'attention' not in fast:
        use_plain_transformer(model)
    if 'targets' not in fast:
        draw = detector.mask_head if 'masks' in fast else _grouped(detector.mask_head)
        matched = 'matched' in fast
        detector.mask_head.loss = lambda *args: whole_mask_loss(
            detector.mask_head, draw, matched, *args
        )
    if 'contrast' not in fast:
        embed_head.loss = lambda *args: looped_contrastive_loss(embed_head, *args)
    if 'matching' not in fast:
        detector.bbox_head.match = lambda *args: looped_match(detector.bbox_head, *args)
    return model


def _grouped(head: nn.Module) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    def draw(features: Tensor, states: Tensor, centers: Tensor) -> Tensor:
        with torch.autocast(states.device.type, enabled=False):
            return grouped_masks(head, features.float(), states.float(), centers.float())

    return draw


def looped_match(head: nn.Module, logits: Tensor, boxes: Tensor, samples: list) -> list[OTAMatch]:
    """What ``QueryHead.match`` computes, one layer of one image at a time."""
    matches = []
    for i, sample in enumerate(samples):
        layers = [
            head.assigner.assign(
                logits[layer : layer + 1, i],
                boxes[layer : layer + 1, i],
                sample.gt_instances.labels,
                normalized_boxes(sample),
            )
            for layer in range(len(logits))
        ]
        matches.append(OTAMatch(*(torch.cat(parts) for parts in zip(*layers, strict=True))))
    return matches


def whole_mask_loss(
    head: nn.Module,
    draw: Callable[[Tensor, Tensor, Tensor], Tensor],
    matched_only: bool,
    features: Tensor,
    states: Tensor,
    centers: Tensor,
    matches: list[OTAMatch],
    samples: list,
) -> dict[str, Tensor]:
    """What ``DynamicMaskHead.loss`` computes, with whole target masks, layer by layer."""
    stride = head.out_stride
    h, w = (side * head.feat_stride for side in features.shape[-2:])
    losses = {}
    for layer in range(len(states)):
        most = max(len(sample.gt_instances) for sample in samples)
        whole = features.new_zeros((len(samples), most, h, w), dtype=torch.float32)
        for target, sample in zip(whole, samples, strict=True):
            masks = torch.from_numpy(sample.gt_instances.masks.masks).to(target)
            target[: len(masks), : masks.shape[1], : masks.shape[2]] = masks
        logits, targets = [], []
        for i, (match, sample) in enumerate(zip(matches, samples, strict=True)):
            query = (match.objects[layer] >= 0).nonzero()[:, 0]
            drawn = query if matched_only else torch.arange(states.shape[2], device=query.device)
            center = centers[layer, i, drawn] * centers.new_tensor(sample.img_shape[1::-1])
            masks = draw(features[i], states[layer, i, drawn], center)
            logits.append(masks if matched_only else masks[query])
            targets.append(whole[i, match.objects[layer, query]])
        logits = torch.cat(logits).flatten(1)
        targets = torch.cat(targets)[:, stride // 2 :: stride, stride // 2 :: stride].flatten(1)
        count = max(len(logits), 1)
        prefix = '' if layer == len(states) - 1 else f'd{layer}.'
        losses[f'{prefix}loss_mask'] = head.loss_mask(logits, targets).mean(1).sum() / count
        dice = head.loss_dice(logits, targets, reduction_override='none')
        losses[f'{prefix}loss_dice'] = dice.sum() / count
    return losses


def looped_contrastive_loss(
    head: nn.Module,
    key_embeds: list[Tensor],
    ref_embeds: Tensor,
    ref_logits: Tensor,
    ref_boxes: Tensor,
    key_samples: list,
    ref_samples: list,
) -> dict[str, Tensor]:
    """What ``ContrastiveHead.loss`` computes, object by object, with a table of all pairs."""
    selector, contrast, auxiliary = head.selector, [], []
    for i, (key, ref) in enumerate(zip(key_samples, ref_samples, strict=True)):
        same = key.gt_instances.instances_ids[:, None] == ref.gt_instances.instances_ids
        in_key, in_ref = same.nonzero(as_tuple=True)
        narrow, wide = (
            selector.assigner.assign(
                ref_logits[i][None],
                ref_boxes[i][None],
                ref.gt_instances.labels[in_ref],
                normalized_boxes(ref)[in_ref],
                topk,
            ).objects[0]
            for topk in (selector.positive_topk, selector.negative_topk)
        )
        for j, place in enumerate(in_key.tolist()):
            positive, negative = narrow == j, wide != j
            embed = key_embeds[i][place]
            similarity = (ref_embeds[i] * embed).sum(1)
            table = similarity[negative] - similarity[positive][:, None]
            exponents = F.pad(table.flatten(), (1, 0))  # a zero more: the 1 in the logarithm
            contrast.append(head.loss_embed.loss_weight * exponents.logsumexp(0))
            used = positive | negative
            cosine = F.cosine_similarity(ref_embeds[i][used], embed[None])
            error = ((cosine - positive[used].float()) ** 2).mean()
            auxiliary.append(head.loss_embed_aux.loss_weight * error)
    return dict(
        loss_embed=torch.stack(contrast).mean(), loss_embed_aux=torch.stack(auxiliary).mean()
    )


def difference(model: ContrastiveVIS, batch: dict, amp: bool, expected: dict) -> float:
    """The largest one of any loss, relative to it where it is above 1."""
    with torch.no_grad():
        found = forward(model, batch, amp)
    assert found.keys() == expected.keys()
    return max(
        float((found[name] - value).abs() / value.abs().clamp(min=1))
        for name, value in expected.items()
    )


def tricks_table(
    model: ContrastiveVIS, cfg: Config, batch: dict, args: argparse.Namespace
) -> list[tuple[str, ContrastiveVIS]]:
    """What each trick saves.

    Returns:
        The first and the last variant, by name.
    """
    names = list(TRICKS)
    variants = {STRAIGHTFORWARD: straightforward(model, [])}
    for i, words in enumerate(TRICKS.values()):
        variants[words] = straightforward(model, names[: i + 1])
    optimizers = {name: make_optimizer(of, cfg) for name, of in variants.items()}
    times = best_times(
        {
            name: lambda of=of, name=name: step(of, optimizers[name], batch, args.amp)
            for name, of in variants.items()
        },
        args.repeat,
        args.device,
    )
    with torch.no_grad():
        expected = forward(variants[STRAIGHTFORWARD], batch, args.amp)
    print(f'Best of {args.repeat} steps of each:\n')
    print(header('', 'CPU s', 'wall s', 'CPU ratio', 'wall ratio', 'largest difference of a loss'))
    worst = 0.0
    for name, of in variants.items():
        off = difference(of, batch, args.amp, expected)
        worst = max(worst, off)
        ratios = (a / b for a, b in zip(times[STRAIGHTFORWARD], times[name], strict=True))
        print(
            row(
                name,
                *(f'{seconds:.3f}' for seconds in times[name]),
                *(f'{ratio:.2f}' for ratio in ratios),
                f'{off:.0e}',
            )
        )
    allowed = 5e-2 if args.amp else 1e-5
    if worst > allowed:
        raise SystemExit(f'the losses differ by {worst:.1e}, more than {allowed:.0e}')
    print(f'\nAll losses agree to {allowed:.0e}.')
    ends = [STRAIGHTFORWARD, list(variants)[-1]]
    return [(name, variants[name]) for name in ends]


def profile_table(
    models: list[tuple[str, ContrastiveVIS]], cfg: Config, batch: dict, args: argparse.Namespace
) -> None:
    """Seconds of a step's parts, CPU seconds or on a GPU wall seconds; the mean of some steps."""
    columns = []
    for _, model in models:
        optimizer, seconds = make_optimizer(model, cfg), defaultdict(float)

        def now() -> float:
            if args.device == 'cuda':
                torch.cuda.synchronize()
                return perf_counter()
            return process_time()

        def timed(name: str, call: Callable, seconds: dict = seconds) -> Callable:
            def inner(*call_args: object, **kwargs: object) -> object:
                start = now()
                result = call(*call_args, **kwargs)
                seconds[name] += now() - start
                return result

            return inner

        detector = model.detector
        parts = {
            'data to the device, normalised': (model.data_preprocessor, 'forward'),
            'backbone': (detector.backbone, 'forward'),
            'neck': (detector.neck, 'forward'),
            'encoder': (detector.encoder, 'forward'),
            'decoder': (detector.decoder, 'forward'),
            'matching': (detector.bbox_head, 'match'),
            'class and box losses': (detector.bbox_head, 'loss'),
            'mask features': (detector.mask_head, 'mask_features'),
            'masks and their losses': (detector.mask_head, 'loss'),
            'contrastive losses': (model.embed_head, 'loss'),
        }
        kept = {name: vars(owner).get(method) for name, (owner, method) in parts.items()}
        step(model, optimizer, batch, args.amp)
        for name, (owner, method) in parts.items():
            setattr(owner, method, timed(name, getattr(owner, method)))
        laps = {}
        last = now()

        def lap(part: str, laps: dict = laps) -> None:
            nonlocal last
            laps[part] = laps.get(part, 0.0) + now() - last
            last = now()

        for _ in range(args.repeat):
            last = now()
            step(model, optimizer, batch, args.amp, lap)
        for name, (owner, method) in parts.items():
            delattr(owner, method)
            if kept[name] is not None:
                setattr(owner, method, kept[name])
        column = {name: seconds[name] for name in parts}
        column['other forward'] = laps.pop('forward') - sum(column.values())
        columns.append({name: value / args.repeat for name, value in (column | laps).items()})

    kind = 'Wall' if args.device == 'cuda' else 'CPU'
    print(f'\n{kind} seconds of the parts of a step, the mean of {args.repeat}:\n')
    print(header('', *(cell for name, _ in models for cell in (name, 'share'))))
    totals = [sum(column.values()) for column in columns]
    for name in columns[0]:
        cells = []
        for column, total in zip(columns, totals, strict=True):
            cells += [f'{column[name]:.3f}', f'{column[name] / total:.0%}']
        print(row(name, *cells))
    print(row('all', *(cell for total in totals for cell in (f'{total:.3f}', '100%'))))


def growth_table(cfg: Config, args: argparse.Namespace) -> None:
    """The straightforward forms and ours for larger frames, more objects, more queries."""
    print('\nHow a step grows:\n')
    kind = 'wall s' if args.device == 'cuda' else 'CPU s'
    print(
        header('frame, objects, queries each', f'{STRAIGHTFORWARD} {kind}', f'ours {kind}', 'ratio')
    )
    h, w = args.size
    cases = [((h, w), 4, 1), ((h, w), 4, 10), ((h, w), 16, 2), ((2 * h, 2 * w), 4, 4)]
    for size, objects, per_object in cases:
        model = make_model(cfg, args.device, per_object)
        batch = random_batch(args.pairs, size, model.detector.bbox_head.num_classes, objects)
        runs = {}
        for name, of in ((STRAIGHTFORWARD, straightforward(model, [])), ('ours', model)):
            optimizer = make_optimizer(of, cfg)
            runs[name] = lambda of=of, by=optimizer, batch=batch: step(of, by, batch, args.amp)
        plain, ours = (
            seconds[args.device == 'cuda']
            for seconds in best_times(runs, args.repeat, args.device).values()
        )
        cells = f'{plain:.3f}', f'{ours:.3f}', f'{plain / ours:.2f}'
        print(row(f'{size[0]}x{size[1]}, {objects}, {per_object}', *cells), flush=True)


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
    for name in (STRAIGHTFORWARD, 'ours'):
        command = [sys.executable, __file__, '--memory-of', name, '--device', args.device]
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


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Time and memory of a training step.')
    parser.add_argument('--config', help='measure this one alone (default: the small one, whole)')
    parser.add_argument('--pairs', type=int, default=4, metavar='N', help='a batch (default: 4)')
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        default=(112, 187),
        metavar=('H', 'W'),
        help='(default: 112 187)',
    )
    parser.add_argument('--objects', type=int, default=4, metavar='N', help='a frame (default: 4)')
    parser.add_argument(
        '--per-object',
        type=int,
        default=4,
        metavar='N',
        help='queries that each object takes in a layer, 1 to 10; 4 is what the small network '
        'takes once it is trained (default: 4)',
    )
    parser.add_argument('--repeat', type=int, default=5, metavar='N', help='best of N (default: 5)')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument('--amp', action='store_true', help='bfloat16, the losses in float32')
    parser.add_argument('--threads', type=int, metavar='N', help="PyTorch's threads on the CPU")
    parser.add_argument('--no-growth', action='store_true', help='leave out how a step grows')
    parser.add_argument('--no-memory', action='store_true', help='leave out the peak memory')
    parser.add_argument(
        '--estimate', action='store_true', help='do not take steps of this size; estimate memory'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help="override the config's settings",
    )
    parser.add_argument('--memory-of', choices=[STRAIGHTFORWARD, 'ours'], help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def steps_table(model: ContrastiveVIS, cfg: Config, batch: dict, args: argparse.Namespace) -> None:
    """Time and peak memory of the steps of one network."""
    optimizer = make_optimizer(model, cfg)
    peak, before = measure_memory(model, cfg, batch, args)
    run = {'': lambda: step(model, optimizer, batch, args.amp)}
    ((cpu, wall),) = best_times(run, args.repeat, args.device).values()
    print(header('', 'CPU s', 'wall s', 'pairs/s', 'peak MiB', 'MiB before the steps'))
    print(
        row(
            Path(args.config).stem,
            f'{cpu:.2f}',
            f'{wall:.2f}',
            f'{args.pairs / wall:.2f}',
            f'{peak:.0f}',
            f'{before:.0f}',
        )
    )


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with one_line_errors():
        if min(args.pairs, args.objects, args.repeat, *args.size) < 1:
            raise InputError('--pairs, --objects, --repeat, --size: at least 1')
        if not 1 <= args.per_object <= 10:
            raise InputError('--per-object: between 1 and 10')
        if args.device == 'cuda' and not torch.cuda.is_available():
            raise InputError('--device cuda: no GPU was found')
        if args.threads:
            torch.set_num_threads(args.threads)
        logging.disable(logging.WARNING)  # what mmengine says of each weight
        cfg = load_config(args.config or str(SMALL), args.cfg_options, None, 'none')
        if 'detector' not in cfg.model:
            raise InputError(f'{args.config}: trains no pairs; give the config of a ContrastiveVIS')
        if args.estimate:
            estimate_memory(cfg, args)
            return
        model = make_model(cfg, args.device, args.per_object)
        classes = model.detector.bbox_head.num_classes
        batch = random_batch(args.pairs, tuple(args.size), classes, args.objects)
        if args.memory_of:
            if args.memory_of == STRAIGHTFORWARD:
                model = straightforward(model, [])
            print(*measure_memory(model, cfg, batch, args))
            return
        print(f'Machine: {machine(args.device)}\n')
        print(
            f'Steps on {args.pairs} pairs of frames of {args.size[0]}x{args.size[1]} with '
            f'{args.objects} objects, which take {args.per_object} queries a layer'
            f'{", in bfloat16" if args.amp else ""}.\n'
        )
        if args.config:
            steps_table(model, cfg, batch, args)
            return
        ends = tricks_table(model, cfg, batch, args)
        profile_table(ends, cfg, batch, args)
        if not args.no_growth:
            growth_table(cfg, args)
        if not args.no_memory:
            memory_table(args)


if __name__ == '__main__':
    main()
