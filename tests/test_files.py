import os
import stat
import struct
import subprocess
import sys
import zipfile

import pytest

from mmvis_cl.datasets.converters.coco_video import read_coco_video
from mmvis_cl.datasets.converters.cvat_video import read_cvat
from mmvis_cl.errors import InputError
from mmvis_cl.files import fitting_name, is_zip, whole_file


def test_a_file_gets_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / 'new' / 'results.json'
    with whole_file(path) as file:
        file.write('ä')
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == 'ä'.encode()
    assert os.listdir(path.parent) == ['results.json']
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize('error', [RuntimeError, KeyboardInterrupt, SystemExit])
def test_the_old_file_stays_where_writing_fails(tmp_path, error):
    path = tmp_path / 'results.json'
    path.write_text('old')
    with pytest.raises(error), whole_file(path) as file:
        file.write('half of the n')
        raise error
    assert path.read_text() == 'old'
    assert os.listdir(tmp_path) == ['results.json']


def test_a_process_killed_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / 'results.json'
    path.write_text('old')
    program = (
        'import os, signal, sys; from mmvis_cl.files import fitting_name, whole_file\n'
        'with whole_file(sys.argv[1]) as file:\n'
        '    file.write("half"); file.flush(); os.kill(os.getpid(), signal.SIGKILL)'
    )
    assert subprocess.run([sys.executable, '-c', program, path]).returncode == -9
    assert path.read_text() == 'old'


def test_a_name_as_long_as_the_file_system_allows(tmp_path):
    path = tmp_path / ('w' * 250 + '.json')
    with whole_file(path, 'wb') as file:
        file.write(b'{}')
    assert path.read_bytes() == b'{}'


def test_links_are_followed(tmp_path):
    path, link = tmp_path / 'a.json', tmp_path / 'link.json'
    path.write_text('old')
    link.symlink_to(path)
    with whole_file(link) as file:
        file.write('new')
    assert link.is_symlink() and path.read_text() == 'new'


def test_what_is_no_file_is_written_to_directly():
    with whole_file(os.devnull) as file:
        file.write('gone')
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='needs /dev/full')
def test_a_full_disk_is_one_line():
    with pytest.raises(InputError, match='the disk is full'), whole_file('/dev/full') as file:
        file.write('x')


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(InputError, match='is a folder'), whole_file(tmp_path) as file:
        file.write('x')
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / 'a').write_text('')
    with pytest.raises(InputError, match='cannot be written'), whole_file(tmp_path / 'a' / 'b'):
        pass


def test_a_stem_is_cut_to_fit_at_whole_letters(tmp_path):
    assert fitting_name('walk', '_tracked.mp4', tmp_path) == 'walk_tracked.mp4'
    for letter in ('x', 'é', '漢'):
        name = fitting_name(letter * 300, '_tracked.mp4', tmp_path / 'not' / 'there')
        assert 253 <= len(os.fsencode(name)) <= 255
        assert name.endswith(f'{letter}_tracked.mp4')
        (tmp_path / name).touch()


def test_a_zip_in_several_parts_is_a_zip(tmp_path):
    end = struct.pack('<4sLQL', b'PK\6\7', 0, 0, 2) + b'PK\5\6' + bytes(18)
    (tmp_path / 'a.xml').write_bytes(end)
    with pytest.raises(zipfile.BadZipFile):  # else there is no need of is_zip
        zipfile.is_zipfile(tmp_path / 'a.xml')
    assert is_zip(tmp_path / 'a.xml')
    with pytest.raises(InputError, match='is a zip'):
        read_coco_video(tmp_path / 'a.xml', tmp_path)
    with pytest.raises(InputError, match='zip'):  # which it would read, were it whole
        read_cvat([tmp_path / 'a.xml'], tmp_path)
