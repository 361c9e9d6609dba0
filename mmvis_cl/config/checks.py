"""What can be seen of a config without building anything: names, loaders, paths."""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmvis_cl.config.options import SETTINGS, places
from mmvis_cl.config.read import read_config
from mmvis_cl.errors import InputError
from mmvis_cl.weights.door import check_name, is_elsewhere

_TEXTS = {'load_from', 'resume', 'default_scope', 'experiment_name', 'work_dir', 'log_level'}
_GROUPS = (
    {name for name in SETTINGS if '_' in name or name in ('model', 'randomness', 'visualizer')}
    - _TEXTS
    - {'tta_model', 'tta_pipeline', 'runner_type', 'sync_bn'}
)
# mmengine's names before 0.1, which would change nothing
_OLD = dict(
    optimizer='optim_wrapper.optimizer',
    optimizer_config='optim_wrapper',
    lr_config='param_scheduler',
    checkpoint_config='default_hooks.checkpoint',
    log_config='default_hooks.logger',
    evaluation='val_evaluator and train_cfg.val_interval',
    resume_from='load_from with resume=True',
)

# Of which keys are read one by one, and others ignored.
_GROUP_KEYS = {
    'auto_scale_lr': 'enable base_batch_size',
    'env_cfg': 'cudnn_benchmark mp_cfg dist_cfg resource_limit',
    'optim_wrapper.paramwise_cfg': 'custom_keys bias_lr_mult bias_decay_mult norm_decay_mult '
    'dwconv_decay_mult flat_decay_mult bypass_duplicate dcn_offset_lr_mult',
}


def _check_groups(cfg: Config) -> None:
    """Refuse misspelt keys of the groups of which mmengine reads some keys and ignores the rest."""
    for place, known in _GROUP_KEYS.items():
        node: Any = cfg._cfg_dict
        for part in place.split('.'):
            node = node.get(part) if isinstance(node, dict) else None
        for key in node if isinstance(node, dict) else ():
            # others may be for a class of the user's
            near = get_close_matches(key, known.split(), n=1, cutoff=0.75)
            if near and near[0] != key and key not in known.split():
                raise InputError(f'{place}.{key}: nothing reads it; did you mean {near[0]}?')


def check_names(cfg: Config) -> None:
    """Refuse names that are settings misspelt, since nothing reads them.

    At the top level a config may have any variables: only names near a setting's count, and not
    those whose value was put into a setting.

    Args:
        cfg: The config.

    Raises:
        InputError: There is such a name.
    """
    for name, value in cfg.items():
        if name in SETTINGS or name.startswith('_'):
            continue
        meant = _OLD.get(name) or _near(name, value)
        if meant and not any(path.partition('.')[0] in SETTINGS for path in places(cfg, value)):
            raise InputError(
                f'{cfg.filename or "config"}: nothing reads {name}; write {meant}, or give it '
                'another name if it is a variable of yours'
            )
    _check_groups(cfg)


def check_keys(place: str, given: Mapping, known: Sequence[str]) -> None:
    """Refuse keys of a dictionary that nothing reads.

    Args:
        place: Of the dictionary in the config.
        given: The dictionary.
        known: All keys that are read.

    Raises:
        InputError: There is another key.
    """
    for key in given:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            raise InputError(
                f'{place}.{key}: nothing reads it; '
                + (f'did you mean {near[0]}?' if near else f'known are {", ".join(known)}')
            )


def check_loaders(cfg: Config, splits: Sequence[str]) -> None:
    """Refuse loaders without workers that are told what to do with their workers.

    Args:
        cfg: The config.
        splits: Those that are used, of ``train``, ``val`` and ``test``.

    Raises:
        InputError: There is such a loader.
    """
    for name in (f'{split}_dataloader' for split in splits):
        loader = cfg.get(name)
        if not isinstance(loader, dict) or loader.get('num_workers', 0) != 0:
            continue
        for key, neutral in (
            ('persistent_workers', False),
            ('prefetch_factor', None),
            ('multiprocessing_context', None),
        ):
            if loader.get(key):
                raise InputError(
                    f'{name}.{key}={loader[key]} needs workers, and {name}.num_workers is 0; set '
                    f'{name}.{key}={neutral} or more workers'
                )


