"""The web application: routes, and a request's way through limits, faults and an endpoint."""

from __future__ import annotations

import json
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING

import attrs
from aiohttp import web

from passwordless_async.testing import refusals
from passwordless_async.testing.endpoints.body import refusal_response
from passwordless_async.testing.endpoints.cors import allow_origin, preflight
from passwordless_async.testing.endpoints.mfa import associate, authenticators, challenge_factor, decide_push
from passwordless_async.testing.endpoints.nonce_challenges import TOKEN_PATH, USERINFO_PATH
from passwordless_async.testing.endpoints.openid import key_set, openid_configuration, userinfo
from passwordless_async.testing.endpoints.start import LINK_PATH, follow, start, start_database
from passwordless_async.testing.endpoints.token import revoke, token
from passwordless_async.testing.fault_names import FaultOptions
from passwordless_async.testing.fault_table import FAULTS, KEY_SET_PATH, PlannedFault
from passwordless_async.testing.refusals import RequestRefused
from passwordless_async.testing.state.mfa import PUSH_PATH
from passwordless_async.testing.state.records import RecordedRequest
from passwordless_async.testing.state.tenant_state import TenantRequest, TenantState

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence

    from passwordless_async.testing.faults import Faults
    from passwordless_async.testing.state.tokens import Grant

    _Endpoint = Callable[[TenantRequest], web.Response]

START_PATH = "/passwordless/start"
DATABASE_PATH = "/otp/challenge"
REVOKE_PATH = "/oauth/revoke"
_GET, _POST = ("GET",), ("POST",)
_ENDPOINTS: Mapping[str, tuple[Sequence[str], _Endpoint]] = {
    START_PATH: (_POST, start),
    TOKEN_PATH: (_POST, token),
    LINK_PATH: (_GET, follow),
    DATABASE_PATH: (_POST, start_database),
    REVOKE_PATH: (_POST, revoke),
    USERINFO_PATH: (("GET", "POST"), userinfo),  # OpenID Connect Core §5.3
    "/mfa/authenticators": (_GET, authenticators),
    "/mfa/challenge": (_POST, challenge_factor),
    "/mfa/associate": (_POST, associate),
    PUSH_PATH: (_GET, decide_push),
    "/.well-known/openid-configuration": (_GET, openid_configuration),
    KEY_SET_PATH: (_GET, key_set),
}
_COUNTERS = {
    START_PATH: "start_requests",
    TOKEN_PATH: "token_requests",
    REVOKE_PATH: "revoke_requests",
    USERINFO_PATH: "userinfo_requests",
}
# What is wrong is the proof, the client or the form (RFC 9449 §5, RFC 6749 §5.2).
_BEFORE_THE_SECRET = frozenset(
    {
        "use_dpop_nonce",
        "invalid_dpop_proof",
        "invalid_client",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_request",
    }
)
_NO_FAULT = (PlannedFault(), FaultOptions())


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
        """Record a request, apply the fault that is due, respond."""
        state = self._state
        number = self._record(request)
        fault, options = self._due_fault(request.path)
        if fault.unread:
            return _hang_up(request)
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return refusal_response(refusals.TOO_LARGE)
        except web.RequestPayloadError:
            return refusal_response(refusals.UNREADABLE)
        state.requests.note(number, body=body)
        presented = state.presentations.note_request(body) if request.path == TOKEN_PATH else None
        unspoilt = self._respond(_read(state, request, body), fault, options)
        response = unspoilt if fault.after is None else await fault.after(unspoilt, options)
        if response is None:
            return _hang_up(request)
        _note_unspent(state, presented, response)
        if state.draining:
            response.force_close()
        response.headers["Date"] = formatdate(state.clock.wall(), usegmt=True)
        state.requests.note(number, status=response.status)
        return response

    def _due_fault(self, path: str) -> tuple[PlannedFault, FaultOptions]:
        due = self._faults.next(path)
        self._state.stats.faults_played += due is not None
        return _NO_FAULT if due is None else (FAULTS[due[0]], due[1])

    def _altered(self, grant: Grant) -> Grant:
        """Return the grant of a response with tokens, as the fault of tokens that is due alters it."""
        due = self._faults.next_of_tokens(lambda fault: FAULTS[fault].applies(grant))
        alter = None if due is None else FAULTS[due].alter
        self._state.stats.faults_played += alter is not None
        return grant if alter is None else alter(grant)

    def _record(self, request: web.Request) -> int:
        state = self._state
        state.stats.wire_requests += 1
        counter = _COUNTERS.get(request.path)
        if counter is not None:
            setattr(state.stats, counter, getattr(state.stats, counter) + 1)
        if request.path == TOKEN_PATH:
            state.nonces.count_token_request()
        record = RecordedRequest(request.method, request.rel_url.raw_path, request.headers, b"", state.clock.now())
        return state.requests.add(record)

    def _respond(self, request: TenantRequest, fault: PlannedFault, options: FaultOptions) -> web.Response:
        limit_headers: dict[str, str] = {}
        try:
            limit_headers = self._state.limits.take_request()
            if fault.instead is not None:
                return refusal_response(fault.instead(request, options), _error_shape(request))
            request.alter = self._altered
            response = preflight(request) or _endpoint(request)(request)
        except RequestRefused as refused:
            response = refusal_response(refused.refusal, _error_shape(request))
        response.headers.update(limit_headers)
        _add_nonce(request, response)
        allow_origin(request, response)
        return response


