"""Types of annotations: what has one, and how it is called."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import pytest

from passwordless_async.testing.setting_types import PYTHON_WORDS, described, did_you_mean, fits, one_of


class Colour(enum.StrEnum):
    """Two names."""

    RED = "red"
    BLUE = "blue"


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (True, bool, True),
        (1, bool, False),
        (1, int, True),
        (True, int, False),
        (1, float, True),
        (1.5, float, True),
        (True, float, False),
        (math.nan, float, False),
        (math.inf, float, False),
        ("1", float, False),
        ("a", str, True),
        (b"a", str, False),
        (object(), Any, True),
        (None, int | None, True),
        (False, int | None, False),
        ("red", Colour, True),
        (Colour.BLUE, Colour, True),
        ("green", Colour, False),
        (401, Literal[401, 403], True),
        (True, Literal[1], False),
        (("a", "b"), tuple[str, ...], True),
        (["a", "b"], tuple[str, ...], True),
        (["a", 1], tuple[str, ...], False),
        ("ab", tuple[str, ...], False),
        (MappingProxyType({"a": 1}), Mapping[str, int], True),
        ({1: 1}, Mapping[str, int], False),
        ({"a": "b"}, Mapping[str, int], False),
        ([("a", 1)], Mapping[str, int], False),
    ],
)
def test_fits(value: object, kind: object, *, expected: bool) -> None:
    """A list is a tuple, an int is a float, and a bool is no number."""
    assert fits(value, kind) is expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (int | None, "an int or None"),
        (int | float, "an int or a finite number"),
        (Colour, "one of red, blue"),
        (Literal["a", "b"], "one of a, b"),
        (tuple[str, ...], "a tuple of items, each a str"),
        (tuple[Any, ...], "a tuple"),
        (Mapping[str, Colour], "a mapping of items, each one of red, blue"),
        (ValueError, "a ValueError"),
    ],
)
def test_described(kind: object, expected: str) -> None:
    """By its words, its names, or the name of its class."""
    assert described(kind, None, PYTHON_WORDS) == expected


def test_of_many_names_the_similar_ones_are_listed() -> None:
    """The first eight where none is similar."""
    names = [f"name_{letter}" for letter in "abcdefghij"]

    assert one_of(names[:2], "x") == "one of name_a, name_b"
    assert one_of(names, "nam_j").startswith("one of 10 names, such as name_j")
    assert one_of(names, 7) == f"one of 10 names, such as {', '.join(names[:8])}"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("scop", "did you mean scope?"),
        ("clent_id", "did you mean client_id or client_ids?"),
        ("x", "it must be one of scope, client_id, client_ids"),
        (7, "it must be one of scope, client_id, client_ids"),
    ],
)
def test_an_unknown_name_is_answered_with_the_similar_ones(given: object, expected: str) -> None:
    """One or two of them; all that are allowed where none is similar."""
    assert did_you_mean(["scope", "client_id", "client_ids"], given) == expected
