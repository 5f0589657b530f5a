"""What a scope says of a request's path."""

from __future__ import annotations

from typing import Any

import pytest

from passwordless_async._common.asgi import as_sent, mount_of, raw_path, root_path


@pytest.mark.parametrize(
    ("scope", "path"),
    [
        ({"path": "/a b", "raw_path": b"/a%20b"}, "/a%20b"),
        ({"path": "/a/b", "raw_path": b"/a%2Fb"}, "/a%2Fb"),
        ({"path": "/\xe9", "raw_path": b"/\xe9"}, "/\xe9"),
        ({"path": "/a b/\xe9"}, "/a%20b/%C3%A9"),
        ({"path": "/a+b;c=d@e", "raw_path": None}, "/a+b;c=d@e"),
        ({"path": "/\udc80"}, "/%3F"),
    ],
)
def test_the_path_as_it_came(scope: dict[str, Any], path: str) -> None:
    """As the server has it, else encoded again."""
    assert raw_path(scope) == path


@pytest.mark.parametrize(
    ("scope", "root", "mount"),
    [
        ({}, "", ""),
        ({"root_path": None}, "", ""),
        ({"root_path": "/"}, "", ""),
        ({"root_path": "/auth/"}, "/auth", "/auth"),
        ({"root_path": "/a b"}, "/a b", "/a%20b"),
        ({"root_path": "/a+b"}, "/a+b", "/a+b"),
    ],
)
def test_where_it_is_mounted(scope: dict[str, Any], root: str, mount: str) -> None:
    """Decoded, and as it stands in a path that came: clients leave "+" as it is."""
    assert (root_path(scope), mount_of(scope)) == (root, mount)


def test_line_breaks_are_encoded() -> None:
    """A path stands in header fields."""
    assert as_sent("/a\r\nb") == "/a%0D%0Ab"
