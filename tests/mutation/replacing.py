"""Puts a mutant into the functions that a process has imported already, where that is the same as importing it."""

from __future__ import annotations

import ast
import gc
from collections import defaultdict
from types import CodeType, FunctionType
from typing import TypeAlias

_Key: TypeAlias = "tuple[str, int]"  # the qualified name, and the first line, of a function
_IS_FUNCTION = 0x2  # CO_NEWLOCALS: a module and a class body have none


class Imported:
    """The functions of a module that this process has imported."""

    def __init__(self, path: str, original: str) -> None:
        written, same = (compile(each, "m.py", "exec") for each in (original, ast.unparse(ast.parse(original))))
        self._keys = [_key(code) for code in _outer_functions(written)]
        self._outside = _meaning(same, outside=True)
        self._meanings = [_meaning(code) for code in _outer_functions(same)]
        self._functions: dict[_Key, list[FunctionType]] = defaultdict(list)
        for each in gc.get_objects():
            if isinstance(each, FunctionType) and each.__code__.co_filename == path:
                self._functions[_key(each.__code__)].append(each)

    def replace(self, source: str) -> bool:
        """Give a function the code of a mutant of the module; False: only an import could show the mutant."""
        change = self._changed(source)
        if change is None:
            return False
        key, code = change
        found = self._functions[key]
        if (
            not found
            or self._has_made_functions(key[0])
            or any(function.__code__.co_freevars != code.co_freevars for function in found)
        ):
            return False
        for function in found:
            function.__code__ = code
        return True

    def _has_made_functions(self, name: str) -> bool:
        """Return whether functions are there already that a function has made, which keep their code."""
        return any(inner.startswith(f"{name}.<locals>.") and found for (inner, _), found in self._functions.items())

    def _changed(self, source: str) -> tuple[_Key, CodeType] | None:
        """Return the one function of which the code differs; None where anything else does."""
        other = compile(source, "m.py", "exec")
        after = _outer_functions(other)
        if self._outside != _meaning(other, outside=True) or len(self._meanings) != len(after):
            return None
        rows = zip(self._keys, self._meanings, after, strict=True)
        changed = [(key, code) for key, meaning, code in rows if meaning != _meaning(code)]
        is_sure = len(changed) == 1 and self._keys.count(changed[0][0]) == 1
        return changed[0] if is_sure else None


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
