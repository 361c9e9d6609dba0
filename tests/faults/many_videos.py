"""Kill ``mmvis-cl track-all``, or give it broken videos, and look at what it leaves.

``python tests/faults/many_videos.py kills --number 20``: the command, its workers, or both are
killed (``kill -9``) at random moments, and the command is given again, until there were that many
kills and it has come to its end. The outputs must be those of a run that nobody killed, byte for
byte; no video is recorded twice, none is lost, and nothing that is half done has a final name.

``python tests/faults/many_videos.py broken --videos 300 --broken 30``: some videos are cut off,
empty, no videos, not to be read, or let their worker kill itself in the middle. All others must be
right, these must be told, and after they are mended ``--retry-failed`` must make them right.

``python tests/faults/many_videos.py ray --videos 60``: a Ray cluster of two nodes of this machine
tracks them, and one node is removed in the middle. The results must be those of local workers.
"""

import argparse
import ctypes
import filecmp
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

os.environ['OMP_NUM_THREADS'] = '1'  # before torch is imported

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE.parent)]

from process_groups import members, wait_until_gone  # noqa: E402

OUTPUTS = ('--out-json', '--out-coco', '--out-video', '--out-masks')
WORKERS = 2
PRCTL = ctypes.CDLL(None).prctl


class Command:
    """``mmvis-cl track-all`` in a session of its own.

    Args:
        folder: With ``in``, and the config and weights.
        out: Of the results.
        more: Further options.
        fake: Its workers are those of ``fake_worker.py``, which begin in no time.
    """

    def __init__(self, folder: Path, out: Path, *more: str, fake: bool = False) -> None:
        self.out = out
        model = ('--config', folder / 'tiny.py', '--weights', folder / 'tiny.pth')
        words = [
            *(sys.executable, '-m', 'mmvis_cl', 'track-all', folder / 'in', '--out', out),
            *(*model, '--device', 'cpu', '--workers', WORKERS, *OUTPUTS, *more),
        ]
        if fake:
            words = [sys.executable, __file__, 'run', folder / 'in', out]
        paths = os.pathsep.join([str(ROOT), str(HERE.parent)])
        self.process = subprocess.Popen(
            [str(word) for word in words],
            env=dict(os.environ, PYTHONPATH=paths, HOME=str(folder)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=read_as_others,
        )
        self.pid = self.process.pid

    def end(self) -> tuple[int, str]:
        """Wait for its end and that of its workers; exit code and output."""
        output = self.process.communicate()[0]
        wait_until_gone(self.pid)
        return self.process.returncode, output

    def workers(self) -> list[int]:
        """The ids of its workers' processes."""
        return [
            pid
            for pid, line in members(self.pid).items()
            if any(w in line for w in ('mmvis_cl.many.process', 'fake_worker'))
        ]

    def wait_for_a_video(self) -> None:
        """Until one more is in its place, or it has ended."""
        before = count = len(folders(self.out))
        while count == before and self.process.poll() is None:
            time.sleep(0.01)
            count = len(folders(self.out))


def read_as_others() -> None:
    """Let root, who may read everything, read only what its mode allows. For ``preexec_fn``."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH of linux/capability.h
        PRCTL(24, capability)  # PR_CAPBSET_DROP


def folders(out: Path) -> list[Path]:
    """Of the videos that have one under its final name."""
    try:
        return sorted((out / 'videos').iterdir())
    except FileNotFoundError:
        return []


def check_same(folder: Path, expected: Path) -> None:
    """A folder of results is whole, and its files are those of another, byte for byte."""
    names, others = (
        sorted(str(p.relative_to(f)) for p in f.rglob('*')) for f in (folder, expected)
    )
    assert names == others, f'{folder}: {names}, expected {others}'
    for name in names:
        a, b = folder / name, expected / name
        if a.is_file() and name != 'record.json':
            assert filecmp.cmp(a, b, shallow=False), f'{a} differs'


def run(folder: Path, out: Path) -> int:
    """What the command does, with workers that need no model; its exit code."""
    from fake_worker import COMMAND  # which puts the import of torch off

    from mmvis_cl.many.job import Job
    from mmvis_cl.many.local import LocalEngine
    from mmvis_cl.many.run import Run
    from mmvis_cl.many.video import Video

    job = Job(str(out), None, 'fake', {}, model='fake')
    names = sorted(os.listdir(folder))
    videos = [Video(name, name, name, 0, None, None, None, None) for name in names]
    tracking = Run(job, videos, retry_failed=True)
    engine = LocalEngine(
        *(tracking.job, tracking.store, [None] * WORKERS),
        lock=tracking.lock.file,
        command=COMMAND,
    )
    for _ in tracking.records(engine, lambda *said: None):
        pass
    return 1 if tracking.summary.failed else 0


def kills(number: int, videos: int, seed: int, fake: bool) -> Counter:
    """See above; counts of who was killed."""
    moments, counts, set_aside = random.Random(seed), Counter(), set()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if fake:
            (folder / 'in').mkdir()
            for n in range(videos):
                (folder / 'in' / f'{"long" if n % 3 else "short"}{n:03}.mp4').touch()
        else:
            from many_videos_data import make_model, make_videos

            make_model(folder)
            make_videos(folder / 'in', videos)
        code, output = Command(folder, folder / 'whole', fake=fake).end()
        assert code == 0, output
        out = folder / 'killed'
        records: dict[str, str] = {}
        while True:
            command = Command(folder, out, '--retry-failed', fake=fake)
            if counts.total() < number:
                kill_once(command, moments, counts, 2 if fake else 20)
            # if only workers were killed the command goes on
            code, output = command.end()
            for done in folders(out):
                record = (done / 'record.json').read_text()
                if json.loads(record)['status'] == 'failed':
                    set_aside.add(done.name)
                    continue
                check_same(done, folder / 'whole' / 'videos' / done.name)
                assert records.setdefault(done.name, record) == record, f'{done.name}: done twice'
            assert code in (0, 1, -signal.SIGKILL), output
            if code == 0 and counts.total() >= number:
                break
            if code == 0:  # the next round
                shutil.rmtree(out)
                records.clear()
        assert len(folders(out)) == videos == len(records), 'some are lost'
        assert os.listdir(out / '.work') == [], 'something unfinished is left'
    if set_aside:
        print(f'{len(set_aside)} videos lost their worker twice, and were done by --retry-failed')
    return counts


def kill_once(command: Command, moments: random.Random, counts: Counter, most: float) -> None:
    """Kill the command, one or all of its workers, or everything, now or a little later."""
    if moments.random() < 0.8:
        command.wait_for_a_video()
        time.sleep(moments.random() * 0.5)
    else:
        time.sleep(moments.random() * most)
    whom = moments.choice(['command', 'a worker', 'all workers', 'everything'])
    workers = command.workers()
    if command.process.poll() is not None:
        return
    if whom == 'a worker':
        workers = workers[:1]
    for pid in workers if whom != 'command' else ():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if whom in ('command', 'everything'):
        os.kill(command.pid, signal.SIGKILL)
    counts[whom] += 1


def broken(videos: int, number: int) -> dict[str, list[str]]:
    """See above; what was told of the broken videos, by the kind of the fault."""
    from many_videos_data import make_model, make_videos

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_model(folder)
        paths = make_videos(folder / 'in', videos)
        shutil.copytree(folder / 'in', folder / 'right')
        code, output = Command(folder, folder / 'whole').end()
        assert code == 0, output
        kinds = ('cut off', 'empty', 'no video', 'not to be read', 'deadly')
        ill = {path.name: kinds[n % 5] for n, path in enumerate(paths[:: videos // number])}
        ill = dict(list(ill.items())[:number])
        for name, kind in ill.items():
            spoil(folder / 'in' / name, kind)
        out = folder / 'out'
        code, output = Command(folder, out).end()
        assert code == 1, f'{code}: {output}'
        failed = [json.loads(line) for line in (out / 'failed.jsonl').read_text().splitlines()]
        assert {record['id'] for record in failed} == ill.keys(), output
        told: dict[str, list[str]] = {}
        for record in failed:
            told.setdefault(ill[record['id']], []).append(record['error'])
            assert os.listdir(out / 'videos' / record['id']) == ['record.json']
        for path in paths:
            if path.name not in ill:
                check_same(out / 'videos' / path.name, folder / 'whole' / 'videos' / path.name)
        for name in ill:
            os.chmod(folder / 'in' / name, 0o644)
            shutil.copy(folder / 'right' / name, folder / 'in' / name)
        code, output = Command(folder, out, '--retry-failed').end()
        assert code == 0, output
        for path in paths:
            check_same(out / 'videos' / path.name, folder / 'whole' / 'videos' / path.name)
        summary = json.loads((out / 'summary.json').read_text())
        assert (summary['before'], summary['done']) == (videos - number, number)
        return told


def on_ray(videos: int) -> Counter:
    """See above; how many videos each of the nodes' processes did."""
    from many_videos_data import make_model, make_videos
    from ray.cluster_utils import Cluster

    from mmvis_cl.apis import track_all

    os.environ['PYTHONPATH'] = os.pathsep.join([str(ROOT), str(HERE.parent)])  # for the nodes
    # or what else this machine does goes first
    os.environ['RAY_worker_niceness'] = '0'  # noqa: SIM112 - its name
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        config, weights = make_model(folder)
        make_videos(folder / 'in', videos)
        code, output = Command(folder, folder / 'whole').end()
        assert code == 0, output
        counts = Counter()
        head = dict(num_cpus=1, include_dashboard=False)
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            second = cluster.add_node(num_cpus=1)
            tracking = track_all(
                *(folder / 'in', folder / 'ray', config, weights),
                outputs=['json', 'coco', 'video', 'masks'],
                engine='ray',
                ray_address=cluster.address,
            )
            for record in tracking:
                assert record.done, record.error
                counts['after' if second is None else 'before'] += 1
                if second is not None and counts['before'] >= videos // 3:
                    cluster.remove_node(second, allow_graceful=False)
                    second = None
        finally:
            cluster.shutdown()
        assert len(folders(folder / 'ray')) == videos
        for path in folders(folder / 'ray'):
            check_same(path, folder / 'whole' / 'videos' / path.name)
        assert os.listdir(folder / 'ray' / '.work') == [], 'something unfinished is left'
    return counts


def spoil(path: Path, kind: str) -> None:
    """Break a video in one way."""
    if kind == 'cut off':
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == 'empty':
        path.write_bytes(b'')
    elif kind == 'no video':
        path.write_text('this is no video\n' * 100)
    elif kind == 'not to be read':
        path.chmod(0)
    else:
        import numpy as np
        from deadly_transform import RED
        from small_videos import write_video

        red = np.full((48, 64, 3), RED, np.uint8)
        grey = np.full((48, 64, 3), 90, np.uint8)
        write_video(path, images=[grey] * 6 + [red] * 2 + [grey] * 8)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest='what', required=True)
    killing = commands.add_parser('kills')
    killing.add_argument('--number', type=int, default=20)
    killing.add_argument('--videos', type=int, default=40)
    killing.add_argument('--seed', type=int, default=0)
    killing.add_argument('--fake', action='store_true', help='workers that need no model')
    running = commands.add_parser('run')
    running.add_argument('folder', type=Path)
    running.add_argument('out', type=Path)
    breaking = commands.add_parser('broken')
    breaking.add_argument('--videos', type=int, default=300)
    breaking.add_argument('--broken', type=int, default=30)
    raying = commands.add_parser('ray')
    raying.add_argument('--videos', type=int, default=60)
    args = parser.parse_args()
    if args.what == 'run':
        sys.exit(run(args.folder, args.out))
    if args.what == 'ray':
        counts = on_ray(args.videos)
        told = f'{counts["before"]} videos, then a node was removed, then {counts["after"]}'
        print(f'{told}: all as those of local workers')
    elif args.what == 'kills':
        counts = kills(args.number, args.videos, args.seed, args.fake)
        told = ', '.join(f'{n} of {whom}' for whom, n in counts.items() if n)
        print(f'{told}: outputs are those of a run that nobody killed, each recorded once')
    else:
        for kind, errors in broken(args.videos, args.broken).items():
            print(f'{kind}: {len(errors)}, as: {errors[0]}')
        print(f'{args.videos - args.broken} right, {args.broken} told; all right when mended')


if __name__ == '__main__':
    main()
