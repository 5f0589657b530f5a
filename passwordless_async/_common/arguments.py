"""Checks of arguments: each returns the value, or raises :class:`UsageError` naming the argument.

No message repeats the value: an argument may be a secret or an address.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from passwordless_async._common.secret import Secret, conceal, type_name
from passwordless_async.errors import UsageError

T = TypeVar("T")

# RFC 6749 appendix A.4: scope-token = 1*( %x21 / %x23-5B / %x5D-7E ), one space between.
_SCOPE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+(?: [\x21\x23-\x5B\x5D-\x7E]+)*")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # JSON may have one; UTF-8 has no code for it
_VISIBLE_ASCII = re.compile(r"[\x21-\x7E]+")
# BCP 47, by form: RFC 5646 §2.1 subtags of one to eight letters or digits.
_LANGUAGE_TAG = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*")

_MAX_WHOLE = 10**9
_MAX_SECONDS = 10**9  # more than thirty years; clocks and stores add it to their time
MAX_SCOPE = 4096  # characters
MAX_AUDIENCE = 2048  # characters; Auth0 allows identifiers of 600
MAX_CLIENT_ID = 256  # characters; Auth0's have 32
MAX_SECRET = 4096  # characters
MAX_CODE = 40  # characters; the longest one-time code that Auth0 can be set to
MAX_CAPTCHA = 8192  # characters


def instance(argument: str, value: object, kind: type[T], *, named: str) -> T:
    """Return a value of a class; ``named`` is the class with its article, for the message: ``an MfaState``."""
    if not isinstance(value, kind):
        raise UsageError(argument, f"must be {named}, not {type_name(value)}")
    return value


def boolean(argument: str, value: object) -> bool:
    """Return True or False; nothing else, because the text "false" of a setting is true."""
    return instance(argument, value, bool, named="a bool")


def plain_functions(argument: str, given: object) -> tuple[Any, ...]:
    """Return functions that are not awaited, from one, several, or None."""
    alone = () if given is None else (given,)
    functions = tuple(given) if isinstance(given, list | tuple) else alone
    return tuple(plain_function(argument, each) for each in functions)


def plain_function(argument: str, given: object) -> Callable[..., Any]:
    """Return a function that is not awaited."""
    called = function(argument, given)
    if any(map(inspect.iscoroutinefunction, (called, type(called).__call__))):
        raise UsageError(argument, "must be a plain function: it is not awaited")
    return called


def function(argument: str, given: object) -> Callable[..., Any]:
    """Return a function, async or not."""
    if not callable(given):
        raise UsageError(argument, f"must be a function, not {type_name(given)}")
    return given


def texts(argument: str, given: object) -> tuple[str, ...]:
    """Return one text or several as a tuple; a single text is not split into letters."""
    several = (given,) if isinstance(given, str) else given
    if not isinstance(several, Iterable):
        raise UsageError(argument, f"must be a str or several, not {type_name(given)}")
    found = tuple(several)
    for value in found:
        if not isinstance(value, str):
            raise UsageError(argument, f"must be a str or several, not {type_name(value)}")
    return found


def words(argument: str, text: str) -> list[str]:
    """Return the words of one text with single spaces between.

    A comma is legal in a scope (RFC 6749 §3.3), but in such a text it is nearly always meant as a separator.
    """
    if "," in text:
        raise UsageError(
            argument, "must have spaces between the names, not commas; pass a list for a name with a comma"
        )
    return text.split(" ")


def secret(argument: str, value: object, *, at_most: int) -> Secret:
    """Return a non-empty text without spaces or control characters, in ASCII, as a secret."""
    concealed: Secret = conceal(text(argument, value, at_most=at_most))
    return concealed


def text(argument: str, value: object, *, at_most: int) -> str:
    """Return a non-empty text without spaces or control characters, in ASCII."""
    value = bounded(argument, value, at_most=at_most)
    if not _VISIBLE_ASCII.fullmatch(value):
        raise UsageError(argument, "must be visible ASCII characters, without spaces")
    return value


def bounded(argument: str, value: object, *, at_most: int) -> str:
    """Return a text of one to ``at_most`` characters."""
    if not isinstance(value, str):
        raise UsageError(argument, f"must be a str, not {type_name(value)}")
    if not value:
        raise UsageError(argument, "must not be empty")
    if len(value) > at_most:
        raise UsageError(argument, f"must be at most {at_most} characters long, not {len(value)}")
    return value


def encodable(argument: str, value: object, *, at_most: int) -> str:
    """Return a text of one to ``at_most`` characters that can be written as UTF-8."""
    value = bounded(argument, value, at_most=at_most)
    if not is_encodable(value):
        raise UsageError(argument, "must not contain lone surrogates: it could not be encoded")
    return value


def is_encodable(text: str) -> bool:
    """Return whether a text can be written as UTF-8."""
    return text.isascii() or _LONE_SURROGATE.search(text) is None


def printable(argument: str, value: object, *, at_most: int) -> str:
    """Return a non-empty text without spaces, control characters or lone surrogates, in any script."""
    value = bounded(argument, value, at_most=at_most)
    # The ASCII space is the only white space for which isprintable is true.
    if not value.isprintable() or " " in value:
        raise UsageError(argument, "must not contain spaces or control characters")
    return value


def optional(argument: str, value: object) -> str | None:
    """Return an identifier or a URL in any script, or None."""
    return None if value is None else printable(argument, value, at_most=MAX_AUDIENCE)


def scope(value: object, argument: str = "scope") -> str | None:
    """Return a scope (RFC 6749 §3.3), or None."""
    if value is None:
        return None
    if not isinstance(value, str):
        problem = f"must be one str with spaces between, such as 'openid email', not {type_name(value)}"
        raise UsageError(argument, problem)
    value = bounded(argument, value, at_most=MAX_SCOPE)
    if not _SCOPE.fullmatch(value):
        raise UsageError(argument, "must be visible ASCII words with one space between, without quote or backslash")
    return value


def language_tag(value: object) -> str | None:
    """Return a BCP 47 language tag, or None."""
    if value is None:
        return None
    value = bounded("language", value, at_most=64)
    if not _LANGUAGE_TAG.fullmatch(value):
        raise UsageError("language", "must be a BCP 47 language tag such as 'en' or 'pt-BR'")
    return value


def positive(argument: str, value: object) -> int:
    """Return a whole number of one or more."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageError(argument, f"must be an int, not {type_name(value)}")
    if value < 1:
        raise UsageError(argument, f"must be at least 1, not {value}")
    if value > _MAX_WHOLE:
        raise UsageError(argument, f"must be at most {_MAX_WHOLE}")
    return value


def seconds(argument: str, value: object) -> float:
    """Return a duration: a finite number of seconds above 0."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise UsageError(argument, "must be a number of seconds above 0")
    return _bounded_seconds(argument, value)


def at_least_zero(argument: str, value: object) -> float:
    """Return a duration that may be zero: a finite number of seconds, 0 or more."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise UsageError(argument, "must be a number of seconds, 0 or more")
    return _bounded_seconds(argument, value)


def _bounded_seconds(argument: str, value: float) -> float:
    if value > _MAX_SECONDS:
        raise UsageError(argument, f"must be at most {_MAX_SECONDS} seconds")
    return float(value)
