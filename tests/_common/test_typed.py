"""What a user typed: what a keyboard or a copy adds costs nothing, and what is wrong can be shown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passwordless_async import InvalidInput, UsageError
from passwordless_async._common import typed
from passwordless_async._common.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

BLANKS = " \t\r\n\u00a0\u2007\u202f\u3000\u200b\ufeff\u00ad"
DASHES = "-\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d"
DIGITS = ["0123456789", "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19", "٠١٢٣٤٥٦٧٨٩", "०१२३४५६७८९"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("123456", "123456"),
        ("123 456", "123456"),
        ("123-456", "123456"),
        (" 12 34\u201356\r\n", "123456"),
        ("\uff11\uff12\uff13\uff14\uff15\uff16", "123456"),
        ("١٢٣٤٥٦", "123456"),
        ("ABCD EFGH", "ABCDEFGH"),
        ("AB-CD", "AB-CD"),  # not digits: the dash may be part of it
        ("!~", "!~"),
        ("x" * 40, "x" * 40),
    ],
)
def test_a_code_is_what_was_meant(text: str, code: str) -> None:
    """Blanks are removed, dashes between digits too, and digits of other scripts are digits."""
    read = typed.code("otp", text, at_most=40)
    assert (str(read), type(read)) == (code, Secret)


@given(st.text("0123456789", min_size=1, max_size=12), st.sampled_from(DIGITS), st.data())
def test_a_code_of_digits_survives_any_spelling(code: str, digits: str, data: st.DataObject) -> None:
    """Whatever blanks and dashes are between its digits, and whatever script they are in."""
    parts = [data.draw(st.text(BLANKS + DASHES, max_size=3)) + digits[int(digit)] for digit in code]
    assert typed.code("otp", "".join(parts), at_most=12) == code


@pytest.mark.parametrize(
    ("check", "text", "problem"),
    [
        (typed.code, "", "must not be empty"),
        (typed.code, " ", "must not be empty"),
        (typed.code, "12345é", "must be visible ASCII characters, without spaces"),
        (typed.code, "1\x002", "must be visible ASCII characters, without spaces"),
        (typed.code, "12\ud800", "must be visible ASCII characters, without spaces"),
        (typed.code, "1" * 9, "must be at most 8 characters long, not 9"),
        (typed.code, "1" * 257, "must be at most 256 characters long, not 257"),
        (typed.phone_number, "", "must not be empty"),
        (typed.phone_number, "030 901820", "must be E.164: a plus, the country code, seven to fifteen digits in all"),
        (typed.phone_number, "+49 (0)30 901820", "must be as dialled from abroad, without (0)"),
        (typed.phone_number, "+49\uff080\uff0930 901820", "must be as dialled from abroad, without (0)"),
        (typed.email_address, "ada@", "must be of the form name@domain"),
        (typed.email_address, "ada@example.com ", "must not contain spaces or control characters"),
        (typed.email_address, "@example.com", "must be of the form name@domain"),
    ],
)
def test_a_mistake_of_the_user_can_be_shown(check: Callable[..., str], text: str, problem: str) -> None:
    """It is an ``InvalidInput`` whose problem is a sentence about what was typed, without it."""
    bounds = {"at_most": 8} if check is typed.code else {}
    with pytest.raises(InvalidInput) as refused:
        check("typed", text, **bounds)
    assert (refused.value.argument, refused.value.problem) == ("typed", problem)
    assert refused.value.__context__ is None


@pytest.mark.parametrize("value", [None, 123456, b"123456", ["1"]])
@pytest.mark.parametrize("check", [typed.code, typed.phone_number, typed.email_address])
def test_a_mistake_of_the_programmer_is_none_of_the_user(check: Callable[..., str], value: Any) -> None:
    """A value that is no text was not typed."""
    bounds = {"at_most": 8} if check is typed.code else {}
    with pytest.raises(UsageError, match="must be a str") as refused:
        check("typed", value, **bounds)
    assert type(refused.value) is UsageError


@pytest.mark.parametrize(
    "text",
    [
        "+4930901820",
        " +49 30 901820",
        "+49-30-90 18 20",
        "+49 (30) 901820",
        "+49/30/901820",
        "+49.30.90.18.20\n",
        "\uff0b\uff14\uff19\uff13\uff10\uff19\uff10\uff11\uff18\uff12\uff10",
        "\u202a+49 30 901820\u202c",  # as copied from an address book
    ],
)
def test_a_phone_number_is_read_as_it_is_written(text: str) -> None:
    """ITU-T E.123 has blanks, dashes and parentheses, E.164 has none."""
    assert typed.phone_number("number", text) == "+4930901820"


@given(st.text(max_size=30) | st.from_regex(r"\A\+[0-9 ()./-]{1,20}\Z"))
def test_a_phone_number_is_e164_or_refused(text: str) -> None:
    """Whatever was typed."""
    try:
        number = typed.phone_number("number", text)
    except InvalidInput:
        return
    assert re.fullmatch(r"\+[1-9][0-9]{1,14}", number, re.ASCII)
