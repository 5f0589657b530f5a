"""Maps refusals of the service to errors, by error code and description, because the code alone is ambiguous.

The table is for responses (:func:`refusal`) and for callbacks in a browser (:func:`meant`). Both shapes of body are
read: ``{"error", "error_description"}`` and ``{"code" | "errorCode", "description" | "message"}``. A refusal without a
row is a plain :class:`OAuthError` with the server's text.
"""

from __future__ import annotations

import enum
import html
import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, quote_plus

from passwordless_async import errors
from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import REDACTED, Secret, SecretDict, conceal
from passwordless_async.auth0.clocks import Clocks
from passwordless_async.auth0.mfa.state import MfaRequired
from passwordless_async.auth0.rate_limit import retry_after, says_limit, unavailable_for
from passwordless_async.dpop.challenge import challenges_of
from passwordless_async.errors import MalformedAnswer, OAuthError, PasswordlessError, RateLimited

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async._common.http import HttpRequest, HttpResponse

_NO_TENANT = "Check domain: the server at that name does not answer as an Auth0 tenant."
_NO_ANSWER = "Check domain, and any proxy in front of the tenant: the response is not one of an Auth0 tenant."
_MAX_TEXT = 500  # characters of the server's words
_MAX_DEPTH = 8  # levels of the server's mfa_requirements, which have three


E = TypeVar("E", bound=PasswordlessError)


class Limited(enum.Enum):
    """Whom a 429 limits."""

    TENANT = enum.auto()  # all requests of the application
    CALLER = enum.auto()  # one user, or one address
    BLOCKED = enum.auto()  # one user, blocked by brute-force protection: waiting does not help


# An error code (empty: any), the beginning of its description (empty: any) and their meaning.
_TABLE: tuple[tuple[str, str, type[OAuthError]], ...] = (
    ("invalid_grant", "Wrong email or verification code", errors.WrongCode),
    ("invalid_grant", "Wrong phone number or verification code", errors.WrongCode),
    ("invalid_grant", "You've reached the maximum number of attempts", errors.TooManyAttempts),
    ("invalid_grant", "The verification code has expired", errors.CodeExpired),
    ("invalid_grant", "Unknown or invalid refresh token", errors.InvalidRefreshToken),
    ("invalid_grant", "Invalid otp_code", errors.WrongCode),
    ("invalid_grant", "Invalid binding_code", errors.WrongCode),
    ("invalid_grant", "Invalid recovery", errors.WrongCode),
    ("invalid_grant", "MFA Authorization rejected", errors.AccessDenied),
    ("mfa_required", "", MfaRequired),
    ("authorization_pending", "", errors.AuthorizationPending),
    ("slow_down", "", errors.SlowDown),
    ("expired_token", "oob_code is expired", errors.CodeExpired),
    ("expired_token", "", errors.MfaTokenExpired),
    ("too_many_attempts", "", errors.TooManyAttempts),
    ("unauthorized_client", "", errors.UnauthorizedClient),
    ("invalid_client", "", errors.InvalidClient),
    ("bad.client_id", "", errors.InvalidClient),
    ("access_denied", "Service not found", errors.InvalidTarget),
    ("access_denied", "Service not enabled within domain", errors.InvalidTarget),
    ("access_denied", "", errors.AccessDenied),
    ("unauthorized", "user is blocked", errors.AccessDenied),
    ("invalid_token", "", errors.InvalidToken),
    ("requires_verification", "", errors.VerificationRequired),
    ("invalid_request", "Resource server requires the use of DPoP", errors.DPoPRequired),
    ("invalid_dpop_proof", "", errors.InvalidDPoPProof),
    ("use_dpop_nonce", "", errors.UseDPoPNonce),
    # The provider's number is more specific: _PROVIDER_CODES.
    ("sms_provider_error", "", errors.SmsGatewayFailed),
    ("bad.phone_number", "", errors.InvalidPhoneNumber),
    ("temporarily_unavailable", "", errors.TemporarilyUnavailable),
    ("", "Public signup is disabled", errors.AccessDenied),
)
_OF_SETTINGS = (errors.InvalidClient, errors.InvalidTarget, errors.UnauthorizedClient)
# Some tenants say this of an unknown client and of a wrong secret. A user who is not let in gets status 403.
_UNKNOWN_CLIENT = (HTTPStatus.UNAUTHORIZED, "access_denied")
# Codes that are never redacted: a code that the user typed must not change their meaning. invalid_request is judged by
# database.refuses_code.
_KNOWN = frozenset({code for code, _, _ in _TABLE} | {"invalid_request"})
# For a 429: a body without a code comes from the service, for the tenant's limit, or from a gateway in front of it.
_TENANT_CODES = frozenset({"", "too_many_requests"})
_CALLER_CODES = frozenset({"too_many_logins"})
# "<MSG> (Code: <CODE>)" in the description of sms_provider_error, by Twilio's numbers; a failure without one of these
# is the gateway's.
_PROVIDER_CODE = re.compile(r"\(Code: ?([0-9]{5})\)")
_PROVIDER_CODES: dict[str, type[OAuthError]] = {
    **dict.fromkeys(
        ("21211", "21214", "21217", "21401", "21421", "21610", "21614", "60205"), errors.InvalidPhoneNumber
    ),
    **dict.fromkeys(("21215", "21408", "21612", "60605"), errors.RegionNotAllowed),
}
_ASSERTION = b"client_assertion"  # in the body of a request that is authenticated by one
_CODE_NAMES, _TEXT_NAMES = ("error", "code", "errorCode"), ("error_description", "description", "message")


