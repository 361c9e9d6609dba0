"""What is kept of a video that was tried: the small thing that travels in place of results."""

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from mmvis_cl.errors import InputError


@dataclass
class VideoRecord:
    """What became of a video.

    Attributes:
        id: Of the video.
        source: Its path or address.
        key: Hash of config, weights, options and what is wanted of the video. One with the same is
            not tracked again.
        status: ``'done'`` or ``'failed'``.
        error: Of a failed one, the reason in one line; else ''.
        problem: Of one that is done though its file is damaged: how; else ''.
        frames: That were tracked.
        identities: That were found.
        seconds: From the opening of the video to its last output.
        device: As ``'cpu'`` or ``'cuda:0'``; '' if it came to none.
        model: Hash of config and weights.
        outputs: Bytes of each file, or of all files of a folder, by its name in the video's folder.
    """

    id: str
    source: str
    key: str
    status: str
    error: str = ''
    problem: str = ''
    frames: int = 0
    identities: int = 0
    seconds: float = 0.0
    device: str = ''
    model: str = ''
    outputs: dict[str, int] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether the results are there."""
        return self.status == 'done'

    @property
    def rate(self) -> float:
        """Frames a second."""
        return self.frames / self.seconds if self.seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``frames_per_second`` is for readers of the file."""
        return asdict(self) | dict(frames_per_second=round(self.rate, 3))

    @classmethod
    def from_json(cls, content: object, where: str) -> 'VideoRecord':
        """What :meth:`to_json` gave.

        Args:
            content: Of the file.
            where: The file.

        Raises:
            InputError: It is something else.
        """
        names = {f.name for f in fields(cls)}
        given = content if isinstance(content, dict) else {}
        texts = [given.get(name) for name in ('id', 'source', 'key', 'status')]
        if not all(isinstance(text, str) for text in texts):
            raise InputError(f'{where}: is no record of a video; remove its folder')
        return cls(**{name: value for name, value in given.items() if name in names})

    def line(self) -> str:
        """As a line of ``failed.jsonl``."""
        return json.dumps(self.to_json(), ensure_ascii=False) + '\n'

    def told(self) -> str:
        """In one line, for people."""
        if not self.done:
            return f'failed: {self.id}: {self.error}'
        damaged = f' ({self.problem})' if self.problem else ''
        return (
            f'done: {self.id}: {self.frames} frames, {self.identities} identities, '
            f'{self.seconds:.2f} s on {self.device}{damaged}'
        )
