"""A browser whose pages are scripts: it calls the gateway of a process, as a mount does."""

from __future__ import annotations

import json
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any

import attrs
from multidict import CIMultiDict, CIMultiDictProxy

from passwordless_async.gateway import Request

if TYPE_CHECKING:
    from passwordless_async import Email
    from passwordless_async.gateway import Gateway

SITE = "http://127.0.0.1:9000"
_HEADERS = {"Host": "127.0.0.1:9000", "Accept": "application/json", "X-CSRF": "1", "Content-Type": "application/json"}


@attrs.define(eq=False, repr=False)
class Browser:
    """A user's browser.

    Attributes:
        who: The user.
        is_logged_in: Whether a login was acknowledged, and no logout was asked for since.
    """

    who: Email
    is_logged_in: bool = False
    _cookies: dict[str, str] = attrs.field(factory=dict)

    async def call(self, gateway: Gateway, method: str, path: str, **members: str) -> dict[str, Any]:
        """Call a route; return the members of the answer, and its status."""
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        headers = CIMultiDictProxy(CIMultiDict({**_HEADERS, "Cookie": cookies}))
        body = json.dumps(members).encode() if method == "POST" else b""
        asked = Request(method=method, mount="/auth", path=path, query={}, headers=headers, body=body, peer="127.0.0.1")
        response = await gateway.handle(asked)
        for name, value in response.headers:
            if name.casefold() == "set-cookie":
                self._keep(value)
        return {"status": response.status, **json.loads(response.body)}

    def _keep(self, field: str) -> None:
        for name, cookie in SimpleCookie(field).items():
            if cookie.value and cookie["max-age"] != "0":
                self._cookies[name] = cookie.value
            else:
                self._cookies.pop(name, None)
