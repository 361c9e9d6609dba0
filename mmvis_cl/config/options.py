"""``--cfg-options KEY=VALUE``: settings of the command line that override the config's."""

import argparse
import difflib
import os
from collections.abc import Sequence
from typing import Any

from mmengine.config import Config, ConfigDict

from mmvis_cl.errors import InputError

# What mmengine's runner and the tools take from a config. All other top-level names are variables
# of the config file.
_SETTINGS = """
    model train_dataloader val_dataloader test_dataloader train_cfg val_cfg test_cfg
    optim_wrapper param_scheduler val_evaluator test_evaluator auto_scale_lr default_hooks
    custom_hooks data_preprocessor load_from resume launcher env_cfg log_processor log_level
    visualizer default_scope randomness experiment_name work_dir runner_type custom_imports
    find_unused_parameters model_wrapper_cfg sync_bn compile tta tta_model tta_pipeline
    activation_checkpointing strategy
"""
SETTINGS = frozenset(_SETTINGS.split())


class CommaList(list):
    """A list that was written without brackets."""


class CfgOptions(argparse.Action):
    """Reads ``KEY=VALUE ...`` into a dict.

    Values are numbers, True, False, None, or text; ``[1,2]`` and ``1,2`` are lists, ``(1,2)`` is a
    tuple, and brackets may be nested. What is in quotes is text.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Sequence[str],
        option_string: str | None = None,
    ) -> None:
        """Add the options to those of earlier ``--cfg-options``."""
        options = dict(getattr(namespace, self.dest, None) or {})
        options.update(read_option(text) for text in values)
        setattr(namespace, self.dest, options)


def parse_run_args(parser: argparse.ArgumentParser, example: str) -> argparse.Namespace:
    """Read the arguments of a tool that runs a config, in one process or several.

    Args:
        parser: Gets ``--cfg-options``, ``--trust-checkpoint`` and what launchers say.
        example: Of ``KEY=VALUE``, for the help.

    Returns:
        The arguments. ``LOCAL_RANK`` is in the environment, as mmengine wants it.
    """
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptions,
        metavar='KEY=VALUE',
        help=f'override settings of the config, as {example}',
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='let checkpoints make objects of any type, which can run any code: only for files of '
        'your own',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    # Old launchers pass it; torchrun sets LOCAL_RANK.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def read_option(text: str) -> tuple[str, Any]:
    """Key and value of one option.

    Args:
        text: ``KEY=VALUE``.

    Returns:
        The key, with dots, and the value.

    Raises:
        InputError: It has no key, no ``=``, or its brackets do not match.
    """
    key, sign, value = text.partition('=')
    if not sign or not all(key.split('.')):
        raise InputError(
            f'--cfg-options {text}: is not KEY=VALUE; write it as model.tracker.memory_len=5, and '
            'put a value with spaces in quotes'
        )
    if value.strip().startswith(('{', 'dict(')):
        raise InputError(
            f'--cfg-options {text}: a dictionary cannot be given whole; set its keys one by one, '
            f'as {key}.NAME=VALUE'
        )
    try:
        return key, _value(value)
    except ValueError:
        raise InputError(
            f'--cfg-options {text}: brackets or quotes do not match; write a list as [1,2] and put '
            'it in quotes if it has spaces'
        ) from None


def set_options(cfg: Config, options: dict[str, Any]) -> None:
    """Set options in a config.

    Args:
        cfg: To be changed. Lists are entered by number, from 0; ``KEY._delete_=True`` empties a
            dictionary first.
        options: Value of each key.

    Raises:
        InputError: A key leads nowhere, or its value cannot stand there.
    """
    deletes = [key for key, value in options.items() if key.endswith('._delete_') and value]
    for key in [*deletes, *(key for key in options if not key.endswith('._delete_'))]:
        _check_top(cfg, key)
        root = _with(cfg._cfg_dict, key.split('.'), options[key], key, '')
        object.__setattr__(cfg, '_cfg_dict', root)


def _value(text: str) -> Any:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in '"\'' and text[0] not in text[1:-1]:
        return text[1:-1]
    parts = _split(text)
    for brackets, kind in (('[]', list), ('()', tuple)):
        if len(parts) == 1 and text[:1] == brackets[0] and text[-1:] == brackets[1]:
            inside = _split(text[1:-1])
            return kind(_value(part) for part in (inside if inside[-1] else inside[:-1]))
    if len(parts) > 1:
        return CommaList(_value(part) for part in (parts if parts[-1] else parts[:-1]))
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            pass
    named = {'true': True, 'false': False, 'None': None}
    return named.get(text if text == 'None' else text.lower(), text)


def _split(text: str) -> list[str]:
    """The parts between commas that are in no brackets and no quotes."""
    parts, closing, quote = [''], [], ''
    for char in text:
        if quote or (char in '"\'' and not parts[-1].strip(' [(')):
            quote = '' if char == quote else quote or char
        elif char in '([':
            closing.append(')' if char == '(' else ']')
        elif char in ')]' and (not closing or closing.pop() != char):
            raise ValueError
        if char == ',' and not closing and not quote:
            parts.append('')
        else:
            parts[-1] += char
    if closing or quote:
        raise ValueError
    return [part.strip() for part in parts]


def _with(node: Any, keys: list[str], value: Any, path: str, above: str) -> Any:
    """A copy of a part of the config in which a key has another value."""
    if not keys:
        return _checked(node, value, path)
    key, *rest = keys
    here = f'{above}.{key}' if above else key
    if isinstance(node, (list, tuple)):
        if not key.isdigit() or int(key) >= len(node):
            raise InputError(
                f'--cfg-options {path}: {above} is a list of {len(node)}; give a number from 0 to '
                f'{len(node) - 1} in place of {key!r}'
                if node
                else f'--cfg-options {path}: {above} is an empty list; set {above}=[...] as a whole'
            )
        items = list(node)
        items[int(key)] = _with(items[int(key)], rest, value, path, here)
        return type(node)(items)
    if node is not None and not isinstance(node, dict):
        raise InputError(
            f'--cfg-options {path}: {above} is {node!r}, and nothing can be set below that; set '
            f'{above}=VALUE itself'
        )
    new = ConfigDict() if node is None else node.copy()
    new[key] = (
        ConfigDict() if rest == ['_delete_'] else _with(new.get(key), rest, value, path, here)
    )
    return new


def _checked(old: Any, new: Any, path: str) -> Any:
    if isinstance(old, dict) and new is not None and not isinstance(new, dict):
        raise InputError(
            f'--cfg-options {path}: is a group of settings ({", ".join(old)}); set one of them, as '
            f'{path}.{next(iter(old), "NAME")}=VALUE'
        )
    text = isinstance(old, str) or path in ('load_from', 'work_dir')
    if isinstance(new, CommaList) and text:
        joined = ','.join(map(str, new))
        raise InputError(
            f'--cfg-options {path}: was text and is a list now, for the commas; write '
            f'{path}=[{joined}] if that is meant, or {path}="\'{joined}\'" for text'
        )
    if path in ('load_from', 'work_dir') and not isinstance(new, (str, type(None))):
        raise InputError(f'--cfg-options {path}={new!r}: is no path; put it in two pairs of quotes')
    return list(new) if isinstance(new, CommaList) else new


def _check_top(cfg: Config, key: str) -> None:
    """Refuse what would change nothing."""
    top = key.partition('.')[0]
    if top in SETTINGS:
        return
    if top not in cfg:
        near = difflib.get_close_matches(top, {*SETTINGS, *cfg.keys()}, n=1)
        raise InputError(
            f'--cfg-options {key}: the config has no {top}, so that would change nothing; '
            + (f'write {near[0]}' if near else 'put it into the config file if your code reads it')
        )
    old: Any = cfg._cfg_dict
    for part in key.split('.'):
        if isinstance(old, (list, tuple)):
            old = old[int(part)] if part.isdigit() and int(part) < len(old) else None
        else:
            old = old.get(part) if isinstance(old, dict) else None
    if old is None:
        old = cfg[top]
    if old is None or isinstance(old, bool) or old in (0, 1):
        return
    used = [path for path in places(cfg, old) if path.partition('.')[0] in SETTINGS]
    if used:
        raise InputError(
            f'--cfg-options {key}: is only a name inside of the config file, and what was made '
            'with it keeps its value; set '
            + ', '.join(f'{path}=VALUE' for path in used[:3])
            + (f' and {len(used) - 3} more' if len(used) > 3 else '')
        )


def places(cfg: Config, value: Any) -> list[str]:
    """Where a config has a value, or text that begins with it (a folder).

    Args:
        cfg: The config.
        value: To be looked for.

    Returns:
        Keys, with dots.
    """

    def walk(node: Any, path: str) -> None:
        if type(node) is type(value) and (
            node == value or (isinstance(value, str) and len(value) > 3 and node.startswith(value))
        ):
            found.append(path)
        elif isinstance(node, dict):
            for key, child in node.items():
                walk(child, f'{path}.{key}' if path else key)
        elif isinstance(node, (list, tuple)):
            for index, child in enumerate(node):
                walk(child, f'{path}.{index}')

    found: list[str] = []
    walk(cfg._cfg_dict, '')
    return found
