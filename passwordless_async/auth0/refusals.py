"""What the service means when it says no: one table, for the code alone does not tell.

It is read with the refusals on the wire and with those that a browser brings to a callback (:func:`meant`). Both shapes
of body are read: ``{"error", "error_description"}`` and ``{"code" | "errorCode", "description" | "message"}``. What no
row knows becomes a plain :class:`OAuthError` with the server's own words.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import attrs

from passwordless_async import errors
from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import REDACTED, Secret, SecretDict
from passwordless_async.auth0.mfa.required import MfaRequired
from passwordless_async.auth0.rate_limit import retry_after
from passwordless_async.errors import MalformedAnswer, OAuthError, PasswordlessError, RateLimited

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async._common.http import HttpRequest, HttpResponse

_REDIRECTION, _BAD_REQUEST, _TOO_MANY_REQUESTS, _SERVER_ERROR = 300, 400, 429, 500
_MAX_TEXT = 500  # characters of the server's that are kept


@attrs.frozen
class _Row:
    """An error code, the beginning of its description (empty: any) and what they mean."""

    error: str
    description: str
    meaning: type[OAuthError]


_TABLE = (
    _Row("invalid_grant", "Wrong email or verification code", errors.WrongCode),
    _Row("invalid_grant", "Wrong phone number or verification code", errors.WrongCode),
    _Row("invalid_grant", "You've reached the maximum number of attempts", errors.TooManyAttempts),
    _Row("invalid_grant", "The verification code has expired", errors.CodeExpired),
    _Row("invalid_grant", "Unknown or invalid refresh token", errors.InvalidRefreshToken),
    _Row("invalid_grant", "Invalid otp_code", errors.WrongCode),
    _Row("invalid_grant", "Invalid binding_code", errors.WrongCode),
    _Row("invalid_grant", "Invalid recovery", errors.WrongCode),
    _Row("invalid_grant", "MFA Authorization rejected", errors.AccessDenied),
    _Row("mfa_required", "", MfaRequired),
    _Row("authorization_pending", "", errors.AuthorizationPending),
    _Row("slow_down", "", errors.SlowDown),
    _Row("expired_token", "oob_code is expired", errors.CodeExpired),
    _Row("expired_token", "", errors.MfaTokenExpired),
    _Row("too_many_attempts", "", errors.TooManyAttempts),
    _Row("unauthorized_client", "", errors.UnauthorizedClient),
    _Row("invalid_client", "", errors.InvalidClient),
    _Row("access_denied", "", errors.AccessDenied),
    _Row("unauthorized", "user is blocked", errors.AccessDenied),
    _Row("requires_verification", "", errors.VerificationRequired),
    _Row("invalid_dpop_proof", "", errors.InvalidDPoPProof),
    _Row("use_dpop_nonce", "", errors.UseDPoPNonce),
    _Row("temporarily_unavailable", "", errors.TemporarilyUnavailable),
    _Row("", "Public signup is disabled", errors.AccessDenied),
)
# The last one is judged by its code where a handle stands for the user, which what was typed must not change.
_KNOWN = frozenset({row.error for row in _TABLE} | {"invalid_request"})
_CODE_NAMES, _TEXT_NAMES = ("error", "code", "errorCode"), ("error_description", "description", "message")


def refusal(request: HttpRequest, response: HttpResponse) -> OAuthError | MalformedAnswer:
    """Return what an answer other than a success means, ready to raise.

    Args:
        request: What was sent; its secrets are taken out of the server's words.
        response: The answer.
    """
    body = response.json_object()
    if response.status == _TOO_MANY_REQUESTS:
        body = body or SecretDict()
    if body is None:
        return MalformedAnswer("a refusal that is not a JSON object", status=response.status)
    read = meant(response.status, error_code(body), _text(body, _TEXT_NAMES), request.secrets)
    if isinstance(read, RateLimited):
        read.retry_after = retry_after(response.headers, _clock.now())
    if isinstance(read, MfaRequired):
        _add_mfa_facts(read, body)
    return read


def meant(status: int, error: str, description: str, secrets: tuple[Secret, ...]) -> OAuthError:
    """Return what a code and a description mean, ready to raise; facts that stand elsewhere in an answer are absent.

    Args:
        status: The HTTP status that they came with.
        error: The error code; may be empty.
        description: The server's words; may be empty.
        secrets: What is taken out of both.
    """
    error = error or _default(status)
    # Read before the secrets are taken out: a user who types "code" for a code must not change what the words mean.
    meaning = _meaning(status, error, description)
    return meaning(
        status=status,
        error=str(error) if error in _KNOWN else printable(error, secrets),
        error_description=printable(description, secrets),
    )


def error_code(body: Mapping[str, Any]) -> Secret:
    """Return the error code of a refusal's body, whichever its shape; empty where there is none."""
    return _text(body, _CODE_NAMES)


def failure(request: HttpRequest, response: HttpResponse) -> PasswordlessError:
    """Return what an answer other than a success means where nothing was at stake, ready to raise."""
    if response.status >= _SERVER_ERROR:
        return errors.TemporarilyUnavailable(status=response.status, error="temporarily_unavailable")
    if _REDIRECTION <= response.status < _BAD_REQUEST:
        return MalformedAnswer("a redirect, which is not followed", status=response.status)
    if response.status < _BAD_REQUEST:
        return MalformedAnswer("neither a success nor a refusal", status=response.status)
    return refusal(request, response)


def blocks_user(response: HttpResponse) -> bool:
    """Tell whether a 429 is about one user, whom brute-force protection has blocked, and not about the rate."""
    body = response.json_object() or SecretDict()
    error = _text(body, ("error", "code", "errorCode"))
    description = _text(body, ("error_description", "description", "message"))
    return _meaning(response.status, error, description) is errors.TooManyAttempts


def _meaning(status: int, error: str, description: str) -> type[OAuthError]:
    for row in _TABLE:
        if row.error in {"", error} and description.startswith(row.description):
            return row.meaning
    return RateLimited if status == _TOO_MANY_REQUESTS else OAuthError


def _default(status: int) -> str:
    return "too_many_requests" if status == _TOO_MANY_REQUESTS else "unknown_error"


def _text(body: Mapping[str, Any], names: tuple[str, ...]) -> Secret:
    """Return the first of the members that is a text and not empty; it may repeat a secret of the request."""
    values = (body.get(name) for name in names)
    return Secret(next((value for value in values if isinstance(value, str) and value), ""))


def printable(text: str, secrets: tuple[Secret, ...]) -> str:
    """Return the server's words without the request's secrets: bounded, and without control characters."""
    for form in sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True):
        text = text.replace(form, REDACTED)
    return "".join(c if c.isprintable() else " " for c in text[:_MAX_TEXT])


def _forms(secret: Secret) -> tuple[Secret, ...]:
    """Return how a secret may stand in the server's words: as it is, or as it was encoded when it was sent."""
    return secret, Secret(quote_plus(secret)), Secret(quote(secret, safe="")), Secret(json.dumps(secret)[1:-1])


def _add_mfa_facts(error: MfaRequired, body: Mapping[str, Any]) -> None:
    token, requirements = body.get("mfa_token"), body.get("mfa_requirements")
    error.mfa_token = Secret(token) if isinstance(token, str) else None
    error.mfa_requirements = requirements if isinstance(requirements, dict) else {}
