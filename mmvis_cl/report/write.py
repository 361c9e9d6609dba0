"""A report as one file, or as a folder with a page for each video."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmvis_cl.errors import InputError
from mmvis_cl.files import check_empty_folder, check_new_file, whole_file

from .collect import read_tracks, scores_of, video_page
from .page import page

MOST_BYTES = 200 << 20  # of one file: browsers read a larger one slowly
HEIGHT = 270


def write_report(
    results: dict[str, str],
    annotations: str | None,
    out: str | os.PathLike,
    images: str | os.PathLike | None = None,
    height: int = HEIGHT,
    score_thr: float = 0.1,
    videos: int | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """Write the pages.

    The worst videos come first: those whose mending would raise AP50 most, in the first result;
    without annotations, they are in the order of the results. In a folder, the index is there
    before the pages, and each page as soon as it is made.

    Args:
        results: Files of results, or folders of ``track-all``, by the name that each gets.
        annotations: YouTube-VIS annotations of the videos; without them there are no scores.
        out: A file that ends in ``.html``, with all in it; else a folder, new or empty.
        images: Folder of the frames; without it backgrounds are grey.
        height: Of the frames in the pages, in pixels.
        score_thr: Results with a lower score are not shown, and do not count in identities.
        videos: So many of the worst alone; all if None.
        tell: Is told what was written.

    Returns:
        The files.

    Raises:
        InputError: A file is missing or broken, they do not fit, or nothing can be written there.
    """
    out = Path(out)
    alone = out.suffix.lower() == '.html'
    if alone:
        check_new_file(out, '.html')
    else:
        check_empty_folder(out)
    folder = None if images is None else Path(images)
    if folder is not None and not os.path.isdir(folder):
        raise InputError(f'{folder}: there is no such folder; give that of the frames')
    tracks = {name: read_tracks(path, annotations) for name, path in results.items()}
    scores: list[dict[str, Any]] = []
    if annotations is not None:
        scores = [scores_of(name, path, annotations, score_thr) for name, path in results.items()]
    ids = list(dict.fromkeys(i for of in tracks.values() for i in of.videos))
    if not ids:
        raise InputError(f'{next(iter(results.values()))}: has no video; give other results')
    losses = scores[0]['videos'] if scores else {}
    ids.sort(key=lambda i: -losses.get(str(i), 0.0))
    ids = ids[:videos]
    title = ', '.join(results)

    def made(video_id: Any) -> dict[str, Any]:
        return video_page(video_id, tracks, folder, height, score_thr)

    def entry(name: str, video_id: Any, link: str | None = None) -> dict[str, Any]:
        return dict(name=name, loss=losses.get(str(video_id)), link=link)

    if alone:
        pages, size = [], 0
        for video_id in ids:
            pages.append(made(video_id))
            size += sum(map(len, pages[-1]['frames'] or ()))
            if size > MOST_BYTES:
                raise InputError(
                    f'--out {out}: {len(ids)} videos are more than {MOST_BYTES >> 20} MB in one '
                    'file; give a folder, a smaller --height, or --videos N'
                )
        listed = [entry(of['name'], video_id) for of, video_id in zip(pages, ids, strict=True)]
        _write(out, page(title, dict(results=scores, videos=pages, list=listed)), tell)
        return [out]
    links = {video_id: f'video_{number:04}.html' for number, video_id in enumerate(ids, 1)}
    names = {video_id: _name(tracks, video_id) for video_id in ids}
    listed = [entry(names[i], i, links[i]) for i in ids]
    written = [out / 'index.html']
    _write(written[0], page(title, dict(results=scores, videos=[], list=listed)), tell)
    for video_id in ids:
        content = dict(results=[], videos=[made(video_id)], list=listed, back='index.html')
        written.append(out / links[video_id])
        _write(written[-1], page(f'{names[video_id]} - {title}', content), tell)
    return written


def _name(tracks: dict, video_id: Any) -> str:
    from mmvis_cl.evaluation.error_analysis import video_name

    return video_name(next(of.videos[video_id] for of in tracks.values() if video_id in of.videos))


def _write(path: Path, text: str, tell: Callable[[str], None]) -> None:
    with whole_file(path, encoding='utf-8') as file:
        file.write(text)
    tell(f'written: {path}')
