"""What ``mmvis-cl track-all`` costs beside the tracking, and what its parent process keeps.

``many_videos.py speed``: videos of 16 small frames by one and by two workers, a thread each: frames
a second and their ratio, the time that a video takes beside its tracking, and whether sampled
results are those of ``VISInferencer`` byte for byte. Best on a machine where nothing else runs.

``many_videos.py memory``: the memory of the parent while workers that do nothing write records of
more and more videos, and the time to go on after them.
"""

import argparse
import json
import logging
import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')

ROOT = Path(__file__).resolve().parents[2]


def megabytes() -> float:
    """Of this process now."""
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def speed(count: int, frames: int, config: str, weights: str | None) -> None:
    """See the module."""
    import numpy as np
    import torch

    from mmvis_cl.apis import VISInferencer, open_source, track_all
    from mmvis_cl.outputs import open_outputs
    from mmvis_cl.visualization import VideoWriter

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / 'in').mkdir()
        rng = np.random.default_rng(0)
        for number in range(count):
            blocks = rng.integers(0, 255, (6, 12, 3), dtype=np.uint8)
            picture = np.kron(blocks, np.ones((16, 16, 1), np.uint8))
            with VideoWriter(folder / 'in' / f'{number:05}.mp4', fps=6) as writer:
                for t in range(frames):
                    writer.write(picture[:, t : t + 128])
        if weights is None:
            weights = str(random_weights(config, folder / 'random.pth'))
        rates, beside = {}, {}
        for workers in (1, 2):
            videos = track_all(
                *(folder / 'in', folder / f'out{workers}', config, weights),
                **dict(workers=workers, devices=['cpu']),
            )
            records, begin = [], None
            for record in videos:
                begin = begin or (time.perf_counter(), record.frames)
                assert record.done, record.error
                records.append(record)
            seconds = time.perf_counter() - begin[0]  # from the first video on: without the start
            rates[workers] = (sum(r.frames for r in records) - begin[1]) / seconds
            busy = sum(r.seconds for r in records[1:])
            beside[workers] = 1e3 * (seconds * workers - busy) / (len(records) - 1)
            print(
                f'{workers} workers: {rates[workers]:.1f} frames/s, {1e3 * busy / (count - 1):.0f} '
                f'ms a video within the worker, {beside[workers]:.1f} ms beside it'
            )
        print(f'two workers / one: {rates[2] / rates[1]:.2f} times the frames/s')

        inferencer = VISInferencer(config, weights, 'cpu')
        alone, same = [], 0
        names = sorted(os.listdir(folder / 'in'))
        sampled = random.Random(0).sample(names, min(20, count))
        for name in sampled:
            begin = time.perf_counter()
            with open_source(folder / 'in' / name) as source:
                outputs = open_outputs(
                    dict(json=folder / 'alone.json'),
                    *(source, inferencer.classes, lambda: inferencer.result),
                    video_id=name,
                )
                for frame in inferencer.stream(source):
                    outputs.write(frame.above(0.3))
                outputs.close()
            alone.append(time.perf_counter() - begin)
            text = (folder / 'alone.json').read_text()
            same += all(
                text == (folder / f'out{n}' / 'videos' / name / 'results.json').read_text()
                for n in (1, 2)
            )
        mean = 1e3 * sum(alone) / len(alone)
        one = 1e3 * frames / rates[1]
        print(f'{mean:.0f} ms a video alone, {one:.0f} with one worker: {one - mean:+.1f} ms')
        print(f'{same} of {len(sampled)} sampled results are the same, byte for byte')


