"""A page in which one drops a video, picks weights, and sees it being tracked."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

# Before gradio is imported: nothing is told to anybody.
os.environ.setdefault('GRADIO_ANALYTICS_ENABLED', 'False')
os.environ.setdefault('HF_HUB_DISABLE_TELEMETRY', '1')

import numpy as np

from mmvis_cl.apis import VISInferencer, open_source
from mmvis_cl.errors import InputError, in_one_line
from mmvis_cl.outputs import open_outputs
from mmvis_cl.visualization import FrameDrawer

SHOWN_EVERY = 3  # frames; a browser is slower than a network
OUTPUTS = dict(video='tracked.mp4', json='results.json', coco='coco.json', csv='tracks.csv')


class App:
    """What the page does.

    Args:
        models: Config (or None) and weights of each name that can be picked.
        device: See :class:`VISInferencer`.
        folder: For uploads and results; nothing outside of it is served.
        max_megabytes: Of an upload.
    """

    def __init__(
        self,
        models: dict[str, tuple[str | None, str]],
        device: str | None,
        folder: Path,
        max_megabytes: int = 500,
    ) -> None:
        self.models = models
        self.device = device
        self.folder = folder
        self.max_megabytes = max_megabytes
        self._inferencer: tuple[str, VISInferencer] | None = None

    def inferencer(self, name: str) -> VISInferencer:
        """The model of a name; the last one is kept."""
        if self._inferencer is None or self._inferencer[0] != name:
            if name not in self.models:
                raise InputError(f'{name}: is none of the weights of this app; pick one of them')
            self._inferencer = None  # its memory goes first
            config, weights = self.models[name]
            self._inferencer = name, VISInferencer(config, weights, self.device)
        return self._inferencer[1]

    def track(
        self, path: str | None, name: str, score_thr: float
    ) -> Iterator[tuple[np.ndarray | None, str, list[str]]]:
        """Track an uploaded video.

        Args:
            path: Of the upload.
            name: Of the weights.
            score_thr: Objects with a lower score are left out.

        Yields:
            A drawn frame (H, W, 3) uint8 RGB, what to say, and the files when all is done.
        """
        if path is None:
            yield None, 'Drop a video first.', []
            return
        out = Path(tempfile.mkdtemp(prefix='tracked-', dir=self.folder))
        try:
            yield None, f'loading {name}', []
            model, drawer, done = self.inferencer(name), FrameDrawer(), 0
            with open_source(path) as source:
                session = model.session(score_thr=score_thr)
                outputs = open_outputs(
                    {kind: out / file for kind, file in OUTPUTS.items()},
                    *(source, model.classes, lambda: session.result),
                    drawer=FrameDrawer(),
                )
                try:
                    with closing(session.stream(source)) as frames:
                        for frame in frames:
                            outputs.write(frame)
                            done += 1
                            if done % SHOWN_EVERY == 1:
                                of = f' of {source.length}' if source.length else ''
                                yield drawer.draw(frame), f'frame {done}{of}', []
                    outputs.close()
                finally:
                    outputs.discard()
            files = [str(out / file) for file in OUTPUTS.values()]
            yield None, f'{done} frames', files
        except InputError as error:
            shutil.rmtree(out, ignore_errors=True)
            yield None, f'error: {in_one_line(error)}', []

    def blocks(self) -> Any:
        """The page, of Gradio."""
        gradio = _gradio()
        with gradio.Blocks(title='mmvis_cl') as blocks:
            gradio.Markdown('# mmvis_cl\nDrop a video, pick weights, and track.')
            with gradio.Row():
                with gradio.Column():
                    video = gradio.File(
                        label='video', file_types=['video'], type='filepath', elem_id='video'
                    )
                    names = list(self.models)
                    weights = gradio.Dropdown(names, value=names[0], label='weights')
                    score = gradio.Slider(0, 0.95, value=0.3, step=0.05, label='score from')
                    button = gradio.Button('Track', variant='primary', elem_id='track')
                with gradio.Column():
                    shown = gradio.Image(label='tracked', interactive=False)
                    said = gradio.Textbox(label='state', interactive=False, elem_id='state')
                    files = gradio.File(label='results', file_count='multiple', elem_id='results')
            button.click(self.track, [video, weights, score], [shown, said, files])
        return blocks.queue(default_concurrency_limit=1, max_size=20)


def _gradio() -> Any:
    try:
        import gradio
    except ImportError as error:
        raise InputError(
            f'mmvis-cl app needs gradio ({error}); pip install "mmvis_cl[app]"'
        ) from error
    return gradio


def launch(
    models: dict[str, tuple[str | None, str]],
    host: str = '127.0.0.1',
    port: int = 7860,
    device: str | None = None,
    max_megabytes: int = 500,
    wait: bool = True,
) -> Any:
    """Serve the page until Ctrl-C.

    Args:
        models: See :class:`App`.
        host: Address to listen at: by default this machine alone.
        port: Its port.
        device: See :class:`App`.
        max_megabytes: See :class:`App`.
        wait: Until Ctrl-C; else the page is given, to be closed by ``close()``.

    Raises:
        InputError: Gradio is not installed, or the port is in use.
    """
    folder = Path(tempfile.mkdtemp(prefix='mmvis_cl-app-'))
    os.environ['GRADIO_TEMP_DIR'] = str(folder)
    blocks = App(models, device, folder, max_megabytes).blocks()
    try:
        blocks.launch(
            server_name=host,
            server_port=port,
            max_file_size=f'{max_megabytes}mb',
            allowed_paths=[str(folder)],
            share=False,
            quiet=True,
            prevent_thread_lock=True,
        )
        print(f'http://{host}:{port} (Ctrl-C ends it)', flush=True)
        if wait:
            blocks.block_thread()
    except OSError as error:
        raise InputError(
            f'--port {port}: cannot be listened at ({in_one_line(error)}); give another --port'
        ) from error
    finally:
        if wait:
            shutil.rmtree(folder, ignore_errors=True)
    return blocks
