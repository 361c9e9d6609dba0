"""Small changes of a source, each of which a test should notice."""

import ast
import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
NAMES = {
    'min': 'max', 'max': 'min', 'argmin': 'argmax', 'argmax': 'argmin', 'any': 'all', 'all': 'any',
    'minimum': 'maximum', 'maximum': 'minimum', 'sum': 'mean', 'mean': 'sum', 'triu': 'tril',
    'tril': 'triu', 'zeros': 'ones', 'ones': 'zeros', 'new_zeros': 'new_ones', 'floor': 'ceil',
    'ceil': 'floor', 'logical_and': 'logical_or', 'logical_or': 'logical_and',
}  # fmt: skip


class Mutant(NamedTuple):
    """A changed source.

    Attributes:
        line (int): of the change, in the source as it was.
        change (str): the expression before and after.
        source (str): all of it, changed.
        column (int): of the change: the same expression may be twice in a line.
    """

    line: int
    change: str
    source: str
    column: int


def mutants(source: str) -> Iterator[Mutant]:
    """One change each, in the order of the source.

    Text, types, and what raises errors are left alone: messages have tests of their own.
    """
    tree = ast.parse(source)
    count = sum(1 for _ in _places(tree))
    for index in range(count):
        changed = copy.deepcopy(tree)
        place = next(place for i, place in enumerate(_places(changed)) if i == index)
        before = ast.unparse(place.shown)
        place.change()
        after = ast.unparse(place.shown)
        shown = place.shown
        change = f'{before}  ->  {after}'
        yield Mutant(shown.lineno, change, ast.unparse(changed), shown.col_offset)


class _Place(NamedTuple):
    shown: ast.expr  # the expression that changes
    change: Callable[[], None]


def _places(tree: ast.Module) -> Iterator[_Place]:
    for node in _walked(tree):
        if isinstance(node, ast.Compare):
            for i, operator in enumerate(node.ops):
                other = COMPARISONS[type(operator)]()
                yield _Place(node, partial(node.ops.__setitem__, i, other))
        elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS and not _is_text(node):
            yield _Place(node, partial(setattr, node, 'op', OPERATORS[type(node.op)]()))
        elif isinstance(node, ast.BoolOp):
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield _Place(node, partial(setattr, node, 'op', other))
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.Invert, ast.USub)):
            # what is turned twice is what it was: `not (not x)`, `~(~x)`, `-(-x)`
            again = ast.UnaryOp(node.op, node.operand)
            yield _Place(node, partial(setattr, node, 'operand', again))
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
            yield _Place(node, partial(setattr, node, 'value', not node.value))
        elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            yield _Place(node, partial(setattr, node, 'value', node.value + 1))
        elif isinstance(node, ast.Attribute) and node.attr in NAMES:
            yield _Place(node, partial(setattr, node, 'attr', NAMES[node.attr]))
        elif isinstance(node, ast.Name) and node.id in ('min', 'max', 'any', 'all'):
            yield _Place(node, partial(setattr, node, 'id', NAMES[node.id]))


def _is_text(node: ast.BinOp) -> bool:
    return any(
        isinstance(side, ast.JoinedStr)
        or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in (node.left, node.right)
    )


def _walked(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those of annotations, decorators, texts and raised errors.

    ``strict`` of ``zip`` is left alone as well: a guard for what cannot be.
    """
    yield node
    for name, value in ast.iter_fields(node):
        if name in ('annotation', 'returns', 'decorator_list') or isinstance(node, ast.Raise):
            continue
        if isinstance(node, ast.JoinedStr) or getattr(node, 'arg', '') == 'strict':
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _walked(child)
