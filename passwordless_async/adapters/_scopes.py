"""What an ASGI scope says of a request: the target that its client signed, and the path that the application routes.

A server's ``path`` has percent-escapes decoded; ``raw_path`` is as it came, where the server gives it. ``root_path`` is
where the application is mounted. uvicorn and Starlette have it at the start of ``path`` as well, Hypercorn has not; as
Starlette does, it counts as there if ``path`` begins with it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from passwordless_async.adapters._authorize import PASSED, Passed, overlap
from passwordless_async.dpop.server import uri

if TYPE_CHECKING:
    from passwordless_async.adapters._authorize import Authorizer
    from passwordless_async.resource_server.guard import Authorized

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY_VIOLATION = 1008  # RFC 6455 §7.4.1; before the handshake is accepted a server makes it a 403
AUTHORIZED: Final = "authorized"
"""The scope's key for the :class:`~passwordless_async.Authorized`: who asks, and what they may do."""

_PATH_SAFE = "/!$&'()*+,;=:@~-._"  # RFC 3986 §3.3, pchar and the slash


async def authorize(authorizer: Authorizer, scope: Scope) -> tuple[Authorized, bool]:
    """Check the request of a scope. Returns and raises as :meth:`Authorizer.admit`."""
    headers = scope.get("headers") or ()
    if not isinstance(headers, list | tuple):  # an iterator can be read only once
        headers = list(headers)
    return await authorizer.admit(
        scope.get(PASSED),
        scope.get("method") or "GET",
        lambda base_path: target_of(scope, base_path),
        headers,
        _mounted(scope),
    )


def passed(authorizer: Authorizer, authorized: Authorized) -> dict[str, Any]:
    """Return what a scope has of a request that passed."""
    return {AUTHORIZED: authorized, PASSED: Passed(authorizer.api, authorized)}


def target_of(scope: Mapping[str, Any], base_path: str) -> str:
    """Return the path as the client sees it, without that of the base URL, which the verifier puts before it."""
    raw, root = _raw_path(scope), _root_path(scope)
    if not root:
        return raw
    mounted = _mounted(scope)
    whole = raw if _begins(scope["path"], root) else mounted + raw
    # The base URL has the root path in it already, or where it begins: an application within may be mounted deeper.
    shared = overlap(base_path, mounted)
    normal = uri.normalize_path(whole) if shared else None
    return normal[len(shared) :] if normal is not None and _begins(normal, shared) else whole


def path_below(scope: Mapping[str, Any]) -> str:
    """Return the path below the root path, as it came; empty if it is spelled in two ways.

    A middleware outside may have rewritten ``path``, which the application routes, and not ``raw_path``.
    """
    raw, path, root = _raw_path(scope), scope["path"], _mounted(scope)
    if quote(path, safe=_PATH_SAFE, errors="replace") != raw.partition("?")[0]:
        return ""
    return raw[len(root) :] if root and _begins(raw, root) else raw


def public_path(scope: Mapping[str, Any]) -> str:
    """Return the path below the root path, as it came; empty if frameworks may route another one.

    Of a path that has the root path elsewhere than at its start, Litestar routes what comes after. Where the root path
    ends with a slash, Starlette routes the whole path, others what is below.
    """
    raw, root = _raw_path(scope), _mounted(scope)
    if root and root in raw and (not _begins(raw, root) or scope["root_path"].endswith("/")):
        return ""
    return path_below(scope)


def _raw_path(scope: Mapping[str, Any]) -> str:
    """Return the path as it came; a server without ``raw_path`` hides whether a ``/`` was ``%2F``."""
    raw: bytes | None = scope.get("raw_path")
    return quote(scope["path"], safe=_PATH_SAFE, errors="replace") if raw is None else raw.decode("latin-1")


def _root_path(scope: Mapping[str, Any]) -> str:
    root: str = scope.get("root_path") or ""
    return root.rstrip("/")


def _mounted(scope: Mapping[str, Any]) -> str:
    """Return the root path as it stands in a path that came."""
    return quote(_root_path(scope), safe=_PATH_SAFE, errors="replace")


def _begins(path: str, root: str) -> bool:
    return path == root or path.startswith(f"{root}/")
