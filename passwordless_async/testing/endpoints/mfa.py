"""``/mfa/``: list a login's factors, challenge one, associate the first, and decide a push message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from passwordless_async.testing import refusals
from passwordless_async.testing.checks.clients import authenticate
from passwordless_async.testing.endpoints.body import json_parameters, json_response
from passwordless_async.testing.endpoints.start import PHONE
from passwordless_async.testing.refusals import Refusal, RequestRefused, invalid_request
from passwordless_async.testing.state.users import BY_CODE, EMAIL, OTP, PUSH, RECOVERY, Factor, masked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from passwordless_async.testing.state.mfa import MfaLogin
    from passwordless_async.testing.state.tenant_state import TenantRequest

_CHANNELS = {"sms": "sms", "voice": "voice", "email": "email", "auth0": PUSH}


def authenticators(request: TenantRequest) -> web.Response:
    """List the factors of the login that the bearer token names."""
    login = request.state.mfa.logins.find(_bearer(request))
    factors = request.state.users.account(login.grant.user).factors
    return json_response([factor.authenticator() for factor in factors])


def challenge_factor(request: TenantRequest) -> web.Response:
    """Send a code or a push message; an authenticator app needs none."""
    parameters = json_parameters(request.body)
    application = authenticate(request, parameters, basic_allowed=request.state.settings.basic_auth_at_mfa)
    login = request.state.mfa.logins.find(parameters.get("mfa_token"), application.client_id)
    factor = _chosen(request.state.users.account(login.grant.user).active, parameters)
    request.state.stats.mfa_challenges += 1
    if factor.kind == OTP:
        return json_response({"challenge_type": OTP})
    return json_response({"challenge_type": "oob", **_send(request, login, factor)})


def associate(request: TenantRequest) -> web.Response:
    """Begin to associate the first factor; finishing the login with it confirms it."""
    parameters = json_parameters(request.body)
    application = authenticate(request, parameters, basic_allowed=False)
    login = request.state.mfa.logins.find(_bearer(request), application.client_id)
    account = request.state.users.account(login.grant.user)
    if account.enrolled:
        raise RequestRefused(refusals.ALREADY_ENROLLED)
    factor, recovery = _new_factor(request, parameters), Factor(RECOVERY, active=False)
    account.factors[:] = [factor, recovery]
    body: dict[str, Any] = {"authenticator_type": factor.challenge_type, "recovery_codes": [recovery.recovery]}
    if factor.kind in (OTP, PUSH):
        body["barcode_uri"] = factor.barcode_uri(login.grant.user.username)
    if factor.kind == OTP:
        return json_response({**body, "secret": factor.shared_secret})
    return json_response({**body, "oob_channel": factor.channel, **_send(request, login, factor)})


def decide_push(request: TenantRequest) -> web.Response:
    """Approve or deny a push message by its link, as the user does on a phone."""
    decision = request.query.get("decision", "approve")
    if decision not in ("approve", "deny"):
        raise invalid_request("decision must be approve or deny")
    request.state.mfa.decide(request.query.get("ticket", ""), approved=decision == "approve")
    return json_response({"decision": decision})


def _send(request: TenantRequest, login: MfaLogin, factor: Factor) -> dict[str, str]:
    challenge = request.state.mfa.send(login, factor, request.peer, request.name.url)
    prompt = {} if challenge.binding_code is None else {"binding_method": "prompt"}
    return {"oob_code": challenge.oob_code, **prompt}


def _bearer(request: TenantRequest) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise RequestRefused(Refusal(401, "unauthorized", "No mfa_token", headers={"WWW-Authenticate": "Bearer"}))
    return token.strip()


def _chosen(active: list[Factor], parameters: Mapping[str, Any]) -> Factor:
    usable = [factor for factor in active if factor.kind != RECOVERY]
    if not usable:
        raise RequestRefused(refusals.ASSOCIATION_REQUIRED)
    types, identifier = parameters.get("challenge_type", "otp oob"), parameters.get("authenticator_id")
    if not isinstance(types, str) or not isinstance(identifier, str | None):
        raise invalid_request("challenge_type and authenticator_id must be strings")
    candidates = usable if identifier is None else [factor for factor in usable if factor.id == identifier]
    if not candidates:
        raise invalid_request("authenticator_id is unknown")
    return _first_of_types(candidates, types.split())


def _first_of_types(factors: list[Factor], types: list[str]) -> Factor:
    for factor in factors:
        if factor.challenge_type in types:
            return factor
    raise RequestRefused(refusals.UNSUPPORTED_FACTOR)


def _new_factor(request: TenantRequest, parameters: Mapping[str, Any]) -> Factor:
    kind = _new_kind(parameters)
    if kind not in request.state.settings.mfa_enrolls:
        raise RequestRefused(refusals.UNSUPPORTED_FACTOR)
    return Factor(kind, _masked_place(kind, parameters), active=False)


def _new_kind(parameters: Mapping[str, Any]) -> str:
    types = parameters.get("authenticator_types")
    if types == [OTP]:
        return OTP
    if types != ["oob"]:
        raise invalid_request("authenticator_types must hold otp or oob")
    channels = parameters.get("oob_channels")
    for channel, kind in _CHANNELS.items():
        if channels == [channel]:
            return kind
    raise invalid_request("oob_channels must hold one of sms, voice, email and auth0")


def _masked_place(kind: str, parameters: Mapping[str, Any]) -> str | None:
    if kind not in BY_CODE:
        return None
    name = "email" if kind == EMAIL else "phone_number"
    place = parameters.get(name)
    if not isinstance(place, str) or not ("@" in place if kind == EMAIL else PHONE.fullmatch(place)):
        raise invalid_request(f"{name} is missing or malformed")
    return masked(place)
