"""Upstreams: their arguments, which calls are theirs, and where these go."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passwordless_async import UsageError
from passwordless_async.gateway import Upstream
from passwordless_async.gateway.proxy.paths import is_safe_path
from passwordless_async.gateway.proxy.upstream import checked_upstreams

API = "https://api.example"


@pytest.mark.parametrize(
    ("prefix", "url", "path", "query", "target"),
    [
        ("/api/", API, "/api/me", "", f"{API}/me"),
        ("/api", API, "/api/me", "a=%2F&b", f"{API}/me?a=%2F&b"),
        ("/api/", API, "/api/", "", f"{API}/"),
        ("/api/", API, "/api", "", f"{API}/"),
        ("/api/", f"{API}/v2", "/api/me", "", f"{API}/v2/me"),
        ("/api/", f"{API}/v2/", "/api/me", "", f"{API}/v2/me"),
        ("/api/", f"{API}/v2", "/api/", "", f"{API}/v2/"),
        ("/api/", f"{API}/v2", "/api", "", f"{API}/v2"),
        ("/", f"{API}:8443/api", "/me", "", f"{API}:8443/api/me"),
        ("/api/", "http://127.0.0.1:8080", "/api/%C3%A9%20;v=1", "", "http://127.0.0.1:8080/%C3%A9%20;v=1"),
    ],
)
def test_where_a_call_goes(prefix: str, url: str, path: str, query: str, target: str) -> None:
    """What follows the prefix follows the URL, as it came."""
    upstream = Upstream(prefix, url)
    assert upstream.is_above(path) is True
    assert str(upstream.target(path, query)) == target


@given(st.text(st.sampled_from("/.%2eEfF5cC;a@:"), max_size=12))
def test_no_path_leaves_the_origin_or_the_base(rest: str) -> None:
    """Whatever follows the prefix."""
    path = f"/api/{rest}"
    if is_safe_path(path):
        target = Upstream("/api/", f"{API}/v2").target(path, "")
        assert (str(target.origin()), target.raw_path.startswith("/v2/"), target.raw_query_string) == (API, True, "")


@pytest.mark.parametrize("path", ["/apis/me", "/ap", "/", "/API/me", "/%61pi/me", "/x/api/me"])
def test_what_is_not_below_a_prefix(path: str) -> None:
    """Segment by segment, as it came."""
    assert Upstream("/api/", API).is_above(path) is False


def test_the_longest_prefix_comes_first() -> None:
    """Whatever the order that they are given in."""
    given_ = [Upstream("/", API), Upstream("/api/v2/", API), Upstream("/api/", API)]
    found = checked_upstreams(given_, audience=None, reserved=["login", ""])
    assert [upstream.prefix for upstream in found] == ["/api/v2/", "/api/", "/"]


@pytest.mark.parametrize(
    ("value", "browser"),
    [
        (f"{API}/v2/a?b", "/auth/api/a?b"),
        ("/v2/a", "/auth/api/a"),
        (f"{API}/other", f"{API}/other"),
        ("/other", "/other"),
        ("//api.example/v2/a", "//api.example/v2/a"),
        ("https://api.example.evil/v2/a", "https://api.example.evil/v2/a"),
        ("https://login.example/", "https://login.example/"),
        ("a", "a"),
    ],
)
def test_where_a_response_points(value: str, browser: str) -> None:
    """A place of the upstream's is one below the prefix; others stay."""
    assert Upstream("/api/", f"{API}/v2").location(value, "/auth") == browser


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        (("api", API), "prefix"),
        (("/../", API), "prefix"),
        (("/a//b", API), "prefix"),
        (("/a%20b", API), "prefix"),
        (("/a;b", API), "prefix"),
        ((1, API), "prefix"),
        (("/api/", "http://api.example"), "url"),
        (("/api/", f"{API}?a=1"), "url"),
        (("/api/", f"{API}/../a"), "url"),
        (("/api/", f"{API}#a"), "url"),
        (("/api/", "https://user:hunter2@api.example"), "url"),
        (("/api/", "ftp://api.example"), "url"),
        (("/api/", None), "url"),
    ],
)
def test_places_that_are_refused(arguments: tuple[Any, ...], argument: str) -> None:
    """The error names the argument, and no secret."""
    with pytest.raises(UsageError) as refused:
        Upstream(*arguments)
    assert refused.value.argument == argument
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeout", 0),
        ("connect_timeout", -1),
        ("upload_timeout", "1"),
        ("max_request_bytes", 0),
        ("max_response_bytes", 0),
        ("max_message_bytes", 1.5),
        ("max_connections", 0),
        ("max_per_session", None),
        ("max_sockets", 0),
        ("headers", ["Cookie"]),
        ("response_headers", "X-Own"),
        ("audience", ""),
    ],
)
def test_bounds_that_are_refused(name: str, value: Any) -> None:
    """The error names the argument."""
    with pytest.raises(UsageError) as refused:
        Upstream("/api/", API, **{name: value})
    assert refused.value.argument == name


def test_scopes() -> None:
    """A list, or words."""
    assert Upstream("/api/", API, scopes="read write").scopes == {"read", "write"}
    assert Upstream("/api/", API, scopes=["read"]).scopes == {"read"}
    with pytest.raises(UsageError):
        Upstream("/api/", API, scopes=['"'])
    with pytest.raises(UsageError, match="scopes: must have spaces between the names, not commas"):
        Upstream("/api/", API, scopes="read, write")
    assert Upstream("/api/", API, scopes=["read,write"]).scopes == {"read,write"}


@pytest.mark.parametrize(
    "upstreams",
    [
        [None],
        Upstream("/api/", API, audience="other"),
        [Upstream("/login/", API)],
        [Upstream("/sessions/x", API)],
        [Upstream("/api", API), Upstream("/api/", f"{API}/2")],
    ],
)
def test_what_no_gateway_takes(upstreams: Any) -> None:
    """A prefix of the gateway's own, the same one twice, another audience."""
    with pytest.raises(UsageError) as refused:
        checked_upstreams(upstreams, audience=API, reserved=["", "login", "sessions"])
    assert refused.value.argument == "upstreams"
