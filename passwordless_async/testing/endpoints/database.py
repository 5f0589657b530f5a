"""``POST /otp/challenge``: send a code to a user of a database connection.

The answer is the same whether anything was sent or not: it must not tell who has an account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from passwordless_async.testing.checks.clients import authenticate
from passwordless_async.testing.endpoints import answers
from passwordless_async.testing.endpoints.answers import Refused, invalid_request, json_response
from passwordless_async.testing.endpoints.body import json_object
from passwordless_async.testing.endpoints.start import address, forwarded_ip, number
from passwordless_async.testing.state.outbox import Message
from passwordless_async.testing.state.users import User

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

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
        "allow_signup",
        "delivery_method",
    )
)


def otp_challenge(exchange: Exchange) -> web.Response:
    """Send a code if there is such a user, or if they may sign up."""
    state, parameters = exchange.state, _parameters(exchange)
    application = authenticate(exchange, parameters, basic_allowed=state.settings.basic_auth_at_start)
    if not state.settings.grant_enabled:
        raise Refused(answers.UNAUTHORIZED_CLIENT)
    user, delivery = _user(exchange, parameters), _delivery(parameters)
    state.limits.take_challenge(user.subject)
    known = state.users.account(user).database
    signup = parameters.get("allow_signup", False)
    session, code = state.auth_sessions.open(user, application.client_id, send=known or signup)
    if code is not None:
        state.stats.codes_sent += 1
        language, ip = exchange.headers.get("x-request-language"), forwarded_ip(exchange, application)
        message = Message(user.realm, user.username, code, language, ip, state.clock.now(), delivery=delivery)
        state.outbox.send(message)
    return json_response({"auth_session": session})


def _parameters(exchange: Exchange) -> Mapping[str, Any]:
    members = json_object(exchange.body)
    if members is None:
        raise invalid_request("The body must be a JSON object")
    unknown = members.keys() - _MEMBERS
    if unknown:
        raise invalid_request(f"The body has {len(unknown)} unknown member(s)")
    return members


def _user(exchange: Exchange, parameters: Mapping[str, Any]) -> User:
    if parameters.get("connection") not in exchange.state.settings.database_connections:
        raise invalid_request("The connection is missing or does not exist")
    if ("email" in parameters) == ("phone_number" in parameters):
        raise invalid_request("Either email or phone_number must be given")
    if not isinstance(parameters.get("allow_signup", False), bool):
        raise invalid_request("allow_signup must be a boolean")
    email, phone = address(parameters.get("email")), number(parameters.get("phone_number"))
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
