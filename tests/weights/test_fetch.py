"""Downloads that are broken off, lie, redirect, or are something else."""

import threading

import pytest

from mmvis_cl.errors import InputError
from mmvis_cl.weights import fetch as fetching
from mmvis_cl.weights.fetch import alone, fetch

ADVICE = 'put it there by hand'


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_file(server, tmp_path):
    told = []
    file = tmp_path / 'deep' / 'a.pth'
    found = fetch(
        f'{server.address}/a',
        file,
        ADVICE,
        len(server.data),
        server.sha256,
        lambda *now: told.append(now),
    )
    assert found == server.sha256 and file.read_bytes() == server.data
    assert left(file.parent) == ['a.pth']
    assert told[0] == (0, len(server.data)) and told[-1] == (len(server.data),) * 2


def test_it_goes_on_where_it_was_broken_off(server, tmp_path):
    """Within a command; and the next command, when the first gave up, asks only for the rest."""
    server.break_after = [1000, 500]
    fetch(f'{server.address}/a', tmp_path / 'a.pth', ADVICE)
    assert (tmp_path / 'a.pth').read_bytes() == server.data
    assert [begin for _, begin in server.asked] == [None, 'bytes=1000-', 'bytes=1500-']

    server.asked.clear()
    server.break_after = [100] * fetching.ATTEMPTS
    with pytest.raises(InputError, match=f'broken off 4 times .*{ADVICE}'):
        fetch(f'{server.address}/a', tmp_path / 'b.pth', ADVICE)
    assert not (tmp_path / 'b.pth').exists()
    fetch(f'{server.address}/a', tmp_path / 'b.pth', ADVICE)
    assert (tmp_path / 'b.pth').read_bytes() == server.data
    assert server.asked[-1] == ('/a', 'bytes=400-')


@pytest.mark.parametrize('how', ['no ranges', 'another file', 'shorter'])
def test_what_cannot_be_gone_on_with_begins_anew(server, tmp_path, how):
    server.break_after = [5000] * fetching.ATTEMPTS
    server.ranges = how != 'no ranges'
    with pytest.raises(InputError):
        fetch(f'{server.address}/a', tmp_path / 'a.pth', ADVICE)
    if how == 'another file':
        server.etag, server.data = '"two"', b'PK' + server.data[::-1]
    elif how == 'shorter':
        server.data = server.data[:3000]
    fetch(f'{server.address}/a', tmp_path / 'a.pth', ADVICE)
    assert (tmp_path / 'a.pth').read_bytes() == server.data
    assert left(tmp_path) == ['a.pth', 'made.pth']


@pytest.mark.parametrize(
    ('lie', 'size', 'sha256', 'said'),
    [
        (None, 7, None, 'it should have 7'),
        (None, None, 'ab' * 32, 'another file than it should be'),
        (99_999_999, None, None, 'broken off'),
    ],
)
def test_sizes_and_hashes_that_do_not_fit(server, tmp_path, lie, size, sha256, said):
    server.length = lie
    with pytest.raises(InputError, match=said) as caught:
        fetch(f'{server.address}/a', tmp_path / 'a.pth', ADVICE, size, sha256)
    assert ADVICE in str(caught.value) and not (tmp_path / 'a.pth').exists()


@pytest.mark.parametrize(
    ('data', 'said'),
    [
        (b'<!DOCTYPE html><p>Sign in', 'a web page'),
        (b'', 'empty'),
        (b'hello', 'no file of weights'),
    ],
)
def test_what_comes_is_no_weights(server, tmp_path, data, said):
    server.data = data
    with pytest.raises(InputError, match=f'what came is {said}; {ADVICE}'):
        fetch(f'{server.address}/a', tmp_path / 'a.pth', ADVICE)
    assert left(tmp_path) == ['made.pth']


def test_redirects_are_followed(server, tmp_path):
    server.pages['/old'] = (302, {'Location': f'{server.address}/new'}, b'')
    fetch(f'{server.address}/old', tmp_path / 'a.pth', ADVICE)
    assert (tmp_path / 'a.pth').read_bytes() == server.data
    server.pages['/round'] = (302, {'Location': f'{server.address}/round'}, b'')
    with pytest.raises(InputError, match=ADVICE):
        fetch(f'{server.address}/round', tmp_path / 'b.pth', ADVICE)


@pytest.mark.parametrize(('status', 'times'), [(404, 1), (403, 1), (503, 4)])
def test_errors_of_the_server(server, tmp_path, status, times):
    """What may pass is asked for again."""
    server.pages['/a'] = (status, {}, b'')
    with pytest.raises(InputError, match=f'the server says {status}.*{ADVICE}'):
        fetch(f'{server.address}/a', tmp_path / 'a.pth', ADVICE)
    assert len(server.asked) == times


def test_no_network(tmp_path):
    with pytest.raises(InputError, match=f'cannot be fetched .*; {ADVICE}'):
        fetch('http://nowhere.invalid/a', tmp_path / 'a.pth', ADVICE)


def test_google_drives_page_with_a_form(server, tmp_path, monkeypatch):
    """Its hidden values lead to the file; a page without them is none."""
    monkeypatch.setattr(fetching, 'DRIVE', f'{server.address}/ask')
    page = (
        b'<html><form id="download-form" action="/give" method="get">'
        b'<input type="hidden" name="id" value="ID7"><input type="hidden" name="uuid" value="u-1">'
        b'<input type="submit" value="Download anyway"></form>'
    )
    server.pages['/ask'] = (200, {'Content-Type': 'text/html; charset=utf-8'}, page)
    fetch('gdrive:ID7', tmp_path / 'a.pth', ADVICE)
    assert (tmp_path / 'a.pth').read_bytes() == server.data
    assert [path for path, _ in server.asked] == [
        '/ask?id=ID7&export=download&confirm=t',
        '/give?id=ID7&uuid=u-1',
    ]
    server.pages['/ask'] = (200, {'Content-Type': 'text/html'}, b'<html>Quota exceeded</html>')
    with pytest.raises(InputError, match=f'a page in place of the file; {ADVICE}'):
        fetch('gdrive:ID7', tmp_path / 'b.pth', ADVICE)


def test_a_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(InputError, match='file'):
        fetch(f'{server.address}/a', tmp_path / 'file' / 'a.pth', ADVICE)


def test_one_process_at_a_time(tmp_path):
    inside, waited = [], threading.Event()

    def other():
        with alone(tmp_path / 'a.pth', waited.set):
            inside.append('other')

    with alone(tmp_path / 'a.pth', lambda: None):
        thread = threading.Thread(target=other)
        thread.start()
        assert waited.wait(10) and not inside
        inside.append('first')
    thread.join()
    assert inside == ['first', 'other']
