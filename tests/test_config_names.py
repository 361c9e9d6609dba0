import pytest

from mmvis_cl import config_names
from mmvis_cl.config_names import find_config
from mmvis_cl.errors import InputError


@pytest.mark.parametrize(
    'name',
    [
        'r50_ytvis21',
        'r50_ytvis21.py',
        'vis_cl/r50_ytvis21',
        'configs/vis_cl/r50_ytvis21.py',
        './configs/vis_cl/r50_ytvis21.py',
    ],
)
def test_names_of_one_config(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = find_config(name)
    assert path.is_file() and path.parts[-2:] == ('vis_cl', 'r50_ytvis21.py')


def test_ctvis_has_its_own_folder():
    assert find_config('ctvis/r50_ytvis21').parts[-2:] == ('ctvis', 'r50_ytvis21.py')
    assert find_config('configs/ctvis/swin-l_ovis.py').parts[-2:] == ('ctvis', 'swin-l_ovis.py')


def test_a_path_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / 'r50_ytvis21.py'
    own.write_text('')
    assert find_config('r50_ytvis21.py').samefile(own)
    assert find_config(own) == own
    assert find_config('r50_ytvis21').parent.name == 'vis_cl'


@pytest.mark.parametrize('name', ['r50_ytvis23', 'my/r50_ytvis2.py', 'R50-ytvis21'])
def test_near_names_are_told(name):
    with pytest.raises(InputError, match=r'r50_ytvis2\d') as error:
        find_config(name)
    assert '\n' not in str(error.value)


def test_bases_are_no_configs_and_one_name_is_one_config(tmp_path, monkeypatch):
    for name in ('vis_cl/a', 'vis_cl/b', 'ladder/a', '_base_/models/c'):
        path = tmp_path / 'configs' / f'{name}.py'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('')
    monkeypatch.setattr(config_names, '_PACKAGE', tmp_path / 'mmvis_cl')
    assert find_config('b') == tmp_path / 'configs' / 'vis_cl' / 'b.py'
    assert find_config('ladder/a').parent.name == 'ladder'
    with pytest.raises(InputError, match='several, give one of ladder/a, vis_cl/a'):
        find_config('a')
    with pytest.raises(InputError, match=r'known are .*\bb\b'):
        find_config('c')


def test_an_installed_package_brings_its_configs(tmp_path, monkeypatch):
    package = tmp_path / 'site-packages' / 'mmvis_cl'
    monkeypatch.setattr(config_names, '_PACKAGE', package)
    with pytest.raises(InputError, match='has no configs'):
        find_config('r50_ytvis21')
    config = package / '.mim' / 'configs' / 'vis_cl' / 'r50_ytvis21.py'
    config.parent.mkdir(parents=True)
    config.write_text('')
    assert find_config('r50_ytvis21') == config
