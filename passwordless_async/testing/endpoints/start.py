"""``POST /passwordless/start``: send a code.

Unknown members are refused; ``send`` left out means a link, in which there is no code; a DPoP header means nothing
here.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any

from passwordless_async.testing.checks.clients import ASSERTION, authenticate, registered
from passwordless_async.testing.endpoints.answers import (
    SIGNUP_DISABLED,
    UNAUTHORIZED_CLIENT,
    VERIFICATION_REQUIRED,
    Refused,
    bad,
    json_response,
)
from passwordless_async.testing.endpoints.body import start_parameters
from passwordless_async.testing.endpoints.link import link as new_link
from passwordless_async.testing.state.links import authorization
from passwordless_async.testing.state.outbox import Message
from passwordless_async.testing.state.users import User

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from passwordless_async.testing.checks.clients import Application
    from passwordless_async.testing.state.state import Exchange

_MEMBERS = frozenset(
    (
        "client_id",
        "client_secret",
        "client_assertion",
        "client_assertion_type",
        "connection",
        "email",
        "phone_number",
        "send",
        "authParams",
        "captcha",
    )
)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_PHONE = re.compile(r"\+[0-9]{1,15}")  # the server's own check, wider than E.164
_MAX_EMAIL = 254  # characters


def start(exchange: Exchange) -> web.Response:
    """Send a code, or a link, to whom the request names."""
    state = exchange.state
    parameters = start_parameters(exchange.body)
    application = _application(exchange, parameters)
    user = _user(parameters)
    holds_code = _holds_code(parameters, user)
    asked = authorization(state.settings, user, application.client_id, {} if holds_code else _auth_params(parameters))
    _check_captcha(exchange, parameters)
    ip = forwarded_ip(exchange, application)
    state.limits.take_start(ip)
    if not state.settings.allow_signup and user not in state.users:
        raise Refused(SIGNUP_DISABLED)
    language = exchange.headers.get("x-request-language")
    code = state.codes.issue(user) if holds_code else None
    link = None if holds_code else new_link(state, asked)
    state.stats.codes_sent += holds_code
    state.outbox.send(Message(user.realm, user.username, code, language, ip, state.clock.now(), link))
    return _answer(exchange, user, language)


def _application(exchange: Exchange, parameters: Mapping[str, Any]) -> Application:
    unknown = parameters.keys() - _MEMBERS
    if unknown:
        raise bad("request", f"the body has {len(unknown)} unknown member(s)")
    settings = exchange.state.settings
    basic = settings.basic_auth_at_start and "Authorization" in exchange.headers
    client_id = parameters.get("client_id")
    if not basic and not (isinstance(client_id, str) and client_id in registered(settings)):
        raise bad("client_id", "client_id is missing or unknown")
    application = authenticate(exchange, parameters, basic_allowed=basic)
    if not settings.grant_enabled:
        raise Refused(UNAUTHORIZED_CLIENT)
    return application


def _user(parameters: Mapping[str, Any]) -> User:
    realm = parameters.get("connection")
    if realm not in ("email", "sms"):
        raise bad("connection", "the connection is missing or does not exist")
    name, read = ("email", address) if realm == "email" else ("phone_number", number)
    username = read(parameters.get(name))
    if username is None:
        raise bad(name, f"{name} is missing or malformed")
    return User(realm, username)


def address(value: object) -> str | None:
    """Return an e-mail address, or None where it is none."""
    return _matching(value, _EMAIL)


def number(value: object) -> str | None:
    """Return a phone number, or None where it is none."""
    return _matching(value, _PHONE)


def _matching(value: object, form: re.Pattern[str]) -> str | None:
    fits = isinstance(value, str) and len(value) <= _MAX_EMAIL and value.isprintable() and form.fullmatch(value)
    return str(value) if fits else None


def _holds_code(parameters: Mapping[str, Any], user: User) -> bool:
    _auth_params(parameters)
    send = parameters.get("send", "link" if user.realm == "email" else "code")
    if send not in ("code", "link") or (send == "link" and user.realm != "email"):
        raise bad("send", "send must be code, or link for the email connection")
    return bool(send == "code")


def _auth_params(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    given = parameters.get("authParams", {})
    if not isinstance(given, dict):
        raise bad("authParams", "authParams must be an object")
    return given


def _check_captcha(exchange: Exchange, parameters: Mapping[str, Any]) -> None:
    captcha = parameters.get("captcha", "")
    if not isinstance(captcha, str):
        raise bad("request", "captcha must be a string")
    if exchange.state.settings.captcha not in (None, captcha):
        raise Refused(VERIFICATION_REQUIRED)


def forwarded_ip(exchange: Exchange, application: Application) -> str:
    """Return the address that a start is counted against."""
    # Counts "only for a confidential application that authenticates with its secret"; otherwise silently ignored.
    settings = exchange.state.settings
    by_assertion = application.method == ASSERTION and settings.forwarded_for_by_assertion
    if not (settings.trust_forwarded_for and (application.by_secret or by_assertion)):
        return exchange.peer
    try:
        return str(ipaddress.ip_address(exchange.headers.get("auth0-forwarded-for", "")))
    except ValueError:
        return exchange.peer


def _answer(exchange: Exchange, user: User, language: str | None) -> web.Response:
    form = exchange.state.settings.start_answer
    known = user in exchange.state.users
    if form == "no_content":
        response = json_response({}, status=204)
        response.body = b""
        return response
    if form != "full":
        return json_response({}, status=201 if form == "created" else 200)
    if user.realm == "email":
        return json_response({"_id": user.id, "email": user.username, "email_verified": known})
    body = {"_id": user.id, "phone_number": user.username, "phone_verified": known}
    return json_response(body if language is None else {**body, "request_language": language})
