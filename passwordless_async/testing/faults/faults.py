"""Faults: what can go wrong between a client and a tenant, switched on by tests.

What each does, and at which point of a request, is a row of :data:`~passwordless_async.testing.faults.table.FAULTS`.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence


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
    """429 without a header that says when to come back."""
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
    """A token bound to another key: the ``cnf`` of a JWT says so, userinfo finds out."""
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
    """An ID token by HS256, with the RSA public key's PEM for a secret."""
    ID_TOKEN_OF_OTHER_KEY = enum.auto()
    """An ID token by another key under the ``kid`` of the present one."""
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
    """Claims that are wrong where a client asked for them; other clients need not check them."""

    ID_TOKEN_OF_OTHER_NONCE = enum.auto()
    """An ID token with another ``nonce`` than the link was asked for with."""
    ID_TOKEN_OF_AN_OLD_LOGIN = enum.auto()
    """An ID token with ``auth_time`` a day ago, against ``max_age``."""


class KeySetFault(enum.StrEnum):
    """Key sets that must not be trusted; they affect requests to ``/.well-known/jwks.json`` only."""

    JWKS_HUGE = enum.auto()
    """A key set of ``size`` bytes, the present keys last."""
    JWKS_DUPLICATE_KIDS = enum.auto()
    """A key set that names each ``kid`` twice, with another key first."""
    JWKS_SYMMETRIC_KEY = enum.auto()
    """A key set of symmetric keys, under the ``kid`` of the present ones."""


AnyFault = Fault | ClaimFault | KeySetFault


def fault_named(name: str) -> AnyFault:
    """Return a fault by its name.

    Raises:
        ValueError: There is none.
    """
    for kind in (ClaimFault, KeySetFault):
        if name in tuple(kind):
            return kind(name)
    return Fault(name)


def _pair(names: Sequence[str]) -> tuple[str, str]:
    # A tenant process is given a list: JSON has no tuples.
    match names:
        case [code, text] if code != text:
            return code, text
    raise ValueError("members must be two names")


@attrs.frozen(kw_only=True)
class FaultOptions:
    """The details of a fault; each fault's description names those it uses.

    Args:
        delay: Seconds.
        until: An event to wait for instead.
        location: The target of a redirect.
        retry_after: Seconds until a 429 says to come back.
        size: Bytes.
        status: The HTTP status of a refusal.
        error: Its error code.
        description: Its text.
        members: The names of the members that hold the two, such as ``("code", "message")``; None: the endpoint's.

    Raises:
        ValueError: ``members`` are not two names.
    """

    delay: float = 0.0
    until: asyncio.Event | None = None
    location: str = "https://elsewhere.example/"
    retry_after: int = 1
    size: int = 10 * 1024 * 1024
    status: int = 400
    error: str = "invalid_request"
    description: str = ""
    members: tuple[str, str] | None = attrs.field(default=None, converter=attrs.converters.optional(_pair))


@attrs.define
class _ActiveFault:
    fault: AnyFault
    path: str | None
    times: int | None
    after: int
    options: FaultOptions


@attrs.frozen
class Faults:
    """The active faults, in order: a request meets the first one that is due."""

    _active: list[_ActiveFault] = attrs.field(factory=list, init=False)

    def add(
        self,
        fault: AnyFault | str,
        *,
        path: str | None = None,
        times: int | None = None,
        after: int = 0,
        **options: Any,  # noqa: ANN401 - see FaultOptions
    ) -> None:
        """Switch a fault on.

        Args:
            fault: Which one.
            path: The path of the requests that meet it; None: every path.
            times: How many requests meet it; None: all, until it is cleared.
            after: How many requests pass first.
            **options: The details, see :class:`FaultOptions`.

        Raises:
            ValueError: There is no such fault, or a detail is malformed.
        """
        self._active.append(_ActiveFault(fault_named(fault), path, times, after, FaultOptions(**options)))

    def clear(self) -> None:
        """Switch all faults off."""
        self._active.clear()

    def next(self, path: str) -> tuple[AnyFault, FaultOptions] | None:
        """Return what a request to a path meets; it is counted."""
        for active in self._active:
            if active.path not in (None, path) or active.times == 0:
                continue
            if active.after > 0:
                active.after -= 1
                continue
            if active.times is not None:
                active.times -= 1
            return active.fault, active.options
        return None
