"""What an answer says of the limit: two styles, each of which can be absent or malformed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from passwordless_async.auth0.rate_limit import Allowance, allowance

NOW = 1_445_412_480.25
DAY = 86_400.0
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
def test_read(headers: dict[str, str], expected: Allowance):
    """Each style is read; the end of the window is from now to a day away."""
    assert expected == allowance(CIMultiDict(headers), NOW)


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
def test_not_read(headers: dict[str, str]):
    """What does not say all of it, or is of no form, says nothing and raises nothing."""
    assert allowance(CIMultiDict(headers), NOW) is None


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*NAMES, "Auth0-RateLimit"]),
        st.text(max_size=40) | st.text("0123456789;=tqr., -", max_size=40) | st.integers().map(str),
    ),
    st.floats(0, 1e11),
)
def test_nothing_raises(headers: dict[str, str], now: float):
    """Whatever the header fields say, it is a window of one request or more that ends within a day, or nothing."""
    said = allowance(CIMultiDict(headers), now)
    if said is not None:
        assert 1 <= said.limit
        assert 0 <= said.remaining
        assert 0.0 <= said.reset <= DAY
