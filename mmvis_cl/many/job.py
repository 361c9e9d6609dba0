"""What a worker needs to know of a run, and the hashes by which a finished video is known."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from typing import Any

from mmvis_cl.config_names import find_config
from mmvis_cl.errors import InputError
from mmvis_cl.weights import weights_file

from .video import Video


@dataclass(frozen=True)
class Job:
    """What the workers of a run have in common; plain values, so that any engine can send it.

    Attributes:
        out: Folder or address of the results.
        config: Path or name of a config; the one in the checkpoint if None.
        weights: Checkpoint.
        cfg_options: Settings that override the config's.
        amp: See :class:`~mmvis_cl.apis.VISInferencer`.
        tf32: See there.
        compile_network: See there.
        tta: See there.
        frames_per_pass: See there.
        outputs: Kinds of output, of ``OUTPUTS``.
        score_thr: Objects with a score above it are wanted. If None, what is drawn and listed frame
            by frame has ``SHOWN_SCORE``, and ``json`` the config's.
        classes: Only objects of these; all if None.
        trails: Frames for which a drawn trail is seen.
        sound: Let the drawn video have the source's sound.
        cvat_shapes: Of ``cvat``, see :func:`~mmvis_cl.outputs.open_outputs`.
        category_ids: As ``--category-ids``.
        annotations: File from which category ids are taken.
        accept_damaged: A video of which some frames cannot be read is done, not failed.
        videos_per_pass: Videos whose frames go through the network together.
        processes: Workers on this machine that share its CPUs.
        model: Hash of config and weights.
        owner: Of unfinished folders, by which they are found when their process was killed.
    """

    out: str
    config: str | None
    weights: str
    cfg_options: dict[str, Any]
    amp: bool = False
    tf32: bool = False
    compile_network: bool = False
    tta: bool = False
    frames_per_pass: int | None = None
    outputs: tuple[str, ...] = ('json',)
    score_thr: float | None = None
    classes: tuple[str, ...] | None = None
    trails: int = 0
    sound: bool = True
    cvat_shapes: str = 'polygons'
    category_ids: tuple[str, ...] | None = None
    annotations: str | None = None
    accept_damaged: bool = False
    videos_per_pass: int = 1
    processes: int = 1
    model: str = ''
    owner: str = 'one'

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> 'Job':
        """What :meth:`to_json` gave, after its way through JSON."""
        values = dict(content)
        for name in ('outputs', 'classes', 'category_ids'):
            if values[name] is not None:
                values[name] = tuple(values[name])
        return cls(**values)

    def key(self) -> str:
        """Hash of all that decides on what is in the results, but for the videos."""
        values = asdict(self)
        for name in ('out', 'config', 'weights', 'cfg_options', 'processes', 'owner'):
            del values[name]  # `model` has what they lead to, or they change nothing
        del values['videos_per_pass']
        values['outputs'] = sorted(self.outputs)
        if self.annotations is not None:
            values['annotations'] = _file_hash(self.annotations)
        return _hash(values)

    def key_of(self, video: Video, run_key: str) -> str:
        """The same with what is wanted of a video, wherever it lies."""
        values = asdict(video)
        del values['length'], values['source']
        return _hash([run_key, values])


def model_hash(config: str | None, weights: str, cfg_options: dict[str, Any]) -> str:
    """Hash of config and weights: of what the config says, and of the bytes of the checkpoint.

    Raises:
        InputError: One of them is not there.
    """
    from mmvis_cl.config import read_config, set_options

    said: Any = None
    if config is not None:
        cfg = read_config(find_config(config))
        if cfg_options:
            set_options(cfg, cfg_options)
        said = cfg.to_dict()
    bytes_hash = _file_hash(weights_file(weights))
    return _hash([said, sorted(map(repr, cfg_options.items())), bytes_hash])


def _hash(values: Any) -> str:
    text = json.dumps(values, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _file_hash(path: str | os.PathLike) -> str:
    digest = hashlib.sha256()
    try:
        with open(path, 'rb') as file:
            while part := file.read(1 << 22):
                digest.update(part)
    except OSError as error:
        raise InputError(
            f'{path}: cannot be read ({error.strerror}); correct the path or its permissions'
        ) from error
    return digest.hexdigest()
