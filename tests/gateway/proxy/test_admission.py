"""Which calls are passed on at all."""

from __future__ import annotations

from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from passwordless_async.gateway.framing import Framing
from passwordless_async.gateway.proxy.admission import Refusal, admit, is_navigation
from passwordless_async.gateway.proxy.messages import ProxiedRequest

ORIGIN = "https://app.example"
SAME = ("Sec-Fetch-Site", "same-origin")
NAVIGATION = ("Sec-Fetch-Mode", "navigate")


def request(method: str, *pairs: tuple[str, str], path: str = "/api/me", **more: Any) -> ProxiedRequest:
    headers = CIMultiDictProxy(CIMultiDict(pairs))
    return ProxiedRequest(method=method, mount="", path=path, query=more.pop("query", ""), headers=headers, **more)


def admitted(asked: ProxiedRequest) -> Framing | tuple[str, int]:
    try:
        return admit(asked, origin=ORIGIN, at_most=100, prefix="/api/")
    except Refusal as refusal:
        return refusal.key, refusal.status


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "TRACK", "get", "G T", "", "A" * 40, "GET\r\nX"])
def test_methods(method: str) -> None:
    """Tunnels, echoes, and what is none."""
    assert admitted(request(method, SAME)) == ("not_allowed", 405)


def test_addresses() -> None:
    """A path or a query that is not clear."""
    assert admitted(request("GET", path="/api/../x")) == ("unclear_address", 400)
    assert admitted(request("GET", query="a#b")) == ("unclear_address", 400)


@pytest.mark.parametrize(
    ("pairs", "framing"),
    [
        ([], Framing(has_body=False, length=None)),
        ([("Content-Length", "0")], Framing(has_body=False, length=0)),
        ([("Content-Length", "7")], Framing(has_body=True, length=7)),
        ([("Transfer-Encoding", "Chunked")], Framing(has_body=True, length=None)),
        ([("Content-Length", "101")], ("too_large", 413)),
    ],
)
def test_framing(pairs: list[tuple[str, str]], framing: Any) -> None:
    """By one length, or by chunks."""
    assert admitted(request("POST", SAME, *pairs)) == framing


@pytest.mark.parametrize(
    "pairs",
    [
        [("Content-Length", "7"), ("Transfer-Encoding", "chunked")],
        [("Content-Length", "7"), ("Content-Length", "7")],
        [("Content-Length", "7, 7")],
        [("Content-Length", "+7")],
        [("Content-Length", "-1")],
        [("Content-Length", "0x7")],
        [("Content-Length", "\u0667")],
        [("Content-Length", "")],
        [("Content-Length", "9" * 20)],
        [("Transfer-Encoding", "gzip, chunked")],
        [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "identity")],
        [("Transfer-Encoding", "xchunked")],
        [("Transfer-Encoding", "identity")],
    ],
)
def test_smuggling(pairs: list[tuple[str, str]]) -> None:
    """RFC 9112 §6.3: what two servers may frame in two ways."""
    assert admitted(request("POST", SAME, *pairs)) == ("malformed_request", 400)


def test_a_body_without_framing() -> None:
    """As in HTTP/2; a method that has none has none."""
    assert admitted(request("POST", SAME, unframed=True)) == Framing(has_body=True, length=None)
    assert admitted(request("GET", SAME, unframed=True)) == Framing(has_body=False, length=None)


@pytest.mark.parametrize(
    ("method", "pairs", "passes"),
    [
        ("GET", [], True),
        ("GET", [SAME], True),
        ("GET", [("Sec-Fetch-Site", "none")], True),
        ("GET", [("Sec-Fetch-Site", "cross-site")], False),
        ("GET", [("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "no-cors")], False),
        ("GET", [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")], True),
        ("GET", [("Sec-Fetch-Site", "cross-site"), NAVIGATION, ("Sec-Fetch-Dest", "document")], True),
        ("GET", [("Sec-Fetch-Site", "same-site"), NAVIGATION, ("Sec-Fetch-Dest", "iframe")], False),
        ("GET", [("Sec-Fetch-Site", "same-site"), NAVIGATION, ("Sec-Fetch-Dest", "object")], False),
        ("GET", [SAME, ("Sec-Fetch-Site", "cross-site")], False),
        ("OPTIONS", [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "cors")], False),
        ("POST", [], False),
        ("POST", [SAME], True),
        ("POST", [("X-CSRF", "1")], True),
        ("POST", [("X-CSRF", "0")], False),
        ("POST", [("Origin", ORIGIN)], True),
        ("POST", [("Origin", "https://evil.example")], False),
        ("POST", [("Origin", "null")], False),
        ("POST", [("Origin", "https://evil.example"), ("X-CSRF", "1")], False),
        ("POST", [("Sec-Fetch-Site", "cross-site"), ("X-CSRF", "1")], False),
        ("POST", [("Sec-Fetch-Site", "same-site"), ("Origin", ORIGIN)], False),
        ("DELETE", [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")], False),
    ],
)
def test_cross_site_requests(method: str, pairs: list[tuple[str, str]], *, passes: bool) -> None:
    """What the browser says counts; only one that says nothing needs the header field of a program."""
    expected = Framing(has_body=False, length=None) if passes else ("csrf", 403)
    assert admitted(request(method, *pairs)) == expected


def test_a_websocket_is_no_read() -> None:
    """Browsers send cookies with it whatever page opens it."""
    assert admitted(request("GET", socket=True)) == ("csrf", 403)
    assert admitted(request("GET", ("Origin", "https://evil.example"), socket=True)) == ("csrf", 403)
    assert admitted(request("GET", ("Origin", ORIGIN), socket=True)) == Framing(has_body=False, length=None)


@pytest.mark.parametrize(
    ("pairs", "is_page"),
    [
        ([("Sec-Fetch-Mode", "navigate")], True),
        ([("Sec-Fetch-Mode", "cors"), ("Accept", "text/html")], False),
        ([("Accept", "text/html,*/*")], True),
        ([("Accept", "*/*")], False),
        ([], False),
    ],
)
def test_navigations(pairs: list[tuple[str, str]], *, is_page: bool) -> None:
    """By what the browser says, or else by what it accepts."""
    assert is_navigation(CIMultiDict(pairs)) is is_page
