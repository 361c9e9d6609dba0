"""What the one reader of JSON takes, and what it says of what it does not take."""

import gc
import json
import os
import subprocess
import sys
import tracemalloc
import zipfile

import pytest

from mmvis_cl.errors import InputError
from mmvis_cl.evaluation import load_results
from mmvis_cl.json_file import parse_json, read_json, read_table


@pytest.mark.parametrize(
    'text',
    [
        '[1, 2.5, "x", null, true, {"a": []}]',
        '"\\ud83d\\ude00"',
        '"\\uD83D\\uDE00\\ud83d\\ude00"',
        r'"\\ud800"',  # a backslash and letters
        r'"\\\\ud800 \\\ud83d\ude00"',
        '"ud800"',
        '"é😀"',
        ' \n{}\n ',
        '[1e999, 1e-999]',
    ],
)
def test_it_reads_what_json_reads(text):
    assert parse_json(text.encode(), 'x') == json.loads(text)
    for encoding in ('utf-8-sig', 'utf-16', 'utf-32', 'utf-16-le'):
        assert parse_json(text.encode(encoding), 'x') == json.loads(text)


@pytest.mark.parametrize(
    ('text', 'half'),
    [
        (r'"\ud83d"', r'\ud83d'),
        (r'"x\ude00"', r'\ude00'),
        (r'"\ud83d\u0041"', r'\ud83d'),
        (r'"\ud83d\ud83d\ude00"', r'\ud83d'),
        (r'"\\\ud800"', r'\ud800'),
        (r'"\ud83d\ude00\uDC00"', r'\uDC00'),
        (r'{"\udfff": 1}', r'\udfff'),
    ],
)
def test_half_a_character_is_refused(text, half):
    with pytest.raises(InputError) as error:
        parse_json(text.encode(), 'x.json')
    assert f'x.json: has half a character ({half}) at position {text.index(half)}' in str(
        error.value
    )
    str(error.value).encode()


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (b'', 'is empty'),
        (b' \n\t', 'is empty'),
        (b'\xef\xbb\xbf', 'not valid JSON'),
        (b'\xff\xfe\x00', 'save the file as UTF-8'),
        ('"é"'.encode('latin-1'), r'byte 1 is no utf-8\); save the file as UTF-8'),
        (b'"\xed\xa0\x80"', 'save the file as UTF-8'),
        (b'[' * 100_000, 'too deeply'),
        (b'{"a":' * 100_000 + b'1' + b'}' * 100_000, 'too deeply'),
        (b'{"a": {"b": 1, "c": 2, "b": 3}}', "an object has the key 'b' twice"),
        (b'[1', 'not valid JSON'),
        (b'[1] 2', 'not valid JSON'),
    ],
)
def test_what_is_no_json_gets_one_line(data, message):
    with pytest.raises(InputError, match=f'^x.json: .*{message}') as error:
        parse_json(data, 'x.json')
    assert len(str(error.value)) < 200 and str(error.value).isprintable()
    assert gc.isenabled()


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match='no such file'):
        read_json(tmp_path / 'x.json')
    with pytest.raises(InputError, match='can not be read'):
        read_json(tmp_path)
    with pytest.raises(InputError, match='no name of a file'):
        read_json('a\0b')
    with pytest.raises(InputError, match='is a device'):
        read_json('/dev/zero')


def test_the_limit_holds_for_files_and_inside_zips(tmp_path, monkeypatch):
    (tmp_path / 'x.json').write_text('[' + ' ' * 2000 + ']')
    with zipfile.ZipFile(tmp_path / 'x.zip', 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('results.json', '[' + ' ' * 2000 + ']')
    assert (tmp_path / 'x.zip').stat().st_size < 1000
    assert load_results(tmp_path / 'x.json') == load_results(tmp_path / 'x.zip') == []
    monkeypatch.setenv('MMVIS_CL_MAX_JSON_BYTES', '1000')
    with pytest.raises(InputError, match='has 2002 bytes of JSON, the most is 1000'):
        load_results(tmp_path / 'x.json')
    monkeypatch.setenv('MMVIS_CL_MAX_UNZIPPED_BYTES', '1000')
    with pytest.raises(InputError, match='or raise MMVIS_CL_MAX_UNZIPPED_BYTES'):
        load_results(tmp_path / 'x.zip')


def test_a_zip_that_needs_a_password_or_is_damaged(tmp_path):
    path = tmp_path / 'x.zip'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('results.json', json.dumps(list(range(2000))))
    whole = path.read_bytes()
    locked = bytearray(whole)
    locked[6] |= 1  # the flag of encryption, in the local header and in the directory
    locked[whole.index(b'PK\x01\x02') + 8] |= 1
    broken = bytearray(whole)
    broken[60:200] = bytes(140)
    other = bytearray(whole)
    other[8] = other[whole.index(b'PK\x01\x02') + 10] = 77  # a way to pack that nobody has
    for data in (locked, broken, other, whole[:100], b''):
        path.write_bytes(data)
        with pytest.raises(InputError, match=r'x\.zip: not a usable zip file') as error:
            load_results(path)
        assert '\n' not in str(error.value)


# without torch, whose import takes seconds
READ = """
import sys, mmvis_cl_command
mmvis_cl_command.put_off_set_up()
from mmvis_cl import json_file
print(getattr(json_file, sys.argv[1])(sys.argv[2]))
"""


def read_alone(path, reader='read_json', **options):
    words = [sys.executable, '-c', READ, reader, str(path)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, **options)


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='the system has no pipes with names')
def test_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / 'a.json')
    for reader in ('read_json', 'read_table'):
        assert 'a.json: is a pipe; give a file' in read_alone(tmp_path / 'a.json', reader).stderr


def test_a_table_has_a_limit_of_its_own(tmp_path, monkeypatch):
    path = tmp_path / 'a.csv'
    path.write_bytes(b'\xef\xbb\xbfobject,class\n')
    assert read_table(path) == 'object,class\n'
    monkeypatch.setenv('MMVIS_CL_MAX_TABLE_BYTES', '15')
    with pytest.raises(InputError, match=r'16 bytes of text.*MMVIS_CL_MAX_TABLE_BYTES'):
        read_table(path)
    path.write_bytes(b'\xff\xff')
    with pytest.raises(InputError, match='it is no text'):
        read_table(path)


@pytest.mark.skipif(not os.path.exists('/dev/stdin'), reason='the system has no /dev/stdin')
def test_a_pipe_of_a_shell_is_read_up_to_the_limit():
    assert read_alone('/dev/stdin', input='[1, 2]').stdout == '[1, 2]\n'
    environment = os.environ | dict(MMVIS_CL_MAX_JSON_BYTES='5')
    done = read_alone('/dev/stdin', input='[1, 2]', env=environment)
    assert 'has 6 bytes of JSON, the most is 5' in done.stderr


def test_an_empty_file_takes_no_memory(tmp_path):
    """Nor does a pipe ask for as much as the limit allows."""
    (tmp_path / 'a.json').touch()
    tracemalloc.start()
    with pytest.raises(InputError):
        read_json(tmp_path / 'a.json')
    assert tracemalloc.get_traced_memory()[1] < 1 << 23
    tracemalloc.stop()
