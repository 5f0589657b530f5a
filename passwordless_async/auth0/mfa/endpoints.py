"""``/mfa/…`` and the grants of a second factor: each request builder beside its reader.

Readers raise the ``OAuthError`` of a refusal, and ``MalformedAnswer`` if the response is not what the protocol allows.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeGuard

import attrs

from passwordless_async._common.http import HttpRequest, HttpResponse
from passwordless_async._common.secret import Secret, SecretDict, SecretList, conceal
from passwordless_async.auth0.client_auth import ClientSecretBasic
from passwordless_async.auth0.mfa.values import Association, Authenticator, MfaChallenge
from passwordless_async.auth0.refusals import failure
from passwordless_async.auth0.requests import form_request, json_request
from passwordless_async.errors import AccessDenied, MalformedAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from passwordless_async.auth0.application import Application
    from passwordless_async.auth0.identity import Email, Phone

MFA_OTP_GRANT = "http://auth0.com/oauth/grant-type/mfa-otp"
MFA_OOB_GRANT = "http://auth0.com/oauth/grant-type/mfa-oob"
MFA_RECOVERY_GRANT = "http://auth0.com/oauth/grant-type/mfa-recovery-code"

CODE_LIFETIME = 300  # seconds that a code sent to a factor is valid

_ENROLLED = "User is already enrolled"  # how the description of the refusal begins
_USE_THE_FACTOR = "The user must use a factor that they have: client.mfa.authenticators lists them."
_MAX_AUTHENTICATORS = 100
_MAX_CODES = 32
# Each pattern bounds the length, in characters.
_WORD = re.compile(r"[\x21-\x7E]{1,64}")
_IDENTIFIER = re.compile(r"[\x21-\x7E]{1,512}")
_HANDLE = re.compile(r"[\x21-\x7E]{1,16384}")
_RECOVERY_CODE = re.compile(r"[\x21-\x7E]{1,256}")


def authenticators_request(application: Application, mfa_token: Secret) -> HttpRequest:
    """Build the request for the user's factors, with the ``mfa_token`` as its bearer token."""
    authorization = Secret(f"Bearer {mfa_token}")
    return HttpRequest(
        "GET", application.mfa_authenticators_url, {"Authorization": authorization}, secrets=(mfa_token,)
    )


def read_authenticators(request: HttpRequest, response: HttpResponse) -> tuple[Authenticator, ...]:
    """Read the user's factors, in the service's order."""
    if not response.is_success:
        raise failure(request, response)
    listed = response.json_value()
    if not isinstance(listed, SecretList) or len(listed) > _MAX_AUTHENTICATORS:
        raise MalformedAnswer("the response is not a JSON array of authenticators", status=HTTPStatus.OK)
    return tuple(_authenticator(entry) for entry in listed)


def challenge_request(
    application: Application, mfa_token: Secret, *, types: Sequence[str], authenticator_id: str | None
) -> HttpRequest:
    """Build the request that challenges a factor."""
    members = {"mfa_token": mfa_token, "challenge_type": " ".join(types), "authenticator_id": authenticator_id}
    return json_request(application, application.mfa_challenge_url, members)


def read_challenge(
    request: HttpRequest, response: HttpResponse, *, types: Sequence[str], sent_at: float
) -> MfaChallenge:
    """Read the factor challenge; one of a type that was not requested is malformed."""
    if not response.is_success:
        raise failure(request, response)
    body = response.require_json_object()
    kind = _member(body, "challenge_type", _WORD)
    if kind is None or kind not in types:
        raise MalformedAnswer("challenge_type is missing, or was not requested", status=HTTPStatus.OK)
    return _challenge(kind, body, sent_at)


def associate_request(
    application: Application,
    mfa_token: Secret,
    *,
    types: Sequence[str],
    channels: Sequence[str],
    phone: Phone | None,
    email: Email | None,
) -> HttpRequest:
    """Build the request for a new factor, with the ``mfa_token`` as its bearer token."""
    auth = application.client_auth
    members: dict[str, Any] = {
        "authenticator_types": list(types),
        "oob_channels": list(channels) or None,
        "phone_number": None if phone is None else phone.number,
        "email": None if email is None else email.address,
        # The Authorization header has the mfa_token here, so a secret for HTTP Basic goes into the body.
        "client_secret": auth.secret if isinstance(auth, ClientSecretBasic) else None,
    }
    request = json_request(application, application.mfa_associate_url, members)
    headers = {**request.headers, "Authorization": Secret(f"Bearer {mfa_token}")}
    return attrs.evolve(request, headers=headers, secrets=(*request.secrets, mfa_token))


