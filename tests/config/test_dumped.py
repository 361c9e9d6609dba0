"""A checkpoint's config is read as what it was, and nothing in it is run."""

import os

import pytest
from mmengine.config import Config

from mmvis_cl.config.dumped import check_types_are_registered, config_of_text
from mmvis_cl.config_names import config_folder
from mmvis_cl.errors import InputError

CONFIGS = sorted((config_folder() / 'vis_cl').glob('*.py'))


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_every_config_comes_back(path):
    cfg = Config.fromfile(path)
    found = config_of_text(cfg.pretty_text, 'a.pth')
    assert found.to_dict() == cfg.to_dict()
    check_types_are_registered(found, 'a.pth')


@pytest.mark.parametrize(
    'text',
    [
        None,
        '',
        7,
        'model = ',
        'import os',
        'model = __import__("os").system("touch MARK")',
        'model = dict(type=open("MARK", "w"))',
        'model = dict(**{"a": 1})',
        'model = [open("MARK", "w") for _ in (1,)]',
        'model = f"{open(chr(77), chr(119))}"',
        'a = b = 1',
        '[' * 5000 + ']' * 5000,
    ],
)
def test_what_is_no_plain_value_is_one_line_and_not_run(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r'^a\.pth: .*--config') as error:
        config_of_text(text, 'a.pth')
    assert '\n' not in str(error.value) and not os.listdir(tmp_path)


@pytest.mark.parametrize(
    'text',
    [
        "model = dict(type='os.system', command='x')",
        "model = dict(type='ContrastiveVIS', detector=[dict(type='subprocess.run')])",
        "model = dict(type='mmengine.load', file='x.pkl')",
        "custom_imports = dict(imports=['antigravity'])",
    ],
)
def test_only_registered_classes_are_built(text):
    with pytest.raises(InputError, match='code is not run because a checkpoint says so'):
        check_types_are_registered(config_of_text(text, 'a.pth'), 'a.pth')
