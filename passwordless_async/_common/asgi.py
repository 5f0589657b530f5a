"""The types of ASGI, and what a scope says of a request's path.

A server's ``path`` has percent-escapes decoded; ``raw_path`` is as it came, where the server gives it. ``root_path`` is
where the application is mounted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import quote

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_PATH_SAFE = "/!$&'()*+,;=:@~-._"  # RFC 3986 §3.3, pchar and the slash


def raw_path(scope: Mapping[str, Any]) -> str:
    """Return the path as it came; a server without ``raw_path`` hides whether a ``/`` was ``%2F``."""
    raw: bytes | None = scope.get("raw_path")
    return as_sent(scope["path"]) if raw is None else raw.decode("latin-1")


def root_path(scope: Mapping[str, Any]) -> str:
    """Return where the application is mounted, decoded and without a slash at its end."""
    root: str = scope.get("root_path") or ""
    return root.rstrip("/")


def mount_of(scope: Mapping[str, Any]) -> str:
    """Return the same as it stands in a path that came."""
    root = root_path(scope)
    return as_sent(root) if root else ""


def as_sent(path: str) -> str:
    """Return a decoded path as clients send it."""
    return quote(path, safe=_PATH_SAFE, errors="replace")
