"""The config that a checkpoint remembers, read without running it."""

import ast
import math
from collections.abc import Iterator
from typing import Any

import mmengine.registry
from mmengine.config import Config
from mmengine.registry import Registry

from mmvis_cl.errors import InputError, shortened

_NAMES = {'inf': math.inf, 'nan': math.nan}


def config_of_text(text: object, where: str) -> Config:
    """A config as mmengine saves it in a checkpoint: assignments of plain values.

    Args:
        text: Of ``meta['cfg']``; Python as :attr:`Config.pretty_text` writes it. Only constants,
            lists, tuples, dicts and ``dict(...)`` are understood, nothing is called.
        where: The checkpoint, for the error.

    Returns:
        The config.

    Raises:
        InputError: There is none, or something else is in it.
    """
    cure = 'give one with --config (`config` in Python)'
    if not isinstance(text, str) or not text.strip():
        raise InputError(f'{where}: has no config in it; {cure}')
    try:
        values: dict[str, Any] = {}
        for line in ast.parse(text).body:
            (target,) = line.targets
            values[target.id] = _plain(line.value)
        return Config(values)
    except (SyntaxError, ValueError, TypeError, AttributeError, RecursionError, MemoryError) as e:
        raise InputError(f'{where}: the config in it is not of plain values; {cure}') from e


def check_types_are_registered(cfg: Config, where: str) -> None:
    """Refuse a config from elsewhere that would have anything called but registered classes.

    mmengine takes any importable name as a type, ``os.system`` for one.

    Args:
        cfg: From :func:`config_of_text`.
        where: The checkpoint, for the error.

    Raises:
        InputError: It names another type, or modules to import.
    """
    known = set(_registered())
    bad = [name for name in _types(cfg.to_dict()) if not (isinstance(name, str) and name in known)]
    if cfg.get('custom_imports'):
        bad.append('custom_imports')
    if bad:
        raise InputError(
            f'{where}: the config in it names {shortened(str(bad[0]))}, which is no class of '
            'mmvis_cl, mmdet or mmengine, and code is not run because a checkpoint says so; give '
            'the config with --config (`config` in Python)'
        )


def _registered() -> Iterator[str]:
    """Every name that a registry knows, alone and with its scope."""
    registries = [r for r in vars(mmengine.registry).values() if isinstance(r, Registry)]
    while registries:
        registry = registries.pop()
        registry.import_from_location()
        for name in registry.module_dict:
            yield name
            yield f'{registry.scope}.{name}'
        registries.extend(registry.children.values())


def _types(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        if 'type' in node:
            yield node['type']
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for value in node:
            yield from _types(value)


def _plain(node: ast.expr) -> Any:
    if isinstance(node, ast.List):
        return [_plain(n) for n in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_plain(n) for n in node.elts)
    if isinstance(node, ast.Set):
        return {_plain(n) for n in node.elts}
    if isinstance(node, ast.Dict):
        keys = [_plain(k) for k in node.keys]
        return dict(zip(keys, (_plain(v) for v in node.values), strict=True))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        if node.args or any(k.arg is None for k in node.keywords):
            raise ValueError('a dict of something')
        return {k.arg: _plain(k.value) for k in node.keywords}
    if isinstance(node, ast.Name) and node.id in _NAMES:
        return _NAMES[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_plain(node.operand)
    if isinstance(node, ast.Constant):
        return node.value
    raise ValueError(f'a {type(node).__name__}')
