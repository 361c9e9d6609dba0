"""Kill trainings and tools at random moments, and look at what is left.

``python tests/faults/kills.py training --kills 100 --keep 1``: a small training is killed
(``kill -9``) and resumed until it is done, then the next one begins, until there were that many
kills. No more must be lost than the iterations since the last checkpoint, no process must be left,
and the weights at the end must be those of a training that nobody killed, bit for bit.

``python tests/faults/kills.py tools --kills 100``: tools that write files are killed in turn. What
lies under a final name must be whole.
"""

import argparse
import json
import os
import random
import re
import runpy
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Iterator
from pathlib import Path

os.environ['OMP_NUM_THREADS'] = '1'  # before torch is imported

import av
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE), str(HERE.parent)]

import tiny_parts  # noqa: E402, F401
from process_groups import wait_until_gone  # noqa: E402

import mmvis_cl.cli.command_line  # noqa: E402
import mmvis_cl.engine.cli  # noqa: E402
import mmvis_cl.engine.downloads  # noqa: E402
import mmvis_cl.models  # noqa: E402, F401
from mmvis_cl.registry import MODELS  # noqa: E402

INTERVAL = 5  # iterations from a checkpoint to the next


class Child:
    """A Python tool in a fork of this process, which has imported the libraries already.

    Args:
        words: The tool and its arguments.
    """

    def __init__(self, *words: object) -> None:
        # a lock that another thread holds would stay locked in the fork
        assert len(os.listdir('/proc/self/task')) == 1
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.setsid()
                os.close(reading)
                for stream in (1, 2):
                    os.dup2(writing, stream)
                os.close(writing)
                sys.argv = [str(word) for word in words]
                runpy.run_path(sys.argv[0], run_name='__main__')
                code = 0
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        os.close(writing)
        self.lines = os.fdopen(reading)
        self.output = ''

    def has_ended(self) -> bool:
        """Whether it is over, and only waits to be asked for its exit code."""
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, options) is not None

    def end(self, number: int | None = None) -> int:
        """Signal it, if need be, and wait for its end and that of its workers; its exit code."""
        if number is not None:
            os.kill(self.pid, number)
        _, status = os.waitpid(self.pid, 0)
        wait_until_gone(self.pid)
        self.output += self.lines.read()
        self.lines.close()
        return os.waitstatus_to_exitcode(status)


class Training(Child):
    """A small training, which says what it does.

    Args:
        work_dir: Of the training.
        keep: Checkpoints that are kept.
        workers: Of its data loader.
        iterations: Of the whole training.
    """

    def __init__(self, work_dir: Path, keep: int, workers: int, iterations: int) -> None:
        self.iterations = iterations
        super().__init__(
            *(ROOT / 'tools' / 'train.py', HERE / 'tiny.py', '--work-dir', work_dir),
            *('--resume', '--cfg-options'),
            # A checkpoint of 5 MB, written at every fifth of the short iterations: many of the
            # kills meet the training while it writes.
            'model.hidden=6000',
            f'default_hooks.checkpoint.max_keep_ckpts={keep}',
            f'default_hooks.checkpoint.interval={INTERVAL}',
            f'train_dataloader.num_workers={workers}',
            f'train_cfg.max_iters={iterations}',
        )

    def wait_for(self, iterations: int) -> bool:
        """Wait until it has begun and done so many; whether it has."""
        for line in self.lines:
            self.output += line
            if line.startswith('REPORT'):
                iterations -= 1
            if iterations < 0:
                return True
        return False

    @property
    def start(self) -> int:
        """How many iterations were done when it began; all of them if it did not."""
        found = re.search(r'REPORT starts after (\d+)', self.output)
        return int(found[1]) if found else self.iterations

    @property
    def done(self) -> int:
        """How many are done as far as it has said."""
        return max([self.start, *map(int, re.findall(r'REPORT done (\d+)', self.output))])


