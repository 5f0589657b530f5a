"""The table of faults: where and how each acts.

A row of :data:`FAULTS` acts at one of three points:

- *instead*: the request is not processed; the fault's refusal is the response (a 503, a 429, a redirect, a challenge)
- *alter*: the request is processed, and other tokens are issued than were asked for
- *after*: the request is processed, a code in it is spent, and the response is changed before it is sent; None closes
  the connection
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async.testing import refusals
from passwordless_async.testing.endpoints.nonce_challenges import TOKEN_PATH, nonce_challenge
from passwordless_async.testing.endpoints.token import redeem
from passwordless_async.testing.fault_names import AnyFault, ClaimFault, Fault, FaultOptions, KeySetFault
from passwordless_async.testing.refusals import Refusal
from passwordless_async.testing.settings import RateLimitStyle
from passwordless_async.testing.state.limits import Remaining
from passwordless_async.testing.state.mfa import new_mfa_token
from passwordless_async.testing.state.nonces import Nonces
from passwordless_async.testing.state.signing import Forgery
from passwordless_async.testing.state.users import User

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp import web

    from passwordless_async.testing.state.tenant_state import TenantRequest
    from passwordless_async.testing.state.tokens import Grant

    Claims = dict[str, Any]
    Jwks = list[dict[str, Any]]


@attrs.frozen(kw_only=True)
class PlannedFault:
    """Where and how a fault acts."""

    unread: bool = False  # whether the connection is closed before the body is read
    instead: Callable[[TenantRequest, FaultOptions], Refusal] | None = None
    alter: Callable[[Grant], Grant] | None = None
    applies: Callable[[Grant], bool] = lambda _grant: True  # whether alter has an effect
    after: Callable[[web.Response, FaultOptions], Awaitable[web.Response | None]] | None = None
    only_at: str | None = None  # the only path at which it has an effect; None: every path


def _has_id_token(grant: Grant) -> bool:
    return "openid" in grant.scope


def _refuse(refusal: Refusal) -> PlannedFault:
    return PlannedFault(instead=lambda _request, _options: refusal)


def _rate_limited(style: RateLimitStyle) -> PlannedFault:
    def respond(request: TenantRequest, options: FaultOptions) -> Refusal:
        left = Remaining(limit=10, remaining=0, wait=options.retry_after)
        return attrs.evolve(refusals.TOO_MANY_REQUESTS, headers=request.state.limits.headers(left, style))

    return PlannedFault(instead=respond)


def _challenge(nonce: Callable[[Nonces], str | None]) -> PlannedFault:
    return PlannedFault(
        instead=lambda request, _: nonce_challenge(request.state, request.path, nonce(request.state.nonces))
    )


def _challenge_and_spend(request: TenantRequest, _options: FaultOptions) -> Refusal:
    redeem(request, nonce_waived=True)
    return nonce_challenge(request.state, request.path, request.state.nonces.current())


def _mfa_required(_request: TenantRequest, _options: FaultOptions) -> Refusal:
    more = {"mfa_token": new_mfa_token(), "mfa_requirements": {"challenge": [{"type": "otp"}]}}
    return attrs.evolve(refusals.MFA_REQUIRED, more=more)


async def _drop(_response: web.Response, _options: FaultOptions) -> None:
    return None


async def _slow(response: web.Response, options: FaultOptions) -> web.Response:
    await (asyncio.sleep(options.delay) if options.until is None else options.until.wait())
    return response


async def _garbage(response: web.Response, _options: FaultOptions) -> web.Response:
    body = response.body if isinstance(response.body, bytes) else b"{}"
    response.body = body[: len(body) // 2]
    return response


async def _as_html(response: web.Response, _options: FaultOptions) -> web.Response:
    response.content_type = "text/html"
    return response


async def _huge(response: web.Response, options: FaultOptions) -> web.Response:
    frame = b'{"access_token":"%s"}'
    response.body = frame % (b"a" * (options.size - len(frame) + 2))
    return response


_OTHER_USER = User("email", "another.user@example.com")
_OTHER_THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"  # RFC 9449 §6.1, figure 7
_RSA_MODULUS_BYTES = 256
_ENDED_SECONDS = 60  # more than an API allows for a wrong clock
_A_DAY = 86_400  # seconds
KEY_SET_PATH = "/.well-known/jwks.json"


def _bound_to(thumbprint: str | None) -> PlannedFault:
    return PlannedFault(
        alter=lambda grant: attrs.evolve(grant, thumbprint=thumbprint),
        applies=lambda grant: grant.thumbprint != thumbprint,
    )


def _forged(forgery: Forgery) -> PlannedFault:
    return PlannedFault(alter=lambda grant: attrs.evolve(grant, id_token_forgery=forgery), applies=_has_id_token)


def _logged_in_a_day_ago(grant: Grant) -> Grant:
    return attrs.evolve(grant, auth_time=_clock.now() - _A_DAY, auth_time_requested=True)


def _claims(change: Callable[[Claims], Claims]) -> PlannedFault:
    def changed(claims: Claims) -> Claims:
        return {**claims, **change(claims)}

    return PlannedFault(alter=lambda grant: attrs.evolve(grant, id_token_alter=changed), applies=_has_id_token)


def _claim(**claims: object) -> PlannedFault:
    return _claims(lambda _: claims)


def _jwks(change: Callable[[Jwks, FaultOptions], Jwks]) -> PlannedFault:
    async def after(response: web.Response, options: FaultOptions) -> web.Response:
        members = json.loads(response.body) if isinstance(response.body, bytes) and response.body else {}
        if "keys" in members:
            response.body = json.dumps({**members, "keys": change(members["keys"], options)}).encode()
        return response

    return PlannedFault(after=after, only_at=KEY_SET_PATH)


def _other_modulus() -> str:
    number = bytearray(secrets.token_bytes(_RSA_MODULUS_BYTES))
    number[0] |= 0x80
    number[-1] |= 1
    return base64.urlsafe_b64encode(number).rstrip(b"=").decode()


def _huge_key_set(keys: Jwks, options: FaultOptions) -> Jwks:
    filler = {**keys[0], "n": _other_modulus(), "kid": "filler"}
    number = options.size // len(json.dumps(filler)) + 1
    return [*({**filler, "kid": f"filler-{count}"} for count in range(number)), *keys]


def _duplicate_kids(keys: Jwks, _options: FaultOptions) -> Jwks:
    return [*({**key, "kty": "RSA", "e": "AQAB", "n": _other_modulus()} for key in keys), *keys]


def _symmetric_keys(keys: Jwks, _options: FaultOptions) -> Jwks:
    key = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
    return [{"kty": "oct", "k": key, "kid": public["kid"], "use": "sig", "alg": "HS256"} for public in keys]


FAULTS: Mapping[AnyFault, PlannedFault] = {
    Fault.SERVICE_UNAVAILABLE: _refuse(refusals.UNAVAILABLE),
    Fault.RATE_LIMITED_X_RATELIMIT: _rate_limited(RateLimitStyle.X_RATELIMIT),
    Fault.RATE_LIMITED_AUTH0: _rate_limited(RateLimitStyle.AUTH0),
    Fault.RATE_LIMITED_RETRY_AFTER: _rate_limited(RateLimitStyle.RETRY_AFTER),
    Fault.RATE_LIMITED_SILENT: _rate_limited(RateLimitStyle.SILENT),
    Fault.REDIRECT: PlannedFault(
        instead=lambda _, options: Refusal(302, "found", "moved", headers={"Location": options.location})
    ),
    Fault.DROP_BEFORE_READ: PlannedFault(unread=True),
    Fault.DROP_AFTER_PROCESSING: PlannedFault(after=_drop),
    Fault.SLOW: PlannedFault(after=_slow),
    Fault.GARBAGE_JSON: PlannedFault(after=_garbage),
    Fault.WRONG_CONTENT_TYPE: PlannedFault(after=_as_html),
    Fault.HUGE_BODY: PlannedFault(after=_huge),
    Fault.CHALLENGE_FOREVER: _challenge(Nonces.fresh),
    Fault.CHALLENGE_FOREVER_SAME_NONCE: _challenge(Nonces.fixed),
    Fault.CHALLENGE_WITHOUT_HEADER: _challenge(lambda _nonces: None),
    Fault.CHALLENGE_SPENDS_CODE: PlannedFault(instead=_challenge_and_spend, only_at=TOKEN_PATH),
    Fault.BEARER_TOKEN: _bound_to(None),
    Fault.TOKEN_OF_OTHER_KEY: _bound_to(_OTHER_THUMBPRINT),
    Fault.ACCESS_TOKEN_EXPIRED: PlannedFault(alter=lambda grant: attrs.evolve(grant, ended_seconds_ago=_ENDED_SECONDS)),
    Fault.ID_TOKEN_OF_OTHER_USER: _claim(sub=_OTHER_USER.subject, **_OTHER_USER.claims),
    Fault.ID_TOKEN_OF_OTHER_ISSUER: _claim(iss="https://elsewhere.example/"),
    Fault.ID_TOKEN_ISSUER_WITHOUT_SLASH: _claims(lambda claims: {"iss": claims["iss"].rstrip("/")}),
    Fault.ID_TOKEN_OF_OTHER_CLIENT: _claim(aud="another-client"),
    Fault.ID_TOKEN_OF_TWO_CLIENTS: _claims(lambda claims: {"aud": [claims["aud"], "another-client"]}),
    Fault.ID_TOKEN_FOR_OTHER_PARTY: _claims(
        lambda claims: {"aud": [claims["aud"], "another-client"], "azp": "another-client"}
    ),
    ClaimFault.ID_TOKEN_OF_OTHER_NONCE: _claim(nonce="another-nonce"),
    Fault.ID_TOKEN_WITHOUT_SUB: _claim(sub=None),
    Fault.ID_TOKEN_EXPIRED: _claim(iat=1_000_000_000, exp=1_000_003_600),
    Fault.ID_TOKEN_FROM_THE_FUTURE: _claims(lambda claims: {"iat": claims["iat"] + 3600}),
    Fault.ID_TOKEN_EXP_IS_TEXT: _claims(lambda claims: {"exp": str(claims["exp"])}),
    ClaimFault.ID_TOKEN_OF_AN_OLD_LOGIN: PlannedFault(alter=_logged_in_a_day_ago, applies=_has_id_token),
    Fault.ID_TOKEN_TAMPERED: _forged(Forgery.TAMPERED),
    Fault.ID_TOKEN_UNSIGNED: _forged(Forgery.UNSIGNED),
    Fault.ID_TOKEN_SIGNED_WITH_PUBLIC_KEY: _forged(Forgery.PUBLIC_KEY),
    Fault.ID_TOKEN_OF_OTHER_KEY: _forged(Forgery.OTHER_KEY),
    Fault.ID_TOKEN_OF_UNKNOWN_KID: _forged(Forgery.UNKNOWN_KID),
    KeySetFault.JWKS_HUGE: _jwks(_huge_key_set),
    KeySetFault.JWKS_DUPLICATE_KIDS: _jwks(_duplicate_kids),
    KeySetFault.JWKS_SYMMETRIC_KEY: _jwks(_symmetric_keys),
    Fault.MFA_REQUIRED: PlannedFault(instead=_mfa_required),
    Fault.ACCESS_DENIED: _refuse(refusals.ACCESS_DENIED),
    Fault.USER_BLOCKED: _refuse(refusals.USER_BLOCKED),
    Fault.ACCOUNT_BLOCKED: _refuse(refusals.ACCOUNT_BLOCKED),
    Fault.UNAUTHORIZED_CLIENT: _refuse(refusals.UNAUTHORIZED_CLIENT),
    Fault.ENDPOINT_DISABLED: _refuse(refusals.ENDPOINT_DISABLED),
    Fault.VERIFICATION_REQUIRED: _refuse(refusals.VERIFICATION_REQUIRED),
    Fault.SMS_PROVIDER_ERROR: _refuse(refusals.SMS_PROVIDER_ERROR),
    Fault.REFUSAL: PlannedFault(
        instead=lambda _, options: Refusal(options.status, options.error, options.description, members=options.members)
    ),
}