def _read(state: TenantState, request: web.Request, body: bytes) -> TenantRequest:
    tls: ssl.SSLObject | None = request.get_extra_info("ssl_object")
    here = request.get_extra_info("sockname")  # None: the client has gone meanwhile
    if state.names.mtls_port is not None and here is not None and here[1] != state.names.mtls_port:
        tls = None  # RFC 8705 §5: certificates count at the aliases, and are not requested elsewhere
    return TenantRequest(
        state=state,
        method=request.method,
        path=request.path,
        query=request.query,
        headers=request.headers,
        content_type=request.content_type.lower(),
        body=body,
        peer=request.remote or "",
        certificate=None if tls is None else tls.getpeercert(binary_form=True),
    )


def _endpoint(request: TenantRequest) -> _Endpoint:
    if request.path not in _ENDPOINTS:
        raise RequestRefused(refusals.ENDPOINT_DISABLED)
    methods, endpoint = _ENDPOINTS[request.path]
    if request.method not in methods:
        raise RequestRefused(attrs.evolve(refusals.METHOD_NOT_ALLOWED, headers={"Allow": ", ".join(methods)}))
    return endpoint


def _error_shape(request: TenantRequest) -> str:
    return request.state.settings.start_error_shape if request.path == START_PATH else "error"


def _add_nonce(request: TenantRequest, response: web.Response) -> None:
    # RFC 9449 §8.2: the server "can supply a new nonce" with any response; a browser must be allowed to read it.
    if request.path not in (TOKEN_PATH, USERINFO_PATH):
        return
    response.headers["Access-Control-Expose-Headers"] = "DPoP-Nonce, WWW-Authenticate"
    when = request.state.settings.nonce_in_answers
    if when == "never" or "DPoP" not in request.headers or "DPoP-Nonce" in response.headers:
        return
    nonce = request.state.nonces.current()
    if when == "always" or nonce != request.proof_nonce:
        response.headers["DPoP-Nonce"] = nonce


def _note_unspent(state: TenantState, grant: tuple[str, ...] | None, response: web.Response) -> None:
    """Note a request that was refused before its secret was checked, and a refused refresh: it spends nothing."""
    if grant is None or response.status < HTTPStatus.BAD_REQUEST:
        return
    is_refused_refresh = grant[0] == "refresh_token" and response.status < HTTPStatus.INTERNAL_SERVER_ERROR
    if is_refused_refresh or response.status == HTTPStatus.TOO_MANY_REQUESTS or _is_before_the_secret(response):
        state.presentations.note_unspent(grant)


def _is_before_the_secret(response: web.Response) -> bool:
    try:
        body = json.loads(response.text or "")
    except ValueError:
        return False
    members = body.values() if isinstance(body, dict) else ()  # a refusal names them in several ways
    words = {value for value in members if isinstance(value, str)}
    return not words.isdisjoint(_BEFORE_THE_SECRET) and refusals.DATABASE_CODE.description not in words


def _hang_up(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=HTTPStatus.INTERNAL_SERVER_ERROR)
