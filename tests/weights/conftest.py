"""A server on this machine that has a file of weights, and does to it what servers do."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from mmvis_cl.weights import fetch as fetching


class Server:
    """What it has, how it gives it, and what it was asked for."""

    def __init__(self):
        self.data = b''
        self.break_after = []  # bytes of each of the next answers
        self.ranges = True
        self.etag = '"one"'
        self.length = None  # what it says instead of the truth
        self.asked = []
        self.pages = {}  # whole answers for paths: (status, headers, body)
        this = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_GET(self):
                this.answer(self)

            def do_HEAD(self):
                this.answer(self, body=False)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.address = f'http://127.0.0.1:{self.server.server_address[1]}'
        threading.Thread(target=self.server.serve_forever, args=[0.02], daemon=True).start()

    def answer(self, request, body=True):
        begin = request.headers.get('Range')
        self.asked.append((request.path, begin))
        request.close_connection = True
        for path, (status, headers, content) in self.pages.items():
            if request.path.startswith(path):
                request.send_response(status)
                for header in headers.items():
                    request.send_header(*header)
                request.send_header('Content-Length', len(content))
                request.end_headers()
                request.wfile.write(content if body else b'')
                return
        first = 0
        same = request.headers.get('If-Range') in (None, self.etag)
        if begin and self.ranges and same:
            first = int(begin.removeprefix('bytes=').rstrip('-'))
            if first > len(self.data):
                request.send_error(416)
                return
            request.send_response(206)
            request.send_header('Content-Range', f'bytes {first}-{len(self.data) - 1}/*')
        else:
            request.send_response(200)
        length = self.length if self.length is not None else len(self.data)
        request.send_header('Content-Length', length - first)
        request.send_header('ETag', self.etag)
        request.end_headers()
        end = self.break_after.pop(0) if self.break_after else len(self.data)
        if body:
            request.wfile.write(self.data[first : first + end])

    @property
    def sha256(self):
        return hashlib.sha256(self.data).hexdigest()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of a checkpoint, and a cache of its own; nothing waits between attempts."""
    monkeypatch.setattr(fetching, 'PAUSE', 0.0)
    monkeypatch.setenv('MMVIS_CL_HOME', str(tmp_path / 'home'))
    for name in ('http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'):
        monkeypatch.delenv(name, raising=False)
    server = Server()
    torch.save(dict(state_dict=dict(a=torch.arange(9000.0))), tmp_path / 'made.pth')
    server.data = (tmp_path / 'made.pth').read_bytes()
    yield server
    server.server.shutdown()
    server.server.server_close()
