"""Annotations made with CVAT: its format "CVAT for video 1.1"."""

import bisect
import os
import re
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pycocotools import mask as mask_utils

from mmvis_cl import limits
from mmvis_cl.datasets.segmentations import polygons_to_rle
from mmvis_cl.errors import InputError, quoted
from mmvis_cl.files import is_zip
from mmvis_cl.json_file import read_bytes

from .cvat_shapes import corners, is_set, mask_of_rle, number_of, whole
from .drawn_shapes import fill_box, fill_ellipse
from .frame_files import ImageFrames, VideoFrames, find_video, pick_images
from .own_videos import AnnotatedTrack, AnnotatedVideo, Annotations

AREAS = ('polygon', 'mask', 'box', 'ellipse')
NO_AREAS = ('polyline', 'points', 'cuboid', 'skeleton')
# What says of a shape how it came to be, not what is seen.
BOOKKEEPING = ('frame', 'keyframe', 'occluded', 'outside', 'source', 'z_order')


@dataclass
class _Task:
    task_id: str
    name: str
    source: str  # name of the file that was annotated, if the export says
    frames: range  # their numbers in that file
    size: tuple[int, int] | None  # height, width
    labels: list[str]
    tracks: list[ET.Element] = field(default_factory=list)


def read_cvat(
    paths: Sequence[Path],
    frames: Path,
    boxes: str = 'refuse',
    ignore: Collection[str] = (),
    identity: str = 'auto',
    drop_unlabelled: bool = False,
) -> Annotations:
    """Read exports of CVAT; each task is a video.

    An object is seen where a track has a shape that is not "outside". The export holds a shape for
    every frame, those that CVAT interpolated included; nothing is interpolated here. "Occluded"
    changes nothing: what is drawn is the mask. Exports of several jobs may have two shapes of a
    track in one frame: what is seen counts more than "outside", a keyframe more than what was
    interpolated. A shape that is "outside" in a frame that the task does not have, as old versions
    of CVAT write it after the last one, says nothing of any frame.

    Args:
        paths: ``annotations.xml`` of tasks, jobs or projects; the classes of all are joined by
            name.
        frames: Folder or video file, see :func:`find_video`; a task's may have its name, its id or
            the name of its source.
        boxes: What to do with boxes: 'refuse', 'fill' (the mask is the whole box) or 'skip'.
        ignore: Kinds of shapes that have no area and are left out, of ``NO_AREAS``.
        identity: What makes shapes one object: 'track'; 'group' for CVAT's groups, since CVAT
            exports what was not drawn as a track, such as all masks, as tracks of one frame;
            'attribute:NAME' for the value of an attribute; 'auto' for the attribute ``identity`` of
            a mask, where it has none or is no mask the group, and where that has none the track. Of
            one class in each case.
        drop_unlabelled: Leave out the frames for which the export has no shape though an object is
            seen before and after (frames between keyframes, deleted frames), or no image.

    Raises:
        InputError: An export or frame is missing, broken or of another kind.
    """
    tasks = [task for path in paths for task in _parse(path)]
    names = list(dict.fromkeys(label for task in tasks for label in task.labels))
    category_ids = {name: i for i, name in enumerate(names, 1)}
    annotations = Annotations([], [dict(id=i, name=name) for name, i in category_ids.items()])
    reader = _Reader(category_ids, boxes, ignore, identity, drop_unlabelled)
    taken = {}
    for task in tasks:
        alone = len(tasks) == 1
        place = find_video(
            frames, [task.name, f'task_{task.task_id}', task.task_id, Path(task.source).stem], alone
        )
        numbers = taken.setdefault(place, set())
        if numbers & set(task.frames):  # jobs may be other parts of one video
            raise InputError(
                f'{place}: is the video of task {task.name!r} and of another one; give each its '
                "own, with the task's id as its name"
            )
        numbers.update(task.frames)
        annotations.videos.append(reader.video(task, place))
    annotations.notes += reader.notes()
    return annotations


