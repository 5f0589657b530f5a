"""``POST /otp/challenge``: a code for a user of a database connection (early access at Auth0)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from passwordless_async import _check
from passwordless_async.auth0.refusal import failure
from passwordless_async.auth0.request import IpAddress, forwarded_for_header, json_request
from passwordless_async.errors import MalformedAnswer, UsageError
from passwordless_async.identity import AuthSession

if TYPE_CHECKING:
    from passwordless_async.auth0.application import Application
    from passwordless_async.identity import Email, Phone
    from passwordless_async.wire import HttpRequest, HttpResponse

DeliveryMethod = Literal["text", "voice"]

_OK = 200
_MAX_CONNECTION = 128  # characters, Auth0's bound


def database_request(
    application: Application,
    who: Email | Phone,
    *,
    connection: str,
    allow_signup: bool = False,
    delivery_method: DeliveryMethod = "text",
    forwarded_for: IpAddress | None = None,
) -> HttpRequest:
    """Build the request.

    Raises:
        UsageError: An argument is not of its form.
    """
    if delivery_method not in get_args(DeliveryMethod):
        raise UsageError("delivery_method", "must be 'text' or 'voice'")
    if who.realm == "email" and delivery_method != "text":
        raise UsageError("delivery_method", "must be 'text' for an e-mail")
    members: dict[str, object] = {
        "connection": _check.text("connection", connection, at_most=_MAX_CONNECTION),
        "allow_signup": bool(allow_signup),
        "delivery_method": delivery_method if who.realm == "sms" else None,
        "email" if who.realm == "email" else "phone_number": who.username,
    }
    headers = forwarded_for_header(application, forwarded_for)
    return json_request(application, application.otp_challenge_url, members, headers)


def read_database(request: HttpRequest, response: HttpResponse, who: Email | Phone) -> AuthSession:
    """Read the answer, which is the same whether the user exists or not.

    Raises:
        OAuthError: The service refused.
        MalformedAnswer: The answer is not what the protocol allows.
    """
    if response.status != _OK:
        raise failure(request, response)
    try:
        return AuthSession(response.require_json_object().get("auth_session"), who)  # type: ignore[arg-type] # checked
    except UsageError:
        raise MalformedAnswer("auth_session is missing or not a handle", status=_OK) from None
