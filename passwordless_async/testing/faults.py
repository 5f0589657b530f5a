"""Faults: what can go wrong between a client and a tenant, switched on by tests.

A row of :data:`FAULTS` acts at one of three points:

- *instead*: the request is not processed; the fault's refusal is the response (a 503, a 429, a redirect, a challenge)
- *alter*: the request is processed, and other tokens are issued than were asked for
- *after*: the request is processed, a code in it is spent, and the response is changed before it is sent; None closes
  the connection

Invariant: a fault is counted only if it acts. The faults that alter tokens are looked up once tokens are to be issued,
the others when a request comes, so one request can meet a fault of each sort.
"""

from __future__ import annotations

import asyncio
import base64
import enum
import json
import secrets
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import always_printable
from passwordless_async.testing import refusals
from passwordless_async.testing.endpoints.nonce_challenges import TOKEN_PATH, nonce_challenge
from passwordless_async.testing.endpoints.token import redeem
from passwordless_async.testing.refusals import Refusal
from passwordless_async.testing.settings import RateLimitStyle
from passwordless_async.testing.state.limits import Remaining
from passwordless_async.testing.state.nonces import Nonces
from passwordless_async.testing.state.signing import Forgery
from passwordless_async.testing.state.users import User

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from aiohttp import web

    from passwordless_async.testing.state.tenant_state import TenantRequest
    from passwordless_async.testing.state.tokens import Grant

    Claims = dict[str, Any]
    Jwks = list[dict[str, Any]]


_MAX_NUMBER = 1_000_000_000


class Fault(enum.StrEnum):
    """The faults by name; one named after an error code is a refusal with that code."""

    SERVICE_UNAVAILABLE = enum.auto()
    """503; the request is not processed."""
    RATE_LIMITED_X_RATELIMIT = enum.auto()
    """429 with ``x-ratelimit-limit``, ``-remaining``, ``-reset``."""
    RATE_LIMITED_AUTH0 = enum.auto()
    """429 with ``Auth0-RateLimit``."""
    RATE_LIMITED_RETRY_AFTER = enum.auto()
    """429 with ``Retry-After``."""
    RATE_LIMITED_SILENT = enum.auto()
    """429 without a header that says when to retry."""
    REDIRECT = enum.auto()
    """302 to ``location``."""
    DROP_BEFORE_READ = enum.auto()
    """The connection is closed before the body is read."""
    DROP_AFTER_PROCESSING = enum.auto()
    """The request is processed, the code spent, and the connection closed without a response."""
    SLOW = enum.auto()
    """The response comes ``delay`` seconds late, or when the event ``until`` is set."""
    GARBAGE_JSON = enum.auto()
    """The response is cut in the middle of its JSON."""
    WRONG_CONTENT_TYPE = enum.auto()
    """The right body as ``text/html``."""
    HUGE_BODY = enum.auto()
    """A JSON body of ``size`` bytes."""

    CHALLENGE_FOREVER = enum.auto()
    """A challenge with another nonce each time."""
    CHALLENGE_FOREVER_SAME_NONCE = enum.auto()
    """A challenge with the same nonce each time."""
    CHALLENGE_WITHOUT_HEADER = enum.auto()
    """A challenge without a ``DPoP-Nonce`` header."""
    CHALLENGE_SPENDS_CODE = enum.auto()
    """A challenge from a server that spends the code, or any other grant, first (``/oauth/token`` alone)."""

    BEARER_TOKEN = enum.auto()
    """A Bearer token although a proof was sent."""
    TOKEN_OF_OTHER_KEY = enum.auto()
    """A token bound to another key: a JWT has that key in ``cnf``; ``/userinfo`` refuses the token."""
    ACCESS_TOKEN_EXPIRED = enum.auto()
    """An access token that expired a minute ago, despite its ``expires_in``: by its ``exp``, and for userinfo."""
    ID_TOKEN_OF_OTHER_USER = enum.auto()
    """An ID token about another user."""
    ID_TOKEN_OF_OTHER_ISSUER = enum.auto()
    """An ID token with another tenant's ``iss``."""
    ID_TOKEN_ISSUER_WITHOUT_SLASH = enum.auto()
    """An ID token with an ``iss`` without the trailing slash."""
    ID_TOKEN_OF_OTHER_CLIENT = enum.auto()
    """An ID token with another application's ``aud``."""
    ID_TOKEN_OF_TWO_CLIENTS = enum.auto()
    """An ID token with two audiences and no ``azp``."""
    ID_TOKEN_FOR_OTHER_PARTY = enum.auto()
    """An ID token with two audiences, and the other one as ``azp``."""
    ID_TOKEN_WITHOUT_SUB = enum.auto()
    """An ID token with ``sub`` null."""
    ID_TOKEN_EXPIRED = enum.auto()
    """An ID token with ``exp`` in the past."""
    ID_TOKEN_FROM_THE_FUTURE = enum.auto()
    """An ID token with ``iat`` an hour ahead."""
    ID_TOKEN_EXP_IS_TEXT = enum.auto()
    """An ID token with ``exp`` a string."""
    ID_TOKEN_TAMPERED = enum.auto()
    """An ID token with a broken signature."""
    ID_TOKEN_UNSIGNED = enum.auto()
    """An ID token with ``alg: none``."""
    ID_TOKEN_SIGNED_WITH_PUBLIC_KEY = enum.auto()
    """An ID token signed by HS256, with the RSA public key's PEM as the secret."""
    ID_TOKEN_OF_OTHER_KEY = enum.auto()
    """An ID token signed by another key, with the ``kid`` of the present one."""
    ID_TOKEN_OF_UNKNOWN_KID = enum.auto()
    """An ID token with a ``kid`` that no key set has, another one each time."""

    MFA_REQUIRED = enum.auto()
    ACCESS_DENIED = enum.auto()
    USER_BLOCKED = enum.auto()
    ACCOUNT_BLOCKED = enum.auto()
    """429 ``too_many_attempts``: brute-force protection."""
    UNAUTHORIZED_CLIENT = enum.auto()
    ENDPOINT_DISABLED = enum.auto()
    VERIFICATION_REQUIRED = enum.auto()
    """Start: 401 ``requires_verification``, bot detection."""
    SMS_PROVIDER_ERROR = enum.auto()
    """Start: 400 ``sms_provider_error``."""
    REFUSAL = enum.auto()
    """Any refusal: ``status`` with ``error`` and ``description``, in the ``members`` of a body."""