def weights(work_dir: Path, iteration: int) -> dict[str, torch.Tensor]:
    """Of a checkpoint."""
    checkpoint = torch.load(work_dir / f'iter_{iteration}.pth', weights_only=False)
    return checkpoint['state_dict']


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether they are equal, bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def saved(work_dir: Path) -> list[int]:
    """The iterations of the checkpoints in a work dir."""
    names = [re.fullmatch(r'iter_(\d+)\.pth', path.name) for path in work_dir.glob('iter_*')]
    return sorted(int(name[1]) for name in names)


def kill_trainings(
    kills: int, keep: int, seed: int, workers: int, iterations: int
) -> dict[str, int]:
    """Kill trainings and resume them, until there were so many kills and the last one is done.

    Args:
        kills: How many.
        keep: Checkpoints that are kept.
        seed: Of the moments.
        workers: Of the data loader.
        iterations: Of a training.

    Returns:
        What happened: ``kills``, further ``stops`` by SIGTERM, ``trainings`` that were brought to
        their end, ``most lost`` by a kill, in iterations, kills ``while writing`` a checkpoint,
        ``before last_checkpoint`` named the newest, and ``before removing`` an old one.

    Raises:
        AssertionError: Something was lost or left.
    """
    moments = random.Random(seed)
    counts = dict.fromkeys(
        ('kills', 'stops', 'trainings', 'most lost', 'while writing', 'before last_checkpoint'), 0
    )
    counts['before removing'] = 0
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / 'whole'
        training = Training(whole, keep, workers, iterations)
        code = training.end()
        assert code == 0, training.output
        expected = weights(whole, iterations)
        while counts['kills'] < kills:
            work_dir = Path(folder) / f'training_{counts["trainings"]}'
            reached, allowed, code = 0, 0, None
            while code != 0:
                training = Training(work_dir, keep, workers, iterations)
                number = moments.choices([signal.SIGKILL, signal.SIGTERM], [5, 1])[0]
                if counts['kills'] < kills:
                    # Half of them in or about the iteration that ends with a checkpoint.
                    anywhere = moments.randrange(3 * INTERVAL)
                    before_one = INTERVAL * (anywhere // INTERVAL) + INTERVAL - 1
                    training.wait_for(moments.choice([anywhere, before_one]))
                    time.sleep(moments.uniform(0, 0.05))
                    code = training.end(number)
                else:
                    code = training.end()
                assert code in (0, -signal.SIGKILL, 128 + signal.SIGTERM), training.output
                if code != -signal.SIGKILL:  # else a worker may say what it met without its parent
                    assert 'Traceback' not in training.output, training.output
                lost = reached - training.start
                # what was done before a kill need not have been said
                assert lost <= allowed, (reached, training.output)
                counts['most lost'] = max(counts['most lost'], lost)
                reached = training.done
                allowed = INTERVAL - 1 if code == -signal.SIGKILL else 0
                counts['kills'] += code == -signal.SIGKILL
                counts['stops'] += code == 128 + signal.SIGTERM
                if code == 0:
                    continue
                checkpoints = saved(work_dir)
                assert len(checkpoints) <= keep + 1, checkpoints
                for iteration in checkpoints:  # each can be read
                    assert weights(work_dir, iteration).keys() == expected.keys()
                counts['while writing'] += any(work_dir.glob('.*.part*'))
                if checkpoints:
                    last = work_dir / 'last_checkpoint'
                    named = last.read_text() if last.exists() else ''
                    counts['before last_checkpoint'] += f'_{checkpoints[-1]}.pth' not in named
                    counts['before removing'] += len(checkpoints) > keep
            assert same(weights(work_dir, iterations), expected), 'other weights at the end'
            assert saved(work_dir) == list(range(iterations, 0, -INTERVAL))[:keep][::-1]
            assert not list(work_dir.glob('.*.part*')) + list(work_dir.glob('.training.lock'))
            counts['trainings'] += 1
            shutil.rmtree(work_dir)
    return counts


TRACKER = f"""
_base_ = {str(ROOT / 'configs' / 'vis_cl' / 'small_moving-shapes.py')!r}
# many weak detections, so that random weights give something to write
model = dict(
    detector=dict(num_queries=12, test_cfg=dict(score_thr=0.0)),
    tracker=dict(first_thr=0.0, new_thr=0.0),
    test_cfg=dict(result_score_thr=0.0),
)
"""


def tools(data: Path) -> dict[str, list[object]]:
    """The tools by name, as words; what they are to write is named with {out}."""
    converters = ROOT / 'tools' / 'dataset_converters'
    cli = ROOT / 'mmvis_cl' / '__main__.py'
    shapes = ['--train-videos', '6', '--valid-videos', '3', '--length', '8']
    train, valid, results = data / 'train.json', data / 'valid.json', data / 'results.json'
    merged = [results, results, '--annotations', valid]
    names = ('a.mp4', 'a.json', 'coco.json', 'masks')
    outputs = [f'{{out}}/{name}' for name in names]
    options = zip(('--out-video', '--out-json', '--out-coco', '--out-masks'), outputs, strict=True)
    masks = sorted((data / 'Annotations').iterdir())
    return {
        'make_moving_shapes': [converters / 'make_moving_shapes.py', '--out', '{out}', *shapes],
        'check_vis': [converters / 'check_vis.py', data, '--workers', 2, '--json', '{out}/a.json'],
        'vis_to_coco': [converters / 'vis_to_coco.py', train, '{out}/a.json'],
        'split_vis': [converters / 'split_vis.py', train, '{out}/a.json', '{out}/b.json'],
        'mask_png_to_vis': [
            *(converters / 'mask_png_to_vis.py', data, '--videos', data / 'videos.txt'),
            *('--out', '{out}'),
        ],
        'merge': [cli, 'merge', '{out}/a.json', *merged],
        'merge to a zip': [cli, 'merge', '{out}/a.zip', *merged, '--workers', 2],
        'track': [
            *(cli, 'track', data / 'JPEGImages' / masks[0].name, '--config', data / 'tracker.py'),
            *('--weights', data / 'tracker.pth', *(word for pair in options for word in pair)),
        ],
    }


def prepare(data: Path) -> None:
    """Write what the tools read."""
    shapes = ['--train-videos', '6', '--valid-videos', '3', '--length', '8']
    make = Child(ROOT / 'tools/dataset_converters/make_moving_shapes.py', '--out', data, *shapes)
    assert make.end() == 0, make.output
    annotations = json.loads((data / 'valid.json').read_text())
    results = [
        {key: track[key] for key in ('video_id', 'category_id', 'segmentations')}
        for track in annotations['annotations']
    ]
    (data / 'results.json').write_text(json.dumps([dict(r, score=0.5) for r in results]))
    (data / 'tracker.py').write_text(TRACKER)
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        model = MODELS.build(Config.fromfile(data / 'tracker.py').model)
    torch.manual_seed(0)
    state = {
        key: value + 0.01 * torch.rand(value.shape) for key, value in model.state_dict().items()
    }
    torch.save(dict(state_dict=state), data / 'tracker.pth')
    folders = sorted({Path(video['file_names'][0]).parts[0] for video in annotations['videos']})
    (data / 'videos.txt').write_text('\n'.join(folders))
    for video in annotations['videos']:
        for number, name in enumerate(video['file_names']):
            path = data / 'Annotations' / Path(name).with_suffix('.png')
            path.parent.mkdir(parents=True, exist_ok=True)
            mask = np.zeros((video['height'], video['width']), np.uint8)
            mask[10:30, 10 + number : 40] = 1
            Image.fromarray(mask).save(path)


def files_below(folder: Path) -> Iterator[str]:
    """All files in a folder, whatever happens to it meanwhile."""
    for _, _, names in os.walk(folder):
        yield from names


def check_whole(folder: Path) -> int:
    """Look into all files that have a final name; how many there are.

    Raises:
        AssertionError: One of them is not whole.
    """
    paths = [path for path in folder.rglob('*') if path.is_file()]
    paths = [
        p for p in paths if not any(part.startswith('.') for part in p.relative_to(folder).parts)
    ]
    for path in paths:
        try:
            if path.suffix == '.json':
                json.loads(path.read_text())
            elif path.suffix in ('.jpg', '.png'):
                with Image.open(path) as image:
                    image.load()
            elif path.suffix == '.zip':
                with zipfile.ZipFile(path) as archive:
                    assert archive.testzip() is None and archive.namelist()
            elif path.suffix == '.py':
                compile(path.read_text(), path, 'exec')
            else:
                assert path.suffix == '.mp4', 'a file of an unknown kind'
                with av.open(str(path)) as container:
                    container.streams.video[0].codec_context.thread_count = 1
                    assert len(list(container.decode(video=0))) == 8
        except Exception as error:
            raise AssertionError(f'{path} is not whole: {error}') from error
    return len(paths)


def kill_tools(kills: int, seed: int) -> dict[str, int]:
    """Kill each tool in turn.

    Args:
        kills: How many, of all tools together.
        seed: Of the moments.

    Returns:
        What happened: ``kills``, those that left ``nothing``, ``some`` or ``all`` of the files, and
        ``too late`` ones, which are not counted as kills.

    Raises:
        AssertionError: A half file has a final name, or a worker is left.
    """
    moments = random.Random(seed)
    counts = {'kills': 0, 'left nothing': 0, 'left some': 0, 'left all': 0, 'came too late': 0}
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / 'data', Path(folder) / 'out'
        prepare(data)
        seconds, files = {}, {}
        while counts['kills'] < kills:
            for name, words in tools(data).items():
                out.mkdir()
                begun = time.monotonic()
                child = Child(*(str(word).replace('{out}', str(out)) for word in words))
                if name not in seconds:  # how long it takes when it is left alone
                    assert child.end() == 0, f'{name}: {child.output}'
                    seconds[name] = time.monotonic() - begun
                    files[name] = check_whole(out)
                elif counts['kills'] < kills:
                    if moments.random() < 0.5:
                        time.sleep(moments.uniform(0, seconds[name]))
                    else:  # while it writes: many write at their end alone
                        while not any(files_below(out)) and not child.has_ended():
                            time.sleep(0.0005)
                        time.sleep(moments.uniform(0, 0.02))
                    code = child.end(signal.SIGKILL)
                    assert code in (0, -signal.SIGKILL), f'{name}: {child.output}'
                    left = check_whole(out)
                    if code == 0:
                        counts['came too late'] += 1
                    else:
                        counts['kills'] += 1
                        amount = {0: 'nothing', files[name]: 'all'}.get(left, 'some')
                        counts[f'left {amount}'] += 1
                else:
                    child.end(signal.SIGKILL)
                shutil.rmtree(out, ignore_errors=True)  # a tool may make it anew, under its name
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('what', choices=['training', 'tools'])
    parser.add_argument('--kills', type=int, default=100)
    parser.add_argument('--keep', type=int, default=1, help='checkpoints (default: %(default)s)')
    parser.add_argument('--workers', type=int, default=1, help='of the loader (default: 1)')
    parser.add_argument('--iterations', type=int, default=60, help='of a training (default: 60)')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    if args.what == 'training':
        counts = kill_trainings(args.kills, args.keep, args.seed, args.workers, args.iterations)
    else:
        counts = kill_tools(args.kills, args.seed)
    print(', '.join(f'{number} {what}' for what, number in counts.items()))


if __name__ == '__main__':
    main()
