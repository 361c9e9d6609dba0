"""The outputs of a video by their kinds: what the commands that track have in common."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mmvis_cl.datasets.frame_source import VideoSource
from mmvis_cl.structures import VideoResult
from mmvis_cl.visualization import FrameDrawer

from .coco_video_output import COCOVideoOutput
from .csv_output import CSVOutput
from .cvat_output import CVATOutput
from .fiftyone_output import FiftyOneOutput
from .label_studio_output import LabelStudioOutput
from .mots_output import MOTSOutput
from .output import Output, Outputs
from .palette_png_output import PalettePNGOutput
from .video_output import VideoOutput
from .youtube_vis_output import YouTubeVISOutput


def open_outputs(
    paths: Mapping[str, str | os.PathLike],
    source: VideoSource,
    classes: Sequence[str],
    video_result: Callable[[], VideoResult | None],
    *,
    video_id: int | str = 1,
    category_ids: Sequence[int | str] | None = None,
    drawer: FrameDrawer | None = None,
    sound: bool = True,
    cvat_shapes: str = 'polygons',
) -> Outputs:
    """Open outputs of a video.

    Args:
        paths: Of each output by its kind: ``json``, ``coco``, ``video``, ``masks``, ``csv``,
            ``mots``, ``cvat``, ``label-studio`` or ``fiftyone``.
        source: The video.
        classes: The model's class names.
        video_result: Gives the tracks so far; see :class:`YouTubeVISOutput`.
        video_id: The video's id in ``json`` and ``coco``.
        category_ids: Of each label; label + 1 if None.
        drawer: Draws the frames of ``video``; one without trails if None.
        sound: Let ``video`` have the source's sound.
        cvat_shapes: See :class:`CVATOutput`.

    Returns:
        The outputs in the order of ``paths``.

    Raises:
        InputError: One of them cannot be written; none is left then.
    """
    file_name = Path(source.file).name if source.file else source.name
    make: dict[str, Callable[[str | os.PathLike], Output]] = {
        'json': lambda path: YouTubeVISOutput(path, video_result, video_id, category_ids, classes),
        'coco': lambda path: COCOVideoOutput(
            path, classes, source.name, source.fps, video_id, category_ids
        ),
        'video': lambda path: VideoOutput(
            path,
            source.fps,
            drawer,
            sample_aspect_ratio=source.sample_aspect_ratio,
            sound=source.sound if sound else None,
        ),
        'masks': PalettePNGOutput,
        'csv': lambda path: CSVOutput(path, classes),
        'mots': MOTSOutput,
        'cvat': lambda path: CVATOutput(path, classes, source.name, cvat_shapes),
        'label-studio': lambda path: LabelStudioOutput(
            path, classes, file_name, source.fps, source.whole_length
        ),
        'fiftyone': lambda path: FiftyOneOutput(
            path, classes, source.name, source.fps, source.file, source.sample_aspect_ratio
        ),
    }
    outputs = Outputs([])
    try:
        for kind, path in paths.items():
            outputs.outputs.append(make[kind](path))
    except BaseException:
        outputs.discard()
        raise
    return outputs
