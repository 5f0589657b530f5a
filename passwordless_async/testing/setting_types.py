"""Checks whether a value has the type of an annotation, and names that type, for settings in Python and in a file."""

from __future__ import annotations

import difflib
import enum
import math
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_MAX_LISTED = 8
_MAX_MEANT = 2

PYTHON_WORDS: Mapping[object, str] = {
    bool: "a bool",
    int: "an int",
    float: "a finite number",
    str: "a str",
    NoneType: "None",
    tuple: "a tuple",
    Mapping: "a mapping",
}
"""The names of types for Python arguments."""


def fits(value: object, kind: object) -> bool:
    """Return whether a value has the type of an annotation; a list is a tuple, and a bool is no number."""
    of_origin = _FITS.get(get_origin(kind))
    return _is_plain(value, kind) if of_origin is None else of_origin(value, get_args(kind))


def described(kind: object, value: object, words: Mapping[object, str]) -> str:
    """Return a description of an annotation; of many names, those that are similar to the value."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal or isinstance(kind, enum.EnumType):
        return one_of(map(str, args or _names(kind)), value)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(described(one, value, words) for one in args))
    if origin in _ITEMS:
        return _described_items(words[origin], args[_ITEMS[origin]], words)
    return words.get(kind) or f"a {getattr(kind, '__name__', kind)}"


def _described_items(container: str, item: object, words: Mapping[object, str]) -> str:
    return container if item is Any else f"{container} of items, each {described(item, None, words)}"


def one_of(names: Iterable[str], given: object) -> str:
    """Return the names that are allowed; of many, those that are similar to the given one."""
    all_names = list(names)
    if len(all_names) <= _MAX_LISTED:
        return f"one of {', '.join(all_names)}"
    near = _similar(given, all_names) or all_names[:_MAX_LISTED]
    return f"one of {len(all_names)} names, such as {', '.join(near)}"


def did_you_mean(names: Iterable[str], given: object) -> str:
    """Return what to say of a name that is unknown: the similar ones, or else those that are allowed."""
    all_names = list(names)
    near = _similar(given, all_names)
    return f"did you mean {' or '.join(near[:_MAX_MEANT])}?" if near else f"it must be {one_of(all_names, given)}"


def _similar(given: object, names: Sequence[str]) -> list[str]:
    return difflib.get_close_matches(str(given), names, _MAX_LISTED)


def _is_plain(value: object, kind: object) -> bool:
    if kind is Any or not isinstance(kind, type):  # Any is a class from Python 3.11
        return kind is Any
    if isinstance(kind, enum.EnumType):
        return value in tuple(kind)
    if kind is float:
        return _is_number(value)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_any(value: object, kinds: Sequence[object]) -> bool:
    return any(fits(value, kind) for kind in kinds)


_FITS: Mapping[object, Callable[[object, Sequence[Any]], bool]] = {
    Literal: lambda value, allowed: value in allowed and not isinstance(value, bool),
    Union: _is_any,
    UnionType: _is_any,
    tuple: lambda value, kinds: isinstance(value, list | tuple) and all(fits(item, kinds[0]) for item in value),
    Mapping: lambda value, kinds: (
        isinstance(value, Mapping) and all(fits(name, kinds[0]) and fits(value[name], kinds[1]) for name in value)
    ),
}
_ITEMS: Mapping[object, int] = {tuple: 0, Mapping: 1}


def _names(kind: object) -> Iterable[object]:
    return kind if isinstance(kind, enum.EnumType) else ()
