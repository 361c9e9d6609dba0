"""A video of many: what a worker has to know of it."""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

LONGEST_NAME = 150  # bytes of a folder's name, of 255 that most file systems allow


@dataclass(frozen=True, slots=True)
class Video:
    """A video that is to be tracked.

    Attributes:
        id: Unique among the videos of a run. Its folder is named after it.
        source: Path or address.
        video_id: In result files.
        start: Number of the first frame.
        max_frames: Most frames to track; all if None.
        classes: Only objects of these; those of the run if None.
        files: The image of each frame, where these are not all images of a folder.
        length: Frames, as far as known before it is opened.
    """

    id: str
    source: str
    video_id: int | str
    start: int
    max_frames: int | None
    classes: tuple[str, ...] | None
    files: tuple[str, ...] | None
    length: int | None

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> 'Video':
        """What ``dataclasses.asdict`` gave, after its way through JSON, which has no tuples."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in content.items()
        }
        return cls(**values)

    @property
    def frames(self) -> int | None:
        """How many will be tracked, as far as known."""
        if self.length is None:
            return self.max_frames
        rest = max(0, self.length - self.start)
        return rest if self.max_frames is None else min(rest, self.max_frames)

    def is_in_shard(self, index: int, count: int) -> bool:
        """Whether it belongs to one of ``count`` shards: by its id alone, on all machines."""
        return int(hashlib.sha256(self.id.encode()).hexdigest()[:12], 16) % count == index


def folder_name(video_id: str) -> str:
    """The name of a video's folder: its id, or what of it a name may hold and a hash of it."""
    name = re.sub(r'[^\w.@+=-]+', '_', video_id)
    if name == video_id and not name.startswith('.') and len(name.encode()) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(video_id.encode()).hexdigest()[:12]
    short = name.lstrip('.').encode()[: LONGEST_NAME - 13].decode(errors='ignore')
    return f'{short}-{digest}'