def _parse(path: Path) -> list[_Task]:
    """The tasks of an export, each with its tracks."""
    if not os.path.isfile(path):
        raise InputError(f'{path}: there is no such file; give the annotations.xml of an export')
    try:
        root = ET.fromstring(_read_xml(path))
    except (ET.ParseError, ValueError, LookupError) as error:  # the latter: of its encoding
        raise InputError(f'{path}: not valid XML ({error}); export it again') from error
    meta = root.find('meta')
    if root.tag != 'annotations' or meta is None:
        raise InputError(f'{path}: not made by CVAT; export as "CVAT for video 1.1"')
    if root.find('image') is not None:
        raise InputError(
            f'{path}: is in the format "CVAT for images", which has no tracks; export as "CVAT for '
            'video 1.1"'
        )
    project = meta.find('project')
    if project is None:
        elements = [element for element in meta if element.tag in ('task', 'job')]
        labels = None
    else:
        elements = project.findall('tasks/task')
        labels = _labels(project)
    if not elements:
        raise InputError(f'{path}: its <meta> has no task; export as "CVAT for video 1.1"')
    tasks = {}
    for element in elements:
        task = _task(element, path)
        task.labels = task.labels or labels or []
        tasks[task.task_id] = task
    for track in root.findall('track'):
        task_id = track.get('task_id', next(iter(tasks)) if len(tasks) == 1 else None)
        if task_id not in tasks:
            raise InputError(
                f'{path}: track {track.get("id")} is of task {task_id}, which <meta> does not have '
                f'({", ".join(tasks)}); export it again'
            )
        tasks[task_id].tracks.append(track)
    return list(tasks.values())


def _read_xml(path: Path) -> bytes:
    """Of a file, or of the zip that CVAT exports."""
    if not is_zip(path):
        return read_bytes(path, 'MAX_XML_BYTES')
    try:
        with zipfile.ZipFile(path) as archive:
            size = archive.getinfo('annotations.xml').file_size
            if size > limits.MAX_XML_BYTES:
                most = f'{size} bytes of XML, the most are {limits.MAX_XML_BYTES}'
                raise InputError(f'{path}: has {most}; raise MMVIS_CL_MAX_XML_BYTES')
            return archive.read('annotations.xml')
    except KeyError as error:
        raise InputError(f'{path}: has no annotations.xml; give a zip of CVAT, or it') from error
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise InputError(f'{path}: is a broken zip ({error}); export it again') from error


def _task(element: ET.Element, path: Path) -> _Task:
    def text(key: str) -> str:
        return (element.findtext(key) or '').strip()

    task_id = text('id')
    where = f'{path}: {element.tag} {task_id}'
    step = re.search(r'step\s*=\s*(\d+)', text('frame_filter'))
    try:
        step = int(step[1]) if step else 1
        start = int(text('start_frame') or 0)
        stop = int(text('stop_frame') or start + step * (int(text('size')) - 1))
        height, width = (text(f'original_size/{side}') for side in ('height', 'width'))
        size = (int(height), int(width)) if height and width else None
    except ValueError as error:
        raise InputError(
            f'{where}: <size>, <start_frame>, <stop_frame> or <original_size> is missing or no '
            f'number ({error}); export it again'
        ) from error
    if not 0 <= start <= stop or step < 1:
        raise InputError(f'{where}: has no frames ({start} to {stop}); export it again')
    if (stop - start) // step >= limits.MAX_VIDEO_FRAMES:
        raise InputError(
            f'{where}: says that it has the frames {start} to {stop}, the most are '
            f'{limits.MAX_VIDEO_FRAMES}; export it again, or raise MMVIS_CL_MAX_VIDEO_FRAMES'
        )
    frames = range(start, stop + 1, step)
    name = text('name') or f'{element.tag}_{task_id}'
    return _Task(task_id, name, text('source'), frames, size, _labels(element))


def _labels(element: ET.Element) -> list[str]:
    """Without the parts of skeletons."""
    return [
        label.findtext('name') or ''
        for label in element.findall('labels/label')
        if not label.findtext('parent')
    ]


