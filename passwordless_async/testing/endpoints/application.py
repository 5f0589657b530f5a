"""The web application: routes, and the way of a request through limits, faults and an endpoint."""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING

import attrs
from aiohttp import web

from passwordless_async.testing.endpoints import answers
from passwordless_async.testing.endpoints.answers import Refused
from passwordless_async.testing.endpoints.database import otp_challenge
from passwordless_async.testing.endpoints.discovery import key_set, openid_configuration
from passwordless_async.testing.endpoints.link import LINK_PATH, follow
from passwordless_async.testing.endpoints.mfa import associate, authenticators, challenge
from passwordless_async.testing.endpoints.nonce_challenges import TOKEN_PATH, USERINFO_PATH
from passwordless_async.testing.endpoints.revoke import revoke
from passwordless_async.testing.endpoints.start import start
from passwordless_async.testing.endpoints.token import token
from passwordless_async.testing.endpoints.userinfo import userinfo
from passwordless_async.testing.faults.faults import FaultOptions
from passwordless_async.testing.faults.play import Play
from passwordless_async.testing.faults.table import PLAYS
from passwordless_async.testing.state.requests import RecordedRequest
from passwordless_async.testing.state.state import Exchange, TenantState

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from passwordless_async.testing.faults.faults import Faults

    Endpoint = Callable[[Exchange], web.Response]

START_PATH = "/passwordless/start"
CHALLENGE_PATH = "/otp/challenge"
REVOKE_PATH = "/oauth/revoke"
ENDPOINTS: Mapping[str, tuple[str, Endpoint]] = {
    START_PATH: ("POST", start),
    TOKEN_PATH: ("POST", token),
    LINK_PATH: ("GET", follow),
    CHALLENGE_PATH: ("POST", otp_challenge),
    REVOKE_PATH: ("POST", revoke),
    USERINFO_PATH: ("GET", userinfo),
    "/mfa/authenticators": ("GET", authenticators),
    "/mfa/challenge": ("POST", challenge),
    "/mfa/associate": ("POST", associate),
    "/.well-known/openid-configuration": ("GET", openid_configuration),
    "/.well-known/jwks.json": ("GET", key_set),
}
_COUNTERS = {
    START_PATH: "start_requests",
    TOKEN_PATH: "token_requests",
    REVOKE_PATH: "revoke_requests",
    USERINFO_PATH: "userinfo_requests",
}
_BAD_REQUEST, _SERVER_ERROR = 400, 500
_NO_PLAY, _NO_OPTIONS = Play(), FaultOptions()


@attrs.frozen
class TenantApplication:
    """Serves a tenant."""

    _state: TenantState
    _faults: Faults

    def build(self) -> web.Application:
        """Return the aiohttp application."""
        application = web.Application(client_max_size=self._state.settings.max_body)
        application.router.add_route("*", "/{path:.*}", self._serve)
        return application

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        """Record a request, play the fault that is due, answer."""
        number = self._record(request)
        play, options = self._play(request.path)
        if play.unread:
            return _hang_up(request)
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return answers.TOO_LARGE.response()
        self._state.requests.note(number, body=body)
        grant = self._state.presentations.arrived(body) if request.path == TOKEN_PATH else None
        answer = self._answer(_exchange(self._state, request, body), play, options)
        response = answer if play.after is None else await play.after(answer, options)
        if response is None:
            return _hang_up(request)
        self._state.presentations.answered(grant, response.status, challenged=_is_challenge(response))
        if self._state.draining:
            response.force_close()
        response.headers["Date"] = formatdate(self._state.clock.wall(), usegmt=True)
        self._state.requests.note(number, status=response.status)
        return response

    def _play(self, path: str) -> tuple[Play, FaultOptions]:
        due = self._faults.next(path)
        if due is None:
            return _NO_PLAY, _NO_OPTIONS
        self._state.stats.faults_played += 1
        fault, options = due
        return PLAYS[fault], options

    def _record(self, request: web.Request) -> int:
        state = self._state
        state.stats.wire_requests += 1
        counter = _COUNTERS.get(request.path)
        if counter is not None:
            setattr(state.stats, counter, getattr(state.stats, counter) + 1)
        if request.path == TOKEN_PATH:
            state.nonces.count_token_request()
        record = RecordedRequest(request.method, request.rel_url.raw_path, request.headers, b"", state.clock.now())
        return state.requests.arrived(record)

    def _answer(self, exchange: Exchange, play: Play, options: FaultOptions) -> web.Response:
        state = self._state
        headers: dict[str, str] = {}
        try:
            headers = state.limits.take_request()
            if play.instead is not None:
                return play.instead(exchange, options).response(_shape(exchange))
            exchange.twist = play.twist
            response = _endpoint(exchange)(exchange)
        except Refused as refused:
            response = refused.refusal.response(_shape(exchange))
        response.headers.update(headers)
        _add_nonce(exchange, response)
        return response


def _exchange(state: TenantState, request: web.Request, body: bytes) -> Exchange:
    return Exchange(
        state=state,
        method=request.method,
        path=request.path,
        query=request.query,
        headers=request.headers,
        content_type=request.content_type.lower(),
        body=body,
        peer=request.remote or "",
        certificate=_certificate(request),
    )


def _certificate(request: web.Request) -> bytes | None:
    tls: ssl.SSLObject | None = request.get_extra_info("ssl_object")
    return None if tls is None else tls.getpeercert(binary_form=True)


def _endpoint(exchange: Exchange) -> Endpoint:
    if exchange.path not in ENDPOINTS:
        raise Refused(answers.ENDPOINT_DISABLED)
    method, endpoint = ENDPOINTS[exchange.path]
    if exchange.method != method:
        raise Refused(attrs.evolve(answers.METHOD_NOT_ALLOWED, headers={"Allow": method}))
    return endpoint


def _shape(exchange: Exchange) -> str:
    return exchange.state.settings.start_error_shape if exchange.path == START_PATH else "error"


def _add_nonce(exchange: Exchange, response: web.Response) -> None:
    # RFC 9449 §8.2: the server "can supply a new nonce" with any answer; a browser must be allowed to read it.
    if exchange.path not in (TOKEN_PATH, USERINFO_PATH):
        return
    response.headers["Access-Control-Expose-Headers"] = "DPoP-Nonce, WWW-Authenticate"
    when = exchange.state.settings.nonce_in_answers
    if when == "never" or "DPoP" not in exchange.headers or "DPoP-Nonce" in response.headers:
        return
    nonce = exchange.state.nonces.current()
    if when == "always" or nonce != exchange.proof_nonce:
        response.headers["DPoP-Nonce"] = nonce


def _is_challenge(response: web.Response) -> bool:
    return response.status == _BAD_REQUEST and isinstance(response.body, bytes) and b"use_dpop_nonce" in response.body


def _hang_up(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=_SERVER_ERROR)
