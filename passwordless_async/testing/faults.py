"""Faults: what can go wrong between a client and a tenant, switched on by tests.

Each row of the table says at which of three points a fault acts:

- *instead*: the request is not processed, the fault answers it (a 503, a 429, a redirect, a challenge)
- *twist*: the request is processed and other tokens are made of it than were asked for
- *after*: the request is processed, a code in it is spent, and the answer is spoilt on its way out
"""

from __future__ import annotations

import asyncio
import enum
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async.testing import answers
from passwordless_async.testing.answers import Refusal
from passwordless_async.testing.body import token_parameters
from passwordless_async.testing.challenges import challenge
from passwordless_async.testing.limits import Allowance
from passwordless_async.testing.settings import RateLimitStyle
from passwordless_async.testing.token_endpoint import presented, spend
from passwordless_async.testing.users import User

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from passwordless_async.testing.state import Exchange
    from passwordless_async.testing.tokens import Grant


class Fault(enum.StrEnum):
    """The faults by name; what each does stands beside it in the table below."""

    SERVICE_UNAVAILABLE = enum.auto()
    """503; nothing was processed."""
    RATE_LIMITED_X_RATELIMIT = enum.auto()
    """429 with ``x-ratelimit-limit``, ``-remaining``, ``-reset``."""
    RATE_LIMITED_AUTH0 = enum.auto()
    """429 with ``Auth0-RateLimit``."""
    RATE_LIMITED_RETRY_AFTER = enum.auto()
    """429 with ``Retry-After``."""
    RATE_LIMITED_SILENT = enum.auto()
    """429 that does not say when to come back."""
    REDIRECT = enum.auto()
    """302 to ``location``."""
    DROP_BEFORE_READ = enum.auto()
    """The connection is closed before the body is read."""
    DROP_AFTER_PROCESSING = enum.auto()
    """The request is processed, the code spent, and the connection closed without an answer."""
    SLOW = enum.auto()
    """The answer comes ``delay`` seconds late, or when the event ``until`` is set."""
    GARBAGE_JSON = enum.auto()
    """The answer breaks off in the middle of its JSON."""
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
    """A challenge from a server that judges the code first (``/oauth/token`` alone)."""

    BEARER_TOKEN = enum.auto()
    """A Bearer token although a proof was sent."""
    TOKEN_OF_OTHER_KEY = enum.auto()
    """A token bound to another key: the ``cnf`` of a JWT says so, userinfo finds out."""
    ID_TOKEN_OF_OTHER_USER = enum.auto()
    """An ID token that is about somebody else."""
    ID_TOKEN_OF_OTHER_ISSUER = enum.auto()
    """An ID token whose ``iss`` is another tenant's."""
    ID_TOKEN_OF_OTHER_CLIENT = enum.auto()
    """An ID token whose ``aud`` is another application."""
    ID_TOKEN_EXPIRED = enum.auto()
    """An ID token whose ``exp`` is past."""
    ID_TOKEN_TAMPERED = enum.auto()
    """An ID token with a broken signature."""

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


@attrs.frozen(kw_only=True)
class FaultOptions:
    """The details of a fault; each counts where the fault's own words name it.

    Args:
        delay: Seconds.
        until: An event to wait for instead.
        location: Where a redirect leads.
        retry_after: Seconds that a 429 asks for.
        size: Bytes.
    """

    delay: float = 0.0
    until: asyncio.Event | None = None
    location: str = "https://elsewhere.example/"
    retry_after: int = 1
    size: int = 10 * 1024 * 1024


@attrs.frozen(kw_only=True)
class Play:
    """A row of the table: where and how a fault acts.

    Args:
        unread: Whether the connection is closed before the body is read.
        instead: Makes the answer; the request is not processed.
        twist: Changes the grant.
        after: Spoils the answer; None closes the connection.
    """

    unread: bool = False
    instead: Callable[[Exchange, FaultOptions], Refusal] | None = None
    twist: Callable[[Grant], Grant] | None = None
    after: Callable[[web.Response, FaultOptions], Awaitable[web.Response | None]] | None = None


@attrs.define
class _Rule:
    fault: Fault
    path: str | None
    times: int | None
    after: int
    options: FaultOptions


@attrs.frozen
class Faults:
    """The faults that are switched on, in order: a request meets the first one that is due."""

    _rules: list[_Rule] = attrs.field(factory=list, init=False)

    def add(
        self,
        fault: Fault | str,
        *,
        path: str | None = None,
        times: int | None = None,
        after: int = 0,
        **options: Any,  # noqa: ANN401 - see FaultOptions
    ) -> None:
        """Switch a fault on.

        Args:
            fault: Which one.
            path: The path whose requests meet it; None: every one.
            times: How many requests meet it; None: all, until it is cleared.
            after: How many requests pass first.
            **options: The details, see :class:`FaultOptions`.
        """
        self._rules.append(_Rule(Fault(fault), path, times, after, FaultOptions(**options)))

    def clear(self) -> None:
        """Switch all faults off."""
        self._rules.clear()

    def next(self, path: str) -> tuple[Play, FaultOptions] | None:
        """Return what the request that has just come to a path meets."""
        for rule in self._rules:
            if rule.path not in (None, path) or rule.times == 0:
                continue
            if rule.after > 0:
                rule.after -= 1
                continue
            if rule.times is not None:
                rule.times -= 1
            return PLAYS[rule.fault], rule.options
        return None


