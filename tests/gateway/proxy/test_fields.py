"""Which header fields go on."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from multidict import CIMultiDict

from passwordless_async import UsageError
from passwordless_async.gateway.proxy import fields
from passwordless_async.gateway.proxy.fields import REQUEST, RESPONSE, checked_names, forwarded, step_up_of

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
QUIET = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]


def of_request(*pairs: tuple[str, str], allowed: Any = REQUEST) -> list[tuple[str, str]]:
    return list(fields.of_request(CIMultiDict(pairs), allowed))


def of_response(*pairs: tuple[str, str], allowed: Any = RESPONSE) -> list[tuple[str, str]]:
    return list(fields.of_response(CIMultiDict(pairs), allowed, cookies=frozenset({"__Host-session"})))


@pytest.mark.parametrize(
    "name",
    [
        "Cookie",
        "Authorization",
        "DPoP",
        "Host",
        "Connection",
        "Keep-Alive",
        "Proxy-Authorization",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Content-Length",
        "Expect",
        "Origin",
        "Referer",
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Real-IP",
        "X-CSRF",
        "X-Anything",
        "Sec-Fetch-Site",
        "Sec-WebSocket-Key",
        "X-HTTP-Method-Override",
        "X-Original-URL",
    ],
)
def test_what_stays_here(name: str) -> None:
    """What is not on the list, credentials and fields of the connection above all."""
    assert of_request((name, "x"), ("Accept", "a")) == [("Accept", "a")]


def test_what_goes_on() -> None:
    """In its order, twice if it came twice."""
    pairs = [("Accept", "a"), ("ACCEPT", "b"), ("If-None-Match", '"x"'), ("User-Agent", "u")]
    assert of_request(*pairs) == pairs
    assert of_request(("X-Own", "1"), allowed=REQUEST | checked_names("headers", ["X-Own"])) == [("X-Own", "1")]


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\0b", "é", "\udcff", "\x7f"])
def test_a_value_that_no_field_can_carry(value: str) -> None:
    """It is not passed on: no field becomes two."""
    assert of_request(("Accept", value), ("User-Agent", value)) == []
    assert of_response(("ETag", value)) == ([("ETag", "é"), *QUIET] if value == "é" else QUIET)


def test_what_connection_names() -> None:
    """RFC 9110 §7.6.1: those fields belong to the connection, in both directions."""
    pairs = [("Connection", "close, ETag"), ("connection", "accept"), ("Accept", "a"), ("ETag", '"x"')]
    assert of_request(*pairs) == []
    assert of_response(*pairs) == QUIET


@pytest.mark.parametrize(
    ("trace", "passes"),
    [
        (TRACE, True),
        (TRACE.upper(), False),
        ("00-" + "0" * 32 + "-b7ad6b7169203331-01", False),
        ("ff" + TRACE[2:], False),
        (f"{TRACE}\r\nX: 1", False),
    ],
)
def test_traces(trace: str, *, passes: bool) -> None:
    """``traceparent`` by its grammar, ``tracestate`` with it alone."""
    state = ("tracestate", "a=1")
    assert of_request(("traceparent", trace), state) == ([("traceparent", trace), state] if passes else [])
    assert of_request(("traceparent", TRACE), ("traceparent", TRACE), state) == []


def test_whom_an_upstream_answers() -> None:
    """Set anew: an IPv6 address stands in brackets in ``Forwarded`` (RFC 7239 §6)."""
    given = "https", "app.example", "/auth/api"
    assert list(forwarded(IPv6Address("2001:db8::1"), *given)) == [
        ("X-Forwarded-For", "2001:db8::1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "app.example"),
        ("X-Forwarded-Prefix", "/auth/api"),
        ("Forwarded", 'for="[2001:db8::1]";proto=https;host="app.example"'),
    ]
    assert (
        list(forwarded(IPv4Address("203.0.113.7"), *given))[-1][1] == 'for=203.0.113.7;proto=https;host="app.example"'
    )
    assert list(forwarded(None, *given))[-1][1] == 'proto=https;host="app.example"'


@pytest.mark.parametrize(
    "name",
    [
        "Set-Cookie",
        "Access-Control-Allow-Origin",
        "Access-Control-Allow-Headers",
        "Strict-Transport-Security",
        "Clear-Site-Data",
        "Service-Worker-Allowed",
        "Server",
        "Alt-Svc",
        "DPoP-Nonce",
        "Refresh",
        "Transfer-Encoding",
        "Connection",
        "Upgrade",
        "Date",
    ],
)
def test_what_an_upstream_may_not_say(name: str) -> None:
    """Cookies, permissions for other sites, and what counts for the whole site."""
    assert of_response((name, "x")) == QUIET


def test_cookies_of_an_upstream() -> None:
    """Where they are allowed, never those of the gateway, nor any that could pass for them."""
    allowed = RESPONSE | checked_names("response_headers", ["Set-Cookie"])
    given = ["a=1; Path=/", "__Host-session=x", " __Host-session =x", "__Host-session", "=__Host-session=x", "b=2"]
    found = of_response(*(("Set-Cookie", value) for value in given), allowed=allowed)
    assert found == [("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2"), *QUIET]


@pytest.mark.parametrize(
    ("control", "added"),
    [
        (None, "no-store"),
        ("max-age=60", "private"),
        ("no-cache", "private"),
        ("x-public", "private"),
        ("private, max-age=60", None),
        ("Public, max-age=60", None),
        ("max-age=1,s-maxage=60", None),
        ("no-store", None),
        ('private="x-a", max-age=60', "private"),
        ('max-age=60, ext="a, public"', "private"),
        ("max-age=60, public-ish", "private"),
        ('max-age=60, ext="a, public, \\', "private"),
    ],
)
def test_shared_caches(control: str | None, added: str | None) -> None:
    """RFC 9111 §3.5: what needed a token is for no shared cache, unless the upstream says that it is."""
    given = [] if control is None else [("Cache-Control", control)]
    found = [value for name, value in of_response(*given) if name == "Cache-Control"]
    assert found == [value for value in (control, added) if value is not None]


def test_challenges() -> None:
    """A browser shows no dialogue for a password of another site."""
    dpop, basic = ("WWW-Authenticate", 'DPoP error="invalid_token"'), ("WWW-Authenticate", 'Basic realm="x"')
    assert of_response(dpop, basic, ("WWW-Authenticate", "DPoP, Basic")) == [dpop, *QUIET]


@pytest.mark.parametrize(
    "before", ["@", "DPoP a;b", 'DPoP error="x', f'DPoP error="{"x" * 9000}"'], ids=lambda before: before[:12]
)
def test_password_behind_what_is_no_challenge(before: str) -> None:
    """A browser may read on where the grammar is broken, or a field is long."""
    assert of_response(("WWW-Authenticate", f'{before}, Basic realm="x"')) == QUIET


def test_what_is_not_forwarded_says_nothing() -> None:
    """A field that belongs to the connection, or is invalid, does not take the place of the gateway's own."""
    listed = ("Connection", "close, cache-control, x-content-type-options")
    assert of_response(listed, *QUIET) == QUIET
    assert of_response(("Cache-Control", "no-store\x7f")) == QUIET


