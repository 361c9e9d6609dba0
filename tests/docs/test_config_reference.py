"""The config reference leaves out no key."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / 'tools' / 'docs'))

from config_reference import (  # noqa: E402
    described_keys,
    settings,
    undescribed,
    values_of_configs,
)
from registered_classes import load_package, plain_roles, registered_classes  # noqa: E402


@pytest.fixture(scope='module')
def classes():
    return registered_classes(load_package())


@pytest.fixture(scope='module')
def values():
    return values_of_configs()


def test_classes_are_those_of_the_registries(classes):
    from mmvis_cl import registry

    registered = set()
    for value in vars(registry).values():
        if isinstance(value, registry.Registry):
            value.import_from_location()
            registered |= {
                f'{cls.__module__}.{cls.__name__}'
                for cls in value.module_dict.values()
                if cls.__module__.startswith('mmvis_cl.')
            }
    assert {cls.path for cls in classes} == registered


def test_defaults_are_those_of_the_signatures(classes):
    from mmvis_cl.models import MemoryBankTracker, OTAAssigner  # noqa: F401

    found = {cls.name: {a.name: a.default for a in cls.arguments} for cls in classes}
    assert found['MemoryBankTracker']['memory_len'] == '3'
    assert found['OTAAssigner']['center_radius'] == '2.5 / 32'
    assert found['ContrastiveVIS']['tracker'] is None  # must be given
    assert found['ContrastiveVIS']['init_cfg'] == 'None'


def test_every_key_is_described(classes, values):
    missing = undescribed(classes, set(values))
    assert not missing, (
        f'{", ".join(missing)}: say what it does in the docstring of the class (Args), or in '
        'tools/docs/config_keys.yml'
    )


def test_described_keys_exist(classes, values):
    """What is described for one of our configs alone must not outlive it."""
    ours = {cls.name for cls in classes}
    used = {owner for owner, _ in values}
    unused = [name for name in described_keys()['classes'] if name not in used | ours]
    assert not unused, f'{unused}: in config_keys.yml, but in no config; remove them'


def test_settings_of_nested_dicts():
    config = dict(
        model=dict(type='mmvis_cl.A', test_cfg=dict(thr=1), parts=[dict(type='B', x=2)]),
        tta=dict(scales=[(1, 2)]),
    )
    assert [(owner, key) for owner, key, _ in settings(config)] == [
        ('', 'model'),
        ('A', 'test_cfg'),
        ('A', 'test_cfg.thr'),
        ('A', 'parts'),
        ('B', 'x'),
        ('', 'tta'),
        ('', 'tta.scales'),
    ]


def test_sphinx_roles_become_markdown():
    assert plain_roles(':class:`~a.B` and ``x=1``') == '`a.B` and `x=1`'
