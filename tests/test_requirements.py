import itertools
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYTHONS = ['3.10', '3.11', '3.12', '3.13']
FOLDER = Path(__file__).parents[1] / 'requirements'
OWN_OF_OPENMMLAB = {'mmengine', 'mmcv-lite', 'mmdet', 'setuptools'}


def requirements(name: str) -> list[Requirement]:
    lines = (FOLDER / name).read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith('#')]


def holds(requirement, python):
    """Whether it is one for this Python."""
    environment = {
        'python_version': python,
        'python_full_version': f'{python}.1',
        'sys_platform': 'linux',
        'platform_machine': 'x86_64',
    }
    return requirement.marker is None or requirement.marker.evaluate(environment)


def pins(python: str) -> dict[str, str]:
    versions = {}
    for pin in requirements('constraints.txt'):
        if holds(pin, python):
            name = canonicalize_name(pin.name)
            assert name not in versions, f'{name} is pinned twice'
            (specifier,) = pin.specifier
            assert specifier.operator == '=='
            versions[name] = specifier.version
    return versions


@pytest.mark.parametrize('python', PYTHONS)
def test_constraints_pin_every_requirement_once_within_its_range(python):
    pinned = pins(python)
    files = 'runtime.txt', 'dev.txt', 'measures.txt'
    for wanted in itertools.chain.from_iterable(map(requirements, files)):
        if not holds(wanted, python):
            continue
        version = pinned[canonicalize_name(wanted.name)]
        assert wanted.specifier.contains(version), f'{wanted} does not allow {version}'


def test_openmmlabs_releases_replace_onedls_and_nothing_else():
    usual = {str(r) for r in requirements('runtime.txt') if not r.name.startswith('onedl-')}
    openmmlab = {str(r) for r in requirements('openmmlab.txt') if r.name not in OWN_OF_OPENMMLAB}
    assert openmmlab == usual
    assert {r.name for r in requirements('openmmlab.txt')} >= OWN_OF_OPENMMLAB


def test_pre_commit_runs_the_pinned_releases():
    text = (FOLDER.parent / '.pre-commit-config.yaml').read_text()
    hooks = re.findall(r'additional_dependencies: \[(.+)==(.+)\]', text)
    assert {name for name, _ in hooks} == {'ruff', 'check-jsonschema'}
    for name, version in hooks:
        assert version in {pins(python)[name] for python in PYTHONS}, f'{name} {version}'
