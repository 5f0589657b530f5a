"""The gateway mounted in web frameworks: each module makes a ``Request`` and writes a ``Response``.

Each name is imported when it is first used (PEP 562): an ASGI application does not need ``aiohttp.web``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async._common.lazy import lazy

if TYPE_CHECKING:
    from passwordless_async.gateway.mounts.aiohttp_web import application as application
    from passwordless_async.gateway.mounts.asgi import ASGIGateway as ASGIGateway

_MODULE_OF = {"ASGIGateway": f"{__name__}.asgi", "application": f"{__name__}.aiohttp_web"}

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(__name__, _MODULE_OF)
