"""Names and addresses where a path can stand."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from mmvis_cl.checkpoints.reader import read_checkpoint
from mmvis_cl.cli import main
from mmvis_cl.config_names import find_config
from mmvis_cl.errors import InputError
from mmvis_cl.weights import KNOWN, KnownWeights, config_of_name, weights_file, weights_folder
from mmvis_cl.weights.cache import read_notes
from mmvis_cl.weights.door import check_name, place_of


@pytest.fixture
def known(server, monkeypatch):
    """Weights of a name that the server has, and some that can be fetched only by hand."""
    page = 'https://example.org/page'
    monkeypatch.setitem(
        KNOWN, 'made', KnownWeights('made', f'{server.address}/m', page, 'r50_ovis', 'made', 1.0)
    )
    monkeypatch.setitem(
        KNOWN, 'by-hand', KnownWeights('by-hand', None, page, 'ctvis/r50_ovis', 'made', 1.0)
    )
    return server


def test_each_name_says_what_it_is():
    """Each config is there; no name is a path by chance."""
    assert len([name for name in KNOWN if name.startswith('idol-')]) == 12
    assert len([name for name in KNOWN if name.startswith('ctvis-')]) == 6
    for name, weights in KNOWN.items():
        assert name == weights.name and '/' not in name
        assert weights.config is None or find_config(weights.config).is_file()
        assert (weights.config is None) == (weights.ap is None)
    sources = [weights.source for weights in KNOWN.values() if weights.source]
    assert len(set(sources)) == len(sources) == 14


def test_fetched_once(known, tmp_path):
    file = weights_file('made')
    assert file == str(tmp_path / 'home' / 'weights' / 'made.pth')
    assert read_checkpoint('made')['state_dict']['a'][5] == 5
    assert len(known.asked) == 1 and weights_file('made') == file
    assert read_notes(place_of(KNOWN['made']))['sha256'] == known.sha256
    assert config_of_name('made') == 'r50_ovis' and config_of_name(file) is None


def test_a_file_of_that_name_goes_first(known, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(dict(state_dict=dict(b=torch.ones(1))), 'made')
    assert 'b' in read_checkpoint('made')['state_dict'] and not known.asked
    assert config_of_name('made') is None


def test_an_address(known):
    address = f'{known.address}/folder/weights.pth?token=1'
    assert read_checkpoint(address)['state_dict']['a'][3] == 3
    assert weights_file(address).endswith('-weights.pth') and len(known.asked) == 1
    other = weights_file(f'{known.address}/other/weights.pth')
    assert other != weights_file(address)  # of the same name


def test_a_file_of_the_hub(known, monkeypatch):
    """As the Hub answers: with the commit and the hash of the file."""
    monkeypatch.setenv('HF_ENDPOINT', known.address)
    headers = {'ETag': '"abc123"', 'X-Repo-Commit': 'a' * 40}
    known.pages['/who/what/resolve/main/a.pth'] = (200, headers, known.data)
    assert read_checkpoint('hf://who/what/a.pth')['state_dict']['a'][4] == 4
    known.pages['/who/what/resolve/main/b.pth'] = (404, {'X-Error-Code': 'EntryNotFound'}, b'')
    with pytest.raises(InputError, match=r'hf://who/what/b\.pth'):
        weights_file('hf://who/what/b.pth')
    with pytest.raises(InputError, match='hf://OWNER/NAME/FILE'):
        weights_file('hf://what/a.pth')


def test_what_must_be_fetched_by_hand(known):
    place = place_of(KNOWN['by-hand'])
    for ask in (weights_file, check_name, read_checkpoint):
        with pytest.raises(InputError, match=f'https://example.org/page and put it at {place}'):
            ask('by-hand')
    place.parent.mkdir(parents=True)
    place.write_bytes(known.data)
    check_name('by-hand')
    assert weights_file('by-hand') == str(place)
    assert read_notes(place) == dict(source='by hand', sha256=known.sha256, size=len(known.data))


def test_a_file_that_changed_is_told(known, capsys):
    file = weights_file('made')
    with open(file, 'r+b') as opened:
        opened.seek(-1, 2)
        opened.write(b'!')
    assert main(['weights', '--verify', 'made']) == 1
    assert f'another file; remove {file}' in capsys.readouterr().out
    with open(file, 'ab') as opened:
        opened.write(b'!')
    with pytest.raises(InputError, match=r'remove it and made\.pth\.json'):
        weights_file('made')


def test_where_the_folder_is(monkeypatch, tmp_path):
    monkeypatch.setenv('MMVIS_CL_HOME', str(tmp_path / 'own'))
    assert weights_folder() == tmp_path / 'own' / 'weights'
    monkeypatch.delenv('MMVIS_CL_HOME')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    assert weights_folder() == tmp_path / 'cache' / 'mmvis_cl' / 'weights'
    monkeypatch.setenv('XDG_CACHE_HOME', 'relative')
    monkeypatch.setenv('HOME', str(tmp_path))
    assert weights_folder() == tmp_path / '.cache' / 'mmvis_cl' / 'weights'


@pytest.mark.parametrize(
    ('command', 'said'),
    [
        (['track', 'a.mp4', '--weights', 'idol-r50-ytvis2'], 'did you mean idol-r50-ytvis21?'),
        (['track-all', 'a.mp4', '--out', 'o', '--weights', 'nothing'], 'mmvis-cl weights lists'),
        (['convert', 'ctvis-r50-ovis', 'out.pth'], 'download it from https://github.com'),
        (['weights', 'idol-r5O-ovis'], 'did you mean idol-r50-ovis?'),
        (['weights', '--verify', 'https://a'], '--verify takes names'),
    ],
)
def test_names_that_are_none(command, said, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv('MMVIS_CL_HOME', str(tmp_path / 'home'))
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a.mp4').touch()
    with pytest.raises(SystemExit) as caught:
        main(command)
    err = capsys.readouterr().err
    assert caught.value.code == 2 and said in err and err.count('\n') == 1, err


def test_the_list(known, capsys):
    weights_file('made')
    assert main(['weights']) == 0
    out = capsys.readouterr().out
    assert 'idol-r50-ytvis21' in out and '47.7' in out and 'by hand' in out
    assert main(['weights', '--json']) == 0
    rows = {row['name']: row for row in json.loads(capsys.readouterr().out)}
    assert rows['made']['size'] == len(known.data) and rows['made']['sha256'] == known.sha256
    assert rows['idol-r50-ovis']['file'] is None and rows['idol-r50-ovis']['ap_is'] == 'published'
    assert main(['weights', 'made']) == 0
    assert capsys.readouterr().out.strip() == weights_file('made')


def test_two_at_once_fetch_it_once(known):
    address = f'{known.address}/slow.pth'
    with ThreadPoolExecutor(2) as pool:
        files = set(pool.map(weights_file, [address] * 2))
    assert len(files) == 1 and len(known.asked) == 1
