"""A few tracked frames at each validation, beside the curves."""

import numpy as np
from mmengine.hooks import Hook

from mmvis_cl.datasets.image_files import read_image
from mmvis_cl.registry import HOOKS
from mmvis_cl.visualization.draw_tracks import draw_tracks


@HOOKS.register_module()
class TrackedFramesHook(Hook):
    """Gives frames of the first videos, drawn with their identities, to the visualizer's backends.

    Args:
        videos: So many videos of each validation.
        frames: So many frames of each, from its first to its last.
        score_thr: Identities with a lower score are not drawn.
    """

    def __init__(self, videos: int = 2, frames: int = 3, score_thr: float = 0.3) -> None:
        self.videos = videos
        self.frames = frames
        self.score_thr = score_thr

    def before_val_epoch(self, runner) -> None:
        """Begin with the first video."""
        self._places: dict[int | str, int] = {}

    def after_val_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Draw the frames that are wanted.

        Args:
            runner (Runner): The runner.
            batch_idx: Index of the batch.
            data_batch: Not used.
            outputs (list[TrackDataSample]): Of the validation, with ``pred_track_instances``.
        """
        for sample in outputs:
            for frame in sample.video_data_samples:
                place = self._places.setdefault(frame.video_id, len(self._places))
                last = frame.ori_video_length - 1
                wanted = np.linspace(0, last, self.frames).round().astype(int).tolist()
                found = frame.get('pred_track_instances')
                if place >= self.videos or frame.frame_id not in wanted or found is None:
                    continue
                found = found[found.scores >= self.score_thr]
                names = runner.val_dataloader.dataset.metainfo['classes']
                drawn = draw_tracks(
                    read_image(frame.img_path),
                    found.masks,
                    found.bboxes.numpy(),
                    [names[label] for label in found.labels.tolist()],
                    found.scores.tolist(),
                    found.instances_id.tolist(),
                )
                name = f'video_{frame.video_id}/frame_{frame.frame_id:04}'
                runner.visualizer.add_image(name, drawn, step=runner.iter)
