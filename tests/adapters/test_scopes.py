"""The target of an ASGI request, as its client signed it, and its public path."""

from __future__ import annotations

from typing import Any

import pytest

from passwordless_async.adapters._scopes import public_path, target_of


def scope(path: str, raw: str | None = "", root: str | None = "") -> dict[str, Any]:
    """Return a scope; its raw path is its path unless given."""
    raw_path = None if raw is None else (raw or path).encode("latin-1")
    return {"type": "http", "path": path, "raw_path": raw_path, "root_path": root}


@pytest.mark.parametrize(
    ("given", "base_path", "target"),
    [
        (scope("/me"), "", "/me"),
        (scope("/a/b", "/a%2Fb"), "", "/a%2Fb"),
        (scope("/me", root=None), "/v1", "/me"),
        # uvicorn and Starlette: the path has the root path at its start
        (scope("/v1/me", root="/v1"), "", "/v1/me"),
        (scope("/v1/me", root="/v1"), "/v1", "/me"),
        (scope("/v1/me", root="/v1/"), "/v1", "/me"),
        (scope("/v1/me", root="/v1"), "/gateway", "/v1/me"),
        (scope("/v1/me", root="/v1"), "/gateway/v1", "/me"),
        (scope("/v1", root="/v1"), "/v1", ""),
        # an application within is mounted deeper than the base URL
        (scope("/v1/sub/me", root="/v1/sub"), "/v1", "/sub/me"),
        (scope("/v1/sub/me", root="/v1/sub"), "/gateway/v1", "/sub/me"),
        (scope("/v1/sub/me", root="/v1/sub"), "/v1/sub", "/me"),
        (scope("/v1/sub/me", root="/v1/sub"), "/sub", "/v1/sub/me"),
        (scope("/v12/sub/me", root="/v12/sub"), "/v1", "/v12/sub/me"),
        (scope("/v1/me", "/%761/me", root="/v1"), "/v1", "/me"),
        # Hypercorn: it has not
        (scope("/me", root="/v1"), "", "/v1/me"),
        (scope("/me", root="/v1"), "/v1", "/me"),
        (scope("/v12/me", root="/v1"), "", "/v1/v12/me"),
        (scope("/é", None, root="/ü"), "", "/%C3%BC/%C3%A9"),
        # dot segments cannot climb out of the base URL's path
        (scope("/v1/../me", root="/v1"), "/v1", "/v1/../me"),
    ],
)
def test_target_is_below_the_base_url(given: dict[str, Any], base_path: str, target: str) -> None:
    """The base URL's path and the target together are the path that the client sees."""
    assert target_of(given, base_path) == target


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (scope("/docs"), "/docs"),
        (scope("/v1/docs", root="/v1"), "/docs"),
        (scope("/docs", root="/v1"), "/docs"),
        (scope("/docs", None), "/docs"),
        (scope("/docs", "/%64ocs"), ""),
        (scope("/me", "/docs"), ""),
        (scope("/v1/docs", "/%761/docs", root="/v1"), ""),
        # Starlette routes the whole path here
        (scope("/v1/docs", root="/v1/"), ""),
        (scope("/v1/docs", root="/v1//"), ""),
        (scope("/docs", root="/v1/"), "/docs"),
        (scope("/docs", root="/"), "/docs"),
    ],
)
def test_public_path_is_below_the_root_path(given: dict[str, Any], path: str) -> None:
    """It is empty where the path that is routed and the one that came differ."""
    assert public_path(given) == path
