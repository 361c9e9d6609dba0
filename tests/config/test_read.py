"""A config file that cannot be read: one line with the file and the line in it."""

from pathlib import Path

import pytest

from mmvis_cl.config import load_config, read_config
from mmvis_cl.errors import InputError


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('a.py', 'x = 1\ny = dict(a=1\n', "a.py, line 2: '(' was never closed; "),
        ('a.py', 'x = 1\ny = "{{nothing}}" +\n', 'a.py, line 2: invalid syntax; '),
        ('a.py', 'x = 1\n\ny = wrong_name\n', "a.py, line 3: NameError: name 'wrong_name' "),
        ('a.py', "_base_ = 'base.py'\ny = _base_.b.c\n", 'a.py, line 2: AttributeError'),
        ('a.py', "_base_ = 'none.py'\n", 'a.py: its _base_ '),
        ('a.py', "_base_ = 'broken.py'\n", 'broken.py, line 1: '),
        ('a.py', "_base_ = 'a.py'\n", 'a.py: is a _base_ of itself; '),
        ('a.py', "_base_ = ['base.py', 'twin.py']\n", 'a.py: KeyError: '),
        ('a.py', "_base_ = 'base.py'\nnumber = dict(c=1)\n", 'a.py: TypeError: number='),
        ('a.json', '{"a": ', 'a.json: '),
        ('a.yml', 'a: [1\n', 'a.yml: '),
        ('a.txt', 'a = 1\n', 'a.txt: '),
        ('a.py', b'\xff\xfe', 'a.py: UnicodeDecodeError'),
    ],
)
def test_broken_files(tmp_path, monkeypatch, name, text, message):
    (tmp_path / 'base.py').write_text('number = 3\n')
    (tmp_path / 'twin.py').write_text('number = 4\n')
    (tmp_path / 'broken.py').write_text('number = = 4\n')
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as caught:
        read_config(path)
    line = str(caught.value)
    assert message in line and '; ' in line and '\n' not in line and '/tmp/tmp' not in line
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        read_config(name)
    assert str(caught.value).startswith(message) or 'broken' in message or '_base_' in message


def test_own_modules_are_imported_when_torch_is(tmp_path):
    """Not while the file is read: a module may import all of mmdet."""
    path = tmp_path / 'a.py'
    path.write_text("custom_imports = dict(imports=['no_such_module_anywhere'])\n")
    assert load_config(str(path), None, None, 'none').custom_imports.imports


def test_all_configs_can_be_read():
    root = Path(__file__).parents[2] / 'configs'
    for path in sorted(root.glob('*/*.py')):
        assert load_config(str(path), None, None, 'none').work_dir == f'work_dirs/{path.stem}' or (
            '_base_' in path.parts
        )
