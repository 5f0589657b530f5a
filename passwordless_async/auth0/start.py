"""``POST /passwordless/start``: ask the service to send a code or a link."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from passwordless_async._common import arguments as _check
from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import Secret, SecretDict
from passwordless_async.auth0.refusals import failure, foreign, reports_error
from passwordless_async.auth0.requests import forwarded_for_header, json_request
from passwordless_async.auth0.tokens import StartReceipt
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async._common.http import HttpRequest, HttpResponse
    from passwordless_async._common.user_address import IpAddress
    from passwordless_async.auth0.application import Application
    from passwordless_async.auth0.identity import User
    from passwordless_async.auth0.tenant import Flow, Tenant

Send = Literal["code", "link"]

# Any other parameter is a mistake, or would weaken the flow.
_PKCE = ("code_challenge", "code_challenge_method")
_SECRET_AUTH_PARAMS = frozenset({"nonce", "state"})
AUTH_PARAMS = frozenset({"audience", "dpop_jkt", "nonce", "redirect_uri", "response_type", "scope", "state", *_PKCE})


def start_request(
    application: Application,
    who: User,
    *,
    send: Send = "code",
    language: str | None = None,
    forwarded_for: IpAddress | str | None = None,
    captcha: str | None = None,
    auth_params: Mapping[str, Any] | None = None,
) -> HttpRequest:
    """Build the request; an invalid argument raises :class:`UsageError`."""
    parameters = checked_auth_params(auth_params)
    if parameters is not None and send != "link":
        raise UsageError("auth_params", "are for a link: send='link'")
    members: dict[str, Any] = {"connection": who.realm, "authParams": parameters}
    if who.realm == "email":
        # Without it the service sends a link.
        members |= {"email": who.username, "send": _one_of_send(send)}
    else:
        if send != "code":
            raise UsageError("send", "must be 'code' for a phone: only an e-mail can carry a link")
        members["phone_number"] = who.username
    if captcha is not None:
        members["captcha"] = Secret(_check.bounded("captcha", captcha, at_most=_check.MAX_CAPTCHA))
    headers = forwarded_for_header(application, forwarded_for)
    if (tag := _check.language_tag(language)) is not None:
        headers["x-request-language"] = tag
    return json_request(application, application.start_url, members, headers)


def read_start(request: HttpRequest, response: HttpResponse, who: User, sent_at: float) -> StartReceipt:
    """Read the response: a success without a body, or with a JSON object that reports no error.

    Others raise :func:`failure`'s error: a proxy's page does not mean that a code was sent.
    """
    if not response.is_success or reports_error(response):
        raise failure(request, response)
    if not response.is_empty and not isinstance(response.json_of_any_type(), SecretDict):
        raise foreign("the answer is no receipt", response)
    return StartReceipt(who, sent_at)


def start(tenant: Tenant, who: User, **parameters: Any) -> Flow[StartReceipt]:  # noqa: ANN401 - as start_request
    """Ask for a code or a link; the parameters are those of :func:`start_request`."""
    request = start_request(tenant.application, who, **parameters)
    sent_at = _clock.now()
    response = yield request
    return read_start(request, response, who, sent_at)


def checked_auth_params(value: Mapping[str, Any] | None) -> SecretDict | None:
    """Return the parameters for a link; one that is unknown or not a text raises :class:`UsageError`.

    ``state`` and ``nonce`` are secrets of the pending login.
    """
    if value is None:
        return None
    try:
        given = SecretDict(value)
    except (TypeError, ValueError):
        raise UsageError("auth_params", "must be a mapping") from None
    for name, text in given.items():
        if name not in AUTH_PARAMS:
            raise UsageError("auth_params", f"may hold {', '.join(sorted(AUTH_PARAMS))}, and nothing else")
        _check.bounded(f"auth_params[{name!r}]", text, at_most=_check.MAX_SECRET)
        given[name] = Secret(text) if name in _SECRET_AUTH_PARAMS else str(text)
    return given


def _one_of_send(send: object) -> str:
    if send not in get_args(Send):
        raise UsageError("send", "must be 'code' or 'link'")
    return str(send)
