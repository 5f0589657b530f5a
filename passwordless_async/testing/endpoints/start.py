"""The start of a login: send a code or a link, and follow the link.

Unknown members are refused. Without ``send`` the message holds a link and no code. A DPoP header has no meaning here.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import attrs
from aiohttp import web

from passwordless_async.testing import refusals
from passwordless_async.testing.checks.clients import authenticate
from passwordless_async.testing.endpoints.body import (
    NO_STORE,
    json_parameters,
    json_response,
    start_parameters,
    without_null,
)
from passwordless_async.testing.refusals import RequestRefused, bad_start, invalid_request
from passwordless_async.testing.settings import METHOD_ASSERTION
from passwordless_async.testing.state.codes import Authorization
from passwordless_async.testing.state.records import Message
from passwordless_async.testing.state.users import User

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async.testing.checks.clients import AuthenticatedClient
    from passwordless_async.testing.settings import TenantSettings
    from passwordless_async.testing.state.tenant_state import TenantRequest

_CLIENT_MEMBERS = frozenset(("client_id", "client_secret", "client_assertion", "client_assertion_type"))
_MEMBERS = _CLIENT_MEMBERS | {"connection", "email", "phone_number", "send", "authParams", "captcha"}
_DATABASE_MEMBERS = _CLIENT_MEMBERS | {"connection", "email", "phone_number", "allow_signup", "delivery_method"}
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
LINK_PATH = "/passwordless/verify_redirect"
PHONE = re.compile(r"\+[0-9]{1,15}")  # Auth0's own check, wider than E.164
_DIGEST = re.compile(r"[A-Za-z0-9_-]{43}")  # 32 bytes in base64url: code_challenge and dpop_jkt
_TEXTS = ("scope", "state", "audience", "nonce", "response_type", "redirect_uri", "code_challenge", "dpop_jkt")
_DIGESTS = ("code_challenge", "dpop_jkt")
_MAX_CHARACTERS = 254  # of an address (RFC 5321 §4.5.3.1.3, without the brackets)


def start(request: TenantRequest) -> web.Response:
    """Send a code or a link to the user of the request (``POST /passwordless/start``)."""
    state = request.state
    parameters = start_parameters(request.body)
    application = _application(request, parameters)
    user = _user(parameters)
    auth_params = _auth_params(parameters)
    holds_code = _holds_code(parameters, user)
    authorization = _read_authorization(state.settings, user, application.client_id, {} if holds_code else auth_params)
    _check_captcha(request, parameters)
    ip = _forwarded_ip(request, application)
    state.limits.take_start(ip)
    if not state.settings.allow_signup and user not in state.users:
        raise RequestRefused(refusals.SIGNUP_DISABLED)
    language = request.headers.get("x-request-language")
    code = _new_code(request, user) if holds_code else None
    link = None if holds_code else _new_link(request, authorization)
    state.stats.codes_sent += holds_code
    state.outbox.send(Message(user.realm, user.username, code, language, ip, state.clock.now(), link))
    return _response(request, user, language)


def _new_code(request: TenantRequest, user: User) -> str:
    state = request.state
    code = state.codes.issue(user)
    state.presentations.note_issued(user, code)
    return code


def _application(request: TenantRequest, parameters: Mapping[str, Any]) -> AuthenticatedClient:
    unknown = parameters.keys() - _MEMBERS
    if unknown:
        raise bad_start("request", f"the body has {len(unknown)} unknown member(s)")
    settings = request.state.settings
    basic = settings.basic_auth_at_start and "Authorization" in request.headers
    client_id = parameters.get("client_id")
    if not basic and settings.client(client_id) is None:
        raise bad_start("client_id", "client_id is missing or unknown")
    application = authenticate(request, parameters, basic_allowed=basic)
    if not settings.grant_enabled:
        raise RequestRefused(refusals.UNAUTHORIZED_CLIENT)
    return application


def _user(parameters: Mapping[str, Any]) -> User:
    realm = parameters.get("connection")
    if realm not in ("email", "sms"):
        raise bad_start("connection", "the connection is missing or does not exist")
    name, form = ("email", _EMAIL) if realm == "email" else ("phone_number", PHONE)
    username = _matching(parameters.get(name), form)
    if username is None:
        raise bad_start(name, f"{name} is missing or malformed")
    return User(realm, username)


def _matching(value: object, form: re.Pattern[str]) -> str | None:
    """Return a value that is a printable text of a form, otherwise None."""
    fits = isinstance(value, str) and len(value) <= _MAX_CHARACTERS and value.isprintable() and form.fullmatch(value)
    return str(value) if fits else None


def _holds_code(parameters: Mapping[str, Any], user: User) -> bool:
    send = parameters.get("send", "link" if user.realm == "email" else "code")
    if send not in ("code", "link") or (send == "link" and user.realm != "email"):
        raise bad_start("send", "send must be code, or link for the email connection")
    return bool(send == "code")


def _auth_params(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    given = parameters.get("authParams", {})
    if not isinstance(given, dict):
        raise bad_start("authParams", "authParams must be an object")
    return without_null(given)


def _read_authorization(
    settings: TenantSettings, user: User, client_id: str, given: Mapping[str, Any]
) -> Authorization:
    """Read ``authParams``; refuse a wrong type, and what the tenant does not support."""
    _check_auth_params(given)
    redirect_uri = given.get("redirect_uri", settings.callback_urls[0])
    if given.get("response_type", "code") != "code":
        raise _bad_auth_param("response_type must be code")
    if redirect_uri not in settings.callback_urls:
        raise _bad_auth_param("redirect_uri is not a callback URL of the application")
    # RFC 7636 §4.3: without a method it is plain, which shows the verifier to any reader of the request.
    if "code_challenge" in given and given.get("code_challenge_method") != "S256":
        raise _bad_auth_param("code_challenge_method must be S256")
    return Authorization(
        user=user,
        client_id=client_id,
        redirect_uri=redirect_uri,
        redirect_uri_given="redirect_uri" in given,
        parameters=dict(given),
    )


def _check_auth_params(given: Mapping[str, Any]) -> None:
    for name in _TEXTS:
        if not isinstance(given.get(name, ""), str):
            raise _bad_auth_param(f"{name} must be a string")
    for name in _DIGESTS:
        if name in given and not _DIGEST.fullmatch(given[name]):
            raise _bad_auth_param(f"{name} must be a SHA-256 digest in base64url")


def _bad_auth_param(description: str) -> RequestRefused:
    return bad_start("authParams", f"authParams.{description}")


def _check_captcha(request: TenantRequest, parameters: Mapping[str, Any]) -> None:
    captcha = parameters.get("captcha", "")
    if not isinstance(captcha, str):
        raise bad_start("request", "captcha must be a string")
    if request.state.settings.captcha not in (None, captcha):
        raise RequestRefused(refusals.VERIFICATION_REQUIRED)


def _forwarded_ip(request: TenantRequest, application: AuthenticatedClient) -> str:
    """Return the IP address that a start is charged to."""
    # The header counts "only for a confidential application that authenticates with its secret"; else it is ignored.
    settings = request.state.settings
    by_assertion = application.method == METHOD_ASSERTION and settings.forwarded_for_by_assertion
    if not (settings.trust_forwarded_for and (application.by_secret or by_assertion)):
        return request.peer
    try:
        return str(ipaddress.ip_address(request.headers.get("auth0-forwarded-for", "")))
    except ValueError:
        return request.peer


def _response(request: TenantRequest, user: User, language: str | None) -> web.Response:
    form = request.state.settings.start_answer
    known = user in request.state.users
    if form == "no_content":
        response = json_response({}, status=204)
        response.body = b""
        return response
    if form != "full":
        return json_response({}, status=201 if form == "created" else 200)
    if user.realm == "email":
        return json_response({"_id": user.id, **user.claims, "email_verified": known})
    body = {"_id": user.id, "phone_number": user.username, "phone_verified": known}
    return json_response(body if language is None else {**body, "request_language": language})


def _new_link(request: TenantRequest, authorization: Authorization) -> str:
    """Return a link that passes once; the user's earlier links are dead."""
    tickets = request.state.tickets
    tickets.revoke(authorization.user)
    return f"{request.name.url}{LINK_PATH}?{urlencode({'ticket': tickets.issue(authorization)})}"


