"""Secrets that print as ``<redacted>``.

A secret is a plain ``str`` or ``bytes`` except for its ``repr``. Logs of containers, reprs of values and tracebacks
with locals call ``repr``, so none of them shows it; formatting the secret itself does.

Use it like this in every public function and constructor with a secret argument, and nowhere below::

    def exchange(self, who: User, otp: str) -> TokenSet:
        otp = conceal(otp)  # the first statement: from here no frame of ours holds the bare text
        return self._exchange(who, otp)  # below the public function it is not concealed again

- ``conceal`` and ``hide`` accept anything and never raise: the check of the argument comes after.
- A value that holds secrets declares ``attrs.field(repr=redacted)`` and, if its constructor can refuse an argument,
  is :func:`always_printable`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Iterator

REDACTED = "<redacted>"
_OURS = f"{__name__.partition('.')[0]}."
T = TypeVar("T")


class Secret(str):
    """A text with a redacted repr, as its slices have, because printers shorten a long text before they print it."""

    __slots__ = ()

    def __getitem__(self, index: SupportsIndex | slice) -> Secret:
        return Secret(super().__getitem__(index))

    def __repr__(self) -> str:
        return REDACTED


class SecretBytes(bytes):
    """Bytes with a redacted repr, ``str`` (which is the repr of bytes) and slices."""

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
    """A mapping with a redacted repr, such as the members of a token response.

    Some printers walk a mapping's items instead of calling its repr: each has a hook that prevents it.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return REDACTED

    __sentry_repr__ = __repr__

    def __rich_repr__(self) -> Iterator[str]:
        yield REDACTED


class SecretList(list[Any]):
    """A list with a redacted repr, such as the entries of a response."""

    __slots__ = ()

    def __repr__(self) -> str:
        return REDACTED

    __sentry_repr__ = __repr__

    def __rich_repr__(self) -> Iterator[str]:
        yield REDACTED


def conceal(value: Any, *wanted: type) -> Any:  # noqa: ANN401 - an argument, before it is checked
    """Return a text as a :class:`Secret`, and anything else as :func:`hide` does, with the classes ``wanted``.

    A one-time code given as an ``int``, or a client secret given as ``bytes``, is a secret too.
    """
    if isinstance(value, Secret):
        return value
    # By str's own __str__: a subclass that masks itself would send its mask.
    return Secret(str.__str__(value)) if isinstance(value, str) else hide(value, *wanted)


def conceal_bytes(value: Any, *wanted: type) -> Any:  # noqa: ANN401 - as conceal()
    """Return bytes as :class:`SecretBytes`, and anything else as :func:`conceal` does."""
    return SecretBytes(value) if isinstance(value, bytes) else conceal(value, *wanted)


def conceal_mapping(value: object) -> SecretDict | None:
    """Return a mapping as a :class:`SecretDict`, its texts as secrets, and anything else as :func:`hide` does."""
    if isinstance(value, Mapping):
        return SecretDict({name: conceal(member) for name, member in value.items()})
    hidden: None = hide(value)
    return hidden


class Hidden:
    """A placeholder for an argument of the wrong type, which may be a secret: it stores only the name of that type."""

    __slots__ = ("type_name",)

    def __init__(self, type_name: str) -> None:
        self.type_name = type_name

    def __repr__(self) -> str:
        return REDACTED


def hide(value: Any, *wanted: type) -> Any:  # noqa: ANN401 - as conceal()
    """Return an object that may stay in a frame as it is, and anything else as :class:`Hidden`.

    Our classes redact their secrets, and the repr of ``object`` has none. That of a private key given as a dict, a
    cookie's ``Morsel`` or another library's token has them. An object of a class in ``wanted`` is what the argument is
    for, so it stays, even if an application or another library wrote its repr.
    """
    is_kept = value is None or _is_discreet(value) or isinstance(value, wanted)
    return value if is_kept else Hidden(type(value).__name__)


def _is_discreet(value: object) -> bool:
    cls = type(value)
    # Nearly all are of our own classes, and need no walk.
    if cls.__module__.startswith(_OURS) or cls.__repr__ is object.__repr__:
        return True
    return any(base.__module__.startswith(_OURS) for base in cls.__mro__)


def type_name(value: object) -> str:
    """Return the name of a value's type, for an error text; for a hidden value, that of the original."""
    return value.type_name if isinstance(value, Hidden) else type(value).__name__


def always_printable(cls: type[T]) -> type[T]:
    """Make the repr of half-built values show only the class name (a class decorator).

    A constructor that refuses an argument leaves such a value in a local of its frame. Up to Python 3.12, printing a
    traceback with locals fails at a repr that raises, and the report is lost.
    """
    show = cls.__repr__

    def __repr__(self: T) -> str:  # noqa: N807 - it becomes the method
        try:
            return show(self)
        except (AttributeError, LookupError, TypeError, ValueError):
            return f"<{type(self).__name__}>"

    setattr(cls, "__repr__", __repr__)  # noqa: B010 - a type checker refuses the assignment
    return cls


def redacted(value: object) -> str:
    """Print a field as redacted, or as None if it is None (a repr for attrs)."""
    return "None" if value is None else REDACTED
