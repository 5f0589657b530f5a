"""Secrets that print as ``<redacted>``.

A secret is a plain ``str`` or ``bytes`` in every respect but its ``repr``. That is what logs of containers,
dataclass reprs and tracebacks with locals call, so none of them can spill it; whoever formats the secret itself
does so on purpose.
"""

from __future__ import annotations

from typing import Any

REDACTED = "<redacted>"


class Secret(str):
    """A text that does not show in a repr."""

    __slots__ = ()

    def __repr__(self) -> str:
        return REDACTED


class SecretBytes(bytes):
    """Bytes that do not show in a repr."""

    __slots__ = ()

    def __repr__(self) -> str:
        return REDACTED


class SecretDict(dict[str, Any]):
    """A mapping that does not show in a repr: the members of an answer with tokens in it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return REDACTED


def conceal(value: Any) -> Any:  # noqa: ANN401 - whatever a caller passed, before it is checked
    """Return a text as a :class:`Secret`, anything else as it is.

    Public functions rebind a secret argument with this in their first statement, so that no frame of ours holds
    the bare text when an error's traceback is printed with its locals.
    """
    return Secret(value) if isinstance(value, str) else value


def redacted(value: object) -> str:
    """Print a field as redacted, or as None where there is nothing to hide (a repr for attrs)."""
    return "None" if value is None else REDACTED
