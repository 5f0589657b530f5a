"""``POST /otp/challenge``: a code for a user of a database connection (early access at Auth0)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from passwordless_async._common import arguments as _check
from passwordless_async.auth0.identity import AuthSession, User
from passwordless_async.auth0.refusals import failure, printable, reports_error
from passwordless_async.auth0.requests import forwarded_for_header, json_request
from passwordless_async.errors import MalformedAnswer, OAuthError, UsageError

if TYPE_CHECKING:
    from passwordless_async._common.http import HttpRequest, HttpResponse
    from passwordless_async._common.secret import Secret
    from passwordless_async._common.user_address import IpAddress
    from passwordless_async.auth0.application import Application
    from passwordless_async.auth0.tenant import Flow, Tenant

DeliveryMethod = Literal["text", "voice"]

_MAX_CONNECTION = 128  # characters, Auth0's bound
_CODE_REFUSED = (400, "invalid_request")
# The same error also starts with these, before the service looks at the code: no attempt is spent, and a new code would
# not help.
_NOT_ABOUT_THE_CODE = (
    "Resource server requires the use of DPoP",
    "Missing required parameter",
    "Invalid auth_session",
    "The auth_session",
)


def database_request(
    application: Application,
    who: User,
    *,
    connection: str,
    allow_signup: bool = False,
    delivery_method: DeliveryMethod = "text",
    forwarded_for: IpAddress | str | None = None,
) -> HttpRequest:
    """Build the request; an invalid argument raises :class:`UsageError`."""
    if delivery_method not in get_args(DeliveryMethod):
        raise UsageError("delivery_method", "must be 'text' or 'voice'")
    if who.realm == "email" and delivery_method != "text":
        raise UsageError("delivery_method", "must be 'text' for an e-mail")
    members: dict[str, object] = {
        "connection": _check.text("connection", connection, at_most=_MAX_CONNECTION),
        "allow_signup": _check.boolean("allow_signup", allow_signup),
        "delivery_method": delivery_method if who.realm == "sms" else None,
        "email" if who.realm == "email" else "phone_number": who.username,
    }
    headers = forwarded_for_header(application, forwarded_for)
    return json_request(application, application.otp_challenge_url, members, headers)


def read_database(request: HttpRequest, response: HttpResponse, who: User) -> AuthSession:
    """Read the response, which is the same whether the user exists or not; a refusal raises :func:`failure`'s error."""
    if not response.is_success or reports_error(response):
        raise failure(request, response)
    try:
        return AuthSession(response.require_json_object().get("auth_session"), who)  # type: ignore[arg-type] # checked
    except UsageError:
        raise MalformedAnswer("auth_session is missing or not a handle", status=response.status) from None


def start_database(tenant: Tenant, who: User, **parameters: Any) -> Flow[AuthSession]:  # noqa: ANN401 - as database_request
    """Ask for a code; the parameters are those of :func:`database_request`."""
    request = database_request(tenant.application, who, **parameters)
    response = yield request
    return read_database(request, response, who)


def refuses_code(error: OAuthError, otp: Secret) -> bool:
    """Return whether the grant was refused because the code is wrong, expired or used; the service does not say which.

    The code that was sent is redacted in the refusal's description.
    """
    if (error.status, error.error) != _CODE_REFUSED:
        return False
    return not any(error.error_description.startswith(printable(words, (otp,))) for words in _NOT_ABOUT_THE_CODE)
