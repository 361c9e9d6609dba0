"""Which object of annotated PNGs is of which class: by tables, and by the value as in MOTS."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from mmvis_cl.errors import InputError, shortened
from mmvis_cl.json_file import read_json, read_table

MOTS_FACTOR = 1000  # value = class * 1000 + object
MOTS_IGNORED = 10000
KITTI_MOTS = ('car', 'pedestrian')
LABELS = 'labels.txt'  # beside the PNGs of CVAT's "MOTS PNG"


@dataclass
class ObjectClasses:
    """Which object is of which class; values of pixels are numbers of objects and no more.

    Attributes:
        by_object: The class of (video, object); video is None where it holds for all videos.
        default: The class of all others; None if there must be none.
        plain: Values of 1000 and more are no classes either, though all are.
    """

    by_object: dict[tuple[str | None, int], str] = field(default_factory=dict)
    default: str | None = 'object'
    plain: bool = False

    ignored: ClassVar[None] = None
    ignored_as_crowd: ClassVar[bool] = False
    cure: ClassVar[str] = 'add it to --classes'

    @property
    def names(self) -> list[str]:
        """All classes, in the order in which they are given."""
        given = [*self.by_object.values(), *([self.default] if self.default else [])]
        return list(dict.fromkeys(given))

    def of(self, video: str, number: int) -> str | None:
        """The class of an object, None if it is not given."""
        everywhere = self.by_object.get((None, number), self.default)
        return self.by_object.get((video, number), everywhere)


@dataclass
class MOTSClasses:
    """The value of a pixel is class * factor + object, as in MOTS.

    Attributes:
        names: Of the classes 1, 2, and so on.
        factor: 1000 in MOTS.
        ignored: The value of regions in which nobody looked for objects; None if there is none.
        ignored_as_crowd: Keep these regions as crowds, which scores ignore.
    """

    names: Sequence[str] = KITTI_MOTS
    factor: int = MOTS_FACTOR
    ignored: int | None = MOTS_IGNORED
    ignored_as_crowd: bool = False

    plain: ClassVar[bool] = True

    @property
    def cure(self) -> str:
        """What to do about a value without a class."""
        return (
            f'value // {self.factor} must be the class, from 1 ({self.names[0]}) to '
            f'{len(self.names)} ({self.names[-1]}), so give all names with --mots LABELS.txt'
        )

    def of(self, video: str, number: int) -> str | None:
        """The class of a value, None if it has none."""
        label = number // self.factor
        return self.names[label - 1] if 1 <= label <= len(self.names) else None


def read_object_classes(path: Path) -> ObjectClasses:
    """Read which object is of which class.

    Args:
        path: A ``.csv`` with the columns ``object``, ``class`` and, unless it holds for all videos,
            ``video``; or a ``.json``: ``{video: {object: class}}``, ``{object: class}`` for all
            videos, or the ``meta.json`` of YouTube-VOS.

    Raises:
        InputError: It is missing, of another form, or gives an object two classes.
    """
    try:
        pairs = _csv_pairs(path) if path.suffix.lower() == '.csv' else _json_pairs(path)
        classes = {}
        for (video, number), name in pairs:
            if not (name and isinstance(name, str)):
                raise ValueError('a class is empty or no text')
            key = video or None, int(number)
            if classes.setdefault(key, name) != name:
                raise ValueError(f'object {key[1]} has two classes')
        if not classes:
            raise ValueError('there is no class')
    except InputError:
        raise
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror}); correct the path') from error
    except (ValueError, LookupError, TypeError, AttributeError, csv.Error) as error:
        raise InputError(
            f'{path}: does not say which object is of which class ({type(error).__name__}: '
            f'{shortened(error, 100)}); give a .csv with the columns video, object and class, or a '
            '.json as {"video": {"1": "class"}}'
        ) from error
    return ObjectClasses(classes, default=None, plain=True)


def read_labels(path: Path) -> list[str]:
    """Read names of classes, one a line, the first is class 1.

    Raises:
        InputError: It is missing, empty, no text, or has a name twice.
    """
    names = [line.strip() for line in read_table(path).splitlines() if line.strip()]
    if not names:
        raise InputError(f'{path}: is empty; give names of classes, one a line, class 1 first')
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f'{path}: has the class {twice[0]!r} twice; give each class one line')
    return names


def _csv_pairs(path: Path) -> Iterator[tuple[tuple[str | None, str], str]]:
    for row in csv.DictReader(io.StringIO(read_table(path), newline=''), skipinitialspace=True):
        yield (row.get('video'), row['object']), row['class']


def _json_pairs(path: Path) -> Iterator[tuple[tuple[str | None, str], str]]:
    content = read_json(path)
    for key, value in content.get('videos', content).items():
        if isinstance(value, str):
            yield (None, key), value
            continue
        for number, entry in value.get('objects', value).items():
            yield (key, number), entry['category'] if isinstance(entry, dict) else entry
