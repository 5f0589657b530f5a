"""Reads the input of users: codes, phone numbers, e-mail addresses.

Characters that a keyboard or a copy adds are removed or replaced: spaces, dashes, parentheses, digits of another width
or script. If the rest is invalid, :class:`InvalidInput` is raised; for a value that is not a ``str``,
:class:`UsageError`.
No message repeats the value.
"""

from __future__ import annotations

import re
import unicodedata

from passwordless_async._common import arguments as _check
from passwordless_async._common.secret import Secret
from passwordless_async.errors import InvalidInput, UsageError

_MAX_TYPED = 256  # characters, before ignored ones are removed
_MAX_ADDRESS = 254  # characters, RFC 5321 §4.5.3.1.3 less the angle brackets
# ITU-T E.164: a plus, a country code that does not start with 0, at most fifteen digits. The shortest numbers that are
# assigned have seven, as on Niue: +683 4000.
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_MINUS = "\u2212"  # not a dash by its category
_IN_NUMBERS = frozenset("()./")  # besides blanks and dashes (ITU-T E.123)


def code(argument: str, value: object, *, at_most: int) -> Secret:
    """Return a code. Blanks are removed, because no code has any; dashes are removed if only digits are left."""
    try:
        return _code(argument, value, at_most)
    except UsageError as error:
        refused = _by_whom(error, value)
    raise refused


def _code(argument: str, value: object, at_most: int) -> Secret:
    typed = _check.bounded(argument, value, at_most=_MAX_TYPED)
    if typed.isascii() and typed.isalnum():
        if len(typed) <= at_most:
            return Secret(typed)
    else:
        typed = Secret(_without_blanks(typed))
        digits = Secret("".join(character for character in typed if not _is_dash(character)))
        typed = digits if digits.isdecimal() else typed
    return _check.secret(argument, typed, at_most=at_most)


def phone_number(argument: str, value: object) -> str:
    """Return a phone number in E.164 form. ``(0)`` after a country code is refused: it is not dialled from abroad."""
    try:
        return _phone_number(argument, value)
    except UsageError as error:
        refused = _by_whom(error, value)
    raise refused


def _phone_number(argument: str, value: object) -> str:
    typed = _without_blanks(_check.bounded(argument, value, at_most=_MAX_TYPED))
    if "(0)" in typed:
        raise UsageError(argument, "must be as dialled from abroad, without (0)")
    number = "".join(character for character in typed if character not in _IN_NUMBERS and not _is_dash(character))
    if not _E164.fullmatch(number):
        raise UsageError(argument, "must be E.164: a plus, the country code, seven to fifteen digits in all")
    return number


def email_address(argument: str, value: object) -> str:
    """Return an e-mail address exactly as it was typed."""
    try:
        return _email_address(argument, value)
    except UsageError as error:
        refused = _by_whom(error, value)
    raise refused


def _email_address(argument: str, value: object) -> str:
    address = _check.printable(argument, value, at_most=_MAX_ADDRESS)
    local, at, domain = address.partition("@")
    if not (local and at and domain) or "@" in domain:
        raise UsageError(argument, "must be of the form name@domain")
    return address


def _by_whom(error: UsageError, value: object) -> UsageError:
    """Return the user's error if a text is wrong, otherwise the programmer's."""
    return InvalidInput(error.argument, error.problem) if isinstance(value, str) else error.with_traceback(None)


def _without_blanks(typed: str) -> str:
    """Return a text without blanks and invisible characters, with plain digits and characters of the usual width."""
    characters = unicodedata.normalize("NFKC", typed)
    return "".join(
        str(unicodedata.decimal(character)) if character.isdecimal() else character
        for character in characters
        if not character.isspace() and unicodedata.category(character) != "Cf"
    )


def _is_dash(character: str) -> bool:
    return unicodedata.category(character) == "Pd" or character == _MINUS
