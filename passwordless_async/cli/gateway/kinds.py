"""The kinds of values that a setting may have, read from text (a flag, the environment) or from TOML.

Each reader returns the value, or raises ``ValueError`` with the expected form; it never quotes the given value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import attrs

Reader: TypeAlias = Callable[[object], Any]

_MAX_TEXT = 4096  # characters
_SOURCES = frozenset({"file", "env"})
_SWITCHES = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}


def text(given: object) -> str:
    """Read a string."""
    if not isinstance(given, str) or not given.strip() or len(given) > _MAX_TEXT or not given.isprintable():
        raise ValueError("must be a one-line string, and not empty")
    return given


def path(given: object) -> Path:
    """Read the path of a file."""
    return Path(text(given))


def source(given: object) -> str:
    """Read where a secret is kept: a file, or a variable of the environment."""
    kind, _, place = given.partition(":") if isinstance(given, str) else ("", "", "")
    if kind not in _SOURCES or not place or not place.isprintable():
        raise ValueError("must be file:PATH or env:NAME; the secret itself does not belong there")
    return f"{kind}:{place}"


def switch(given: object) -> bool:
    """Read whether something is on."""
    value = _SWITCHES.get(given.lower()) if isinstance(given, str) else given
    if type(value) is not bool:
        raise ValueError("must be true or false")
    return value


def words(given: object) -> tuple[str, ...]:
    """Read a list: of TOML, or in a text, with commas or spaces between."""
    items = given.replace(",", " ").split() if isinstance(given, str) else given
    if not isinstance(items, list | tuple) or not items or not all(isinstance(item, str) and item for item in items):
        raise ValueError("must be a list of strings")
    return tuple(items)


def choice(*names: str) -> Reader:
    """Return a reader of one of several names."""

    def read(given: object) -> str:
        if given not in names:
            raise ValueError(f"must be {' or '.join((', '.join(names[:-1]), names[-1]))}")
        return str(given)

    return read


def whole(at_least: int, at_most: int) -> Reader:
    """Return a reader of whole numbers."""

    def read(given: object) -> int:
        number = _number(given, int)
        if type(number) is not int or not at_least <= number <= at_most:
            raise ValueError(f"must be a whole number from {at_least} to {at_most}")
        return number

    return read


def seconds(given: object) -> float:
    """Read a number of seconds."""
    number = _number(given, float)
    if not isinstance(number, int | float) or isinstance(number, bool) or not 0 < number < math.inf:
        raise ValueError("must be a number of seconds above 0")
    return float(number)


def limits(kind: type) -> Reader:
    """Return a reader of named numbers, those of an attrs class; ``none`` means no bound."""
    names = {field.name for field in attrs.fields(kind) if isinstance(field.default, int)}

    def read(given: object) -> dict[str, int | None]:
        pairs = _pairs(words(given)) if isinstance(given, str | tuple) else given
        if not isinstance(pairs, dict) or not pairs.keys() <= names:
            raise ValueError(f"must be NAME=NUMBER, with a name of {', '.join(sorted(names))}")
        return {name: _limit(value) for name, value in pairs.items()}

    return read


def arguments(kind: type) -> Reader:
    """Return a reader of the arguments of an attrs class, each a text or, if the class has a tuple, several."""
    fields = attrs.fields(kind)
    several = {field.name for field in fields if field.default == ()}
    required = {field.name for field in fields if field.default is attrs.NOTHING}
    problem = f"must be NAME=TEXT, with {', '.join(sorted(required))}, and {', '.join(sorted(several))} as needed"

    def read(given: object) -> Mapping[str, str | tuple[str, ...]]:
        pairs = _pairs_of_several(given, several)
        if not isinstance(pairs, dict) or not required <= pairs.keys() <= required | several:
            raise ValueError(problem)
        return {name: words(value) if name in several else text(value) for name, value in pairs.items()}

    return read


def upstreams(names: Iterable[str]) -> Reader:
    """Return a reader of services: ``PREFIX=URL``, or tables of TOML with these names."""
    known = frozenset(names)

    def read(given: object) -> tuple[Mapping[str, Any], ...]:
        items = given.split() if isinstance(given, str) else given
        if isinstance(items, list | tuple):
            return tuple(_upstream(item, known) for item in items)
        raise ValueError("must be tables: [[upstreams]]")

    return read


def _upstream(given: object, known: frozenset[str]) -> Mapping[str, Any]:
    if isinstance(given, str):
        prefix, separator, url = given.partition("=")
        if not separator:
            raise ValueError("must be PREFIX=URL, such as /api/=https://api.example")
        return {"prefix": prefix, "url": url}
    if not isinstance(given, dict) or not {"prefix", "url"} <= given.keys():
        raise ValueError("must have a prefix and a url each")
    if not given.keys() <= known:
        raise ValueError(f"must have no other names than {', '.join(sorted(known))}")
    return given


def _pairs(items: Iterable[str]) -> dict[str, object]:
    return {name: value for name, _, value in (item.partition("=") for item in items)}


def _pairs_of_several(given: object, several: Container[str]) -> object:
    """Return what is named in text; names of which there may be several have a list. What is no text as it is."""
    line = " ".join(given) if isinstance(given, tuple) else given
    if not isinstance(line, str):
        return line
    pairs: dict[str, Any] = {}
    for name, _, value in (item.partition("=") for item in words(line)):
        pairs[name] = [*pairs.get(name, ()), value] if name in several else value
    return pairs


def _limit(given: object) -> int | None:
    if given is False or given == "none":
        return None
    number = _number(given, int)
    if type(number) is int and number > 0:
        return number
    raise ValueError("must have whole numbers above 0, or none")


def _number(given: object, kind: type[int | float]) -> object:
    """Return a number that is written as text; what is none as it is."""
    if not isinstance(given, str):
        return given
    try:
        return kind(given)
    except ValueError:
        return given