class _Reader:
    """Makes videos of tasks and counts what the user should know."""

    def __init__(
        self,
        category_ids: dict[str, int],
        boxes: str,
        ignore: Collection[str],
        identity: str,
        drop_unlabelled: bool,
    ) -> None:
        self.category_ids = category_ids
        self.boxes = boxes
        self.ignore = ignore
        self.identity = identity
        self.drop_unlabelled = drop_unlabelled
        self.grouped: dict[tuple[str, str], set[int]] = {}  # tracks of each group of a task
        kinds = ('filled', 'skipped', 'ignored', 'dropped', 'single', 'joined')
        self.counts = dict.fromkeys(kinds, 0)

    def video(self, task: _Task, place: Path) -> AnnotatedVideo:
        images, missing = None, set()
        if os.path.isfile(place):
            task.size = VideoFrames(place, task.frames).check_size(task.size)
        else:
            images = pick_images(place, task.frames)
            first_missing = next((n for n in task.frames if n not in images), None)
            if first_missing is not None and not self.drop_unlabelled:
                raise InputError(
                    f'{place}: has no image of frame {first_missing}; put it there, or leave such '
                    'frames out with --drop-unlabelled'
                )
            if images:
                task.size = ImageFrames(list(images.values())).check_size(task.size)
            if first_missing is not None:
                missing = set(task.frames) - set(images)
        objects, unlabelled = {}, set()
        self.grouped.clear()
        for track in task.tracks:
            unlabelled |= self._read_track(task, track, objects)
        self.counts['joined'] += sum(len(tracks) > 1 for tracks in self.grouped.values())
        dropped = missing | unlabelled
        numbers = [number for number in task.frames if number not in dropped]
        if not numbers or task.size is None:
            raise InputError(f'{place}: no frame of {task.name!r} is left; give all frames')
        self.counts['dropped'] += len(dropped)
        index = {number: i for i, number in enumerate(numbers)}
        tracks = []
        for (label, *_), masks in objects.items():
            self.counts['single'] += len(masks) == 1
            tracks.append(
                AnnotatedTrack(
                    self.category_ids[label],
                    {
                        index[number]: rles[0] if len(rles) == 1 else mask_utils.merge(rles)
                        for number, rles in sorted(masks.items())
                        if number in index
                    },
                )
            )
        chosen = (
            VideoFrames(place, numbers)
            if images is None
            else ImageFrames([images[number] for number in numbers])
        )
        return AnnotatedVideo(task.name, task.size, chosen, tracks)

    def notes(self) -> list[str]:
        """What was counted, a line each."""
        lines = dict(
            filled='boxes were taken as masks',
            skipped='boxes were skipped',
            ignored='shapes without an area were left out',
            dropped='frames without a label or image were left out',
        )
        notes = [f'{self.counts[key]} {text}' for key, text in lines.items() if self.counts[key]]
        if self.counts['joined'] and self.identity == 'auto':
            notes.append(
                f'{self.counts["joined"]} objects are groups of tracks; with --identity track each '
                'track is an object'
            )
        if self.counts['single'] and self.identity in ('track', 'auto'):
            notes.append(
                f'{self.counts["single"]} objects are seen in one frame only; CVAT exports what '
                'was not drawn as a track in this way: if they are the same objects, group them in '
                'CVAT (--identity group) or give them an attribute (--identity attribute:NAME)'
            )
        return notes

    def _read_track(self, task: _Task, track: ET.Element, objects: dict) -> set[int]:
        """Adds the masks of a track to its object; gives the frames that lack a shape."""
        label = track.get('label')
        where = f'task {task.name!r}, track {track.get("id")} ({label})'
        if label not in self.category_ids:
            raise InputError(f'{where}: its label is not in <meta>; export it again')
        by_frame = {}
        for shape in track:
            if shape.tag in AREAS + NO_AREAS:
                by_frame.setdefault(whole(shape, 'frame', where), []).append(shape)
        last, unlabelled = None, set()  # last: place of the last frame in which it was seen
        for number, shapes in sorted(by_frame.items()):
            here = f'{where}, frame {quoted(number)}'
            seen = [shape for shape in shapes if not is_set(shape, 'outside')]
            if seen and number not in task.frames:
                raise InputError(
                    f'{here}: the task has the frames {task.frames[0]} to {task.frames[-1]}'
                    f'{_step(task)}; export it again'
                )
            place = bisect.bisect_left(task.frames, number)  # of this frame or the next there is
            if last is not None and place > last + 1:
                gap = task.frames[last + 1 : place]
                if not self.drop_unlabelled:
                    raise InputError(
                        f'{where}: is seen in frame {task.frames[last]} and has no shape in frame '
                        f'{gap[0]}, not even one that is outside: frames between keyframes are '
                        'missing or were deleted; export it again as "CVAT for video 1.1", or '
                        'leave such frames out with --drop-unlabelled'
                    )
                unlabelled.update(gap)
            if not seen:
                last = None
                continue
            last = place
            shape = _one_of(seen, here)
            mask = self._mask(shape, task.size, here)
            if mask is not None:
                masks = objects.setdefault(self._key(track, shape, label, here), {})
                masks.setdefault(number, []).append(mask)
        return unlabelled

    def _key(self, track: ET.Element, shape: ET.Element, label: str, where: str) -> tuple:
        """Of the object that a shape belongs to; begins with its label."""
        group = track.get('group_id')
        name = self.identity.removeprefix('attribute:')
        if self.identity == 'auto' and shape.tag == 'mask':
            name = 'identity'
        for attribute in shape.findall('attribute'):
            if attribute.get('name') == name and (attribute.text or '').strip():
                return label, 'attribute', attribute.text.strip()
        if self.identity.startswith('attribute:'):
            raise InputError(
                f'{where}: has no attribute {name!r}; fill it in in CVAT, or take another '
                '--identity'
            )
        if self.identity in ('auto', 'group') and group not in (None, '', '0'):
            self.grouped.setdefault((label, group), set()).add(id(track))
            return label, 'group', group
        return label, 'track', id(track)

    def _mask(self, shape: ET.Element, size: tuple[int, int], where: str) -> dict | None:
        """COCO RLE of a shape; None if it is left out."""
        if shape.tag in NO_AREAS:
            if shape.tag not in self.ignore:
                raise InputError(
                    f'{where}: a {shape.tag} has no area; draw a mask or polygon, or leave such '
                    f'shapes out with --ignore {shape.tag}'
                )
            self.counts['ignored'] += 1
            return None
        if shape.tag == 'mask':
            return mask_of_rle(shape, size, where)
        if shape.tag == 'polygon':
            return polygons_to_rle([corners(shape, where)], *size, where)
        degrees = number_of(shape, 'rotation', where) if shape.get('rotation') else 0.0
        if shape.tag == 'ellipse':
            cx, cy, rx, ry = (number_of(shape, key, where) for key in ('cx', 'cy', 'rx', 'ry'))
            return fill_ellipse((cx, cy), (rx, ry), size, where, degrees)
        if self.boxes == 'refuse':
            raise InputError(
                f'{where}: is a box, not a mask; draw masks or polygons, or take the whole box as '
                'the mask with --boxes fill, or leave boxes out with --boxes skip'
            )
        if self.boxes == 'skip':
            self.counts['skipped'] += 1
            return None
        self.counts['filled'] += 1
        x1, y1, x2, y2 = (number_of(shape, key, where) for key in ('xtl', 'ytl', 'xbr', 'ybr'))
        return fill_box((x1, y1, x2 - x1, y2 - y1), size, where, degrees)


def _step(task: _Task) -> str:
    step = task.frames[1] - task.frames[0] if len(task.frames) > 1 else 1
    return f' in steps of {step}' if step > 1 else ''


def _one_of(shapes: list[ET.Element], where: str) -> ET.Element:
    """The shape of a track in a frame, of those that are not outside.

    Where two jobs of a task meet, or tracks were joined, CVAT exports a shape twice, or an
    interpolated one beside the keyframe.
    """
    chosen = [shape for shape in shapes if is_set(shape, 'keyframe')] or shapes
    for shape in chosen[1:]:
        if _drawn(shape) != _drawn(chosen[0]):
            raise InputError(
                f'{where}: the track has {len(shapes)} different shapes; remove all but one'
            )
    return chosen[0]


def _drawn(shape: ET.Element) -> tuple[str, dict]:
    return shape.tag, {key: v for key, v in shape.attrib.items() if key not in BOOKKEEPING}
