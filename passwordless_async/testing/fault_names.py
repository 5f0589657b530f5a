"""The faults that can be switched on, by name, and the details that a test may give."""

from __future__ import annotations

import asyncio
import enum
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common.secret import always_printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MAX_NUMBER = 1_000_000_000


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


def between(least: int, most: int) -> Callable[[Any, attrs.Attribute[Any], Any], object]:
    """Return a validator of numbers, or None; it raises ``ValueError``."""

    def check(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most):
            return
        raise ValueError(f"{attribute.name} must be a number from {least} to {most}")

    return check


def _printable(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{attribute.name} must be a str without control characters")


def _event(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not isinstance(value, asyncio.Event):
        raise ValueError(f"{attribute.name} must be an asyncio.Event")


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
        ValueError: A number is out of its range, ``until`` is no event, ``location`` has a control character, or
            ``members`` are not two names.
    """

    delay: float = attrs.field(default=0.0, validator=between(0, MAX_NUMBER))
    until: asyncio.Event | None = attrs.field(default=None, validator=_event)
    location: str = attrs.field(default="https://elsewhere.example/", validator=_printable)
    retry_after: int = attrs.field(default=1, validator=between(0, MAX_NUMBER))
    size: int = attrs.field(default=10 * 1024 * 1024, validator=between(0, MAX_NUMBER))
    status: int = attrs.field(default=400, validator=between(200, 599))
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
