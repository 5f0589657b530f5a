"""The service's rate limit: every style may be absent or malformed."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from passwordless_async.auth0.rate_limit import Allowance, allowance, retry_after

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_445_412_480.0  # Wed, 21 Oct 2015 07:28:00 GMT
DAY = 86_400.0
WAITS = ["Retry-After", "Auth0-RateLimit", "x-ratelimit-reset"]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        # Retry-After: seconds, or a date in any of its three forms (RFC 9110 §5.6.7, §10.2.3).
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "120"}, 120.0),
        ({"Retry-After": " 120 "}, 120.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"retry-after": "120"}, 120.0),
        ({"Retry-After": "9999999999"}, DAY),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT"}, 30.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:30 -0000"}, 30.0),
        ({"Retry-After": "Wed, 21 Oct 2015 09:28:30 +0200"}, 30.0),
        ({"Retry-After": "Wednesday, 21-Oct-15 07:28:30 GMT"}, 30.0),
        ({"Retry-After": "Wed Oct 21 07:28:30 2015"}, 30.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:27:00 GMT"}, 0.0),
        ({"Retry-After": "Fri, 21 Oct 2050 07:28:00 GMT"}, DAY),
        # Auth0-RateLimit: t seconds until there is room.
        ({"Auth0-RateLimit": "client;q=10;t=1;r=9"}, 1.0),
        ({"Auth0-RateLimit": "client;q=10; t=60;r=0"}, 60.0),
        ({"Auth0-RateLimit": "client;t=0"}, 0.0),
        ({"Auth0-RateLimit": "client;q=10;t=99999999999;r=0"}, DAY),
        # x-ratelimit-reset: seconds since the UNIX epoch.
        ({"X-RateLimit-Reset": "1445412490"}, 10.0),
        ({"X-RateLimit-Reset": "1445412480"}, 0.0),
        ({"X-RateLimit-Reset": "1445412000"}, 0.0),
        ({"X-RateLimit-Reset": "9999999999"}, DAY),
        # The plainest one that can be read counts.
        ({"Retry-After": "1", "Auth0-RateLimit": "c;t=2", "x-ratelimit-reset": "1445412483"}, 1.0),
        ({"Auth0-RateLimit": "c;t=2", "x-ratelimit-reset": "1445412483"}, 2.0),
        ({"Retry-After": "soon", "Auth0-RateLimit": "c", "x-ratelimit-reset": "1445412483"}, 3.0),
        ({"Retry-After": "", "Auth0-RateLimit": "c;t=2"}, 2.0),
    ],
)
def test_a_wait_is_read(headers: dict[str, str], expected: float) -> None:
    """Each style is read, from nothing to a day."""
    assert retry_after(CIMultiDict(headers), NOW) == expected


@pytest.mark.parametrize(
    "headers",
    [
        {},
        *({name: ""} for name in WAITS),
        *({name: "junk"} for name in WAITS),
        *({name: "-5"} for name in WAITS),
        *({name: "5 s"} for name in WAITS),
        *({name: "\u0665"} for name in WAITS),
        *({name: "1e3"} for name in WAITS),
        *({name: "nan"} for name in WAITS),
        *({name: "inf"} for name in WAITS),
        *({name: "1" * 5000} for name in WAITS),
        *({name: "\0"} for name in WAITS),
        {"Retry-After": "Wed, 99 Oct 2015 07:28:00 GMT"},
        {"Retry-After": "Wed, 21 Oct 99999 07:28:00 GMT"},
        {"Retry-After": "Wed, 21 Oct 2015 07:28:00 +99999999"},
        {"Retry-After": "Wed, 21 Oct 2015"},
        {"Retry-After": ","},
        {"Auth0-RateLimit": "client;q=10;t=;r=9"},
        {"Auth0-RateLimit": "t=5"},
        {"Auth0-RateLimit": "client;q=10;T=5"},
        {"Auth0-RateLimit": "client;best=5"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-limit": "10"},
    ],
)
def test_no_wait_is_read(headers: dict[str, str]) -> None:
    """What is absent, or of no form, says nothing and raises nothing."""
    assert retry_after(CIMultiDict(headers), NOW) is None


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone can be set on POSIX alone")
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York", "EST5"])
def test_dates_do_not_depend_on_the_local_zone(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    """A date that names no zone is in UTC, wherever this machine is."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        for value in ("Wed Oct 21 07:28:30 2015", "Wed, 21 Oct 2015 07:28:30 -0000", "Wed, 21 Oct 2015 07:28:30 GMT"):
            assert retry_after(CIMultiDict({"Retry-After": value}), NOW) == 30.0
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("ahead", [-86_400.0, -40.0, 0.0, 5.0, 3600.0])
@pytest.mark.parametrize(
    ("name", "wait"),
    [
        ("Retry-After", lambda theirs: formatdate(theirs + 20, usegmt=True)),
        ("x-ratelimit-reset", lambda theirs: str(int(theirs) + 20)),
        ("Retry-After", lambda _theirs: "20"),
        ("Auth0-RateLimit", lambda _theirs: "client;q=10;t=20;r=3"),
    ],
)
def test_a_time_is_read_against_the_date_of_the_same_response(
    ahead: float, name: str, wait: Callable[[float], str]
) -> None:
    """Whatever this machine's clock says: the service's may differ by a day."""
    theirs = NOW + ahead
    headers = CIMultiDict({"Date": formatdate(theirs, usegmt=True), name: wait(theirs)})
    assert retry_after(headers, NOW) == 20.0
    if name != "Retry-After":
        headers.update({"x-ratelimit-limit": "10", "x-ratelimit-remaining": "3"})
        assert allowance(headers, NOW) == Allowance(10, 3, 20.0)