def follow(request: TenantRequest) -> web.Response:
    """Redirect the browser from the link in a message to the application, with an authorization code or an error."""
    state, ticket = request.state, request.query.get("ticket", "")
    authorization, alive = state.tickets.find(ticket)
    if authorization is None:
        raise invalid_request("The link is unknown or was used before")
    state.tickets.spend(ticket)
    account = state.users.account(authorization.user)
    if not alive or account.blocked:
        refusal = refusals.USER_BLOCKED if alive else refusals.CODE_EXPIRED
        return _redirect(authorization, {"error": "unauthorized", "error_description": refusal.description})
    state.users.note_login(authorization.user)
    code = state.authorization_codes.issue(attrs.evolve(authorization, auth_time=state.clock.wall()))
    return _redirect(authorization, {"code": code})


def _redirect(authorization: Authorization, result: dict[str, str]) -> web.Response:
    if "state" in authorization.parameters:
        result["state"] = authorization.parameters["state"]
    parts = urlsplit(authorization.redirect_uri)
    query = "&".join(filter(None, (parts.query, urlencode(result))))
    return web.Response(status=302, headers={**NO_STORE, "Location": urlunsplit(parts._replace(query=query))})


def start_database(request: TenantRequest) -> web.Response:
    """Send a code to a user of a database connection if the user exists, or may sign up (``POST /otp/challenge``).

    The response is the same whether a code was sent or not: it must not reveal who has an account.
    """
    state, parameters = request.state, _database_parameters(request)
    application = authenticate(request, parameters, basic_allowed=state.settings.basic_auth_at_start)
    if not state.settings.grant_enabled:
        raise RequestRefused(refusals.UNAUTHORIZED_CLIENT)
    user, delivery = _database_user(request, parameters), _delivery(parameters)
    state.limits.take_database_start(user.subject)
    known = state.users.account(user).database
    signup = parameters.get("allow_signup", False)
    session, code = state.auth_sessions.open(user, application.client_id, send=known or signup)
    if code is not None:
        state.stats.codes_sent += 1
        language, ip = request.headers.get("x-request-language"), _forwarded_ip(request, application)
        message = Message(user.realm, user.username, code, language, ip, state.clock.now(), delivery=delivery)
        state.outbox.send(message)
    return json_response({"auth_session": session})


def _database_parameters(request: TenantRequest) -> Mapping[str, Any]:
    members = json_parameters(request.body)
    unknown = members.keys() - _DATABASE_MEMBERS
    if unknown:
        raise invalid_request(f"The body has {len(unknown)} unknown member(s)")
    return members


def _database_user(request: TenantRequest, parameters: Mapping[str, Any]) -> User:
    if parameters.get("connection") not in request.state.settings.database_connections:
        raise invalid_request("The connection is missing or does not exist")
    if ("email" in parameters) == ("phone_number" in parameters):
        raise invalid_request("Either email or phone_number must be given")
    if not isinstance(parameters.get("allow_signup", False), bool):
        raise invalid_request("allow_signup must be a boolean")
    email, phone = _matching(parameters.get("email"), _EMAIL), _matching(parameters.get("phone_number"), PHONE)
    if email is not None:
        return User("email", email)
    if phone is not None:
        return User("sms", phone)
    raise invalid_request("The email or phone_number is malformed")


def _delivery(parameters: Mapping[str, Any]) -> str:
    delivery = parameters.get("delivery_method", "text")
    if delivery not in ("text", "voice"):
        raise invalid_request("delivery_method must be text or voice")
    return str(delivery)