class ClaimFault(enum.StrEnum):
    """Wrong claims, for clients that asked for these claims; other clients need not check them."""

    ID_TOKEN_OF_OTHER_NONCE = enum.auto()
    """An ID token with another ``nonce`` than the request for the link had."""
    ID_TOKEN_OF_AN_OLD_LOGIN = enum.auto()
    """Tokens of a login a day ago: ``auth_time`` of the ID token, and of the access token if
    ``TenantSettings.auth_time_claim`` names one. A request with ``max_age`` is refused by the client. Without it, the
    login succeeds, and ``CurrentUser.logged_in_at`` of its session is a day ago, which tests a step-up. The tenant
    keeps no login: the next one is new again."""


class KeySetFault(enum.StrEnum):
    """Key sets that must not be trusted; they affect requests to ``/.well-known/jwks.json`` only."""

    JWKS_HUGE = enum.auto()
    """A key set of ``size`` bytes, the present keys last."""
    JWKS_DUPLICATE_KIDS = enum.auto()
    """A key set that names each ``kid`` twice, with another key first."""
    JWKS_SYMMETRIC_KEY = enum.auto()
    """A key set of symmetric keys, under the ``kid`` of the present ones."""


AnyFault = Fault | ClaimFault | KeySetFault
_KINDS: tuple[type[Fault | ClaimFault | KeySetFault], ...] = (Fault, ClaimFault, KeySetFault)


def fault_named(name: str) -> AnyFault:
    """Return a fault by its name, or raise ``ValueError``."""
    for kind in _KINDS:
        if name in tuple(kind):
            return kind(name)
    known = ", ".join(each for kind in _KINDS for each in kind)
    raise ValueError(f"no fault is called {name!r}: there are {known}")


def _pair(names: Sequence[str]) -> tuple[str, str]:
    # A tenant process is given a list: JSON has no tuples.
    match names:
        case [code, text] if code != text:
            return code, text
    raise ValueError("members must be two names")


def _between(least: int, most: int) -> Callable[[Any, attrs.Attribute[Any], Any], object]:
    def check(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most):
            return
        raise ValueError(f"{attribute.name} must be a number from {least} to {most}")

    return check


