"""The page of ``mmvis-cl app``: without a browser, and, where Gradio and one are there, in it."""

import json
import shutil
import socket
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from synth_weights import synth

from mmvis_cl.app import OUTPUTS, App, launch
from mmvis_cl.cli import main
from mmvis_cl.config_names import find_config
from mmvis_cl.registry import MODELS
from mmvis_cl.visualization import VideoWriter

CONFIG = f"""
_base_ = {str(find_config('small_moving-shapes'))!r}
model = dict(
    detector=dict(num_queries=6, test_cfg=dict(score_thr=0.0)),
    tracker=dict(first_thr=0.0, new_thr=0.0),
    test_cfg=dict(result_score_thr=0.0),
)
"""
CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'google-chrome'))), None)


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp('app')
    (folder / 'tiny.py').write_text(CONFIG)
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        network = MODELS.build(Config.fromfile(folder / 'tiny.py').model)
    state = {
        name: synth(name, tuple(value.shape), value.dtype)
        for name, value in network.state_dict().items()
    }
    torch.save(dict(state_dict=state), folder / 'tiny.pth')
    return str(folder / 'tiny.py'), str(folder / 'tiny.pth')


@pytest.fixture
def video(tmp_path):
    rng = np.random.default_rng(0)
    with VideoWriter(tmp_path / 'walk.mp4', fps=10) as writer:
        for _ in range(4):
            blocks = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
            writer.write(np.kron(blocks, np.ones((10, 10, 1), np.uint8)))
    return tmp_path / 'walk.mp4'


def test_frames_arrive_and_then_files(model, video, tmp_path):
    (tmp_path / 'own').mkdir()
    app = App(dict(tiny=model), 'cpu', tmp_path / 'own')
    told = list(app.track(str(video), 'tiny', 0.0))
    frames = [image for image, _, _ in told if image is not None]
    assert len(frames) == 2 and all(frame.ndim == 3 for frame in frames)
    _, said, files = told[-1]
    assert said == '4 frames'
    assert [path.rpartition('/')[2] for path in files] == list(OUTPUTS.values())
    assert all(path.startswith(str(tmp_path / 'own')) for path in files)
    assert json.loads(Path(files[1]).read_text())
    assert app.inferencer('tiny') is app.inferencer('tiny')


def test_what_does_not_do_is_said_on_the_page(model, tmp_path):
    app = App(dict(tiny=model), 'cpu', tmp_path)
    (tmp_path / 'no.mp4').write_bytes(b'no video')
    assert list(app.track(None, 'tiny', 0.3))[-1][1] == 'Drop a video first.'
    *_, (_, said, files) = app.track(str(tmp_path / 'no.mp4'), 'tiny', 0.3)
    assert said.startswith('error: ') and 'no.mp4' in said and files == []
    *_, (_, said, _) = app.track(str(tmp_path / 'no.mp4'), '../other.pth', 0.3)
    assert 'is none of the weights of this app' in said
    assert [path.name for path in tmp_path.iterdir()] == ['no.mp4']


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['--weights', 'no.pth'], 'no.pth: there is no such checkpoint'),
        (['--weights', 'WEIGHTS', '--port', '0'], '--port 0'),
        (['--weights', 'WEIGHTS', '--max-upload-mb', '0'], '--max-upload-mb 0'),
    ],
)
def test_arguments_that_do_not_do(model, capsys, words, said):
    words = [model[1] if word == 'WEIGHTS' else word for word in words]
    with pytest.raises(SystemExit) as caught:
        main(['app', *words])
    err = capsys.readouterr().err
    assert caught.value.code == 2 and said in err and err.count('\n') == 1


@pytest.fixture
def served(model):
    pytest.importorskip('gradio', reason='gradio is not installed: pip install "mmvis_cl[app]"')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    blocks = launch(dict(tiny=model), port=port, device='cpu', max_megabytes=1, wait=False)
    yield f'http://127.0.0.1:{port}', blocks
    blocks.close()


def test_only_its_own_folder_is_served(served, tmp_path):
    address, blocks = served
    assert blocks.max_file_size == 1 << 20 or blocks.max_file_size == 1_000_000
    assert blocks.share is False and blocks.server_name == '127.0.0.1'
    secret = tmp_path / 'secret.txt'
    secret.write_text('secret')
    for path in (secret, '/etc/passwd', f'{blocks.allowed_paths[0]}/../../etc/passwd'):
        for route in ('/gradio_api/file=', '/file='):
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(f'{address}{route}{path}', timeout=20)
            assert caught.value.code in (403, 404)


def test_in_a_browser(served, video):
    """Drop a video, track it, and get its results."""
    playwright = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
    if CHROMIUM is None:
        pytest.skip('there is no Chromium')
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        page = browser.new_page()
        asked = []
        page.on('request', lambda request: asked.append(request.url))
        page.goto(served[0])
        page.set_input_files('#video input[type=file]', str(video))
        page.get_by_text('walk.mp4').first.wait_for()
        page.locator('#track').click()
        page.locator('#state textarea').wait_for()
        for _ in range(600):
            if page.locator('#state textarea').input_value() == '4 frames':
                break
            page.wait_for_timeout(100)
        assert page.locator('#state textarea').input_value() == '4 frames'
        page.locator('#results a[href*="results.json"]').first.wait_for()
        (address, *_) = page.locator('#results a[href*="results.json"]').evaluate_all(
            'links => links.map((link) => link.href)'
        )
        with urllib.request.urlopen(address, timeout=20) as answer:
            assert json.load(answer)[0]['segmentations']
        browser.close()
    assert asked