def random_weights(config: str, path: Path) -> Path:
    """Weights that find something, but nothing in particular."""
    import torch
    from mmengine.config import Config
    from mmengine.registry import DefaultScope

    from mmvis_cl.config_names import find_config
    from mmvis_cl.registry import MODELS

    torch.manual_seed(0)
    cfg = Config.fromfile(find_config(config))
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        model = MODELS.build(cfg.model)
    logging.disable(logging.INFO)  # it tells of each weight
    model.init_weights()
    logging.disable(logging.NOTSET)
    for branch in model.detector.bbox_head.cls_branches:
        torch.nn.init.zeros_(branch.bias)
    with open(path, 'wb') as file:
        torch.save(dict(state_dict=model.state_dict()), file)
    return path


def memory(count: int, steps: int) -> None:
    """See the module."""
    import mmvis_cl_command

    mmvis_cl_command.put_off_set_up()  # what is measured does not depend on torch

    from mmvis_cl.many.job import Job
    from mmvis_cl.many.local import LocalEngine
    from mmvis_cl.many.run import Run
    from mmvis_cl.many.video import Video

    def videos(number: int) -> list[Video]:
        names = (f'folder/of/a/camera/{n:07}.mp4' for n in range(number))
        return [
            Video(name, f'/data/videos/{name}', name, 0, None, None, None, None) for name in names
        ]

    with tempfile.TemporaryDirectory() as out:
        job = Job(out, None, 'nothing', {}, model='nothing')
        print(f'nothing yet: {megabytes():.0f} MB')
        begin = time.perf_counter()
        run = Run(job, videos(count))
        listed = time.perf_counter() - begin
        print(f'{count} videos listed in {listed:.1f} s: {megabytes():.0f} MB')
        engine = LocalEngine(
            *(run.job, run.store, [None, None]),
            lock=run.lock.file,
            command=(sys.executable, __file__, 'worker'),
        )
        begin = time.perf_counter()
        for number, _ in enumerate(run.records(engine, lambda *said: None), 1):
            if number % (count // steps) == 0:
                each = 1e3 * (time.perf_counter() - begin) / number
                print(f'{number} recorded: {megabytes():.0f} MB, {each:.2f} ms a video', flush=True)
        del run
        begin = time.perf_counter()
        again = Run(job, videos(count))
        seconds = time.perf_counter() - begin
        assert not again.todo and again.summary.before == count
        each = 1e3 * seconds / count
        print(f'going on: {count} records read in {seconds:.1f} s, {each:.2f} ms each')
        sizes = [path.stat().st_size for path in Path(out, 'videos').glob('*/record.json')][:1000]
        print(f'{sum(sizes) / len(sizes):.0f} bytes a record')


def worker() -> None:
    """A worker that does nothing but write records."""
    import mmvis_cl_command

    mmvis_cl_command.put_off_set_up()

    from mmvis_cl.many.job import Job
    from mmvis_cl.many.record import VideoRecord
    from mmvis_cl.many.store import open_store
    from mmvis_cl.many.video import Video

    job = Job.from_json(json.loads(sys.stdin.readline())['job'])
    store, run_key = open_store(job.out, job.owner), job.key()
    print(json.dumps(dict(ready='cpu')), flush=True)
    for line in sys.stdin:
        video = Video.from_json(json.loads(line))
        record = VideoRecord(video.id, video.source, job.key_of(video, run_key), 'done', frames=16)
        store.publish(None, record)
        print(json.dumps(dict(record=vars(record))), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest='what', required=True)
    fast = commands.add_parser('speed')
    fast.add_argument('--videos', type=int, default=1000)
    fast.add_argument('--frames', type=int, default=16)
    fast.add_argument('--config', default='small_moving-shapes')
    fast.add_argument('--weights', help='checkpoint (default: random weights)')
    light = commands.add_parser('memory')
    light.add_argument('--videos', type=int, default=100_000)
    light.add_argument('--steps', type=int, default=10)
    commands.add_parser('worker')
    args = parser.parse_args()
    if args.what == 'worker':
        worker()
    elif args.what == 'memory':
        memory(args.videos, args.steps)
    else:
        speed(args.videos, args.frames, args.config, args.weights)


if __name__ == '__main__':
    main()
