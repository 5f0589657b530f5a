"""The checks of :mod:`passwordless_async._common.arguments` as validators of attrs: the error names the attribute."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs.validators import optional

from passwordless_async._common import arguments as _check

if TYPE_CHECKING:
    import attrs

Validator: TypeAlias = Callable[[object, "attrs.Attribute[Any]", object], None]


def checked_by(check: Callable[[str, object], object]) -> Validator:
    """Return a validator that calls a check with the attribute's name and its value."""

    def validate(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        check(attribute.name, value)

    return validate


def of_kind(kind: type) -> Validator:
    """Return a validator of an attribute's type."""
    return checked_by(lambda argument, value: _check.instance(argument, value, kind, named=f"a {kind.__name__}"))


whole = checked_by(_check.positive)
seconds = checked_by(_check.seconds)
whole_or_none: Validator = optional(whole)
seconds_or_none: Validator = optional(seconds)
