"""mmvis-cl app: its arguments, the weights to choose from, and who is served."""

import argparse
import socket
import threading

import pytest

from mmvis_cl.app.models import Models
from mmvis_cl.app.runs import Runs
from mmvis_cl.app.serve import serve
from mmvis_cl.cli import app, main
from mmvis_cl.errors import InputError


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['--port', '70000'], '--port 70000: must be from 0 to 65535; give such a number'),
        (['--max-upload-mb', '0'], '--max-upload-mb 0: must be from 1'),
        (['--max-frames', '-1'], '--max-frames -1: must be from 1'),
        (['--max-waiting', '0'], '--max-waiting 0: must be from 1'),
        (['--weights', 'gone.pth'], '--weights gone.pth: there is no such checkpoint'),
        (['--config', 'r50_ytvis99'], 'r50_ytvis99'),
        ([], "needs Gradio; pip install 'mmvis_cl[app]'"),
    ],
)
def test_what_does_not_do_is_a_line(monkeypatch, capsys, words, said):
    monkeypatch.setattr(app, 'find_spec', lambda name: None)
    with pytest.raises(SystemExit) as caught:
        main(['app', *words])
    err = capsys.readouterr().err
    assert caught.value.code == 2 and said in err and err.count('\n') == 1, err


def test_only_this_machine_is_served_unless_told_otherwise():
    parser = argparse.ArgumentParser()
    app.add_arguments(parser)
    parsed = parser.parse_args([])
    assert parsed.host == '127.0.0.1' and parsed.max_upload_mb == 500


def test_an_address_that_cannot_be_had(tiny):
    limits = dict(max_upload_mb=1, max_frames=1, max_waiting=1)
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f'--port {port}: is taken by another program; give'):
            serve(Models(['a']), '127.0.0.1', port, **limits)
    with pytest.raises(InputError, match=r'--host 192\.0\.2\.1: is no address of this machine'):
        serve(Models(['a']), '192.0.2.1', 0, **limits)


def test_names_tell_no_folder_and_are_different():
    models = Models(['/secret/a.pth', '/other/a.pth', 'idol-r50-ytvis21'])
    assert models.names == ['a.pth', 'a.pth (2)', 'idol-r50-ytvis21']
    with pytest.raises(InputError, match='2 configs for 3 weights; give one for all, or one'):
        Models(['a', 'b', 'c'], ['x', 'y'])


def test_the_last_model_is_kept(monkeypatch):
    built = []
    monkeypatch.setattr(
        'mmvis_cl.apis.VISInferencer', lambda *args, **more: built.append(args) or object()
    )
    models = Models(['a', 'b'], ['one', 'two'], 'cpu')
    first = models.get('a')
    assert models.get('a') is first and models.get('b') is not first
    assert models.get('a') is not first
    assert built == [('one', 'a', 'cpu'), ('two', 'b', 'cpu'), ('one', 'a', 'cpu')]


def test_a_visitor_stops_its_own_run():
    runs = Runs()
    with runs.run('me') as mine, runs.run('you') as yours:
        runs.stop('me')
        runs.stop('nobody')
        assert mine.is_set() and not yours.is_set()
        waited = threading.Thread(target=runs.end, args=(60,))
        waited.start()
        assert yours.wait(10) and waited.is_alive()
    waited.join(10)
    assert not waited.is_alive()
