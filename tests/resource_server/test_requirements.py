"""Which requirements may be set, and how their names are written."""

from __future__ import annotations

from typing import Any

import pytest

from passwordless_async.errors import UsageError
from passwordless_async.resource_server.requirements import Required, names


@pytest.mark.parametrize(
    ("required", "argument"),
    [
        ({"scopes": 1}, "scopes"),
        ({"scopes": [1]}, "scopes"),
        ({"scopes": [["read"]]}, "scopes"),
        ({"scopes": b"read"}, "scopes"),
        ({"scopes": ['re"ad']}, "scopes"),
        ({"scopes": "read  write"}, "scopes"),
        ({"any_scope": ["a b"]}, "any_scope"),
        ({"permissions": ["x" * 257]}, "permissions"),
        ({"permissions": map(str, range(101))}, "permissions"),
        ({"acr_values": [""]}, "acr_values"),
        ({"max_age": -1}, "max_age"),
        ({"max_age": "5"}, "max_age"),
        ({"max_age": True}, "max_age"),
        ({"scope": "read"}, "scope"),
    ],
)
def test_requirements_are_checked(required: Any, argument: str) -> None:
    """A requirement that is none must not let everybody pass."""
    with pytest.raises(UsageError) as caught:
        Required.of(required)
    assert caught.value.argument == argument


def test_names() -> None:
    """An iterable or a text; each name once, in order."""
    assert names("scopes", "b a b") == names("scopes", iter(["b", "a"])) == ("b", "a")


@pytest.mark.parametrize("text", ["a,b", "a, b", "a b,"])
def test_a_comma_does_not_separate_names(text: str) -> None:
    """It could never match; a name that has one is passed in a list."""
    for argument in ("scopes", "any_scope", "permissions", "acr_values"):
        with pytest.raises(UsageError, match=f"^{argument}: must have spaces between the names, not commas"):
            Required.of({argument: text})  # type: ignore[misc] # of a name that is checked
    assert names("scopes", ["a,b"]) == ("a,b",)
