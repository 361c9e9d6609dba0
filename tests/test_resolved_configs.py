"""Every config says what it said when the dumps were written: a base that changes, changes many.

``python tests/test_resolved_configs.py`` writes what they say now, after a change that is meant.
"""

import gzip
import json
import os
from pathlib import Path

import pytest
from mmengine.config import Config

from mmvis_cl.config.options import SETTINGS

ROOT = Path(__file__).parents[1]
DUMPS = ROOT / 'tests' / 'data' / 'resolved_configs.json.gz'
CONFIGS = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ('configs', 'projects')
    for path in (ROOT / folder).rglob('*.py')
    if '_base_ = ' in path.read_text() and '/_base_/' not in path.as_posix()
)


def flat(value: object, path: str) -> dict[str, str]:
    """The leaves of a config, written as Python does, by their place: tuples stay tuples."""
    if isinstance(value, dict) and value:
        children = value.items()
    elif isinstance(value, (list, tuple)) and any(isinstance(child, dict) for child in value):
        children = enumerate(value)
    else:
        # what OpenMMLab's and onedl's configs of mmdet differ in
        return {path: repr(value).replace('//download.openmmlab.com/', '//mmassets.onedl.ai/')}
    return {
        place: leaf
        for key, child in children
        for place, leaf in flat(child, f'{path}.{key}' if path else str(key)).items()
    }


def resolved(name: str) -> dict[str, str]:
    return flat(Config.fromfile(ROOT / name, import_custom_modules=False).to_dict(), '')


@pytest.fixture(scope='module')
def before():
    with gzip.open(DUMPS, 'rt', encoding='utf-8') as file:
        return json.load(file)


def test_every_config_is_compared(before):
    assert sorted(before) == CONFIGS


@pytest.mark.parametrize('name', CONFIGS)
def test_config_is_the_same(name, before, monkeypatch):
    for variable in ('VIS_DATA', 'VIS_IMAGES'):
        monkeypatch.delenv(variable, raising=False)
    then, now = before[name], resolved(name)
    different = {
        place: (then.get(place), now.get(place))
        for place in {**then, **now}
        if then.get(place) != now.get(place)
    }
    # a new variable, from which a base makes its settings, changes nothing
    for place, (old, _) in list(different.items()):
        if old is None and place.partition('.')[0] not in SETTINGS:
            del different[place]
    assert not different, f'{different}; if that is meant: python tests/test_resolved_configs.py'


if __name__ == '__main__':
    for variable in ('VIS_DATA', 'VIS_IMAGES'):
        os.environ.pop(variable, None)
    text = json.dumps({name: resolved(name) for name in CONFIGS}, indent=0)
    DUMPS.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f'{DUMPS}: {len(CONFIGS)} configs')
