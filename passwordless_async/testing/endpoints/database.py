"""``POST /otp/challenge``: send a code to a user of a database connection.

The response is the same whether a code was sent or not: it must not reveal who has an account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from passwordless_async.testing import refusals
from passwordless_async.testing.checks.clients import authenticate
from passwordless_async.testing.endpoints.body import json_parameters, json_response
from passwordless_async.testing.endpoints.start import CLIENT_MEMBERS, EMAIL, PHONE, forwarded_ip, matching
from passwordless_async.testing.refusals import RequestRefused, invalid_request
from passwordless_async.testing.state.outbox import Message
from passwordless_async.testing.state.users import User

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from passwordless_async.testing.state.tenant_state import TenantRequest

_MEMBERS = CLIENT_MEMBERS | {"connection", "email", "phone_number", "allow_signup", "delivery_method"}


def start_database(request: TenantRequest) -> web.Response:
    """Send a code if the user exists, or may sign up."""
    state, parameters = request.state, _parameters(request)
    application = authenticate(request, parameters, basic_allowed=state.settings.basic_auth_at_start)
    if not state.settings.grant_enabled:
        raise RequestRefused(refusals.UNAUTHORIZED_CLIENT)
    user, delivery = _user(request, parameters), _delivery(parameters)
    state.limits.take_database_start(user.subject)
    known = state.users.account(user).database
    signup = parameters.get("allow_signup", False)
    session, code = state.auth_sessions.open(user, application.client_id, send=known or signup)
    if code is not None:
        state.stats.codes_sent += 1
        language, ip = request.headers.get("x-request-language"), forwarded_ip(request, application)
        message = Message(user.realm, user.username, code, language, ip, state.clock.now(), delivery=delivery)
        state.outbox.send(message)
    return json_response({"auth_session": session})


def _parameters(request: TenantRequest) -> Mapping[str, Any]:
    members = json_parameters(request.body)
    unknown = members.keys() - _MEMBERS
    if unknown:
        raise invalid_request(f"The body has {len(unknown)} unknown member(s)")
    return members


def _user(request: TenantRequest, parameters: Mapping[str, Any]) -> User:
    if parameters.get("connection") not in request.state.settings.database_connections:
        raise invalid_request("The connection is missing or does not exist")
    if ("email" in parameters) == ("phone_number" in parameters):
        raise invalid_request("Either email or phone_number must be given")
    if not isinstance(parameters.get("allow_signup", False), bool):
        raise invalid_request("allow_signup must be a boolean")
    email, phone = matching(parameters.get("email"), EMAIL), matching(parameters.get("phone_number"), PHONE)
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
