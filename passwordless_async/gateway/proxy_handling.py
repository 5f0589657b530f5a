"""Calls to upstreams: each is forwarded, or answered here with a page or with JSON.

Invariants:

- A page that a browser shows redirects to the login, or to a stronger one, and back. A script gets a status and JSON.
- A form that needs a login first is not sent again: the user returns to the page with the form, and a text says so.
- The response to a failure says only whether the browser may try again.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlencode

import attrs

from passwordless_async._common.secret import SecretDict
from passwordless_async.errors import PasswordlessError
from passwordless_async.gateway.error_log import LogAndSuppress
from passwordless_async.gateway.messages import READS, Request
from passwordless_async.gateway.problems import problem_of
from passwordless_async.gateway.proxy.admission import Refusal, is_navigation
from passwordless_async.gateway.proxy.forwarding import StepUpNeeded
from passwordless_async.gateway.proxy.messages import BrowserGone, ProxiedResponse
from passwordless_async.gateway.replies import KEEP, Page, Problem, Reply
from passwordless_async.gateway.return_paths import return_path
from passwordless_async.gateway.steps.problem_pages import fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async.gateway.handling import Handler
    from passwordless_async.gateway.proxy.forwarding import Forwarding
    from passwordless_async.gateway.proxy.messages import BrowserSocket, ProxiedRequest


@attrs.frozen
class ProxyHandler:
    """Handles calls to upstreams, for a mount.

    Args:
        forwarding: Forwards them.
        handler: Makes the responses of the gateway itself.
        reserved: The first segments of the gateway's own paths: they go to no upstream, not even one at ``/``.
        origin: The site's origin.
    """

    _forwarding: Forwarding
    _handler: Handler
    _reserved: frozenset[str]
    _origin: str

    def serves(self, path: str) -> bool:
        """Return whether a path below the mount, as it came, goes to an upstream."""
        return path.split("/", 2)[1] not in self._reserved and self._forwarding.serves(path)

    async def forward(self, request: ProxiedRequest) -> ProxiedResponse | None:
        """Return the response to a call; None if the browser has gone."""
        with LogAndSuppress(f"{request.method} to an upstream"):
            try:
                return await self._forwarding.forward(request)
            except BrowserGone:
                return None
            except (Refusal, StepUpNeeded, PasswordlessError) as error:
                reply = self._reply(request, error)
            return self._answer(request, reply)
        return self._answer(request, fault("fault", HTTPStatus.INTERNAL_SERVER_ERROR))

    async def connect(self, request: ProxiedRequest, socket: BrowserSocket) -> ProxiedResponse | None:
        """Forward a WebSocket until it ends; return the response if the handshake is refused."""
        with LogAndSuppress("a WebSocket to an upstream"):
            try:
                await self._forwarding.connect(request, socket)
            except (Refusal, PasswordlessError) as error:
                reply = self._reply(request, error)
            else:
                return None
            return self._answer(request, reply)
        return self._answer(request, fault("fault", HTTPStatus.INTERNAL_SERVER_ERROR))

    async def aclose(self) -> None:
        """Close the connections to all upstreams."""
        await self._forwarding.aclose()

    def _answer(self, request: ProxiedRequest, reply: Reply) -> ProxiedResponse:
        page = Request(
            method=request.method,
            mount=request.mount,
            path=unquote(request.path),
            query=SecretDict(),
            headers=request.headers,
            peer=request.peer,
        )
        if request.socket or not is_navigation(request.headers):
            reply = attrs.evolve(reply, is_json=True, facts={**reply.facts, **_way_in(request, reply)})
        response = self._handler.answer(page, reply)
        headers = (*response.headers, ("Content-Length", str(len(response.body))))
        return ProxiedResponse(response.status, headers, response.body)

    def _reply(self, request: ProxiedRequest, error: Refusal | StepUpNeeded | PasswordlessError) -> Reply:
        if isinstance(error, StepUpNeeded):
            return Reply(page=Page.FAULT, location=self._with_return("/step-up", request, error.demands))
        if isinstance(error, Refusal):
            facts = {} if error.seconds is None else {"seconds": error.seconds}
            problem, status = Problem(error.key, facts), error.status
        else:
            problem, status = problem_of(error)
        reply = fault(problem, status)
        if status != HTTPStatus.UNAUTHORIZED:
            return reply
        # The session has ended, so its cookie is useless.
        session = KEEP if isinstance(error, Refusal) else None
        return attrs.evolve(reply, session=session, location=self._with_return("/login", request, {}))

    def _with_return(self, path: str, request: ProxiedRequest, more: Mapping[str, str]) -> str:
        """Return one of the gateway's paths, with ``return_to`` for the requested page, or the page with the form."""
        asked = f"?{request.query}" if request.query else ""
        is_form = request.method not in READS
        page = self._form_page(request) if is_form else f"{request.mount}{request.path}{asked}"
        # Only what the login accepts: a Referer may be long, and may contain any bytes.
        way_back = return_path(page, ("/",))
        parameters = {
            **more,
            **({} if way_back is None else {"return_to": way_back}),
            **({"unsent": "1"} if is_form else {}),
        }
        return f"{path}?{urlencode(parameters, quote_via=quote)}"

    def _form_page(self, request: ProxiedRequest) -> str | None:
        """Return the path of the page with the form on this site; None if the browser does not name it."""
        page = ",".join(request.headers.getall("Referer", []))
        return page.removeprefix(self._origin) if page.startswith(f"{self._origin}/") else None


def _way_in(request: ProxiedRequest, reply: Reply) -> Mapping[str, str]:
    """Return the URL to which a script sends a user who is not logged in."""
    return {} if reply.location is None else {"login": f"{request.mount}/login"}
