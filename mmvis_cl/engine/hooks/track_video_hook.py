"""A video of each test result."""

import os
from pathlib import Path

from mmengine.hooks import Hook

from mmvis_cl.registry import HOOKS
from mmvis_cl.visualization import write_result_video


@HOOKS.register_module()
class TrackVideoHook(Hook):
    """Writes ``OUT_DIR/<video>.mp4`` as soon as a tested video is finished.

    ``<video>`` is the folder of the frames, below the data set's image prefix (``a/b`` becomes
    ``a_b``); if two videos share a folder, the later one's id is appended. Of the videos under way
    only the paths of the frames are kept.

    Args:
        out_dir: Where the videos go; made if absent.
        fps: Frames a second.
        score_thr: Identities whose best score is below this are not drawn.
    """

    def __init__(self, out_dir: str, fps: float = 6.0, score_thr: float = 0.3) -> None:
        self.out_dir = Path(out_dir)
        self.fps = fps
        self.score_thr = score_thr

    def before_test_epoch(self, runner) -> None:
        """Forget what an earlier test left."""
        self._paths: dict[int, dict[int, str]] = {}
        self._names: set[str] = set()

    def after_test_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Note the frames' paths; write the videos that are finished.

        Args:
            runner (Runner): The runner.
            batch_idx: Index of the batch.
            data_batch: Not used.
            outputs (list[TrackDataSample]): One for each video in the batch. Where the metainfo
                has a ``video_result`` the video is finished.
        """
        dataset = runner.test_dataloader.dataset
        for sample in outputs:
            for frame in sample.video_data_samples:
                info = frame.metainfo
                paths = self._paths.setdefault(info['video_id'], {})
                paths[info['frame_id']] = info['img_path']
            result = sample.metainfo.get('video_result')
            if result is None:
                continue
            paths = self._paths.pop(result.video_id)
            frame_paths = [paths[frame_id] for frame_id in sorted(paths)]
            out_path = self.out_dir / f'{self._name(dataset, frame_paths[0], result.video_id)}.mp4'
            write_result_video(
                result,
                frame_paths,
                dataset.metainfo['classes'],
                out_path,
                fps=self.fps,
                score_thr=self.score_thr,
            )

    def _name(self, dataset, frame_path: str, video_id: int | str) -> str:
        folder = os.path.dirname(frame_path)
        prefix = dataset.data_prefix.get('img_path') or ''
        below = os.path.relpath(folder, prefix) if prefix else os.path.basename(folder)
        if below.startswith('..') or below == '.':
            below = os.path.basename(os.path.abspath(folder))
        name = below.replace(os.sep, '_')
        if name in self._names:
            name = f'{name}_{video_id}'.replace(os.sep, '_')
        self._names.add(name)
        return name
