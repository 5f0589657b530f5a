"""Puts a mutant into the functions that a process has imported already, where that is the same as importing it."""

from __future__ import annotations

import ast
import gc
from types import CodeType, FunctionType
from typing import TypeAlias

_Key: TypeAlias = "tuple[str, int]"  # the qualified name, and the first line, of a function
_IS_FUNCTION = 0x2  # CO_NEWLOCALS: a module and a class body have none


def replace(path: str, original: str, source: str) -> bool:
    """Give the imported functions of a module the code of a mutant; False: only an import could show the mutant."""
    change = _changed_function(original, source)
    if change is None:
        return False
    (name, line), code = change
    found = [function for function in _functions(path) if _key(function.__code__) == (name, line)]
    if not found or any(function.__code__.co_freevars != code.co_freevars for function in found):
        return False
    for function in found:
        function.__code__ = code
    return True


def _changed_function(original: str, source: str) -> tuple[_Key, CodeType] | None:
    """Return the one function of which the code differs; None where anything else does."""
    tree = ast.parse(original)
    written, same, other = (compile(each, "m.py", "exec") for each in (original, ast.unparse(tree), source))
    places, before, after = _outer_functions(written), _outer_functions(same), _outer_functions(other)
    if _meaning(same, outside=True) != _meaning(other, outside=True) or len(before) != len(after):
        return None
    changed = [
        (place, new) for place, old, new in zip(places, before, after, strict=True) if _meaning(old) != _meaning(new)
    ]
    keys = [_key(place) for place in places]
    if len(changed) != 1 or keys.count(_key(changed[0][0])) != 1:
        return None
    return _key(changed[0][0]), changed[0][1]


def _outer_functions(code: CodeType) -> list[CodeType]:
    """Return the functions of a module and of its classes, in order; not those within functions."""
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    found = []
    for each in inner:
        found += [each] if each.co_flags & _IS_FUNCTION else _outer_functions(each)
    return found


def _meaning(code: CodeType, *, outside: bool = False) -> object:
    """Return what code does, whichever lines it is on; with ``outside``, without what its functions do."""
    consts = [
        (type(each), each)
        if not isinstance(each, CodeType)
        else each.co_qualname
        if outside and each.co_flags & _IS_FUNCTION
        else _meaning(each, outside=outside)
        for each in code.co_consts
    ]
    return (code.co_code, consts, code.co_names, code.co_varnames, code.co_freevars, code.co_flags)


def _key(code: CodeType) -> _Key:
    return code.co_qualname, code.co_firstlineno


def _functions(path: str) -> list[FunctionType]:
    return [each for each in gc.get_objects() if isinstance(each, FunctionType) and each.__code__.co_filename == path]
