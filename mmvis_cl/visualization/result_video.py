"""The tracks of a finished video, drawn on its frames."""

import os
from collections.abc import Sequence

import cv2
from mmengine.logging import print_log

from mmvis_cl.datasets.video_source import read_image
from mmvis_cl.errors import InputError

from .draw_tracks import draw_tracks
from .video_writer import VideoWriter


def write_result_video(
    video_result,
    frame_paths: Sequence[str | os.PathLike],
    class_names: Sequence[str],
    out_path: str | os.PathLike,
    fps: float = 6.0,
    score_thr: float = 0.3,
) -> None:
    """Write the tracks of a video as an ``.mp4``: mask, box, class, score and identity.

    Where several tracks share an identity (one a class), the one with the best score is drawn, so
    an object is drawn once. Colours go by the order in which identities first appear, so those of
    a video with up to seven of them are easy to tell apart.

    Args:
        video_result (VideoResult): The tracks; boxes and masks in pixels of the frames.
        frame_paths: The frames in order, as many as the video is long.
        class_names: Name of each label.
        out_path: Of the ``.mp4``.
        fps: Frames a second; YouTube-VIS has 6 annotated frames a second.
        score_thr: Identities whose best score is below this are not drawn.

    Where a threshold hides every track, the video and a line of the log say so.

    Raises:
        InputError: If the number of frames is not the length of the video, a frame cannot be read
            or has another size than the masks, or the video cannot be written.
    """
    if len(frame_paths) != video_result.length:
        raise InputError(
            f'video {video_result.video_id}: {len(frame_paths)} frames were given for a result of '
            f'{video_result.length} frames; pass the path of every frame'
        )
    best = {}
    for track in video_result.tracks:
        if track.score >= score_thr:
            kept = best.get(track.identity)
            if kept is None or track.score > kept.score:
                best[track.identity] = track
    hidden = ''
    if not best and video_result.tracks:
        top = max(track.score for track in video_result.tracks)
        hidden = f'no track scores {score_thr:.2f} or more, the best {top:.2f}'
        print_log(f'{out_path}: {hidden}; lower score_thr of TrackVideoHook', 'current')
    first_seen = {
        identity: next((t for t, rle in enumerate(track.segmentations) if rle is not None), None)
        for identity, track in best.items()
    }
    order = sorted((t, identity) for identity, t in first_seen.items() if t is not None)
    color_of = {identity: i for i, (_, identity) in enumerate(order)}

    with VideoWriter(out_path, fps=fps) as writer:
        for t, path in enumerate(frame_paths):
            frame = read_image(path)
            if frame.shape[:2] != tuple(video_result.ori_shape):
                raise InputError(
                    f'{path}: the frame is {frame.shape[:2]} (h, w), the masks of video '
                    f'{video_result.video_id} are {tuple(video_result.ori_shape)}'
                )
            seen = [best[i] for i in color_of if best[i].segmentations[t] is not None]
            if hidden:
                cv2.putText(frame, hidden, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255))
            writer.write(
                draw_tracks(
                    frame,
                    [track.segmentations[t] for track in seen],
                    [track.bboxes[t] for track in seen],
                    [class_names[track.label] for track in seen],
                    [track.score for track in seen],
                    [track.identity for track in seen],
                    color_ids=[color_of[track.identity] for track in seen],
                )
            )
