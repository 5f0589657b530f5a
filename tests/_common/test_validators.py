"""The checks of arguments as validators of attrs."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from passwordless_async._common import validators
from passwordless_async.errors import UsageError


def _no_secret(argument: str, value: object) -> None:
    if value == "secret":
        raise UsageError(argument, "must be another one")


@attrs.frozen(kw_only=True)
class Value:
    """One attribute of each kind."""

    calls: int = attrs.field(default=1, validator=validators.whole)
    patience: float = attrs.field(default=1.0, validator=validators.seconds)
    most: int | None = attrs.field(default=None, validator=validators.whole_or_none)
    ends: float | None = attrs.field(default=None, validator=validators.seconds_or_none)
    flag: bool = attrs.field(default=False, validator=validators.of_kind(bool))
    name: str = attrs.field(default="a", validator=validators.checked_by(_no_secret))


@pytest.mark.parametrize(
    "given",
    [
        {"calls": 0},
        {"calls": 1.5},
        {"patience": 0},
        {"patience": float("nan")},
        {"most": -1},
        {"ends": 0.0},
        {"flag": 1},
        {"name": "secret"},
    ],
)
def test_the_error_names_the_attribute(given: dict[str, Any]) -> None:
    """A value that the check refuses is refused by the attribute's name."""
    with pytest.raises(UsageError) as refused:
        Value(**given)
    assert [refused.value.argument] == list(given)


def test_right_values_are_taken_as_they_are() -> None:
    """A validator changes nothing."""
    assert Value(calls=2, patience=0.5, most=3, ends=4.0, flag=True, name="") == Value(
        calls=2, patience=0.5, most=3, ends=4.0, flag=True, name=""
    )
    assert Value(most=None, ends=None).most is None
