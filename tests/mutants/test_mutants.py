"""Changes are what they say, and the runner tells what tests notice from what they do not."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mutants.mutate import mutants
from mutants.run import EQUAL, ROOT, TARGETS, chosen

RUN = Path(__file__).with_name('run.py')
SOURCE = """
def f(x: int = 1, *, y=True):
    \"\"\"Not < this.\"\"\"
    if not x < 2 and y:
        raise ValueError(f'{x + 1}')
    return [max(x, -3) * 2, 'a' + 'b']
"""


def test_each_change_is_in_one_place_and_leaves_texts_alone():
    found = [(mutant.line, mutant.change) for mutant in mutants(SOURCE)]
    assert sorted(found) == sorted(
        [
            (2, '1  ->  2'),
            (2, 'True  ->  False'),
            (4, 'not x < 2 and y  ->  not x < 2 or y'),
            (4, 'not x < 2  ->  not not x < 2'),
            (4, 'x < 2  ->  x <= 2'),
            (4, '2  ->  3'),
            (6, 'max(x, -3) * 2  ->  max(x, -3) / 2'),
            (6, 'max  ->  min'),
            (6, '-3  ->  --3'),
            (6, '3  ->  4'),
            (6, '2  ->  3'),
        ]
    )
    places = [(mutant.line, mutant.column, mutant.change) for mutant in mutants('a = [1, 1]')]
    assert places == [(1, 5, '1  ->  2'), (1, 8, '1  ->  2')]
    plain = ast.unparse(ast.parse(SOURCE))
    for mutant in mutants(SOURCE):
        assert ast.unparse(ast.parse(mutant.source)) == mutant.source != plain


def test_what_is_said_to_be_no_change_is_of_lines_that_are_there():
    for module, *_, line in (entry[:-1] for entry in json.loads(EQUAL.read_text())):
        source = (ROOT / 'mmvis_cl' / f'{module}.py').read_text()
        assert module in TARGETS
        assert '  ->  ' in line or line in map(str.strip, source.splitlines()), (module, line)


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='it forks')
def test_what_tests_notice_is_caught(tmp_path):
    """Of three changes one is in the notes as not caught."""
    target, mutant = next(chosen(3, 0, ['mask_nms']))
    line = dict(module=target, line=mutant.line, column=mutant.column)
    line |= dict(change=mutant.change, caught=False)
    notes = tmp_path / 'notes'
    notes.write_text(json.dumps(line) + '\n')
    options = ['--only', 'mask_nms', '--number', '3', '--notes', str(notes)]
    command = [sys.executable, str(RUN), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stdout + done.stderr
    assert '| `models/layers/mask_nms` | 2 | 0 | 1 |' in done.stdout
    assert f'{target}.py:{mutant.line}: {mutant.change}' in done.stdout
    assert notes.read_text().count('"caught": true') == 2
