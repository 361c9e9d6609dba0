"""Mutation testing: small changes in the modules that decide, and whether a test notices.

``make mutants N=20`` tries N changes of each module below, chosen by ``--seed``; ``N=0`` all. Each
runs the tests of its module in a process of its own, which is forked when torch and mmdet are
there: a change costs the seconds of these tests alone. What survives is printed; what changes no
result is in equal.json: module, change and the reason, and before the reason the line of the
source where the same change elsewhere would matter. ``--notes FILE`` goes on where it was stopped.
"""

import argparse
import importlib
import importlib.abc
import importlib.util
import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'tests')]
from mutants.mutate import Mutant, mutants  # noqa: E402

EQUAL = Path(__file__).with_name('equal.json')
KEY = 'module', 'line', 'column', 'change'  # in the notes
# What libraries do before and after a fork is not made for two of them at once.
FORKING = threading.Lock()
MODELS, DATA = 'tests/models', 'tests/datasets'
# The modules that decide, and the tests that are to notice.
TARGETS = {
    'models/trackers/memory_bank_tracker': [
        f'{MODELS}/trackers/test_memory_bank_tracker.py',
        f'{MODELS}/trackers/test_long_term_memory.py',
        f'{MODELS}/test_release_tracking.py',
        f'{MODELS}/test_ctvis_tracking.py',
    ],
    'models/trackers/long_term_memory': [f'{MODELS}/trackers/test_long_term_memory.py'],
    'models/trackers/memory_bank': [
        f'{MODELS}/trackers/test_memory_bank_tracker.py',
        f'{MODELS}/trackers/test_long_term_memory.py',
        'tests/structures/test_repr.py',
    ],
    'structures/join_identities': ['tests/structures/test_join_identities.py'],
    'structures/frame_masks': ['tests/structures/test_frame_masks.py'],
    'ops/one_copy': ['tests/ops/test_one_copy.py'],
    'datasets/converters/hidden_objects': [f'{DATA}/converters/test_hidden_objects.py'],
    'many/attempts': ['tests/many/test_run.py', 'tests/many/test_local.py'],
    'many/manifest': ['tests/many/test_manifest.py'],
    'many/sources': ['tests/many/test_sources.py'],
    'many/store': ['tests/many/test_store.py'],
    'many/video': ['tests/many/test_video.py'],
    'models/losses/contrastive_loss': [f'{MODELS}/losses/test_contrastive_loss.py'],
    'models/losses/quasi_dense_loss': [f'{MODELS}/losses/test_quasi_dense_loss.py'],
    'models/losses/focal_loss': [
        f'{MODELS}/losses/test_focal_loss.py',
        f'{MODELS}/dense_heads/test_query_head.py',
    ],
    'models/tracking_heads/contrastive_head': [
        f'{MODELS}/tracking_heads/test_contrastive_head.py',
        f'{MODELS}/losses/test_contrastive_loss.py',
        f'{MODELS}/test_mixed_precision.py',
    ],
    'models/tracking_heads/clip_contrastive_head': [
        f'{MODELS}/tracking_heads/test_clip_contrastive_head.py',
        f'{MODELS}/test_ctvis_training.py',
    ],
    'models/task_modules/clip_objects': [
        f'{MODELS}/test_ctvis_training.py',
        f'{MODELS}/vis/test_clips.py',
    ],
    'models/layers/guided_memory': [f'{MODELS}/trackers/test_memory_bank_tracker.py'],
    'models/tracking_heads/reference_selector': [
        f'{MODELS}/tracking_heads/test_reference_selector.py'
    ],
    'models/task_modules/ota_assigner': [f'{MODELS}/task_modules/test_ota_assigner.py'],
    'models/layers/deformable_attention': [f'{MODELS}/layers/test_deformable_attention.py'],
    'models/layers/mask_nms': [
        f'{MODELS}/layers/test_mask_nms.py',
        f'{MODELS}/test_release_tracking.py',
    ],
    'models/vis/video_session': [
        f'{MODELS}/test_release_tracking.py',
        f'{MODELS}/vis/test_video_session.py',
        f'{MODELS}/vis/test_contrastive_vis.py',
    ],
    'ops/deformable_sums': [
        f'{MODELS}/layers/test_deformable_attention.py',
        'tests/ops/test_deformable_sums.py',
    ],
    'ops/gathered_sampling': [
        f'{MODELS}/layers/test_deformable_attention.py',
        'tests/ops/test_gathered_sampling.py',
    ],
    'ops/rle_counts': ['tests/ops/test_rle_counts.py', f'{DATA}/test_segmentations.py'],
    'ops/mask_runs': ['tests/ops/test_mask_runs.py', 'tests/structures/test_mask_rle.py'],
    'models/dense_heads/dynamic_mask_head': [f'{MODELS}/dense_heads/test_dynamic_mask_head.py'],
    'models/dense_heads/query_head': [f'{MODELS}/dense_heads/test_query_head.py'],
    'structures/mask_crops': ['tests/structures/test_mask_crops.py'],
    'structures/mask_windows': ['tests/structures/test_mask_rle.py'],
    'structures/mask_rle': ['tests/structures/test_mask_rle.py'],
    'structures/track_iou': ['tests/structures/test_track_iou.py'],
    'structures/track_runs': ['tests/structures/test_track_runs.py'],
    'structures/merge_tracks': ['tests/structures/test_merge_tracks.py'],
    'evaluation/track_matching': [
        'tests/evaluation/test_track_matching.py',
        'tests/evaluation/test_track_ap.py',
    ],
    'evaluation/track_ap': [
        'tests/evaluation/test_track_ap.py',
        'tests/evaluation/test_track_matching.py',
        'tests/evaluation/test_long_videos.py',
    ],
    'datasets/ratio_sampler': [f'{DATA}/test_ratio_sampler.py'],
    'datasets/transforms/frame_sampling': [f'{DATA}/transforms/test_frame_sampling.py'],
    'datasets/transforms/moving_camera': [f'{DATA}/transforms/test_moving_camera.py'],
    'datasets/transforms/pseudo_pair': [f'{DATA}/transforms/test_pseudo_pair.py'],
    'checkpoints/release_checkpoint': ['tests/checkpoints/test_release_checkpoint.py'],
    'checkpoints/renaming': [
        'tests/checkpoints/test_release_checkpoint.py',
        'tests/checkpoints/test_ctvis_checkpoint.py',
    ],
    'checkpoints/ctvis_checkpoint': ['tests/checkpoints/test_ctvis_checkpoint.py'],
    'checkpoints/mmdet_checkpoint': ['tests/checkpoints/test_mmdet_checkpoint.py'],
}