@pytest.mark.parametrize("date", ["", "yesterday", "Wed, 99 Oct 2015 07:28:00 GMT", "1445412480"])
def test_without_a_date_this_machines_clock_counts(date: str) -> None:
    """A ``Date`` that is none says nothing."""
    headers = CIMultiDict({"Date": date, **GOOD})
    assert retry_after(headers, NOW) == 10.0
    assert allowance(headers, NOW) == Allowance(10, 3, 10.0)


@settings(max_examples=500, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*WAITS, "Date"]),
        st.text(max_size=40)
        | st.text("0123456789;=tqr., :+-GMTWedOct", max_size=40)
        | st.floats(0, 2**40).map(lambda seconds: formatdate(min(seconds, 2**37), usegmt=True))
        | st.integers().map(str),
    )
)
def test_reading_a_wait_never_raises(headers: dict[str, str]) -> None:
    """Whatever the header fields say, it is from nothing to a day, or nothing at all."""
    seconds = retry_after(CIMultiDict(headers), NOW)
    assert seconds is None or 0.0 <= seconds <= DAY


NAMES = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"]
GOOD = {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "3", "x-ratelimit-reset": "1445412490"}
BAD = ["", "junk", "-5", "5.5", "5 s", "\u0665", "1e3", "nan", "1" * 11, "1" * 5000, "\0"]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (GOOD, Allowance(10, 3, 9.75)),
        ({name.title(): f" {value} " for name, value in GOOD.items()}, Allowance(10, 3, 9.75)),
        ({**GOOD, "x-ratelimit-remaining": "0"}, Allowance(10, 0, 9.75)),
        ({**GOOD, "x-ratelimit-remaining": "11"}, Allowance(10, 11, 9.75)),
        ({**GOOD, "x-ratelimit-reset": "1445412480"}, Allowance(10, 3, 0.0)),
        ({**GOOD, "x-ratelimit-reset": "30"}, Allowance(10, 3, 0.0)),
        ({**GOOD, "x-ratelimit-reset": "9999999999"}, Allowance(10, 3, DAY)),
        ({**GOOD, "x-ratelimit-limit": "9999999999"}, Allowance(9_999_999_999, 3, 9.75)),
        ({"Auth0-RateLimit": "client;q=10;t=1;r=9"}, Allowance(10, 9, 1.0)),
        ({"auth0-ratelimit": "client; q=10; t=60; r=0"}, Allowance(10, 0, 60.0)),
        ({"Auth0-RateLimit": "client;r=9;t=0;q=10"}, Allowance(10, 9, 0.0)),
        ({"Auth0-RateLimit": "client;q=10;t=9999999999;r=9"}, Allowance(10, 9, DAY)),
        ({**GOOD, "Auth0-RateLimit": "client;q=20;t=1;r=9"}, Allowance(20, 9, 1.0)),
    ],
)
def test_an_allowance_is_read(headers: dict[str, str], expected: Allowance) -> None:
    """Each style is read; the end of the window is from now to a day away."""
    assert allowance(CIMultiDict(headers), NOW + 0.25) == expected


@pytest.mark.parametrize(
    "headers",
    [
        {},
        *({kept: GOOD[kept] for kept in NAMES if kept != name} for name in NAMES),
        *({**GOOD, name: value} for name in NAMES for value in BAD),
        {**GOOD, "x-ratelimit-limit": "0"},
        {"Auth0-RateLimit": ""},
        {"Auth0-RateLimit": "junk"},
        {"Auth0-RateLimit": "client;q=0;t=1;r=0"},
        {"Auth0-RateLimit": "client;t=1;r=9"},
        {"Auth0-RateLimit": "client;q=10;r=9"},
        {"Auth0-RateLimit": "client;q=10;t=1"},
        {"Auth0-RateLimit": "client;q=-1;t=1;r=9"},
        {"Auth0-RateLimit": "client;Q=10;T=1;R=9"},
    ],
)
def test_no_allowance_is_read(headers: dict[str, str]) -> None:
    """What does not say all of it, or is of no form, says nothing and raises nothing."""
    assert allowance(CIMultiDict(headers), NOW + 0.25) is None


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*NAMES, "Auth0-RateLimit", "Date"]),
        st.text(max_size=40) | st.text("0123456789;=tqr., -", max_size=40) | st.integers().map(str),
    ),
    st.floats(0, 1e11),
)
def test_reading_an_allowance_never_raises(headers: dict[str, str], now: float) -> None:
    """Whatever the header fields say, it is a window of one request or more that ends within a day, or nothing."""
    said = allowance(CIMultiDict(headers), now)
    if said is not None:
        assert said.limit >= 1
        assert said.remaining >= 0
        assert 0.0 <= said.reset <= DAY