def _printable(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{attribute.name} must be a str without control characters")


def _absolute(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not (isinstance(value, str) and value.startswith("/")):
        raise ValueError(f"{attribute.name} must be a path that begins with a slash")


@always_printable
@attrs.frozen(kw_only=True)
class FaultOptions:
    """The details of a fault; each fault's description names those it uses.

    Args:
        delay: Seconds.
        until: An event to wait for instead.
        location: The target of a redirect.
        retry_after: Seconds that a 429 asks the client to wait.
        size: Bytes.
        status: The HTTP status of a refusal.
        error: Its error code.
        description: Its text.
        members: The names of the members that hold the two, such as ``("code", "message")``; None: the endpoint's.

    Raises:
        ValueError: A number is out of its range, ``location`` has a control character, or ``members`` are not two
            names.
    """

    delay: float = attrs.field(default=0.0, validator=_between(0, _MAX_NUMBER))
    until: asyncio.Event | None = None
    location: str = attrs.field(default="https://elsewhere.example/", validator=_printable)
    retry_after: int = attrs.field(default=1, validator=_between(0, _MAX_NUMBER))
    size: int = attrs.field(default=10 * 1024 * 1024, validator=_between(0, _MAX_NUMBER))
    status: int = attrs.field(default=400, validator=_between(200, 599))
    error: str = "invalid_request"
    description: str = ""
    members: tuple[str, str] | None = attrs.field(default=None, converter=attrs.converters.optional(_pair))

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> FaultOptions:
        """Return options by their names; an unknown name raises ``ValueError``."""
        known = [field.name for field in attrs.fields(cls)]
        for name in given:
            if name not in known:
                raise ValueError(f"unknown option {name}; known: {', '.join(known)}")
        return cls(**given)


@attrs.define
class _ActiveFault:
    fault: AnyFault
    path: str | None = attrs.field(validator=_absolute)
    times: int | None = attrs.field(validator=_between(0, _MAX_NUMBER))
    after: int = attrs.field(validator=_between(0, _MAX_NUMBER))
    options: FaultOptions


@attrs.frozen
class Faults:
    """The active faults, in order.

    A request meets the first fault that is due. Faults of tokens (``BEARER_TOKEN``, ``TOKEN_OF_OTHER_KEY``,
    ``ACCESS_TOKEN_EXPIRED``, ``ID_TOKEN_…``) are counted apart: a response with tokens meets the first of these that is
    due. A fault is counted only if it can act: a nonce challenge does not use up a fault of tokens, a response without
    an ID token does not use up a fault of the ID token, and a request to another endpoint uses up neither a
    :class:`KeySetFault` nor ``CHALLENGE_SPENDS_CODE``. ``stats.faults_played`` says how often a fault acted.
    """

    _active: list[_ActiveFault] = attrs.field(factory=list, init=False)

    def add(
        self,
        fault: AnyFault | str,
        *,
        path: str | None = None,
        times: int | None = None,
        after: int = 0,
        **options: float | str | Sequence[str] | asyncio.Event | None,
    ) -> None:
        """Switch a fault on.

        Args:
            fault: The fault, or its name.
            path: The path of the requests that it affects; None: every path, with the key set that a client fetches at
                its first login. A path that the tenant does not serve affects none.
            times: How many requests it affects, or, if it is a fault of tokens, responses with tokens; None: all, until
                you clear it.
            after: How many of these pass first. A public client's first request to ``/oauth/token`` is answered with a
                nonce challenge: it counts for a fault of requests, such as ``DROP_AFTER_PROCESSING``, and not for a
                fault of tokens.
            **options: The details, see :class:`FaultOptions`.

        Raises:
            ValueError: There is no such fault or detail, or a detail is malformed.
        """
        self._active.append(_ActiveFault(fault_named(fault), path, times, after, FaultOptions.of(options)))

    def clear(self) -> None:
        """Switch all faults off."""
        self._active.clear()

    def next(self, path: str) -> tuple[AnyFault, FaultOptions] | None:
        """Return the fault that a request to a path meets, unless it is one of tokens; it is counted."""
        return self._first(path, lambda fault: FAULTS[fault].alter is None and FAULTS[fault].only_at in (None, path))

    def next_of_tokens(self, applies: Callable[[AnyFault], bool]) -> AnyFault | None:
        """Return the fault of tokens that a response with tokens meets, of those that apply to it; it is counted."""
        due = self._first(TOKEN_PATH, lambda fault: FAULTS[fault].alter is not None and applies(fault))
        return None if due is None else due[0]

    def _first(self, path: str, can_act: Callable[[AnyFault], bool]) -> tuple[AnyFault, FaultOptions] | None:
        for active in self._active:
            if active.path not in (None, path) or active.times == 0 or not can_act(active.fault):
                continue
            if active.after > 0:
                active.after -= 1
                continue
            if active.times is not None:
                active.times -= 1
            return active.fault, active.options
        return None


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
    Fault.MFA_REQUIRED: _refuse(refusals.MFA_REQUIRED),
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
