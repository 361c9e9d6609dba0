"""What the benchmarks that train share: trainings that go on where they were, tests and scores."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, pstdev

from mmengine.config import Config

from mmvis_cl.errors import InputError
from mmvis_cl.evaluation.identity_measures import identity_measures
from mmvis_cl.evaluation.track_ap import checked_tracks, score_tracks
from mmvis_cl.files import whole_file
from mmvis_cl.processes import end_with_starter
from mmvis_cl.visualization.comparison import Comparison

ROOT = Path(__file__).parents[2]
FRAMES = 8  # in an iteration, whether as pairs or as clips
SCORES = 'AP', 'AP50', 'AR10', 'HOTA', 'IDF1', 'switches'
SCORE_THR = 0.1  # of tracks that count in HOTA and IDF1


def use_data(cfg: Config, data: Path) -> None:
    """Let a config train on train.json and test on valid.json of a folder, in one process."""
    for name in ('train', 'val', 'test'):
        loader = cfg[f'{name}_dataloader']
        loader.dataset.data_root = f'{data}/'
        loader.update(num_workers=0, persistent_workers=False)
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        evaluator.ann_file = str(data / 'valid.json')


def use_iterations(cfg: Config, iterations: int) -> None:
    """Let a config with a warm-up and a decay train so long, without validations."""
    warm_up, decay = cfg.param_scheduler
    decay.update(end=iterations, T_max=iterations - warm_up.end)
    cfg.train_cfg.update(max_iters=iterations, val_begin=iterations + 1, val_interval=iterations)
    cfg.default_hooks.checkpoint.update(interval=100, max_keep_ckpts=1)


def run(tool: str, *args: object, log: Path) -> None:
    """Run a tool in a process of its own, which ends with this one.

    Raises:
        InputError: It failed.
    """
    with open(log, 'a') as file:
        command = [sys.executable, str(ROOT / 'tools' / tool), *map(str, args)]
        done = subprocess.run(
            command, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT, preexec_fn=end_with_starter
        )
    if done.returncode:
        raise InputError(f'{tool} failed; see the end of {log}')


def trained(cfg: Config, seed: int, folder: Path) -> tuple[Path, Path]:
    """The config file and the checkpoint of a training, which is done or gone on with."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / 'config.py'
    cfg.randomness = dict(seed=seed)
    cfg.dump(config)
    checkpoint = folder / f'iter_{cfg.train_cfg.max_iters}.pth'
    if not checkpoint.exists():
        more = ['--resume'] if (folder / 'last_checkpoint').exists() else []
        run('train.py', config, '--work-dir', folder, *more, log=folder / 'train.txt')
    return config, checkpoint


def scored(results: Path, annotations: Path) -> dict[str, float]:
    """SCORES of a file of results."""
    tracks = checked_tracks(str(results), str(annotations))
    figures = score_tracks(tracks)
    figures |= identity_measures(tracks, ['hota', 'identity'], SCORE_THR)
    figures['switches'] = identity_switches(annotations, results)
    return {key: figures[key] for key in SCORES}


def identity_switches(annotations: Path, results: Path) -> int:
    """How often objects change their identity, in the best tracks of each video, one an object."""
    content = json.loads(annotations.read_text())
    names = {category['id']: category['name'] for category in content['categories']}
    found, total = json.loads(results.read_text()), Counter()
    for video in content['videos']:
        objects = [a for a in content['annotations'] if a['video_id'] == video['id']]
        tracks = [track for track in found if track['video_id'] == video['id']]
        masks = {}
        for track in sorted(tracks, key=lambda track: -track['score']):
            masks.setdefault(json.dumps(track['segmentations']), track)
        best = list(masks.values())[: len(objects)]
        comparison = Comparison(video, objects, dict(ours=best), names, score_thr=-1)
        total.update(comparison.counts()['ours'])
    return total['switches']


def write_figures(figures: dict, path: Path) -> None:
    """Write figures as JSON, under their name when they are whole."""
    with whole_file(str(path)) as file:
        json.dump(figures, file, indent=1)


def mean_and_spread(runs: Sequence[dict], names: Sequence[str] = SCORES) -> list[str]:
    """Cells of a table: mean and standard deviation of some figures over several runs."""
    cells = []
    for name in names:
        values, digits = [each[name] for each in runs], 0 if name == 'switches' else 3
        cells.append(f'{mean(values):.{digits}f} ± {pstdev(values):.{digits}f}')
    return cells
