"""Where a login may return to."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passwordless_async import UsageError
from passwordless_async.gateway.return_paths import checked_home, checked_prefixes, return_path

SITE = "https://app.example/auth/code"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/app",
        "/app/",
        "/app/x?next=//evil.example",
        "/app#a",
        "/app/%C3%A9",
        "/app/a.b",
        "/app/..a",
        "/a:b",
        "/" + "a" * 1023,
    ],
)
def test_paths_of_the_site(path: str) -> None:
    """As they were given."""
    assert return_path(path, ("/",)) == path


@pytest.mark.parametrize(
    "path",
    [
        *(None, "", "app", "//", "//evil.example", "///evil.example", "/\\evil.example", "\\/evil.example"),
        *("https://evil.example", "http:evil.example", "javascript:alert(1)", "/\t/evil.example", "/\n/evil.example"),
        *("/a//b", "/a%2f%2fb", "/a/../b", "/..", "/a/%2e%2E/b", "/a/.", "/a%5cb", "/é", "/a b", "/a\r\nX: y", "/a\0"),
        *("/" + "a" * 1024, "/%2fevil.example", '/"onload', "/<x>"),
    ],
)
def test_everything_else(path: str | None) -> None:
    """Counts as none."""
    assert return_path(path, ("/",)) is None


@pytest.mark.parametrize(
    ("path", "allowed"), [("/app", True), ("/app/x", True), ("/app?x", True), ("/apple", False), ("/", False)]
)
def test_prefixes(path: str, *, allowed: bool) -> None:
    """A prefix ends at a slash."""
    assert (return_path(path, ("/app",)) == path) is allowed
    assert return_path("/%61pp", ("/app",)) == "/%61pp"
    assert return_path(path, ()) is None


@given(st.text(alphabet="/\\.:@?#%2f5ceE\t\n ahttps", max_size=20))
def test_a_browser_stays_on_the_site(text: str) -> None:
    """Whatever is let through has this site's scheme and host."""
    path = return_path(text, ("/",))
    if path is not None:
        assert urlsplit(urljoin(SITE, path.replace("\\", "/")))[:2] == ("https", "app.example")


@pytest.mark.parametrize("home", [None, "/", "/app?a=1"])
def test_a_home(home: str | None) -> None:
    """A path of the site, as it was given, or none."""
    assert checked_home(home) == home


@pytest.mark.parametrize("home", ["", "app", "//evil.example", "https://evil.example", "/a/../b", 5])
def test_a_home_that_is_none(home: Any) -> None:
    """A mistake of the application's."""
    with pytest.raises(UsageError, match="home: must be a path of the site, such as /"):
        checked_home(home)


@pytest.mark.parametrize("prefixes", [["app"], ["//x"], ["/a b"], [5], [""]])
def test_prefixes_that_are_none(prefixes: list[str]) -> None:
    """A mistake of the application's."""
    with pytest.raises(UsageError, match="return_to"):
        checked_prefixes(prefixes)
