"""The mutants of a module: small changes to its syntax tree, each of which a test should notice."""

from __future__ import annotations

import ast
import re
from types import NoneType
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.Break: ast.Continue,
    ast.Continue: ast.Break,
}
# In scripts for a Redis server, line by line: what stands there, and what takes its place.
_IN_SCRIPTS = [
    (re.compile(pattern), change)
    for pattern, change in [
        (r"^ *redis\.call.*", ""),
        (r"(?<=\bif ).+(?= then\b)", "true"),
        (r"(?<=\bif ).+(?= then\b)", "false"),
        (r"==", "~="),
        (r"~=", "=="),
        (r" < ", " <= "),
        (r" > ", " >= "),
        (r" >= ", " > "),
        (r" and ", " or "),
        (r" or ", " and "),
        (r" \+ ", " - "),
        (r" - ", " + "),
    ]
]
# Not mutated: names and types, which other checks read, and what people read alone.
_SKIPPED_FIELDS = {"annotation", "returns", "decorator_list", "bases", "keywords_of_class", "type_params"}
_SKIPPED_FUNCTIONS = {"__repr__"}


@attrs.frozen
class Mutant:
    """One change to a module."""

    module: str  # its path below the root
    line: int
    function: str  # its qualified name; empty: the module
    before: str
    after: str
    source: str = attrs.field(repr=False, eq=False)  # of the whole module
    lines: frozenset[int] = attrs.field(
        default=frozenset(), repr=False, eq=False
    )  # of the statement: its head, if long

    def __str__(self) -> str:
        return f"{self.module}:{self.line} {self.function}: `{self.before}` -> `{self.after}`"


@attrs.frozen
class _Place:
    """A node, where it is in the tree."""

    node: ast.AST
    parent: ast.AST
    field: str
    index: int | None
    statement: ast.stmt
    function: str

    def put(self, node: Any) -> None:
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


def mutants_of(module: str, text: str) -> Iterator[Mutant]:
    """Make the mutants of a module, in order."""
    tree = ast.parse(text)
    for place in list(_places(tree, "", None)):
        before = ast.unparse(place.statement)
        for changed in _changes(place):
            place.put(changed)
            source, after = ast.unparse(ast.fix_missing_locations(tree)), _statement(place, changed)
            place.put(place.node)
            if after != before:
                line = getattr(place.node, "lineno", place.statement.lineno)
                lines = _lines(place.statement) | {line}
                yield Mutant(module, line, place.function, *_difference(before, after), source, lines)


def _statement(place: _Place, changed: ast.AST) -> str:
    return ast.unparse(changed if place.statement is place.node else place.statement)


def _lines(statement: ast.stmt) -> frozenset[int]:
    body = getattr(statement, "body", None)
    end = body[0].lineno if body else (statement.end_lineno or statement.lineno) + 1
    return frozenset(range(statement.lineno, max(end, statement.lineno + 1)))


def _difference(before: str, after: str) -> tuple[str, str]:
    """Return the first line that differs."""
    ours, theirs = (each.replace("\\n", "\n").splitlines() for each in (before, after))
    while len(ours) > 1 and theirs and ours[0] == theirs[0]:
        del ours[0], theirs[0]
    return ours[0].strip(), theirs[0].strip() if theirs else ""


def _places(parent: ast.AST, function: str, statement: ast.stmt | None) -> Iterator[_Place]:
    for field, value in ast.iter_fields(parent):
        if field in _SKIPPED_FIELDS:
            continue
        for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(node, ast.AST) or _is_skipped(node):
                continue
            inner = f"{function}.{node.name}".lstrip(".") if isinstance(node, _NAMED) else function
            owner = node if isinstance(node, ast.stmt) else statement
            if owner is not None:
                yield _Place(node, parent, field, index, owner, function)
            yield from _places(node, inner, owner)


_NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _is_skipped(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    if isinstance(node, ast.FunctionDef):
        return node.name in _SKIPPED_FUNCTIONS or any("overload" in ast.unparse(each) for each in node.decorator_list)
    # A docstring, or the dots of a protocol.
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_text or isinstance(node, ast.Import | ast.ImportFrom | ast.alias | ast.JoinedStr)


def _changes(place: _Place) -> Iterator[ast.AST]:
    node = place.node
    if isinstance(node, ast.stmt):
        yield from _of_statement(node)
    elif isinstance(node, ast.operator | ast.cmpop):
        if type(node) in _SWAPS:
            yield _SWAPS[type(node)]()
    elif isinstance(node, ast.keyword | ast.comprehension | ast.ExceptHandler):
        yield from _of_part(node)
    elif isinstance(node, ast.expr):
        yield from _of_expression(node)
    if place.field == "test" and isinstance(node, ast.expr):
        yield from map(ast.Constant, [False] if isinstance(place.parent, ast.While) else [True, False])


def _of_statement(node: ast.stmt) -> Iterator[ast.AST]:
    if isinstance(node, ast.Expr | ast.AugAssign | ast.Raise) or _assigns_elsewhere(node):
        yield ast.Pass()
    elif isinstance(node, ast.Return) and not _is_none_or_bool(node.value):
        yield ast.Return(ast.Constant(None))
    elif type(node) in _SWAPS:
        yield _SWAPS[type(node)]()


def _is_none_or_bool(value: ast.expr | None) -> bool:
    """Return whether a value is None already, or True or False, which another mutant turns."""
    return value is None or (isinstance(value, ast.Constant) and isinstance(value.value, bool | NoneType))


def _assigns_elsewhere(node: ast.stmt) -> bool:
    """Return whether a statement sets or deletes an attribute or an entry: without it, no name is missing."""
    targets = node.targets if isinstance(node, ast.Assign | ast.Delete) else []
    return any(isinstance(target, ast.Attribute | ast.Subscript) for target in targets)


def _of_part(node: ast.AST) -> Iterator[ast.AST]:
    """Change an argument, the conditions of a comprehension, or what happens to an exception."""
    if isinstance(node, ast.comprehension) and node.ifs:
        yield ast.comprehension(node.target, node.iter, [], node.is_async)
    elif isinstance(node, ast.ExceptHandler) and not isinstance(node.body[-1], ast.Raise):
        yield ast.ExceptHandler(node.type, node.name, [ast.Raise()])


def _of_expression(node: ast.expr) -> Iterator[ast.AST]:
    if isinstance(node, ast.Constant):
        yield from map(ast.Constant, _of_value(node.value))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield node.operand
    elif isinstance(node, ast.BoolOp):
        for left_out in range(len(node.values)):
            values = [value for number, value in enumerate(node.values) if number != left_out]
            yield values[0] if len(values) == 1 else ast.BoolOp(node.op, values)
    elif isinstance(node, ast.IfExp):
        yield from (node.body, node.orelse)
    elif isinstance(node, ast.Call):
        for left_out in range(len(node.keywords)):
            yield ast.Call(node.func, node.args, [*node.keywords[:left_out], *node.keywords[left_out + 1 :]])


def _of_value(value: object) -> Iterator[str | float]:
    if isinstance(value, bool | int | float):
        yield not value if isinstance(value, bool) else value + 1
    elif isinstance(value, str) and "redis.call" in value:
        yield from _of_script(value)


def _of_script(script: str) -> Iterator[str]:
    lines = script.split("\n")
    for number, line in enumerate(lines):
        for pattern, change in _IN_SCRIPTS:
            for found in pattern.finditer(line):
                changed = f"{line[: found.start()]}{change}{line[found.end() :]}"
                yield "\n".join([*lines[:number], changed, *lines[number + 1 :]])