class MutantFinder(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """Imports a module from a changed source."""

    def __init__(self, module: str, path: Path, source: str) -> None:
        self.module, self.path, self.source = module, path, source

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        if name != self.module:
            return None
        return importlib.util.spec_from_loader(name, self, origin=str(self.path))

    def get_filename(self, name: str) -> str:
        return str(self.path)

    def get_data(self, path: str) -> bytes:
        if path != str(self.path):  # no cached bytecode
            raise OSError(path)
        return self.source.encode()


def survives(target: str, source: str | None, limit: float) -> bool:
    """Whether all tests of a module pass with this source, in time; None is as it is."""
    with FORKING:
        pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            quiet = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(quiet, stream)
            if source is not None:
                module = 'mmvis_cl.' + target.replace('/', '.')
                path = ROOT / 'mmvis_cl' / f'{target}.py'
                sys.meta_path.insert(0, MutantFinder(module, path, source))
            import pytest

            options = ['-x', '-q', '-p', 'no:cacheprovider', '-p', 'no:xdist', '--timeout=0']
            code = int(pytest.main([*options, *TARGETS[target]]))
            os._exit(0 if code == 0 else 1)
        except BaseException:
            os._exit(1)
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.05)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def chosen(number: int, seed: int, only: list[str]) -> Iterator[tuple[str, Mutant]]:
    """Some changes of each module, always the same for a seed."""
    for target in TARGETS:
        if only and not any(word in target for word in only):
            continue
        found = list(mutants((ROOT / 'mmvis_cl' / f'{target}.py').read_text()))
        if number and number < len(found):
            rng = random.Random(f'{seed} {target}')
            found = sorted(rng.sample(found, number), key=lambda mutant: mutant.line)
        yield from ((target, mutant) for mutant in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--number', type=int, default=20, help='a module; 0 for all')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--only', nargs='*', default=[], help='words in the names of modules')
    parser.add_argument('--jobs', type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument('--notes', type=Path, help='file of what was tried, to go on from')
    args = parser.parse_args()
    os.chdir(ROOT)
    # what takes long to import, and nothing of ours: a fork without it takes five times as long
    for name in ('mmcv.ops', 'mmdet.models', 'pytest', 'scipy.optimize', 'supervision', 'timm'):
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
    known = {}
    if args.notes and args.notes.exists():
        lines = map(json.loads, args.notes.read_text().splitlines())
        known = {tuple(line[name] for name in KEY): line['caught'] for line in lines}
    work = list(chosen(args.number, args.seed, args.only))
    limits = {}
    for target in dict.fromkeys(target for target, _ in work):
        start = time.monotonic()
        if not survives(target, None, 600):
            parser.exit(1, f'error: {target}: its tests fail without any change\n')
        limits[target] = 10 + 5 * (time.monotonic() - start)

    def is_caught(item: tuple[str, Mutant]) -> bool:
        target, mutant = item
        key = target, mutant.line, mutant.column, mutant.change
        if key not in known:
            known[key] = not survives(target, mutant.source, limits[target])
            if args.notes:
                line = dict(zip(KEY, key, strict=True), caught=known[key])
                with args.notes.open('a') as file:
                    file.write(json.dumps(line) + '\n')
        return known[key]

    with ThreadPoolExecutor(args.jobs) as pool:
        caught = list(pool.map(is_caught, work))
    equal = {tuple(key): why for *key, why in json.loads(EQUAL.read_text())}
    counts: dict[str, Counter] = defaultdict(Counter)
    for (target, mutant), noticed in zip(work, caught, strict=True):
        line = (ROOT / 'mmvis_cl' / f'{target}.py').read_text().splitlines()[mutant.line - 1]
        keys = (target, mutant.change), (target, mutant.change, line.strip())
        is_equal = not noticed and not equal.keys().isdisjoint(keys)
        counts[target]['caught' if noticed else 'equal' if is_equal else 'survived'] += 1
        if not noticed and not is_equal:
            print(f'{target}.py:{mutant.line}: {mutant.change}')
    total = sum(counts.values(), Counter())
    print('| Module | Caught | Equal | Not caught |\n| --- | ---: | ---: | ---: |')
    for target, of in (counts | {'all': total}).items():
        print(f'| `{target}` | {of["caught"]} | {of["equal"]} | {of["survived"]} |')
    judged = total['caught'] + total['survived']
    print(f'{total["caught"] / max(judged, 1):.1%} of those that are not equal were caught')
    sys.exit(total['caught'] < 0.95 * judged)


if __name__ == '__main__':
    main()
