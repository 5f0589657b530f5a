"""Login pages, sessions and a proxy for browsers, in front of a team's services.

Tokens never reach the browser. It holds the identifier of a stored session in a cookie, and the gateway adds a fresh
proof to each call that it forwards. Needs the extra ``gateway``.

Each name is imported when it is first used (PEP 562).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async._common.lazy import lazy, module_of

if TYPE_CHECKING:
    # What type checkers see; "X as X" exports it. A test compares it with the table.
    from passwordless_async.gateway.audit import AuditEvent as AuditEvent
    from passwordless_async.gateway.audit import AuditKind as AuditKind
    from passwordless_async.gateway.audit import JsonLines as JsonLines
    from passwordless_async.gateway.budgets import Budgets as Budgets
    from passwordless_async.gateway.budgets import Sms as Sms
    from passwordless_async.gateway.captcha import Captcha as Captcha
    from passwordless_async.gateway.gateway import Gateway as Gateway
    from passwordless_async.gateway.hooks import Starting as Starting
    from passwordless_async.gateway.messages import Request as Request
    from passwordless_async.gateway.messages import Response as Response
    from passwordless_async.gateway.mounts.asgi import ASGIGateway as ASGIGateway
    from passwordless_async.gateway.problems import Refused as Refused
    from passwordless_async.gateway.proxy.upstream import Upstream as Upstream
    from passwordless_async.gateway.texts.catalogs import Texts as Texts
    from passwordless_async.gateway.users import Connection as Connection
    from passwordless_async.gateway.users import CurrentUser as CurrentUser
    from passwordless_async.gateway.users import UserOf as UserOf

__all__ = [
    "ASGIGateway",
    "AuditEvent",
    "AuditKind",
    "Budgets",
    "Captcha",
    "Connection",
    "CurrentUser",
    "Gateway",
    "JsonLines",
    "Refused",
    "Request",
    "Response",
    "Sms",
    "Starting",
    "Texts",
    "Upstream",
    "UserOf",
]

# The public names, by the module that each is imported from.
_NAMES = {
    "audit": "AuditEvent AuditKind JsonLines",
    "budgets": "Budgets Sms",
    "captcha": "Captcha",
    "gateway": "Gateway",
    "hooks": "Starting",
    "messages": "Request Response",
    "mounts.asgi": "ASGIGateway",
    "problems": "Refused",
    "proxy.upstream": "Upstream",
    "texts.catalogs": "Texts",
    "users": "Connection CurrentUser UserOf",
}
_MODULE_OF = module_of(__name__, _NAMES)

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(__name__, _MODULE_OF)