def refusal(
    request: HttpRequest, response: HttpResponse, *, invalid_grant: type[OAuthError] | None = None
) -> OAuthError | MalformedAnswer:
    """Return the error of a response that is not a success, to raise.

    The request's secrets are redacted in the server's text. ``invalid_grant`` is the error for that code, whatever its
    description is, which is for people (RFC 6749 §5.2); None: the rows decide.
    """
    body = _said(response)
    if body is None:
        return foreign(f"a refusal that {response.unreadable or 'is not a JSON object'}", response)
    error, description = error_code(body), _text(body, _TEXT_NAMES)
    meaning = _meaning(response.status, error, description)
    if error == "invalid_grant" and invalid_grant is not None:
        meaning = invalid_grant
    facts = _facts(meaning, request, response, body)
    refused = _advised(_error(meaning, response.status, error, description, request.secrets, **facts))
    return _noted(Clocks.at(response, _clock.now()).told(refused) if _is_about_clocks(refused, request) else refused)


def _noted(refused: E) -> E:
    """Return a refusal; if a setting seems to be the cause, its traceback has the advice (PEP 678)."""
    if isinstance(refused, _OF_SETTINGS) or refused.advice != type(refused).advice:
        refused.add_note(refused.advice)
    return refused


def _advised(refused: OAuthError) -> OAuthError:
    """Return a refusal; if it does not seem to come from a tenant, with advice about that."""
    is_empty = refused.error == "unknown_error" and not refused.error_description
    is_no_tenant = refused.status == HTTPStatus.NOT_FOUND and is_empty
    return refused.with_facts(advice=_NO_TENANT) if is_no_tenant else refused


def _said(response: HttpResponse) -> SecretDict | None:
    """Return the members of a body with an error, or else of ``WWW-Authenticate`` (RFC 6750 §3); None if neither."""
    body = response.json_object()
    if body is not None and error_code(body):
        return body
    challenges = challenges_of(response)
    named = next((SecretDict(each.parameters) for each in challenges if each.parameters.get("error")), None)
    # The status 429 is enough.
    return named or body or (SecretDict() if response.status == HTTPStatus.TOO_MANY_REQUESTS else body)


def _is_about_clocks(error: OAuthError, request: HttpRequest) -> bool:
    """Return whether the clocks may be the cause: a proof, or an assertion, may be too old or too new."""
    if isinstance(error, errors.InvalidClient):
        return request.body.find(_ASSERTION) >= 0
    return isinstance(error, errors.InvalidDPoPProof)


def _facts(meaning: type[OAuthError], request: HttpRequest, response: HttpResponse, body: SecretDict) -> dict[str, Any]:
    """Return the further attributes of a class of refusals."""
    if meaning is errors.TemporarilyUnavailable:
        return {"retry_after": unavailable_for(response.headers, _clock.now())}
    if meaning is RateLimited:
        return {"retry_after": retry_after(response.headers, _clock.now())}
    if meaning is not MfaRequired:
        return {}
    token, requirements = conceal(body.get("mfa_token")), _printable_json(body.get("mfa_requirements"), request.secrets)
    return {
        "mfa_token": token if isinstance(token, Secret) else None,
        "mfa_requirements": requirements if isinstance(requirements, dict) else {},
    }


def meant(status: int, error: str, description: str, secrets: tuple[Secret, ...]) -> OAuthError:
    """Return the error that a code and a description mean, to raise; each may be empty.

    The secrets are redacted in both.
    """
    # By the text before secrets are redacted: a user who types "code" as a code must not change its meaning.
    return _noted(_error(_meaning(status, error, description), status, error, description, secrets))


def _error(
    meaning: type[OAuthError],
    status: int,
    error: str,
    description: str,
    secrets: tuple[Secret, ...],
    **facts: Any,  # noqa: ANN401 - of the class that is meant
) -> OAuthError:
    error = error or ("too_many_requests" if status == HTTPStatus.TOO_MANY_REQUESTS else "unknown_error")
    return meaning(
        status=status,
        error=str(error) if error in _KNOWN else printable(error, secrets),
        error_description=printable(description, secrets),
        **facts,
    )


