"""Clocks that differ, and what an error says of them."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from passwordless_async import InvalidIdToken, UsageError
from passwordless_async._common.http import HttpResponse
from passwordless_async.auth0.clocks import CLOCK_SKEW, Clocks, checked_skew, is_time

NOW = 1_700_000_000.0


def test_the_clocks_of_a_response() -> None:
    """The server's clock is the Date of the response (RFC 9110 §6.6.1)."""
    dated = HttpResponse(200, CIMultiDict({"Date": "Tue, 14 Nov 2023 22:13:20 GMT"}))
    assert Clocks.at(dated, NOW + 90, 5.0) == Clocks(NOW + 90, NOW, 5.0)
    assert Clocks.at(HttpResponse(200), NOW) == Clocks(NOW, None, CLOCK_SKEW)


@pytest.mark.parametrize(
    ("server", "words", "difference"),
    [
        (None, "this machine's clock", None),
        (NOW, "this machine's clock, which agrees with the server's", 0.0),
        (NOW - 1.9, "this machine's clock, which agrees with the server's", 1.9),
        (NOW - 30, "this machine's clock, which is 30 s ahead of the server's", 30.0),
        (NOW + 30, "this machine's clock, which is 30 s behind the server's", -30.0),
    ],
)
def test_what_is_said_of_them(server: float | None, words: str, difference: float | None) -> None:
    """By how much they differ, and on which side this machine is; a second is no difference."""
    clocks = Clocks(NOW, server)
    assert str(clocks) == words
    assert clocks.difference == (None if difference is None else pytest.approx(difference))


@pytest.mark.parametrize(
    ("server", "advice", "expected"),
    [
        (None, None, InvalidIdToken.advice),
        (NOW, "Look.", "Look."),
        (NOW + 30, "Look.", "Set the clock of this machine: it is 30 s behind the server's."),
        (NOW - 30, None, "Set the clock of this machine: it is 30 s ahead of the server's."),
    ],
)
def test_an_error_is_told(server: float | None, advice: str | None, expected: str) -> None:
    """Clocks that differ are the first thing to mend; the class keeps its own advice."""
    error = InvalidIdToken("iat", "is in the future")
    told = Clocks(NOW, server).told(error, advice=advice)
    assert (told.advice, told.claim, str(told)) == (expected, "iat", str(error))
    assert error.advice == InvalidIdToken.advice == "Check domain and client_id; the tokens were discarded."


@pytest.mark.parametrize("value", [0, 0.5, 60, 600.0])
def test_skews(value: float) -> None:
    """From none at all to ten minutes."""
    assert checked_skew(value) == value


@pytest.mark.parametrize("value", [-1, 601, float("nan"), float("inf"), "60", None, True])
def test_skews_refused(value: object) -> None:
    """A clock that is further off is to be set."""
    with pytest.raises(UsageError) as refused:
        checked_skew(value)
    assert refused.value.argument == "clock_skew"


@pytest.mark.parametrize("value", [0, 1.5, 253_402_300_799])
def test_what_a_time_is(value: float) -> None:
    """RFC 7519 §2, NumericDate, up to the year 9999."""
    assert is_time(value)


@pytest.mark.parametrize("value", [-1, 253_402_300_800, float("nan"), float("inf"), 10**400, True, "1", None, [1]])
def test_what_is_no_time(value: object) -> None:
    """Nor what cannot be compared with one."""
    assert not is_time(value)