def read_association(request: HttpRequest, response: HttpResponse, *, sent_at: float) -> Association:
    """Read a new factor."""
    if not response.is_success:
        refused = failure(request, response)
        is_enrolled = isinstance(refused, AccessDenied) and refused.error_description.startswith(_ENROLLED)
        raise refused.with_facts(advice=_USE_THE_FACTOR) if is_enrolled else refused
    body = response.require_json_object()
    kind, secret = _member(body, "authenticator_type", _WORD), _secret(body, "secret", _IDENTIFIER)
    if kind is None or kind not in {"otp", "oob"} or (kind == "otp" and secret is None):
        raise MalformedAnswer(
            "neither an authenticator app with its secret nor an out-of-band factor", status=HTTPStatus.OK
        )
    return Association(
        authenticator_type=kind,
        secret=secret,
        barcode_uri=_secret(body, "barcode_uri", _HANDLE),
        recovery_codes=_recovery_codes(body),
        oob_channel=_member(body, "oob_channel", _WORD),
        challenge=_challenge(kind, body, sent_at),
    )


def factor_request(application: Application, grant_type: str, fields: Mapping[str, str | None]) -> HttpRequest:
    """Build the request that exchanges a second factor for tokens, for one transmission."""
    return form_request(application, application.token_url, {"grant_type": grant_type, **fields})


def read_recovery_code(response: HttpResponse) -> Secret | None:
    """Return the recovery code that replaces the one used, whatever else the response says."""
    code = conceal((response.json_object() or SecretDict()).get("recovery_code"))
    return code if _is_recovery_code(code) else None


def _authenticator(entry: object) -> Authenticator:
    if not isinstance(entry, dict):
        raise MalformedAnswer("an authenticator is not a JSON object", status=HTTPStatus.OK)
    body = SecretDict(entry)
    identifier, kind = _member(body, "id", _IDENTIFIER), _member(body, "authenticator_type", _WORD)
    if identifier is None or kind is None:
        raise MalformedAnswer("an authenticator has no id or no authenticator_type", status=HTTPStatus.OK)
    name = conceal(body.get("name"))
    return Authenticator(
        id=identifier,
        authenticator_type=kind,
        active=body.get("active") is not False,
        oob_channel=_member(body, "oob_channel", _WORD),
        name=name if isinstance(name, Secret) and name.isprintable() else None,
    )


def _challenge(kind: str, body: SecretDict, sent_at: float) -> MfaChallenge:
    oob_code = _secret(body, "oob_code", _HANDLE)
    if kind == "oob" and oob_code is None:
        raise MalformedAnswer("oob_code is missing", status=HTTPStatus.OK)
    return MfaChallenge(
        challenge_type=kind,
        oob_code=oob_code if kind == "oob" else None,
        binding_method=_member(body, "binding_method", _WORD),
        expires_at=int(sent_at) + CODE_LIFETIME,
    )


def _recovery_codes(body: SecretDict) -> tuple[Secret, ...]:
    given = body.get("recovery_codes")
    codes = tuple(map(conceal, given)) if isinstance(given, list) else () if given is None else None
    if codes is None or len(codes) > _MAX_CODES or not all(map(_is_recovery_code, codes)):
        raise MalformedAnswer("recovery_codes are not strings", status=HTTPStatus.OK)
    return codes


def _is_recovery_code(code: object) -> TypeGuard[Secret]:
    return isinstance(code, Secret) and _RECOVERY_CODE.fullmatch(code) is not None


def _member(body: SecretDict, name: str, form: re.Pattern[str]) -> str | None:
    value = _secret(body, name, form)
    return None if value is None else str(value)


def _secret(body: SecretDict, name: str, form: re.Pattern[str]) -> Secret | None:
    value = conceal(body.get(name))
    if value is None or value == "":
        return None
    if not isinstance(value, Secret) or not form.fullmatch(value):
        raise MalformedAnswer(f"{name} is not a string of its form", status=HTTPStatus.OK)
    return value
