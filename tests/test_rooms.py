"""The rules of the rooms, docs/design.md: which part of the package may know which other."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / 'tools' / 'docs'))
import rooms  # noqa: E402

BASE = {'structures', 'ops', 'errors', 'registry', 'compat', 'quiet'}
# Room, what it may not import, why.
RULES = [
    *(
        (room, set(rooms.rooms()) - BASE, 'everybody uses it: it may know nobody above')
        for room in sorted(BASE)
    ),
    (
        'models',
        {'fast', 'evaluation', 'checkpoints', 'datasets', 'engine', 'apis', 'cli', 'outputs'},
        'a model reads as the method; speed, files and tools are put on from outside',
    ),
    ('checkpoints', {'models', 'datasets', 'engine', 'apis', 'cli'}, 'weights by name, no model'),
    ('evaluation', {'models', 'fast', 'engine', 'apis', 'cli'}, 'scores need no model'),
    ('datasets', {'models', 'fast', 'engine', 'apis', 'cli', 'evaluation'}, 'data come first'),
    ('fast', {'engine', 'apis', 'cli', 'datasets', 'evaluation'}, 'it changes a built model'),
    ('engine', {'apis', 'cli'}, 'tools of training do not need the inferencer'),
    ('outputs', {'models', 'engine', 'apis', 'cli'}, 'results are written whoever found them'),
    ('visualization', {'models', 'engine', 'apis', 'cli'}, 'results are drawn whoever found them'),
    ('apis', {'cli', 'outputs', 'visualization'}, 'programs write and draw as they like'),
    ('many', {'models', 'fast', 'engine', 'cli', 'evaluation'}, 'workers use what programs use'),
    *(
        (room, {'many'}, 'one video knows nothing of the others')
        for room in ('models', 'checkpoints', 'evaluation', 'datasets', 'fast', 'engine', 'outputs')
    ),
]
# Reading a file without running code in it: what any part that starts from a file needs.
EXCEPTIONS = {('models', 'mmvis_cl.checkpoints.reader')}
MOST_LINES, MOST_LINES_OF_A_CLASS = 450, 300


@pytest.mark.parametrize(
    ('room', 'barred', 'why'), RULES, ids=[f'{room}-{len(barred)}' for room, barred, _ in RULES]
)
def test_a_room_does_not_know(room, barred, why):
    assert barred <= set(rooms.rooms()), 'a rule about a room that is not there'
    wrong = [
        f'{path}:{line} imports {module}: {why}'
        for path, line, module in sorted(rooms.imports().get(room, ()))
        if module.split('.')[1] in barred and (room, module) not in EXCEPTIONS
    ]
    assert not wrong, '\n'.join(wrong)


def test_the_imports_are_read_at_all():
    """Those in functions and relative ones too."""
    found = rooms.imports()
    assert any(module == 'mmvis_cl.apis' for *_, module in found['cli'])  # in a function
    assert any(module.startswith('mmvis_cl.models') for *_, module in found['fast'])
    assert ('models', 'mmvis_cl.checkpoints.reader') in {
        (room, module) for room, of in found.items() for *_, module in of
    }


def method_files():
    return sorted((ROOT / 'mmvis_cl' / 'models').rglob('*.py'))


def test_no_model_changes_a_class_or_asks_for_a_device():
    wrong = []
    for path in method_files():
        for node in ast.walk(ast.parse(path.read_text())):
            names = {'__class__', 'is_cuda'} if isinstance(node, ast.Attribute) else set()
            if isinstance(node, ast.Attribute) and node.attr in names:
                wrong.append(f'{path.relative_to(ROOT)}:{node.lineno}: .{node.attr}')
    assert not wrong, f'{wrong}: that belongs into fast or ops'


@pytest.mark.parametrize('folder', ['mmvis_cl', 'tools'])
def test_files_and_classes_stay_short(folder):
    """A longer one says why in its first lines, with the word `long`."""
    wrong = []
    for path in sorted((ROOT / folder).rglob('*.py')):
        text = path.read_text()
        tree = ast.parse(text)
        lines = text.count('\n')
        if lines > MOST_LINES and ' long' not in (ast.get_docstring(tree) or ''):
            wrong.append(f'{path.relative_to(ROOT)}: {lines} lines')
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                lines = node.end_lineno - node.lineno + 1
                if lines > MOST_LINES_OF_A_CLASS:
                    wrong.append(f'{path.relative_to(ROOT)}: class {node.name}, {lines} lines')
    assert not wrong, wrong


@pytest.mark.parametrize('folder', ['tools', 'projects', 'tests', 'configs', 'mmvis_cl'])
def test_no_import_names_a_module_that_is_gone(folder):
    """Scripts that no test runs are the last to hear of a move."""
    wrong = []
    for path in sorted((ROOT / folder).rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text())):
            named = getattr(node, 'module', '') if isinstance(node, ast.ImportFrom) else ''
            if (named or '').startswith('mmvis_cl.') and not node.level:
                file = ROOT.joinpath(*named.split('.'))
                if not file.with_suffix('.py').is_file() and not (file / '__init__.py').is_file():
                    wrong.append(f'{path.relative_to(ROOT)}:{node.lineno}: {named}')
    assert not wrong, wrong