def error_code(body: Mapping[str, Any]) -> Secret:
    """Return the error code of a refusal's body, in either shape; empty if there is none."""
    return _text(body, _CODE_NAMES)


def failure(request: HttpRequest, response: HttpResponse) -> PasswordlessError:
    """Return the error of a response that is not a success, to raise, if the request spent nothing."""
    if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return errors.TemporarilyUnavailable(
            status=response.status,
            error="temporarily_unavailable",
            retry_after=unavailable_for(response.headers, _clock.now()),
        )
    if response.status >= HTTPStatus.BAD_REQUEST:
        return refusal(request, response)
    if response.status >= HTTPStatus.MULTIPLE_CHOICES:
        return foreign("a redirect, which is not followed", response)
    if reports_error(response):
        return refusal(request, response)
    return foreign("neither a success nor a refusal", response)


def foreign(problem: str, response: HttpResponse) -> MalformedAnswer:
    """Return the error of a response that no tenant gives, to raise; its traceback has the advice about that."""
    return _noted(MalformedAnswer(problem, status=response.status).with_facts(advice=_NO_ANSWER))


def reports_error(response: HttpResponse) -> bool:
    """Return whether a body reports an error, whatever the status is: some proxies make every status 200."""
    read = response.json_of_any_type()
    body = read if isinstance(read, SecretDict) else SecretDict()
    status = body.get("statusCode")
    return bool(error_code(body) or body.get("error")) or (isinstance(status, int) and status >= HTTPStatus.BAD_REQUEST)


def whom_it_limits(response: HttpResponse) -> Limited:
    """Return whom a 429 of the token endpoint limits: the tenant if it says so, by its code or in its headers."""
    body = response.json_object() or SecretDict()
    code = error_code(body)
    if _meaning(response.status, code, _text(body, _TEXT_NAMES)) is errors.TooManyAttempts:
        return Limited.BLOCKED
    if code in _TENANT_CODES:
        return Limited.TENANT
    # For a caller's limit, the headers describe the caller's window.
    return Limited.CALLER if code in _CALLER_CODES or not says_limit(response.headers) else Limited.TENANT


def _meaning(status: int, error: str, description: str) -> type[OAuthError]:
    if (status, error) == _UNKNOWN_CLIENT and description.startswith("Unauthorized"):
        return errors.InvalidClient
    for code, beginning, meaning in _TABLE:
        if code in {"", error} and description.startswith(beginning):
            return _of_provider(description) if meaning is errors.SmsGatewayFailed else meaning
    return RateLimited if status == HTTPStatus.TOO_MANY_REQUESTS else OAuthError


def _of_provider(description: str) -> type[OAuthError]:
    numbers = _PROVIDER_CODE.findall(description)
    return _PROVIDER_CODES.get(numbers[-1], errors.SmsGatewayFailed) if numbers else errors.SmsGatewayFailed


def _text(body: Mapping[str, Any], names: tuple[str, ...]) -> Secret:
    """Return the first non-empty text among the members; it may repeat a secret of the request."""
    values = (body.get(name) for name in names)
    return Secret(next((value for value in values if isinstance(value, str) and value), ""))


def printable(text: str, secrets: tuple[Secret, ...]) -> str:
    """Return the server's text with the request's secrets redacted, shortened, and without control characters."""
    forms = sorted({form for secret in secrets for form in _forms(secret) if form}, key=len, reverse=True)
    if forms:
        # In one pass: a short secret must not be found in the replacement of a longer one.
        text = re.sub("|".join(map(re.escape, forms)), REDACTED, text)
    return "".join(c if c.isprintable() else " " for c in text[:_MAX_TEXT])


def _printable_json(value: object, secrets: tuple[Secret, ...], depth: int = 0) -> object:
    """Return the server's JSON with the request's secrets redacted everywhere."""
    if isinstance(value, str):
        return printable(value, secrets)
    if not isinstance(value, dict | list) or depth >= _MAX_DEPTH:
        return None if isinstance(value, dict | list) else value
    if isinstance(value, list):
        return [_printable_json(entry, secrets, depth + 1) for entry in value]
    return {printable(name, secrets): _printable_json(member, secrets, depth + 1) for name, member in value.items()}


def _forms(secret: Secret) -> tuple[Secret, ...]:
    """Return the forms in which the server may repeat a secret: plain, or encoded for a form, a URL, JSON or HTML."""
    encoded = quote_plus(secret), quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1], html.escape(secret)
    small = tuple(_PERCENT.sub(lambda found: found[0].lower(), form) for form in encoded)
    return secret, *map(Secret, encoded), *map(Secret, small)


_PERCENT = re.compile("%[0-9A-F]{2}")
