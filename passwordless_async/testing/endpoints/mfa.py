"""``/mfa/``: which factors there are, sending something to one, and associating the first."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from passwordless_async.testing.checks.clients import authenticate
from passwordless_async.testing.endpoints import answers
from passwordless_async.testing.endpoints.answers import Refusal, Refused, invalid_request, json_response
from passwordless_async.testing.endpoints.body import json_object
from passwordless_async.testing.state.factors import BY_CODE, EMAIL, OTP, PUSH, RECOVERY, Factor, masked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from passwordless_async.testing.state.mfa_sessions import MfaSession
    from passwordless_async.testing.state.state import Exchange

_CHANNELS = {"sms": "sms", "voice": "voice", "email": "email", "auth0": PUSH}
_PHONE = re.compile(r"\+[0-9]{1,15}")


def authenticators(exchange: Exchange) -> web.Response:
    """List the factors of the login that the bearer token names."""
    session = exchange.state.mfa.sessions.find(_bearer(exchange))
    return json_response([factor.authenticator() for factor in _factors(exchange, session)])


def challenge(exchange: Exchange) -> web.Response:
    """Send something to a factor, or say that its code is to be read off."""
    parameters = _parameters(exchange)
    application = authenticate(exchange, parameters, basic_allowed=exchange.state.settings.basic_auth_at_mfa)
    session = exchange.state.mfa.sessions.find(parameters.get("mfa_token"), application.client_id)
    factor = _chosen(exchange, session, parameters)
    exchange.state.stats.mfa_challenges += 1
    if factor.kind == OTP:
        return json_response({"challenge_type": OTP})
    return json_response({"challenge_type": "oob", **_sent(exchange, session, factor)})


def associate(exchange: Exchange) -> web.Response:
    """Begin to associate the first factor; it counts once the login is finished with it."""
    parameters = _parameters(exchange)
    application = authenticate(exchange, parameters, basic_allowed=False)
    session = exchange.state.mfa.sessions.find(_bearer(exchange), application.client_id)
    account = exchange.state.users.account(session.grant.user)
    if account.enrolled:
        raise Refused(answers.ALREADY_ENROLLED)
    factor, recovery = _new_factor(exchange, parameters), Factor(RECOVERY, active=False)
    account.factors[:] = [factor, recovery]
    body: dict[str, Any] = {"authenticator_type": factor.challenge_type, "recovery_codes": [recovery.recovery]}
    if factor.kind in (OTP, PUSH):
        body["barcode_uri"] = factor.barcode_uri(session.grant.user.username)
    if factor.kind == OTP:
        return json_response({**body, "secret": factor.shared_secret})
    return json_response({**body, "oob_channel": factor.channel, **_sent(exchange, session, factor)})


def _sent(exchange: Exchange, session: MfaSession, factor: Factor) -> dict[str, str]:
    sent = exchange.state.mfa.sessions.challenge(session, factor)
    prompt = {} if sent.binding_code is None else {"binding_method": "prompt"}
    return {"oob_code": sent.oob_code, **prompt}


def _parameters(exchange: Exchange) -> Mapping[str, Any]:
    members = json_object(exchange.body)
    if members is None:
        raise invalid_request("The body must be a JSON object")
    return members


def _bearer(exchange: Exchange) -> str:
    scheme, _, token = exchange.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refused(Refusal(401, "unauthorized", "No mfa_token", headers={"WWW-Authenticate": "Bearer"}))
    return token.strip()


def _factors(exchange: Exchange, session: MfaSession) -> list[Factor]:
    return exchange.state.users.account(session.grant.user).factors


def _chosen(exchange: Exchange, session: MfaSession, parameters: Mapping[str, Any]) -> Factor:
    factors = [factor for factor in _factors(exchange, session) if factor.active and factor.kind != RECOVERY]
    if not factors:
        raise Refused(answers.ASSOCIATION_REQUIRED)
    wanted, named = parameters.get("challenge_type", "otp oob"), parameters.get("authenticator_id")
    if not isinstance(wanted, str) or not isinstance(named, str | None):
        raise invalid_request("challenge_type and authenticator_id must be strings")
    if named is not None and all(factor.id != named for factor in factors):
        raise invalid_request("authenticator_id is unknown")
    for factor in factors:
        if factor.challenge_type in wanted.split() and named in (None, factor.id):
            return factor
    raise Refused(answers.UNSUPPORTED_CHALLENGE)


def _new_factor(exchange: Exchange, parameters: Mapping[str, Any]) -> Factor:
    types = parameters.get("authenticator_types")
    if types == [OTP]:
        kind = OTP
    elif types == ["oob"]:
        channels = parameters.get("oob_channels")
        kind = next((kind for channel, kind in _CHANNELS.items() if channels == [channel]), "")
        if not kind:
            raise invalid_request("oob_channels must hold one of sms, voice, email and auth0")
    else:
        raise invalid_request("authenticator_types must hold otp or oob")
    if kind not in exchange.state.settings.mfa_enrolls:
        raise Refused(answers.UNSUPPORTED_CHALLENGE)
    return Factor(kind, _place(kind, parameters), active=False)


def _place(kind: str, parameters: Mapping[str, Any]) -> str | None:
    if kind not in BY_CODE:
        return None
    name = "email" if kind == EMAIL else "phone_number"
    place = parameters.get(name)
    if not isinstance(place, str) or not ("@" in place if kind == EMAIL else _PHONE.fullmatch(place)):
        raise invalid_request(f"{name} is missing or malformed")
    return masked(place)