def test_types_are_not_guessed() -> None:
    """Whatever an upstream says."""
    for said in ("nosniff", "sniff"):
        assert of_response(("X-Content-Type-Options", said)) == QUIET


@pytest.mark.parametrize(
    ("challenge", "demands"),
    [
        (
            'DPoP error="insufficient_user_authentication", max_age=5, acr_values="a b"',
            {"max_age": "5", "acr_values": "a b"},
        ),
        ('Bearer error="insufficient_user_authentication"', {}),
        ('DPoP error="invalid_token"', None),
        ('Other error="insufficient_user_authentication"', None),
        ("", None),
    ],
)
def test_a_step_up_that_is_asked_for(challenge: str, demands: Any) -> None:
    """RFC 9470 §3."""
    assert step_up_of(CIMultiDict({"WWW-Authenticate": challenge})) == demands


@pytest.mark.parametrize(
    "names",
    [
        "X-Own",
        None,
        [""],
        ["a b"],
        ["X-é"],
        ["a:"],
        ["Cookie"],
        ["authorization"],
        ["Connection"],
        ["Host"],
        ["X-Forwarded-For"],
        ["Sec-Fetch-Mode"],
        ["Access-Control-Allow-Origin"],
        [1],
    ],
)
def test_names_that_cannot_be_allowed(names: Any) -> None:
    """No team lets credentials or framing through by mistake."""
    with pytest.raises(UsageError) as refused:
        checked_names("headers", names)
    assert refused.value.argument == "headers"
