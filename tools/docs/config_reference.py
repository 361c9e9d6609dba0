"""The page with every key of a config: ``python tools/docs/config_reference.py > config.md``.

Made of three things, so that it cannot grow old: docstrings and signatures of the registered
classes, the configs themselves (for values), and config_keys.yml for keys of other libraries.
"""

import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import yaml
from mmengine.config import Config

sys.path.insert(0, str(Path(__file__).parent))
from registered_classes import ROOT, RegisteredClass, load_package, registered_classes

EXAMPLE = 'vis_cl/r50_ytvis21'
INTRO = """# Config reference

Every key of the configs in `configs/`: what it does, and its value. This page is made from the
docstrings and signatures of the classes and from the configs when the pages are built.

A config is a Python file of plain values, read by
[mmengine](https://mmengine.readthedocs.io/en/latest/advanced_tutorials/config.html). A dict with a
`type` is an object of that class, its other keys are the arguments. Any key can be set from the
command line, with dots: `--cfg-options model.tracker.memory_len=5 train_dataloader.batch_size=2`.
`mmvis_cl.` before a type lets other mm* configs use it.
"""


@cache
def described_keys() -> dict[str, dict]:
    """Of config_keys.yml: ``top`` {key: effect} and ``classes`` {class: {key: effect}}."""
    return yaml.safe_load((Path(__file__).parent / 'config_keys.yml').read_text())


def shipped_configs() -> list[Path]:
    """All configs that are given to a tool, not those that they start from."""
    return sorted(path for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts)


def settings(config: dict) -> list[tuple[str, str, object]]:
    """Every key in a config: (class, or '' where there is none; dotted key below it; value)."""
    found = []

    def walk(value: object, owner: str, path: str) -> None:
        if isinstance(value, (list, tuple)):
            for part in value:
                walk(part, owner, path)
        elif isinstance(value, dict):
            if 'type' in value:
                owner, path = str(value['type']).split('.')[-1], ''
            for key, part in value.items():
                if key not in ('type', '_delete_'):
                    dotted = f'{path}.{key}' if path else str(key)
                    found.append((owner, dotted, part))
                    if key != 'custom_keys':  # whose keys are parts of names of weights
                        walk(part, owner, dotted)

    walk(config, '', '')
    return found


def values_of_configs() -> dict[tuple[str, str], dict[str, object]]:
    """(class, key) -> {name of the config: value}, of all shipped configs."""
    values: dict = defaultdict(dict)
    for path in shipped_configs():
        config = Config.fromfile(path).to_dict()
        config.pop('ovis_thresholds', None)  # a base's name for what its leaves put into `model`
        for owner, key, value in settings(config):
            values[owner, key][f'{path.parent.name}/{path.stem}'] = value
    return values


def undescribed(classes: list[RegisteredClass], used: set[tuple[str, str]]) -> list[str]:
    """Keys that neither a docstring nor config_keys.yml describes, as ``Class.key``."""
    told = {('', key) for key in described_keys()['top']}
    told |= {(name, key) for name, keys in described_keys()['classes'].items() for key in keys}
    told |= {(cls.name, a.name) for cls in classes for a in cls.arguments if a.effect}
    own = {(cls.name, a.name) for cls in classes for a in cls.arguments}
    return sorted(f'{owner}.{key}'.lstrip('.') for owner, key in (used | own) - told)


def _value(value: object) -> str:
    if isinstance(value, dict):
        return f'`{value["type"]}`' if 'type' in value else 'a dict'
    if isinstance(value, (list, tuple)) and any(isinstance(v, (dict, list, tuple)) for v in value):
        return f'a list of {len(value)}'
    return f'`{value!r}`'


def _values(values: dict[str, object]) -> str:
    """The value of the example, or up to three of others."""
    if EXAMPLE in values:
        return _value(values[EXAMPLE])
    texts = list(dict.fromkeys(_value(value) for value in values.values()))
    return ', '.join(texts[:3]) + (', ...' if len(texts) > 3 else '')


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ['| ' + ' | '.join(head) + ' |', '| --- ' * len(head) + '|']
    lines += ['| ' + ' | '.join(cell.replace('|', '\\|') for cell in row) + ' |' for row in rows]
    return '\n'.join(lines) + '\n'


def config_page() -> str:
    """The whole page, Markdown."""
    classes = registered_classes(load_package())
    values = values_of_configs()
    inherited = described_keys()['classes']
    ours = {cls.name for cls in classes}
    parts = [INTRO]

    parts.append(f'## Keys of the file\n\nThe value is that of `{EXAMPLE}`, or of others.\n')
    parts.append(
        _table(
            ('key', 'value', 'effect'),
            [
                (f'`{key}`', _values(values.get(('', key), {})) or 'not set', effect)
                for key, effect in described_keys()['top'].items()
            ],
        )
    )
    for registry in dict.fromkeys(cls.registry for cls in classes):
        parts.append(f'## {registry}\n')
        for cls in classes:
            if cls.registry != registry:
                continue
            parts.append(f'### {cls.name}\n\n{cls.summary} [Documentation][{cls.path}].\n')
            rows = [
                (
                    f'`{a.name}`',
                    'of the class it extends'
                    if a.listed
                    else '**required**'
                    if a.default is None
                    else f'`{a.default}`',
                    _values(values.get((cls.name, a.name), {})),
                    a.effect or inherited.get(cls.name, {}).get(a.name, ''),
                )
                for a in cls.arguments
            ]
            rows += [
                (
                    f'`{key}`',
                    'of the class it extends',
                    _values(values.get((cls.name, key), {})),
                    effect,
                )
                for key, effect in inherited.get(cls.name, {}).items()
                if key not in {a.name for a in cls.arguments}
            ]
            if rows:
                parts.append(_table(('key', 'default', 'in our configs', 'effect'), rows))
            else:
                parts.append('No keys of its own.\n')
            if cls.extra:
                parts.append(f'Further keys: {cls.extra}\n')
    parts.append(
        '## Classes of other libraries\n\n'
        'The keys that our configs set; the classes have more, see their own documentation.\n'
    )
    for name, keys in sorted(inherited.items()):
        if name not in ours and any((name, key) in values for key in keys):
            rows = [
                (f'`{key}`', _values(values.get((name, key), {})) or 'not set', effect)
                for key, effect in keys.items()
            ]
            parts.append(f'### {name}\n\n{_table(("key", "in our configs", "effect"), rows)}')
    return '\n'.join(parts)


if __name__ == '__main__':
    print(config_page())
