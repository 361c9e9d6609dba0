"""What goes wrong while a config is built, as one line that names the place in the config."""

import difflib
import inspect
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry

from mmvis_cl.errors import InputError, shortened

# What the runner builds in which method.
_BUILT = dict(
    build_train_loop=('train_dataloader', 'train_cfg'),
    build_val_loop=('val_dataloader', 'val_cfg', 'val_evaluator'),
    build_test_loop=('test_dataloader', 'test_cfg', 'test_evaluator'),
    build_model=('model',),
    wrap_model=('model_wrapper_cfg',),
    build_optim_wrapper=('optim_wrapper',),
    build_param_scheduler=('param_scheduler',),
    register_default_hooks=('default_hooks',),
    register_custom_hooks=('custom_hooks',),
    build_visualizer=('visualizer',),
    build_log_processor=('log_processor',),
    set_randomness=('randomness',),
    setup_env=('env_cfg',),
    scale_lr=('auto_scale_lr',),
)
_UNKNOWN_KEY = re.compile(r"(?:([\w.<>]+)\(\) )?got an unexpected keyword argument '(\w+)'")
_MISSING_KEYS = re.compile(r'missing \d+ required (?:positional|keyword-only) arguments?: (.+)')
_UNKNOWN_TYPE = re.compile(r'(?:Cannot find )?([\w.]+) (?:is not in the|in registry)')


@contextmanager
def build_errors_in_one_line(cfg: Config) -> Iterator[None]:
    """Turn what a wrong setting raises while something is built into an :class:`InputError`.

    Errors that are raised later, as in an iteration, and those that a config cannot be the cause
    of, such as an AttributeError in a class of the user's, are left alone.

    Args:
        cfg: What is built from.

    Raises:
        InputError: Something cannot be built.
    """
    try:
        yield
    except InputError:
        raise
    except (TypeError, ValueError, KeyError, AssertionError, ImportError, AttributeError) as error:
        explained = explain(error, cfg)
        if explained is None:
            raise
        raise explained from error


def explain(error: Exception, cfg: Config) -> InputError | None:
    """Where in a config the cause of an error is.

    Args:
        error: As it was caught.
        cfg: What was built from.

    Returns:
        The error to raise instead; None if nothing was being built.
    """
    frames = _frames(error)
    if isinstance(error, ImportError):
        backend = next((f for f in frames if f.f_code.co_name == '_init_env'), None)
        return backend and _missing_logger(error, type(backend.f_locals['self']).__name__)
    while re.match(r'class `\w+` in \S+: ', str(error)) and error.__context__:
        error = error.__context__  # older releases of mmengine wrap it at every level
        frames += _frames(error)
    builds = [f for f in frames if _is_build(f)]
    steps = [f for f in frames if _is_build(f) or f.f_code.co_name == 'build_dataloader']
    methods = [f.f_code.co_name for f in frames if f.f_code.co_name in _BUILT and _in_runner(f)]
    if not builds and not methods and not _is_start(frames):
        return None
    tops = [top for name in methods for top in _BUILT[name]]
    place, parts = _locate(cfg, tops, steps)
    target = builds[-1].f_locals.get('obj_cls') if builds else None
    name = getattr(target, '__name__', '') or str(builds[-1].f_locals['cfg'] if builds else '')[:40]

    if isinstance(error, AttributeError) and 'ConfigDict' not in str(error):
        return None
    if isinstance(error, KeyError) and (found := _UNKNOWN_TYPE.search(str(error))):
        return _unknown_type(found[1].strip('`"\''), builds, place, parts)
    if isinstance(error, TypeError) and (found := _UNKNOWN_KEY.search(str(error))):
        return _unknown_key(found[2], _callee(found[1], frames) or target, place, parts)
    if isinstance(error, TypeError) and (found := _MISSING_KEYS.search(str(error))):
        keys = found[1].replace("'", '')
        return InputError(f'{place}: {name} needs {keys}; set {place}.{keys.split(",")[0]}')
    if isinstance(error, TypeError) and str(error).endswith('() takes no arguments'):
        key = next(key for key in builds[-1].f_locals['args'])
        return _unknown_key(key, target, place, parts)
    text = shortened(error.args[0] if error.args else '') or 'cannot be built'
    last = frames[-1]
    where = f'{type(error).__name__} in {last.f_code.co_filename}, line {_line(error)}'
    return InputError(
        f'{place}{f" ({name})" if name else ""}: {text} ({where}); mend this part of the config'
    )


def check_checkpoint_hook(hooks: list, save: Callable) -> None:
    """Refuse settings of a checkpoint hook that would be an error at the first checkpoint.

    Args:
        hooks: Of the runner.
        save: What the hook hands its other settings to.

    Raises:
        InputError: There is such a setting.
    """
    for hook in hooks:
        if hasattr(hook, 'save_best') and isinstance(getattr(hook, 'args', None), dict):
            for key in hook.args.keys() - _arguments(save):
                known = _arguments(type(hook)) | _arguments(save)
                raise _no_setting('default_hooks.checkpoint', key, type(hook).__name__, known)


def _frames(error: Exception) -> list[FrameType]:
    return [frame for frame, _ in traceback.walk_tb(error.__traceback__)]


def _line(error: Exception) -> int:
    return [line for _, line in traceback.walk_tb(error.__traceback__)][-1]


