"""Training by pairs against training by clips, and what each does to either network.

``python tools/benchmarks/clip_training.py OUT --data DATA [--weights FILE]`` trains the report's
network and CTVIS's, each once by pairs of frames and once by clips of four with the memory in
training, on the videos of DATA (train.json, valid.json, JPEGImages/), with as many frames an
iteration, and tests each with the report's memory and with the guided one; the report's network,
trained by pairs, also with each other part of CTVIS's association. FILE are ImageNet weights of
timm's ``tf_efficientnet_lite0`` for both. Without DATA it makes moving shapes in videos
of 48 frames, in which objects are gone for long. What is done already is skipped, so that it goes
on where it was stopped; the table, Markdown, is printed and written to OUT/table.md.
"""

import argparse
import json
import re
from pathlib import Path

from mmengine.config import Config
from training_runs import (
    FRAMES,
    ROOT,
    SCORES,
    mean_and_spread,
    run,
    scored,
    trained,
    use_data,
    use_iterations,
    write_figures,
)

from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes
from mmvis_cl.engine.cli import one_line_errors
from mmvis_cl.errors import InputError
from mmvis_cl.files import whole_file

CONFIGS = ROOT / 'configs'
NETWORKS = dict(report='vis_cl', ctvis='ctvis')
TRAININGS = 'pairs', 'clips'
MEMORIES = {
    'mean': ['tracker.memory=mean', 'tracker.memory_len=3'],
    'guided': ['tracker.memory=guided', 'tracker.memory_len=10'],
}
# What else of CTVIS's association the report's network can borrow, one by one beside its memory.
BORROWED = {
    'mean, similar and matched from 0.3': ['tracker.similar_thr=0.3', 'tracker.match_thr=0.3'],
    'mean, remembered for 20 frames': ['tracker.max_unseen=21'],
    'mean, mean of logits': ['test_cfg.score_mean=logits'],
    'mean, mask quality': ['test_cfg.mask_quality=True'],
    'mean, ten best': ['test_cfg.max_tracks=10', 'test_cfg.result_score_thr=-1'],
    'mean, greedy NMS at 0.6': ['test_cfg.greedy_nms=True', 'test_cfg.mask_nms_thr=0.6'],
    'mean, smooth masks': ['test_cfg.smooth_masks=True'],
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('out', type=Path, help='folder of runs and table')
    parser.add_argument('--data', type=Path, help='train.json, valid.json and JPEGImages/')
    parser.add_argument('--weights', type=Path, help='ImageNet weights of the backbone')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--iterations', type=int, default=600)
    return parser.parse_args()


def backbone_of(network: str, weights: Path | None) -> dict:
    """EfficientNet-Lite0, 4.7 million parameters: the maps that the network wants."""
    finest = 1 if network == 'ctvis' else 2
    strides = (4, 8, 16, 32)[finest - 1 :]
    return dict(
        _delete_=True,
        type='TimmBackbone',
        model_name='tf_efficientnet_lite0',
        pretrained=False if weights is None else str(weights.resolve()),
        out_indices=tuple(range(finest, 5)),
        strides=strides,
        freeze_batch_norm=weights is not None,
    )


def config_of(network: str, training: str, args: argparse.Namespace, data: Path) -> Config:
    """The small config of the network, for this data set, training and number of iterations."""
    base = 'small_moving-shapes' if args.data is None else 'small_paste'
    cfg = Config.fromfile(CONFIGS / NETWORKS[network] / f'{base}.py')
    of_clips = Config.fromfile(CONFIGS / 'ctvis' / f'{base}.py')
    of_pairs = Config.fromfile(CONFIGS / 'vis_cl' / f'{base}.py')
    source = of_clips if training == 'clips' else of_pairs
    cfg.model.embed_head = source.model.embed_head
    cfg.model.both_ways = training == 'pairs'
    cfg.train_dataloader = source.train_dataloader
    channels = [40, 112, 320] if network == 'report' else [24, 40, 112, 320]
    part = cfg.model.detector.neck if network == 'report' else cfg.model.detector.panoptic_head
    if args.weights is not None:
        cfg.model.detector.backbone = backbone_of(network, args.weights)
        del cfg.model.detector.backbone['_delete_']
        part.in_channels = channels
        cfg.model.data_preprocessor.update(mean=[127.5] * 3, std=[127.5] * 3)
        cfg.optim_wrapper.paramwise_cfg = dict(custom_keys=dict(backbone=dict(lr_mult=0.1)))
    use_data(cfg, data)
    use_iterations(cfg, args.iterations)
    return cfg


def settings_of(network: str, training: str) -> dict[str, list[str]]:
    """How a model is tested: options of ``model`` by name."""
    if (network, training) != ('report', 'pairs'):
        return MEMORIES
    return MEMORIES | {name: MEMORIES['mean'] + more for name, more in BORROWED.items()}


def tested(config: Path, checkpoint: Path, setting: str, data: Path) -> dict[str, float]:
    """Scores of a checkpoint with a setting of the association."""
    folder, name = checkpoint.parent, re.sub(r'\W+', '_', setting)
    scores, results = folder / f'scores_{name}.json', folder / f'results_{name}.json'
    if not scores.exists():
        options = [f'model.{option}' for option in settings_of('report', 'pairs')[setting]]
        options = ['--work-dir', folder / 'test', '--out', results, '--cfg-options', *options]
        run('test.py', config, checkpoint, *options, log=folder / 'test.txt')
        write_figures(scored(results, data / 'valid.json'), scores)
    return json.loads(scores.read_text())


def table_of(scores: dict[tuple[str, str, str], list[dict]], iterations: int) -> str:
    """Mean and spread over the seeds, Markdown."""
    lines = [
        f'{iterations} iterations of {FRAMES} frames',
        '',
        '| network | training | association | ' + ' | '.join(SCORES) + ' | seeds |',
        '| --- | --- | --- ' + '| ---: ' * (len(SCORES) + 1) + '|',
    ]
    for key, runs in scores.items():
        lines.append('| ' + ' | '.join((*key, *mean_and_spread(runs), str(len(runs)))) + ' |')
    return '\n'.join(lines) + '\n'


def main() -> None:
    args = parse_args()
    if args.iterations < 100:
        raise InputError(f'--iterations {args.iterations}: the warm-up alone takes 50; give 100')
    data = args.data
    if data is None:
        data = args.out / 'shapes'
        args.out.mkdir(parents=True, exist_ok=True)
        make_moving_shapes(
            data, seed=5, train_videos=160, valid_videos=16, length=48, long_gaps=True
        )
    for path in filter(None, (data / 'train.json', data / 'valid.json', args.weights)):
        if not path.is_file():
            raise InputError(f'{path}: there is no such file; give the right folder or file')
    data = data.resolve()
    scores: dict[tuple[str, str, str], list[dict]] = {}
    for seed in args.seeds:  # all of one seed before the next: a table as soon as possible
        for network in NETWORKS:
            for training in TRAININGS:
                cfg = config_of(network, training, args, data)
                folder = args.out / f'{network}_{training}_seed{seed}'
                config, checkpoint = trained(cfg, seed, folder)
                for setting in settings_of(network, training):
                    found = tested(config, checkpoint, setting, data)
                    scores.setdefault((network, training, setting), []).append(found)
                table = table_of(scores, args.iterations)
                with whole_file(str(args.out / 'table.md')) as file:
                    file.write(table)
    print(table)


if __name__ == '__main__':
    with one_line_errors():
        main()
