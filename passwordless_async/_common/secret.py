"""Secrets that print as ``<redacted>``.

A secret is a plain ``str`` or ``bytes`` in every respect but its ``repr``. That is what logs of containers,
dataclass reprs and tracebacks with locals call, so none of them can spill it; whoever formats the secret itself
does so on purpose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Iterator

REDACTED = "<redacted>"
T = TypeVar("T")


class Secret(str):
    """A text that does not show in a repr, and neither do its parts: printers cut a long text before they show it."""

    __slots__ = ()

    def __getitem__(self, index: SupportsIndex | slice) -> Secret:
        return Secret(super().__getitem__(index))

    def __repr__(self) -> str:
        return REDACTED


class SecretBytes(bytes):
    """Bytes that do not show in a repr, nor in the str of bytes, which is one, and neither do their parts."""

    __slots__ = ()

    @overload
    def __getitem__(self, index: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> SecretBytes: ...
    def __getitem__(self, index: SupportsIndex | slice) -> int | SecretBytes:
        part = super().__getitem__(index)
        return SecretBytes(part) if isinstance(part, bytes) else part

    def __repr__(self) -> str:
        return REDACTED

    __str__ = __repr__


class SecretDict(dict[str, Any]):
    """A mapping that does not show in a repr: the members of an answer with tokens in it.

    Printers that walk a mapping's items instead of calling its repr are told not to, each by the hook that it has.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return REDACTED

    __sentry_repr__ = __repr__

    def __rich_repr__(self) -> Iterator[str]:
        yield REDACTED


def conceal(value: Any) -> Any:  # noqa: ANN401 - whatever a caller passed, before it is checked
    """Return a text as a :class:`Secret`, anything else hidden.

    Public functions rebind a secret argument with this in their first statement, so that no frame of ours holds
    the bare text when an error's traceback is printed with its locals. A code given as an ``int``, or a secret as
    ``bytes``, is a secret too.
    """
    # By str's own __str__: a subclass that masks itself would send its mask.
    return Secret(str.__str__(value)) if isinstance(value, str) else hide(value)


def conceal_bytes(value: Any) -> Any:  # noqa: ANN401 - as conceal()
    """Return bytes as :class:`SecretBytes`, anything else as :func:`conceal` does."""
    return SecretBytes(value) if isinstance(value, bytes) else conceal(value)


class _Hidden:
    """Stands for a secret of the wrong type; nothing is kept of it but the name of that type."""

    __slots__ = ()

    def __repr__(self) -> str:
        return REDACTED


def hide(value: Any) -> Any:  # noqa: ANN401 - as conceal()
    """Return an object as it is, and for what Python prints with its contents a stand-in of the same type name.

    An object of ours keeps its secrets to itself; a private key given as a dict or as text does not.
    """
    if value is None or type(value).__module__ != "builtins":
        return value
    return type(type(value).__name__, (_Hidden,), {})()


def always_printable(cls: type[T]) -> type[T]:
    """Let a class print its values by their name alone where they are half built (a class decorator).

    A constructor that refuses an argument leaves such a value in a local of its frame. Python's own printer of
    tracebacks with locals gives up at a repr that raises (up to Python 3.12), and whatever it was to report is lost.
    """
    show = cls.__repr__

    def __repr__(self: T) -> str:  # noqa: N807 - it becomes one
        try:
            return show(self)
        except (AttributeError, IndexError, TypeError):
            return f"<{cls.__name__}>"

    setattr(cls, "__repr__", __repr__)  # noqa: B010 - a checker of types does not allow it otherwise
    return cls


def redacted(value: object) -> str:
    """Print a field as redacted, or as None where there is nothing to hide (a repr for attrs)."""
    return "None" if value is None else REDACTED
