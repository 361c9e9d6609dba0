"""Every file that somebody asked for is written by `files.whole_file`, or in a folder like it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Methods and functions that write a file of a name, and what they may be called for elsewhere.
WRITERS = {
    'write_text', 'write_bytes', 'savefig', 'imwrite', 'tofile', 'copyfile', 'copy', 'copy2',
    'copytree', 'move', 'rename', 'replace', 'dump', 'save', 'savez', 'savetxt', 'to_csv',
}  # fmt: skip
# Module: why it writes otherwise.
ALLOWED = {
    'mmvis_cl/files.py': 'whole_file itself',
    'mmvis_cl/ops/kernel_cache.py': 'its libraries get their names when they are whole and tried',
    'mmvis_cl/weights/fetch.py': 'what has come so far, to go on with',
    'mmvis_cl/apis/track_all.py': 'a log, which grows',
    'mmvis_cl/many/local.py': 'the same log',
    'mmvis_cl/many/store.py': 'folders of videos get their names when they are whole',
    'mmvis_cl/outputs/coco_video_output.py': 'the same',
    'mmvis_cl/outputs/csv_output.py': 'the same',
    'mmvis_cl/outputs/cvat_output.py': 'a file in a zip, which is written by whole_file',
    'mmvis_cl/outputs/fiftyone_output.py': 'the same as coco_video_output.py',
    'mmvis_cl/outputs/mots_output.py': 'the same',
    'mmvis_cl/datasets/converters/frame_files.py': 'frames in the unfinished folder of a converter',
    'mmvis_cl/datasets/converters/moving_shapes.py': 'its own unfinished folder',
    'mmvis_cl/datasets/converters/hidden_objects.py': 'the same',
    'mmvis_cl/visualization/video_writer.py': 'FFmpeg writes to a name of its own until the end',
    'tools/build_ops.py': 'wheels in a cache of its own',
    'tools/benchmarks/gpu_report.py': 'needs no mmvis_cl; a temporary name of its own',
    'tools/benchmarks/loading.py': 'data for a benchmark, in a temporary folder',
    'tools/benchmarks/training_runs.py': 'a log, which grows',
    'tools/benchmarks/identities.py': 'results for a moment, in a temporary folder',
    'tools/benchmarks/many_videos.py': 'weights for a benchmark, in a temporary folder',
    'tools/benchmarks/files.py': 'weights for a benchmark, in a temporary folder',
}


def modules():
    for folder in ('mmvis_cl', 'tools', 'projects'):
        yield from sorted((ROOT / folder).rglob('*.py'))


def writes(tree):
    """Line and words of each call that writes to a name, and not to an open `file`."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or any(ast.unparse(a) == 'file' for a in node.args):
            continue
        owner, name = '', getattr(node.func, 'id', '')
        if isinstance(node.func, ast.Attribute):
            owner, name = ast.unparse(node.func.value), node.func.attr
        if name == 'open':
            given = [*node.args, *(k.value for k in node.keywords if k.arg == 'mode')]
            modes = [set(a.value) for a in given if isinstance(getattr(a, 'value', None), str)]
            found = any(mode <= set('rwxab+t') and mode & set('wxa+') for mode in modes)
        elif name in (
            'copy',
            'move',
            'rename',
            'replace',
            'save',
            'dump',
        ):  # other things have them
            found = owner in ('shutil', 'os', 'torch', 'np', 'pickle', 'json', 'mmengine') or (
                name == 'replace' and owner and len(node.args) == 1 and not node.keywords
            )
            found = found or (name == 'save' and 'image' in owner.lower())
        else:
            found = owner and name in WRITERS
        if found:
            yield node.lineno, ast.unparse(node)


def test_files_are_written_in_one_place():
    found = {}
    for path in modules():
        name = str(path.relative_to(ROOT))
        lines = [f'{name}:{line}: {words}' for line, words in writes(ast.parse(path.read_text()))]
        if lines:
            found[name] = lines
    others = [line for name, lines in found.items() if name not in ALLOWED for line in lines]
    advice = 'write by mmvis_cl.files.whole_file, or say why not in ALLOWED:'
    assert not others, '\n'.join([advice, *others])
    unused = ALLOWED.keys() - found.keys()
    assert not unused, f'write no files any more: {unused}'


@pytest.mark.parametrize(
    'source',
    [
        "open(path, 'w')", "open(path, mode='ab')", "path.open('w', encoding='utf-8')",
        "path.write_text('a')", 'torch.save(a, path)', 'np.save(path, a)', 'image.save(path)',
        'shutil.copy(a, b)', 'figure.savefig(path)', 'cv2.imwrite(path, a)', 'os.replace(a, b)',
        'mmengine.dump(a, path)',
    ],
)  # fmt: skip
def test_the_check_sees(source):
    assert list(writes(ast.parse(source)))


@pytest.mark.parametrize(
    'source',
    [
        'open(path)',
        "open(path, 'rb')",
        "text.replace('a', 'b')",
        'torch.save(a, file)',
        'copy.copy(a)',
    ],
)  # fmt: skip
def test_the_check_leaves_alone(source):
    assert not list(writes(ast.parse(source)))


@pytest.mark.parametrize('folder', ['mmvis_cl', 'tools'])
def test_nobody_asks_pathlib_whether_something_is_there(folder):
    """It raises where a name is longer than the file system allows; ``os.path`` says no."""
    asked = []
    for path in sorted((ROOT / folder).rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text())):
            call = node.func if isinstance(node, ast.Call) and not node.args else None
            if getattr(call, 'attr', '') in ('is_file', 'is_dir', 'exists'):
                asked.append(f'{path.relative_to(ROOT)}:{node.lineno}')
    asked = [place for place in asked if not place.startswith(('tools/docs', 'tools/benchmarks'))]
    assert not asked, f'{asked}: use os.path'