def _is_build(frame: FrameType) -> bool:
    code = frame.f_code
    return code.co_name == 'build_from_cfg' and 'build_functions' in code.co_filename


def _in_runner(frame: FrameType) -> bool:
    return frame.f_globals.get('__name__') == 'mmengine.runner.runner'


def _is_start(frames: list[FrameType]) -> bool:
    """Whether the runner itself was being made from the config."""
    return any(_in_runner(f) and f.f_code.co_name in ('from_cfg', '__init__') for f in frames)


def _nodes(node: Any, path: str) -> Iterator[tuple[str, dict]]:
    if isinstance(node, dict):
        yield path, node
        for key, child in node.items():
            yield from _nodes(child, f'{path}.{key}' if path else str(key))
    elif isinstance(node, (list, tuple)):
        for index, child in enumerate(node):
            yield from _nodes(child, f'{path}.{index}')


def _locate(
    cfg: Config, tops: list[str], steps: list[FrameType]
) -> tuple[str, list[tuple[str, Any]]]:
    """The innermost part of the config that was being built, found by its type and its values.

    Returns:
        Its key, and the parts (key, value) in which the cause is to be looked for.
    """
    tops = [top for top in tops if top in cfg]
    parts = [(top, cfg._cfg_dict[top]) for top in tops] or [('', cfg._cfg_dict)]
    for step in steps:
        if step.f_code.co_name == 'build_dataloader':
            loaders = [(top, cfg._cfg_dict[top]) for top in tops if top.endswith('_dataloader')]
            parts = loaders or parts
        built = step.f_locals.get('cfg')
        if not isinstance(built, dict) or 'type' not in built:
            continue
        alike = [
            (sum(node.get(key) == value for key, value in built.items()), -number, path, node)
            for number, (path, node) in enumerate(
                found for top, part in parts for found in _nodes(part, top)
            )
            if node.get('type') == built['type']
        ]
        if alike:
            parts = [max(alike, key=lambda entry: entry[:2])[2:]]
    return parts[0][0] or 'config', parts


def _holder(parts: list[tuple[str, Any]], key: str, value: Any = ...) -> str | None:
    """The first dictionary with a key (of a value)."""
    for top, part in parts:
        for path, node in _nodes(part, top):
            if key in node and (value is ... or node[key] == value):
                return path
    return None


def _unknown_key(key: str, target: Any, place: str, parts: list[tuple[str, Any]]) -> InputError:
    name = getattr(target, '__qualname__', 'this part').removesuffix('.__init__')
    place = _holder(parts, key) or place
    return _no_setting(place, key, name, _arguments(target) if callable(target) else set())


def _no_setting(place: str, key: str, name: str, known: set[str]) -> InputError:
    names = sorted(known - {key})
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.6)
    listed = ', '.join(names[:20]) + (', ...' if len(names) > 20 else '')
    cure = f'did you mean {near[0]}?' if near else f'it takes {listed}' if names else 'remove it'
    return InputError(f'{place}.{key}: {name} has no setting {key}; {cure}')


def _arguments(target: Any) -> set[str]:
    """What can be given to a class or function, also what a class passes on to its bases."""
    names: set[str] = set()
    calls = [c.__init__ for c in target.__mro__] if inspect.isclass(target) else [target]
    for call in calls:
        try:
            parameters = inspect.signature(call).parameters.values()
        except (TypeError, ValueError):
            break
        names |= {p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return names - {'self', 'args', 'kwargs', 'params'}


def _callee(name: str | None, frames: list[FrameType]) -> Any:
    """What a TypeError speaks of, as ``DataLoader.__init__``: looked up where it was called."""
    if not name:
        return None
    first, _, rest = name.removesuffix('.__init__').partition('.')
    for scope in (frames[-1].f_locals, frames[-1].f_globals):
        for value in [scope.get(first), *scope.values()]:
            if callable(value) and getattr(value, '__name__', None) == first:
                return getattr(value, rest, value) if rest else value
    return None


def _unknown_type(
    wanted: str, builds: list[FrameType], place: str, parts: list[tuple[str, Any]]
) -> InputError:
    place = _holder(parts, 'type', wanted) or place
    registry = builds[-1].f_locals.get('registry') if builds else None
    near = difflib.get_close_matches(wanted.split('.')[-1], _names(registry), n=1, cutoff=0.6)
    return InputError(
        f'{place}.type: {wanted} is not known'
        + (f' among {registry.name}s' if isinstance(registry, Registry) else '')
        + (
            f'; did you mean {near[0]}?'
            if near
            else '; is the module that registers it in custom_imports?'
        )
    )


def _names(registry: Any) -> set[str]:
    """All names that a registry and its parents know."""
    names: set[str] = set()
    while isinstance(registry, Registry):
        names |= set(registry.module_dict)
        for child in registry.children.values():
            names |= set(child.module_dict)
        registry = registry.parent
    return names


def _missing_logger(error: ImportError, backend: str) -> InputError:
    module = getattr(error.__context__, 'name', None) or getattr(error, 'name', None)
    package = (module or backend.removesuffix('VisBackend').lower()).split('.')[0]
    return InputError(
        f'visualizer.vis_backends: {backend} needs the package {package}, which is not installed; '
        f'pip install {package}, or take {backend} out of the config'
    )
