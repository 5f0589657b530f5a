"""The response of the token endpoint: tokens, their type and their key (RFC 6749 §5.1, RFC 9449 §5)."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

import attrs

from passwordless_async._common.http import HttpRequest, HttpResponse, read_segment_leniently
from passwordless_async._common.secret import Secret, SecretDict, conceal, redacted
from passwordless_async.auth0.refusals import error_code, foreign, refusal
from passwordless_async.errors import (
    MalformedAnswer,
    NotSenderConstrained,
    OAuthError,
    OutcomeUnknown,
    PasswordlessError,
    SenderConstrained,
)

_MAX_TOKEN = 65_536  # characters
_MAX_LIFETIME = 10 * 366 * 86_400  # seconds
_JWS_SEGMENTS = 3  # RFC 7515 §3.1
# RFC 6750 §2.1 b64token, which a DPoP access token is too (RFC 9449 §7.1).
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
# RFC 6749 appendix A.17: refresh-token = 1*VSCHAR, which is wider.
_SECONDS = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,10})?", re.ASCII)
_REFRESH_TOKEN = re.compile(r"[\x20-\x7E]+")
_UNPROVEN = "no proof was sent and the token is bound to a key: it is of no use"


@attrs.frozen
class TokenAnswer:
    """A success of the token endpoint (RFC 6749 §5.1): its types are checked, its tokens not yet."""

    access_token: Secret = attrs.field(repr=redacted)
    token_type: str
    expires_in: int | None  # seconds; None if the server did not say
    scope: str
    refresh_token: Secret | None = attrs.field(repr=redacted)
    id_token: Secret | None = attrs.field(repr=redacted)


def read_token(
    request: HttpRequest,
    response: HttpResponse,
    requested_scope: str | None,
    *,
    invalid_grant: type[OAuthError] | None = None,
) -> TokenAnswer:
    """Read the response; ``invalid_grant`` is as for :func:`~passwordless_async.auth0.refusals.refusal`.

    The response is read leniently, because the code is spent: any success with an access token counts.

    Raises:
        OAuthError: The service refused.
        OutcomeUnknown: The service failed (5xx): the code may be spent.
        MalformedAnswer: The response is not what the protocol allows.
    """
    if not response.is_success:
        raise _failure(request, response, invalid_grant)
    body = response.require_json_object()
    access_token = _token(body, "access_token")
    if access_token is None:
        # Some services refuse with 200 and an error code.
        if error_code(body):
            raise refusal(request, response, invalid_grant=invalid_grant)
        raise MalformedAnswer("access_token is missing", status=response.status)
    return TokenAnswer(
        access_token=access_token,
        token_type=_token_type(body),
        expires_in=_lifetime(body),
        # RFC 6749 §5.1: no scope in the answer means the requested one.
        scope=_scope(body, requested_scope),
        refresh_token=_token(body, "refresh_token", _REFRESH_TOKEN),
        id_token=_token(body, "id_token"),
    )


def refresh_token_of(response: HttpResponse) -> Secret | None:
    """Return the refresh token of a response, even if the rest is malformed; None if there is none of its form."""
    token = conceal(_tokens_of(response).get("refresh_token"))
    return token if isinstance(token, Secret) and _REFRESH_TOKEN.fullmatch(token) else None


def keeps_refresh_token(request: HttpRequest, response: HttpResponse) -> bool:
    """Return whether a response keeps the refresh token of the request (RFC 6749 §6).

    It has the same one, or an access token without a refresh token.
    """
    refresh_token = refresh_token_of(response)
    if refresh_token is not None:
        return refresh_token in request.secrets
    body = _tokens_of(response)
    return "access_token" in body and body.get("refresh_token") in (None, "")


def _tokens_of(response: HttpResponse) -> SecretDict:
    return (response.json_object() if response.is_success else None) or SecretDict()


def _failure(request: HttpRequest, response: HttpResponse, invalid_grant: type[OAuthError] | None) -> PasswordlessError:
    status = response.status
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not _refuses_grant_type(response):
        return OutcomeUnknown(f"the service failed ({status}) and may have spent the code", status=status)
    if status >= HTTPStatus.BAD_REQUEST:
        return refusal(request, response, invalid_grant=invalid_grant)
    return foreign("neither tokens nor a refusal", response)


def _refuses_grant_type(response: HttpResponse) -> bool:
    """Return whether this is ``unsupported_grant_type``: the one 5xx after which the code is not spent."""
    body = response.json_object() if response.status == HTTPStatus.NOT_IMPLEMENTED else None
    return body is not None and error_code(body) == "unsupported_grant_type"


def checked_binding(answer: TokenAnswer, thumbprint: str | None, *, required: bool) -> bool:
    """Return whether tokens are bound to the proven key (RFC 9449 §5, §6.1); raise if they must not be used.

    The only place that decides about the binding of a response, for every grant and every mode of the client.

    Args:
        answer: The response.
        thumbprint: That of the proven key; None: no proof was sent.
        required: Whether unbound tokens are refused.

    Raises:
        NotSenderConstrained: They must be bound, or are bound to another key.
        SenderConstrained: They are bound, and no proof was sent.
        MalformedAnswer: Their type is neither DPoP nor Bearer (RFC 6749 §7.1).
    """
    if answer.token_type.lower() == "dpop":
        _require_key(answer, thumbprint)
        return True
    if required:
        raise NotSenderConstrained("a proof was sent, but token_type is not DPoP: a thief could use the token")
    _require_bearer(answer, thumbprint)
    return False


def _require_key(answer: TokenAnswer, thumbprint: str | None) -> None:
    """Refuse tokens that are bound to another key than the proven one, if they can be read."""
    if thumbprint is None:
        raise SenderConstrained(_UNPROVEN)
    claims = _jwt_claims(answer.access_token)
    if claims is None:
        return
    confirmation = claims.get("cnf")
    if not isinstance(confirmation, dict) or confirmation.get("jkt") != thumbprint:
        raise NotSenderConstrained("cnf.jkt of the access token is not the thumbprint of the key")


def _require_bearer(answer: TokenAnswer, thumbprint: str | None) -> None:
    """Refuse tokens of an unknown type, and Bearer tokens that name a key (RFC 7800 §3.1)."""
    if answer.token_type.lower() != "bearer":
        raise MalformedAnswer("token_type is neither DPoP nor Bearer", status=HTTPStatus.OK)
    if (_jwt_claims(answer.access_token) or {}).get("cnf") is None:
        return
    if thumbprint is None:
        raise SenderConstrained(_UNPROVEN)
    raise NotSenderConstrained("token_type is Bearer and the access token names a key (cnf): it is not ours")


def _token(body: SecretDict, name: str, form: re.Pattern[str] = _TOKEN) -> Secret | None:
    value = conceal(body.get(name))
    if value is None or value == "":  # some services send this for an absent token
        return None
    if not isinstance(value, Secret) or len(value) > _MAX_TOKEN or not form.fullmatch(value):
        raise MalformedAnswer(f"{name} is not a token", status=HTTPStatus.OK)
    return value


def _token_type(body: SecretDict) -> str:
    value = conceal(body.get("token_type"))
    if value is None:
        return ""
    if not isinstance(value, Secret) or len(value) > _MAX_TOKEN or not value.isprintable():
        raise MalformedAnswer("token_type is not a string", status=HTTPStatus.OK)
    return str(value)


def _scope(body: SecretDict, requested: str | None) -> str:
    """Return the granted scope, from a text or a list of words; empty for anything else."""
    value = body.get("scope")
    if value is None:
        return requested or ""
    scope = " ".join(_joined(value).split())
    return scope if len(scope) <= _MAX_TOKEN and scope.isprintable() else ""


def _joined(value: object) -> str:
    """Return a text, or a list of texts as one; empty for anything else."""
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return " ".join(value)
    return value if isinstance(value, str) else ""


def _lifetime(body: SecretDict) -> int | None:
    """Return the seconds of ``expires_in``, a number or its text; None if it is neither, because it is only a hint."""
    value = body.get("expires_in")
    if isinstance(value, str) and _SECONDS.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _MAX_LIFETIME:
        return None
    return int(value)


def _jwt_claims(access_token: Secret) -> dict[str, Any] | None:
    """Return the claims of an access token that is a signed JWT; None if it is opaque or encrypted.

    The resource server checks its signature; here, it only has to name our key.
    """
    segments = access_token.split(".")
    if len(segments) != _JWS_SEGMENTS:
        return None
    return read_segment_leniently(segments[1])
