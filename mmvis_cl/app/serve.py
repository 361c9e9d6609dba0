"""Serve the page until it is told to end."""

import errno
import ipaddress
import os
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from mmvis_cl.errors import InputError

from .models import Models
from .runs import Runs

LONGEST_END = 20.0  # seconds that the frame being tracked has when the server ends


def serve(
    models: Models,
    host: str,
    port: int,
    *,
    max_upload_mb: int,
    max_frames: int,
    max_waiting: int,
    tell: Callable[[str], None] = print,
) -> None:
    """Serve the page; ends by Ctrl-C or SIGTERM.

    All that is written, uploads too, lies in one temporary folder, which is removed at the end.
    Nothing else is served, and nothing is fetched.

    Args:
        models: To choose from.
        host: Address that is listened on.
        port: Of it; 0 for any free one.
        max_upload_mb: Most MB of an upload.
        max_frames: Most frames that are tracked of a video.
        max_waiting: Most visitors that wait while one is served.
        tell: Is told the address.

    Raises:
        InputError: It cannot be listened there.
    """
    port = _free_port(host, port)
    # What Gradio takes from the environment could open the server further than was asked for.
    for name in [name for name in os.environ if name.startswith('GRADIO_')]:
        del os.environ[name]
    os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'
    os.environ['GRADIO_RUN_HISTORY'] = 'False'  # an argument of newer releases alone
    os.environ['HF_HUB_DISABLE_TELEMETRY'] = '1'
    runs = Runs()
    with tempfile.TemporaryDirectory(prefix='mmvis-cl-app-', ignore_cleanup_errors=True) as folder:
        outputs = Path(folder, 'outputs')
        outputs.mkdir()
        os.environ['GRADIO_TEMP_DIR'] = os.path.join(folder, 'served')
        import gradio

        from .page import STYLE, make_page

        page = make_page(models, runs, outputs, max_upload_mb, max_frames)
        page.queue(max_size=max_waiting)
        try:
            page.launch(
                server_name=f'[{host}]' if ':' in host else host,
                server_port=port,
                max_file_size=max_upload_mb * 10**6,
                share=False,
                inbrowser=False,
                quiet=True,
                prevent_thread_lock=True,
                footer_links=[],
                enable_monitoring=False,
                ssr_mode=False,
                pwa=False,
                mcp_server=False,
                theme=gradio.themes.Default(
                    primary_hue='indigo',
                    font=['system-ui', 'sans-serif'],
                    font_mono=['ui-monospace', 'monospace'],
                ),
                css=STYLE,
            )
            shown = f'[{host}]' if ':' in host else host
            tell(f'open http://{shown}:{port} in a browser; Ctrl-C ends it')
            if not _is_loopback(host):
                tell('everybody who reaches this machine can use it: there is no password')
            threading.Event().wait()
        finally:
            runs.end(LONGEST_END)
            page.close(verbose=False)


def _free_port(host: str, port: int) -> int:
    """Make sure that it can be listened on; another one for 0."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
            return tried.getsockname()[1]
    except (OSError, UnicodeError) as error:
        if getattr(error, 'errno', None) == errno.EADDRINUSE:
            raise InputError(
                f'--port {port}: is taken by another program; give another one, or 0 for any'
            ) from error
        if getattr(error, 'errno', None) == errno.EACCES:
            raise InputError(
                f'--port {port}: is not allowed to you; give one from 1024 on'
            ) from error
        raise InputError(
            f'--host {host}: is no address of this machine ({error}); give 127.0.0.1, or 0.0.0.0 '
            'for all that it has'
        ) from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == 'localhost'
