"""What visitors of the page do, in a browser, with a server of its own process."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from small_tracker import write_walk

pytest.importorskip('gradio', reason='Gradio is not installed; make test-app has it')
from chromium import chromium_browser, new_page  # noqa: F401

ROOT = Path(__file__).parents[2]
FRAMES = 30


@pytest.fixture(scope='module')
def walk(tmp_path_factory):
    times = tuple(t / 10 for t in range(FRAMES))
    return write_walk(tmp_path_factory.mktemp('walk') / 'walk.mp4', times)


@pytest.fixture(scope='module')
def server(tiny, tmp_path_factory):
    """The address of a server, and the folder for its temporary one; its end is looked at."""
    folder = tmp_path_factory.mktemp('temporary')
    words = ['app', '--config', tiny[0], '--weights', tiny[1], '--device', 'cpu']
    process = subprocess.Popen(
        [sys.executable, '-m', 'mmvis_cl', *words, '--port', '0', '--max-upload-mb', '1'],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env={**os.environ, 'TMPDIR': str(folder), 'GRADIO_SHARE': 'True'},
    )
    said = ''
    for line in process.stdout:
        said += line
        if found := re.match(r'open (http://127\.0\.0\.1:\d+) in a browser', line):
            break
    else:
        raise AssertionError(said)
    yield found[1], folder
    process.send_signal(signal.SIGTERM)
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == 143 and rest.splitlines()[-1] == 'terminated', rest
    # of the request of one's own making
    raised = re.findall(r'^([\w.]+(?:Error|Exception)): ', rest, re.MULTILINE)
    assert set(raised) == {'gradio.exceptions.InvalidPathError'}, rest
    assert list(folder.iterdir()) == []


@pytest.fixture
def app_page(chromium_browser, server):  # noqa: F811
    with new_page(chromium_browser, (server[0], 'data:', 'blob:')) as opened:
        opened.goto(server[0])
        opened.wait_for_selector('#track')
        yield opened


def status(app_page):
    return app_page.locator('#status textarea').input_value()


def wait_for(app_page, pattern, seconds=90):
    """Until the status is so; all that it was before."""
    end, seen = time.monotonic() + seconds, []
    while time.monotonic() < end:
        seen.append(status(app_page))
        if re.match(pattern, seen[-1]):
            return list(dict.fromkeys(seen))
        app_page.wait_for_timeout(30)
    raise AssertionError(seen[-1])


def drop(app_page, path):
    app_page.locator('#video input[type=file]').set_input_files(path)
    app_page.get_by_text(path.stem, exact=False).first.wait_for()


def test_a_video_is_dropped_tracked_and_fetched(app_page, walk, tmp_path):
    assert app_page.locator('#weights input').input_value() == 'tiny.pth'
    drop(app_page, walk)
    app_page.locator('#track').click()
    seen = wait_for(app_page, f'{FRAMES} frames, ')
    assert sum(line.startswith('frame ') for line in seen) >= 2  # they arrive
    assert app_page.locator('#frame img').count() == 1
    app_page.locator('#files a').first.wait_for()
    got = {}
    for link in app_page.locator('#files a').all():
        with app_page.expect_download() as waited:
            link.click()
        got[waited.value.suggested_filename] = Path(waited.value.path())
    assert list(got) == ['walk_tracked.mp4', 'walk.json', 'walk_coco.json', 'walk_masks.zip']
    tracks = json.loads(got['walk.json'].read_text())
    assert tracks and {len(track['segmentations']) for track in tracks} == {FRAMES}
    app_page.wait_for_function("document.querySelector('#drawn video').videoWidth > 0")


def test_what_cannot_be_tracked_is_said(app_page, tmp_path):
    app_page.locator('#track').click()
    wait_for(app_page, 'error: there is no video yet; drop one first')
    (tmp_path / 'note.mp4').write_text('<b>no video</b>')
    drop(app_page, tmp_path / 'note.mp4')
    app_page.locator('#track').click()
    wait_for(app_page, r'error: note\.mp4: is no video that is read here; send an MP4')


def test_stop_leaves_what_was_done(app_page, walk):
    drop(app_page, walk)
    app_page.locator('#track').click()
    wait_for(app_page, 'frame ')
    app_page.locator('#stop').click()
    wait_for(app_page, r'\d+ frames, .*; stopped')
    assert not status(app_page).startswith(f'{FRAMES} ')
    app_page.locator('#files a').first.wait_for()


def test_two_visitors_are_served_one_after_the_other(chromium_browser, app_page, server, walk):  # noqa: F811
    with new_page(chromium_browser, (server[0], 'data:', 'blob:')) as other:
        other.goto(server[0])
        for visitor in (app_page, other):
            drop(visitor, walk)
        app_page.locator('#track').click()
        wait_for(app_page, 'frame ')
        other.locator('#track').click()
        while not status(app_page).startswith(f'{FRAMES} frames'):
            assert status(other) in ('ready', 'starting') or status(app_page).startswith(
                str(FRAMES)
            )
            app_page.wait_for_timeout(30)
        wait_for(other, f'{FRAMES} frames')
        assert status(other).split(',')[1] == status(app_page).split(',')[1]  # the same identities


def test_one_who_leaves_is_not_waited_for(chromium_browser, app_page, server, walk):  # noqa: F811
    with new_page(chromium_browser, (server[0], 'data:', 'blob:')) as other:
        other.goto(server[0])
        drop(other, walk)
        other.locator('#track').click()
        wait_for(other, 'frame ')
    drop(app_page, walk)
    app_page.locator('#track').click()
    wait_for(app_page, f'{FRAMES} frames')


def test_too_large_an_upload(app_page, server, tmp_path):
    """It is said on the page, and nothing of it stays, also of one whose length is not told."""
    large = tmp_path / 'large.mp4'
    large.write_bytes(bytes(1_500_000))
    app_page.locator('#video input[type=file]').set_input_files(large)
    app_page.get_by_text('maximum allowed size').first.wait_for()
    assert [p for p in server[1].rglob('*') if p.is_file() and p.stat().st_size > 900_000] == []


def answer(url):
    try:
        with urllib.request.urlopen(url) as got:
            return got.status
    except urllib.error.HTTPError as error:
        return error.code


def test_nothing_else_is_served(server, tiny, walk):
    url, folder = server
    (outputs,) = folder.glob('mmvis-cl-app-*/outputs')
    for path in ('/etc/passwd', ROOT / 'setup.py', tiny[1], walk, outputs, '../../etc/passwd'):
        assert answer(f'{url}/gradio_api/file={path}') in (403, 404), path
    assert answer(f'{url}/monitoring') in (403, 404)


def test_a_file_of_this_machine_is_no_upload(server, walk):
    """By a request of one's own making."""
    url, _ = server
    data = [
        dict(path=str(walk), meta=dict(_type='gradio.FileData')),
        *('tiny.pth', 0.3, ['json']),
    ]
    with urllib.request.urlopen(f'{url}/config') as got:
        config = json.load(got)
    (begin,) = (d['id'] for d in config['dependencies'] if len(d['inputs']) == 4)
    body = dict(data=data, fn_index=begin, session_hash='own')
    request = urllib.request.Request(
        f'{url}/gradio_api/queue/join',
        json.dumps(body).encode(),
        {'Content-Type': 'application/json'},
    )
    urllib.request.urlopen(request).close()
    with urllib.request.urlopen(f'{url}/gradio_api/queue/data?session_hash=own') as stream:
        for line in stream:
            if b'process_completed' in line:
                break
            assert b'frame 1' not in line
    assert b'"success":false' in line.replace(b' ', b''), line


def test_only_this_machine_can_reach_it(server):
    """As the kernel tells: in the table, 127.0.0.1 is 0100007F."""
    table = Path('/proc/net/tcp')
    if not table.exists():
        pytest.skip('there is no /proc/net/tcp')
    port = f':{int(server[0].rsplit(":", 1)[1]):04X}'
    listening = [
        row.split()[1] for row in table.read_text().splitlines()[1:] if row.split()[3] == '0A'
    ]
    assert [address for address in listening if address.endswith(port)] == [f'0100007F{port}']
    other = Path('/proc/net/tcp6')
    assert not other.exists() or port not in {
        f':{row.split()[1].rsplit(":", 1)[1]}'
        for row in other.read_text().splitlines()[1:]
        if row.split()[3] == '0A'
    }
