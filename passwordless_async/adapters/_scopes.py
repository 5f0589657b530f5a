"""Reads the request in an ASGI scope: the target that the client signed, and the path that the application routes.

uvicorn and Starlette repeat the root path at the start of ``path``; Hypercorn does not. As in Starlette, it counts as
repeated if ``path`` begins with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from passwordless_async._common.asgi import Scope, as_sent, mount_of, raw_path, root_path
from passwordless_async.adapters._authorize import PASSED, Passed, overlap
from passwordless_async.dpop.server import uri

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async.adapters._authorize import Authorizer
    from passwordless_async.resource_server.guard import Authorized

POLICY_VIOLATION = 1008  # RFC 6455 §7.4.1; before the handshake is accepted a server makes it a 403
AUTHORIZED: Final = "authorized"
"""The scope's key for the :class:`~passwordless_async.Authorized`: the user, the application and the granted scopes."""


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
        mount_of(scope),
    )


def passed(authorizer: Authorizer, authorized: Authorized) -> dict[str, Any]:
    """Return the result of an earlier check from a scope."""
    return {AUTHORIZED: authorized, PASSED: Passed(authorizer.api, authorized)}


def target_of(scope: Mapping[str, Any], base_path: str) -> str:
    """Return the path as the client sees it, without that of the base URL, which the verifier puts before it."""
    raw, root = raw_path(scope), root_path(scope)
    if not root:
        return raw
    mounted = mount_of(scope)
    whole = raw if _begins(scope["path"], root) else mounted + raw
    # The base URL already has the root path, or its beginning: an inner application may be mounted deeper.
    shared = overlap(base_path, mounted)
    normal = uri.normalize_path(whole) if shared else None
    return normal[len(shared) :] if normal is not None and _begins(normal, shared) else whole


def path_below(scope: Mapping[str, Any]) -> str:
    """Return the path below the root path, as it came; empty if it is spelled in two ways.

    An outer middleware may have rewritten ``path``, by which the application routes, but not ``raw_path``.
    """
    raw, path, root = raw_path(scope), scope["path"], mount_of(scope)
    if as_sent(path) != raw.partition("?")[0]:
        return ""
    return raw[len(root) :] if root and _begins(raw, root) else raw


def public_path(scope: Mapping[str, Any]) -> str:
    """Return the path below the root path, as it came; empty if frameworks may route another one.

    If the root path occurs elsewhere than at the start of a path, Litestar routes the part after it. If the root path
    ends with a slash, Starlette routes the whole path, and others the part below it.
    """
    raw, root = raw_path(scope), mount_of(scope)
    if root and root in raw and (not _begins(raw, root) or scope["root_path"].endswith("/")):
        return ""
    return path_below(scope)


def _begins(path: str, root: str) -> bool:
    return path == root or path.startswith(f"{root}/")
