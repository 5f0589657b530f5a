"""Public paths: only what is named, in its plain spelling."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passwordless_async.adapters._paths import PublicPaths
from passwordless_async.errors import UsageError

PATHS = PublicPaths(["/health", "/docs/", "/static/*", "/"])


@pytest.mark.parametrize("path", ["/health", "/docs/", "/", "/static/a.css", "/static/a/b/", "/static/a%20b/%C3%A9.js"])
def test_named_paths_are_public(path: str) -> None:
    """By themselves, or below a prefix."""
    assert PATHS.covers(path)


@pytest.mark.parametrize(
    "path",
    [
        *("", "/me", "/health/", "/Health", "//health", "/health/x", "/./health", "/x/../health", "/healthz", "health"),
        *("/%68ealth", "/health%2F", "/health;x=1", "/health%00", "/health\\", "/health?x", "/health#x", "*"),
        *("/docs", "/static", "/static/", "/static/../me", "/static/..", "/static/.", "/static/a/../../me"),
        *("/static/%2e%2e/me", "/static/..%2Fme", "/static/%2E./me", "/static//me", "/static/a;b", "/static/a\\..\\me"),
        *("/static/%5C..", "/static/a%", "/static/a?b", "/static/a#b", "/static/é", "/static/%61", "/static/a%2Fb"),
        *("http://api.example/health", "/static/%00", "/static/a\n", "/health\n", "/static/%0A", "/static/.%2e/me"),
    ],
)
def test_every_other_spelling_needs_a_token(path: str) -> None:
    """Whatever it leads to: two readers may take it differently."""
    assert not PATHS.covers(path)


@given(path=st.text("/.%2eE5cCfF;\\static a", max_size=30))
def test_what_is_public_has_one_reading(path: str) -> None:
    """A public path below a prefix stays there, decoded or with its dot segments removed."""
    target = f"/static/{path}"
    if PATHS.covers(target):
        segments = unquote(target, errors="replace").split("/")
        assert not {".", ".."} & set(segments)
        assert "" not in segments[1:-1]
        assert len(segments) == len(target.split("/"))


@pytest.mark.parametrize(
    "paths",
    [
        "/health",
        b"/health",
        None,
        7,
        ["health"],
        ["*"],
        ["/a*"],
        ["/*/a"],
        ["/a/**"],
        ["/a//b"],
        ["/%61"],
        ["/a;b"],
        ["/a/../b"],
        [b"/a"],
        ["/a?b"],
        [""],
        ["/a"] * 1001,
    ],
)
def test_other_arguments_are_refused(paths: Any) -> None:
    """A list of plain paths, or no server starts with it."""
    with pytest.raises(UsageError) as caught:
        PublicPaths(paths)
    assert str(caught.value) == 'public: must be a list of at most 1000 paths, such as ["/health", "/static/*"]'


def test_everything_may_be_public() -> None:
    """``/*`` says so; tricks need a token all the same."""
    paths = PublicPaths(["/*"])
    assert (paths.covers("/me"), paths.covers("/a/../me"), bool(paths), bool(PublicPaths(()))) == (
        True,
        False,
        True,
        False,
    )
