"""The rooms of the package, what each imports, and the way of a frame, read from the source.

A room is a folder of mmvis_cl, or a file that lies next to them.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from registered_classes import load_package, registered_classes

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / 'mmvis_cl'
# Where a frame's way begins, the rooms that it leads through, and what the model is built from.
START = 'mmvis_cl.apis.inferencer'
ON_THE_WAY = ('apis', 'models', 'structures', 'ops')
MODEL = ROOT / 'configs' / '_base_' / 'models' / 'contrastive_vis_r50.py'
LEFT_OUT = (  # of training alone
    *('losses', 'pretrained', 'task_modules', 'reference_selector', 'clip_contrastive_head'),
)


def rooms() -> list[str]:
    """Folders, then the files beside them, each by the alphabet."""
    folders = [path.parent.name for path in PACKAGE.glob('*/__init__.py')]
    files = [path.stem for path in PACKAGE.glob('*.py') if not path.stem.startswith('__')]
    return sorted(folders) + sorted(files)


def imports() -> dict[str, set[tuple[str, int, str]]]:
    """Room -> file, line and imported module of every import of ours, those in functions too."""
    found = defaultdict(set)
    for path in sorted(PACKAGE.rglob('*.py')):
        parts = path.relative_to(ROOT).with_suffix('').parts
        if len(parts) == 2 and parts[1].startswith('__'):
            continue
        for line, module in _imported(ast.parse(path.read_text()), parts[:-1]):
            if module.split('.')[:2] != list(parts[:2]):
                found[parts[1]].add((str(path.relative_to(ROOT)), line, module))
    return dict(found)


def _imported(tree: ast.Module, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            module = '.'.join((*start, *filter(None, [node.module])))
            # `from mmvis_cl import files` imports a room, `from mmvis_cl.files import x` a name
            names = [f'{module}.{a.name}' for a in node.names] if module == 'mmvis_cl' else [module]
        else:
            continue
        yield from ((node.lineno, name) for name in names if name.startswith('mmvis_cl.'))


def rooms_table() -> str:
    """A row a room: what it is for, and which others it imports."""
    of = imports()
    rows = ['| Room | What is in it | Imports |', '| --- | --- | --- |']
    for room in rooms():
        path = PACKAGE / room / '__init__.py'
        path = path if path.is_file() else PACKAGE / f'{room}.py'
        others = sorted({module.split('.')[1] for *_, module in of.get(room, ())})
        names = ', '.join(f'`{other}`' for other in others) or '-'
        rows.append(f'| `{room}` | {first_line(path)} | {names} |')
    return '\n'.join(rows)


def way_table() -> str:
    """A row a module that a frame comes through, each after the one that calls it."""
    parts = {cls.name: cls.path.rpartition('.')[0] for cls in registered_classes(load_package())}
    built = [
        parts[node.value.value]
        for node in ast.walk(ast.parse(MODEL.read_text()))
        if isinstance(node, ast.keyword) and node.arg == 'type' and node.value.value in parts
    ]
    rows = ['| Module | What it does | Leads on to |', '| --- | --- | --- |']
    seen, ahead = {START}, [START]
    while ahead:
        module = ahead.pop(0)
        path = _file(module)
        package = path.relative_to(ROOT).parent.parts
        found = [name for _, name in sorted(_imported(ast.parse(path.read_text()), package))]
        if module.endswith('.contrastive_vis'):  # the rest of it is built by name
            found += built
        nexts = []
        for name in found:
            is_way = name.split('.')[1] in ON_THE_WAY and _file(name).is_file()
            if is_way and name not in seen and not set(name.split('.')) & set(LEFT_OUT):
                seen.add(name)
                nexts.append(name)
        ahead += nexts
        short = ', '.join(f'`{name.rpartition(".")[2]}`' for name in nexts) or '-'
        rows.append(f'| `{module.removeprefix("mmvis_cl.")}` | {first_line(path)} | {short} |')
    return '\n'.join(rows)


def _file(module: str) -> Path:
    return ROOT.joinpath(*module.split('.')).with_suffix('.py')


def first_line(path: Path) -> str:
    """What a file says of itself."""
    return (ast.get_docstring(ast.parse(path.read_text())) or '').splitlines()[0]
