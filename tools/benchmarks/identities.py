"""What each option of the association does to identities, on the same detections.

``python tools/benchmarks/identities.py CONFIG CHECKPOINT ANNOTATIONS --images DIR [--out FILE.md]``
runs the network once over all videos, keeps what it found, and associates it anew with each setting
of OPTIONS: AP and AR10 of the results, and HOTA, AssA and IDF1 of tracks with a score of at least
``--score-thr``. The first row is the association as the config has it. Meant for videos in which
objects are away for long: ``make_moving_shapes.py --long-gaps``, ``hide_objects.py``.
"""

import argparse
import copy
import json
import tempfile
from pathlib import Path

import torch

from mmvis_cl.apis import VISInferencer
from mmvis_cl.category_ids import ids_of_classes
from mmvis_cl.datasets.image_files import read_image
from mmvis_cl.engine.cli import one_line_errors
from mmvis_cl.errors import InputError
from mmvis_cl.evaluation.identity_measures import identity_measures
from mmvis_cl.evaluation.track_ap import checked_tracks, score_tracks
from mmvis_cl.files import whole_file
from mmvis_cl.models.vis.video_session import VideoSession
from mmvis_cl.registry import MODELS

KEEP = dict(type='mmvis_cl.LongTermMemory')
OPTIONS = {
    'as configured': {},
    'remembered for 100 frames': dict(max_unseen=100),
    'guided memory of 10': dict(memory='guided', memory_len=10),
    'least cosine 0.3': dict(cosine_thr=0.3),
    'least cosine 0.5': dict(cosine_thr=0.5),
    'motion gate 1': dict(motion_gate=1.0),
    'long-term memory, cosine 0.3': dict(long_term=dict(KEEP, cosine_thr=0.3)),
    'long-term memory, cosine 0.5': dict(long_term=KEEP),
    'long-term memory, any class': dict(long_term=dict(KEEP, same_class=False)),
    'long-term memory, least cosine 0.5': dict(long_term=KEEP, cosine_thr=0.5),
    'joined after the video, from 0.5': dict(join_thr=0.5),
    'joined after the video, from 0.7': dict(join_thr=0.7),
    'least cosine 0.5, joined from 0.5': dict(cosine_thr=0.5, join_thr=0.5),
    'all three: cosines 0.5': dict(long_term=KEEP, cosine_thr=0.5, join_thr=0.5),
    'all three: cosines 0.3': dict(
        long_term=dict(KEEP, cosine_thr=0.3), cosine_thr=0.3, join_thr=0.5
    ),
}
OF_RESULT = 'join_thr', 'join_max_gap'
FIGURES = 'AP', 'AR10', 'HOTA', 'DetA', 'AssA', 'IDF1', 'IDSW', 'tracks'


class Recorder:
    """Takes the place of a :class:`VideoSession`, and keeps what it is given."""

    def __init__(self) -> None:
        self.frames: list[tuple] = []

    def add_frame(self, *args: object) -> None:
        self.frames.append(args)


def detections_of(inferencer: VISInferencer, images: list[Path]) -> list[tuple]:
    """Of each frame what a session is given."""
    model, recorder = inferencer.model, Recorder()
    for first, path in enumerate(images):
        ((frames, sample),) = inferencer.pipeline([read_image(path)], first)
        data = model.data_preprocessor(dict(inputs=[frames], data_samples=[sample]))
        samples = list(data['data_samples'][0])
        states = model.query_states(data['inputs'][0], samples)
        model.track_frame(recorder, states, 0, samples[0].img_shape)
    return recorder.frames


def associated(
    videos: list[dict],
    detections: list[list[tuple]],
    inferencer: VISInferencer,
    category_ids: list[int],
    options: dict,
) -> list[dict]:
    """Result entries of all videos with a setting."""
    model = inferencer.model
    kept_tracker, kept_cfg = model.tracker, model.test_cfg
    model.tracker, model.test_cfg = copy.copy(kept_tracker), copy.copy(kept_cfg)
    for name, value in options.items():
        if name in OF_RESULT:
            model.test_cfg[name] = value
        else:
            setattr(model.tracker, name, MODELS.build(value) if name == 'long_term' else value)
    entries = []
    for video, frames in zip(videos, detections, strict=True):
        size = video['height'], video['width']
        session: VideoSession = model.start_video(video['id'], len(frames), size)
        for given in frames:
            session.add_frame(*given)
        entries += session.result.to_youtube_vis(category_ids)
    model.tracker, model.test_cfg = kept_tracker, kept_cfg
    return entries


def figures_of(entries: list[dict], annotations: Path, score_thr: float) -> dict[str, float]:
    """AP and AR10, and how well identities last."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder, 'results.json')
        results.write_text(json.dumps(entries))
        tracks = checked_tracks(str(results), str(annotations))
    found = identity_measures(tracks, ['hota', 'identity', 'clear'], score_thr)
    counted = sum(entry['score'] >= score_thr for entry in entries)
    return score_tracks(tracks) | found | dict(tracks=counted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('config', help='name or path of a config')
    parser.add_argument('checkpoint', help='its weights')
    parser.add_argument('annotations', type=Path, help='in the format of YouTube-VIS')
    parser.add_argument('--images', type=Path, required=True, help='folder of its images')
    parser.add_argument('--score-thr', type=float, default=0.1, help='of identities (%(default)s)')
    parser.add_argument('--out', help='write the table to this file too')
    args = parser.parse_args()
    if not args.annotations.is_file():
        raise InputError(f'{args.annotations}: there is no such file; give an annotation file')
    torch.manual_seed(0)
    videos = json.loads(args.annotations.read_text())['videos']
    inferencer = VISInferencer(args.config, args.checkpoint, 'cpu')
    category_ids = ids_of_classes(inferencer.classes, None, str(args.annotations))
    detections = [
        detections_of(inferencer, [args.images / name for name in video['file_names']])
        for video in videos
    ]
    lines = [
        f'{len(videos)} videos, {sum(map(len, detections))} frames',
        '',
        '| association | ' + ' | '.join(FIGURES) + ' |',
        '| --- ' + '| ---: ' * len(FIGURES) + '|',
    ]
    for name, options in OPTIONS.items():
        entries = associated(videos, detections, inferencer, category_ids, options)
        found = figures_of(entries, args.annotations, args.score_thr)
        cells = [
            str(found[key]) if isinstance(found[key], int) else f'{found[key]:.3f}'
            for key in FIGURES
        ]
        lines.append('| ' + ' | '.join([name, *cells]) + ' |')
        print(lines[-1], flush=True)
    if args.out:
        with whole_file(args.out) as file:
            file.write('\n'.join(lines) + '\n')


if __name__ == '__main__':
    with one_line_errors():
        main()