def _answer(refusal: Refusal) -> Play:
    return Play(instead=lambda _exchange, _options: refusal)


def _rate_limited(style: RateLimitStyle) -> Play:
    def answer(exchange: Exchange, options: FaultOptions) -> Refusal:
        left = Allowance(limit=10, remaining=0, wait=options.retry_after)
        return attrs.evolve(answers.TOO_MANY_REQUESTS, headers=exchange.state.limits.headers(left, style))

    return Play(instead=answer)


def _redirect(_exchange: Exchange, options: FaultOptions) -> Refusal:
    return Refusal(302, "found", "moved", headers={"Location": options.location})


def _challenge_fresh(exchange: Exchange, _options: FaultOptions) -> Refusal:
    return challenge(exchange.state, exchange.path, exchange.state.nonces.fresh())


def _challenge_same(exchange: Exchange, _options: FaultOptions) -> Refusal:
    return challenge(exchange.state, exchange.path, exchange.state.nonces.fixed())


def _challenge_bare(exchange: Exchange, _options: FaultOptions) -> Refusal:
    return challenge(exchange.state, exchange.path, None)


def _challenge_and_spend(exchange: Exchange, _options: FaultOptions) -> Refusal:
    user, otp = presented(token_parameters(exchange.content_type, exchange.body))
    spend(exchange.state, user, otp)
    return challenge(exchange.state, exchange.path, exchange.state.nonces.current())


def _evolve(**changes: Any) -> Play:  # noqa: ANN401 - members of Grant
    return Play(twist=lambda grant: attrs.evolve(grant, **changes))


def _claim(**claims: Any) -> Play:  # noqa: ANN401 - claims
    return _evolve(id_token_claims=claims)


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


_SOMEBODY_ELSE = User("email", "somebody.else@example.com")
_OTHER_THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"  # RFC 9449 §6.1, figure 7

PLAYS: dict[Fault, Play] = {
    Fault.SERVICE_UNAVAILABLE: _answer(answers.UNAVAILABLE),
    Fault.RATE_LIMITED_X_RATELIMIT: _rate_limited(RateLimitStyle.X_RATELIMIT),
    Fault.RATE_LIMITED_AUTH0: _rate_limited(RateLimitStyle.AUTH0),
    Fault.RATE_LIMITED_RETRY_AFTER: _rate_limited(RateLimitStyle.RETRY_AFTER),
    Fault.RATE_LIMITED_SILENT: _rate_limited(RateLimitStyle.SILENT),
    Fault.REDIRECT: Play(instead=_redirect),
    Fault.DROP_BEFORE_READ: Play(unread=True),
    Fault.DROP_AFTER_PROCESSING: Play(after=_drop),
    Fault.SLOW: Play(after=_slow),
    Fault.GARBAGE_JSON: Play(after=_garbage),
    Fault.WRONG_CONTENT_TYPE: Play(after=_as_html),
    Fault.HUGE_BODY: Play(after=_huge),
    Fault.CHALLENGE_FOREVER: Play(instead=_challenge_fresh),
    Fault.CHALLENGE_FOREVER_SAME_NONCE: Play(instead=_challenge_same),
    Fault.CHALLENGE_WITHOUT_HEADER: Play(instead=_challenge_bare),
    Fault.CHALLENGE_SPENDS_CODE: Play(instead=_challenge_and_spend),
    Fault.BEARER_TOKEN: _evolve(thumbprint=None),
    Fault.TOKEN_OF_OTHER_KEY: _evolve(thumbprint=_OTHER_THUMBPRINT),
    Fault.ID_TOKEN_OF_OTHER_USER: _claim(sub=_SOMEBODY_ELSE.subject, **_SOMEBODY_ELSE.claims),
    Fault.ID_TOKEN_OF_OTHER_ISSUER: _claim(iss="https://elsewhere.example/"),
    Fault.ID_TOKEN_OF_OTHER_CLIENT: _claim(aud="another-client"),
    Fault.ID_TOKEN_EXPIRED: _claim(iat=1_000_000_000, exp=1_000_003_600),
    Fault.ID_TOKEN_TAMPERED: _evolve(tamper_id_token=True),
    Fault.MFA_REQUIRED: _answer(answers.MFA_REQUIRED),
    Fault.ACCESS_DENIED: _answer(answers.ACCESS_DENIED),
    Fault.USER_BLOCKED: _answer(answers.USER_BLOCKED),
    Fault.ACCOUNT_BLOCKED: _answer(answers.ACCOUNT_BLOCKED),
    Fault.UNAUTHORIZED_CLIENT: _answer(answers.UNAUTHORIZED_CLIENT),
    Fault.ENDPOINT_DISABLED: _answer(answers.ENDPOINT_DISABLED),
    Fault.VERIFICATION_REQUIRED: _answer(answers.VERIFICATION_REQUIRED),
    Fault.SMS_PROVIDER_ERROR: _answer(answers.SMS_PROVIDER_ERROR),
}
