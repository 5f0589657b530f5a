"""The types of ASGI, and the path of a request from its scope.

A server decodes percent-escapes in ``path``; ``raw_path`` is undecoded, if the server has it. ``root_path`` is the
application's mount path.
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
    """Return the undecoded path; without ``raw_path``, it is unknown whether a ``/`` was ``%2F``."""
    raw: bytes | None = scope.get("raw_path")
    return as_sent(scope["path"]) if raw is None else raw.decode("latin-1")


def root_path(scope: Mapping[str, Any]) -> str:
    """Return the application's mount path, decoded and without a slash at its end."""
    root: str = scope.get("root_path") or ""
    return root.rstrip("/")


def mount_of(scope: Mapping[str, Any]) -> str:
    """Return the application's mount path, undecoded."""
    root = root_path(scope)
    return as_sent(root) if root else ""


def as_sent(path: str) -> str:
    """Return a decoded path as clients send it."""
    return quote(path, safe=_PATH_SAFE, errors="replace")
