"""The page: what is on it, and what its buttons do."""

import tempfile
import traceback
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio

from mmvis_cl.datasets.read_ahead import ReadAhead
from mmvis_cl.errors import InputError, in_one_line
from mmvis_cl.many.defaults import SHOWN_SCORE

from .models import Models
from .runs import Runs
from .tracking import OUTPUTS, USUAL, Step, track_upload

HEAD = """Drop a video: every object in it is found, and keeps its identity from frame to frame."""
KEPT = 3600  # seconds after which uploads and outputs are removed
STYLE = '.failed textarea { color: #c62828 !important; font-weight: 600; }'


def make_page(
    models: Models, runs: Runs, folder: Path, max_upload_mb: int, max_frames: int
) -> gradio.Blocks:
    """Make the page.

    Args:
        models: To choose from.
        runs: Is told who is being served.
        folder: For outputs until Gradio has taken them to its own.
        max_upload_mb: That the page tells; the server holds to it.
        max_frames: Of a video; more are not tracked.
    """

    def steps(
        upload: str | None, model: str, score: float, kinds: list[str], out: Path, stop: Any
    ) -> Generator[Step, None, None]:
        if not upload:
            raise InputError('there is no video yet; drop one first')
        yield Step(f'loading {model}')
        inferencer = models.get(model)
        try:
            yield from track_upload(
                inferencer,
                upload,
                out,
                kinds=[kind for kind in OUTPUTS if kind in kinds],
                score_thr=score,
                max_frames=max_frames,
                stopped=stop.is_set,
            )
        finally:
            inferencer.reset()

    def track(
        upload: str | None, model: str, score: float, kinds: list[str], request: gradio.Request
    ) -> Generator[dict[Any, Any], None, None]:
        yield _changes(Step('starting'), image=None, drawn=None, files=None)
        with (
            runs.run(str(request.session_hash)) as stop,
            tempfile.TemporaryDirectory(dir=folder) as out,
            # one thread for a video, as torch and FFmpeg like it; Gradio asks from any
            closing(ReadAhead(steps(upload, model, score, kinds, Path(out), stop), 1)) as ahead,
        ):
            try:
                step: Step
                for step in ahead:
                    changes: dict[str, Any] = {}
                    if step.image is not None:
                        changes['image'] = step.image
                    if step.files:
                        video = step.files.get('video')
                        changes['drawn'] = None if video is None else str(video)
                        changes['files'] = [str(file) for file in step.files.values()]
                    yield _changes(step, **changes)
            except InputError as error:
                yield _changes(Step(f'error: {in_one_line(error)}', failed=True))
            except Exception:
                traceback.print_exc()
                said = 'error: something broke; the terminal of mmvis-cl app says what'
                yield _changes(Step(said, failed=True))

    def stop(request: gradio.Request) -> None:
        runs.stop(str(request.session_hash))

    def _changes(step: Step, **values: Any) -> dict[Any, Any]:
        shown = gradio.Textbox(value=step.said, elem_classes=['failed'] if step.failed else [])
        return {said: shown} | {places[name]: value for name, value in values.items()}

    with gradio.Blocks(title='mmvis_cl', analytics_enabled=False, delete_cache=(300, KEPT)) as page:
        gradio.Markdown(f'# mmvis_cl\n{HEAD}')
        with gradio.Row():
            with gradio.Column(scale=1, min_width=300):
                upload = gradio.File(label=f'Video, at most {max_upload_mb} MB', elem_id='video')
                model = gradio.Dropdown(
                    models.names, value=models.names[0], label='Weights', elem_id='weights'
                )
                score = gradio.Slider(
                    0,
                    0.95,
                    SHOWN_SCORE,
                    step=0.05,
                    label='Objects with a score above',
                    elem_id='score',
                )
                kinds = gradio.CheckboxGroup(
                    [(kind.label, name) for name, kind in OUTPUTS.items()],
                    value=list(USUAL),
                    label='Downloads',
                    elem_id='kinds',
                )
                with gradio.Row():
                    begin = gradio.Button('Track', variant='primary', elem_id='track')
                    end = gradio.Button('Stop', elem_id='stop')
            with gradio.Column(scale=2, min_width=400):
                said = gradio.Textbox(
                    label='Status', value='ready', interactive=False, elem_id='status'
                )
                image = gradio.Image(
                    label='Newest frame',
                    format='jpeg',
                    interactive=False,
                    height=400,
                    buttons=[],
                    elem_id='frame',
                )
                drawn = gradio.Video(
                    label='Tracked video', interactive=False, height=400, elem_id='drawn'
                )
                files = gradio.Files(label='Downloads', interactive=False, elem_id='files')
        places = dict(image=image, drawn=drawn, files=files)
        begin.click(
            track,
            [upload, model, score, kinds],
            [said, *places.values()],
            concurrency_limit=1,
            concurrency_id='model',
            show_progress='minimal',
            show_progress_on=[said],
            api_visibility='private',
        )
        end.click(stop, None, None, queue=False, api_visibility='private')
        page.unload(stop)
    return page
