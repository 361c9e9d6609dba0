import os
import subprocess
import sys

import pytest
import torch
from mmengine.fileio import get_file_backend

from mmvis_cl.engine.checkpoints import newest_checkpoint, remove_unfinished
from mmvis_cl.errors import InputError


@pytest.fixture
def folder(tmp_path):
    """A work dir with three checkpoints, the third the last."""
    for age, number in enumerate([12, 8, 4]):
        path = tmp_path / f'iter_{number}.pth'
        torch.save(dict(state_dict=dict(a=torch.zeros(1000))), path)
        os.utime(path, (1e9 - age, 1e9 - age))
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_12.pth'))
    return tmp_path


def cut(path):
    path.write_bytes(path.read_bytes()[:1500])


def name_of(found):
    return os.path.basename(found[0]), len(found[1])


def test_the_last_checkpoint_is_the_newest(folder):
    assert newest_checkpoint(folder) == (str(folder / 'iter_12.pth'), [])
    # of an earlier training in the same folder
    (folder / 'last_checkpoint').write_text(str(folder / 'iter_4.pth'))
    assert newest_checkpoint(folder) == (str(folder / 'iter_4.pth'), [])


def test_a_checkpoint_that_is_cut_off_is_passed_over(folder):
    cut(folder / 'iter_12.pth')
    path, passed_over = newest_checkpoint(folder)
    assert path == str(folder / 'iter_8.pth')
    assert passed_over == [f'{folder}/iter_12.pth is no whole checkpoint']
    cut(folder / 'iter_8.pth')
    assert name_of(newest_checkpoint(folder)) == ('iter_4.pth', 2)
    cut(folder / 'iter_4.pth')
    path, passed_over = newest_checkpoint(folder)
    assert path is None and len(passed_over) == 3


def test_a_last_checkpoint_that_names_none(folder):
    note = folder / 'last_checkpoint'
    for content, words in [
        (b'', 'last_checkpoint is empty'),
        (b'\0' * 20, 'last_checkpoint is empty'),
        (b'\xff\xfe', 'last_checkpoint cannot be read'),
        (b'/gone/iter_16.pth', '/gone/iter_16.pth, which '),
    ]:
        note.write_bytes(content)
        path, passed_over = newest_checkpoint(folder)
        assert path == str(folder / 'iter_12.pth')
        assert len(passed_over) == 1 and words in passed_over[0]
    note.unlink()
    assert newest_checkpoint(folder) == (str(folder / 'iter_12.pth'), [])


def test_a_folder_that_was_moved(folder):
    (folder / 'last_checkpoint').write_text('old/place/iter_4.pth')
    path, passed_over = newest_checkpoint(folder)
    assert path == str(folder / 'iter_4.pth')
    assert len(passed_over) == 1


def test_the_best_checkpoint_is_not_the_newest(folder):
    os.rename(folder / 'iter_12.pth', folder / 'best_AP_iter_12.pth')
    assert name_of(newest_checkpoint(folder)) == ('iter_8.pth', 1)


def test_an_empty_folder(tmp_path):
    assert newest_checkpoint(tmp_path) == (None, [])
    assert newest_checkpoint(tmp_path / 'none') == (None, [])


def test_what_mmengine_writes_is_whole_or_not_there(tmp_path, monkeypatch):
    path = tmp_path / 'a' / 'iter_4.pth'
    backend = get_file_backend(str(path))
    backend.put(b'old', str(path))

    def full(descriptor):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(InputError, match='the disk is full'):
        backend.put(b'new', str(path))
    assert path.read_bytes() == b'old'
    assert os.listdir(path.parent) == ['iter_4.pth']


def test_halves_of_processes_that_are_gone_are_removed(tmp_path):
    gone = subprocess.Popen([sys.executable, '-c', ''])
    gone.wait()
    for name in (f'.{gone.pid}-0.part.pth', f'.{gone.pid}-1.part', f'.{os.getpid()}-2.part.pth'):
        (tmp_path / name).touch()
    others = {f'.{gone.pid}-3.part.json', 'iter_4.pth', f'.{os.getpid()}-2.part.pth'}
    for name in others:
        (tmp_path / name).touch()
    remove_unfinished(tmp_path)
    assert set(os.listdir(tmp_path)) == others
    remove_unfinished(tmp_path / 'none')