def check_paths(cfg: Config, splits: Sequence[str], weights: str | None = None) -> None:
    """Look for every file and folder that the config names, before anything is built.

    Args:
        cfg: The config.
        splits: Those that are used, of ``train``, ``val`` and ``test``.
        weights: The checkpoint of the command line, which stands for those of the config; '' if
            there will be one.

    Raises:
        InputError: Something is not there; the message tells all of it.
    """
    missing: dict[str, str] = {}
    for key, path in _data_paths(cfg, splits):
        if not _is_there(path) and not any(path.startswith(folder) for folder in missing):
            missing[path] = key
    problems = [f'{key}={path}' for path, key in missing.items()]
    starts = [('load_from', cfg.get('load_from'))] if weights is None else []
    if weights is None and not cfg.get('resume'):
        starts += _initial_weights(cfg)
    for key, path in starts:
        if isinstance(path, str) and not _is_there(path):
            problems.append(f'{key}={path}{_cure(key, path, cfg.filename)}')
    if problems:
        raise InputError(
            f'{cfg.filename}: {len(problems)} of its paths {"is" if len(problems) == 1 else "are"} '
            f'not there: {", ".join(problems)}; put what is missing there, or name other paths '
            'with --cfg-options'
        )


def _near(name: str, value: Any) -> str | None:
    """The setting that is meant, if the name is one or two letters off."""
    return next((known for known in sorted(SETTINGS) if _is_typo(name, known, value)), None)


def check_checkpoint_is_there(path: str | None) -> None:
    """Look for a checkpoint that the command line names.

    Args:
        path: Of the file; one with ``://`` is left to mmengine. None: there is nothing to do.

    Raises:
        InputError: There is none.
    """
    if path is not None and not os.path.exists(path):
        check_name(path)


def _is_typo(name: str, known: str, value: Any) -> bool:
    if known in _GROUPS:
        if not isinstance(value, (dict, list, tuple)):
            return False
    elif known not in _TEXTS:
        return False
    blocks = SequenceMatcher(None, name, known, autojunk=False).get_matching_blocks()
    wrong = max(len(name), len(known)) - sum(block.size for block in blocks)
    return wrong <= (2 if len(known) > 8 else 1)


def _data_paths(cfg: Config, splits: Sequence[str]) -> Iterator[tuple[str, str]]:
    for split in splits:
        for path, node in _dicts(cfg.get(f'{split}_dataloader'), f'{split}_dataloader'):
            if not isinstance(node.get('ann_file'), str) or not node['ann_file']:
                continue
            root = node.get('data_root') or ''
            if root and not _is_there(root):
                yield f'{path}.data_root', root
                continue
            yield f'{path}.ann_file', _joined(root, node['ann_file'])
            prefixes = node.get('data_prefix')
            for key, folder in prefixes.items() if isinstance(prefixes, dict) else ():
                if isinstance(folder, str) and folder:
                    yield f'{path}.data_prefix.{key}', _joined(root, folder)
        for path, node in _dicts(cfg.get(f'{split}_evaluator'), f'{split}_evaluator'):
            if isinstance(node.get('ann_file'), str):
                yield f'{path}.ann_file', node['ann_file']


def _initial_weights(cfg: Config) -> Iterator[tuple[str, str]]:
    for path, node in _dicts(cfg.get('model'), 'model'):
        if node.get('type') == 'Pretrained' and node.get('checkpoint'):
            yield f'{path}.checkpoint', node['checkpoint']


def _dicts(node: Any, path: str) -> Iterator[tuple[str, dict]]:
    if isinstance(node, dict):
        yield path, node
        for key, child in node.items():
            yield from _dicts(child, f'{path}.{key}')
    elif isinstance(node, (list, tuple)):
        for index, child in enumerate(node):
            yield from _dicts(child, f'{path}.{index}')


def _joined(root: str, path: str) -> str:
    return path if '://' in path else os.path.join(root, path)


def _is_there(path: str) -> bool:
    return '://' in path or os.path.exists(path) or is_elsewhere(path)


def _cure(key: str, path: str, config: str | None) -> str:
    """How a training does without a checkpoint, and what makes it."""
    made, stages = '', _stages(path, config)
    if stages:
        command = shlex.join(['python', 'tools/train_stages.py', *stages, str(config)])
        made = f'made by {stages[-1]}, all stages by `{command} --work-dir DIR`; '
    return f' ({made}{key.removesuffix(".checkpoint")}=None starts without)'


def _stages(path: str, config: str | None) -> list[str]:
    """The configs whose trainings lead to a checkpoint ``work_dirs/STAGE/iter_N.pth``, in order."""
    stages: list[str] = []
    while config:
        stage = Path(config).with_name(f'{Path(path).parent.name}.py')
        if not os.path.isfile(stage) or str(stage) in [*stages, config]:
            break
        stages.insert(0, str(stage))
        before = read_config(stage)
        starts = [before.get('load_from'), *(start for _, start in _initial_weights(before))]
        local = [start for start in starts if isinstance(start, str) and '://' not in start]
        if not local:
            break
        path, config = local[0], str(stage)
    return stages
