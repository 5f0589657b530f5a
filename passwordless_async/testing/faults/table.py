"""What each fault does: a table.

Each row says at which of three points a fault acts:

- *instead*: the request is not processed, the fault answers it (a 503, a 429, a redirect, a challenge)
- *twist*: the request is processed and other tokens are made of it than were asked for
- *after*: the request is processed, a code in it is spent, and the answer is spoilt on its way out
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import attrs

from passwordless_async.testing.endpoints import answers
from passwordless_async.testing.endpoints.answers import Refusal
from passwordless_async.testing.endpoints.nonce_challenges import challenge
from passwordless_async.testing.endpoints.token import redeemed
from passwordless_async.testing.faults.faults import Fault, FaultOptions
from passwordless_async.testing.faults.play import Play
from passwordless_async.testing.faults.token_table import TOKEN_PLAYS
from passwordless_async.testing.settings.limits import RateLimitStyle
from passwordless_async.testing.state.limits import Allowance

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from passwordless_async.testing.faults.faults import AnyFault
    from passwordless_async.testing.state.state import Exchange


def _answer(refusal: Refusal) -> Play:
    return Play(instead=lambda _exchange, _options: refusal)


def _rate_limited(style: RateLimitStyle) -> Play:
    def answer(exchange: Exchange, options: FaultOptions) -> Refusal:
        left = Allowance(limit=10, remaining=0, wait=options.retry_after)
        return attrs.evolve(answers.TOO_MANY_REQUESTS, headers=exchange.state.limits.headers(left, style))

    return Play(instead=answer)


def _refusal(_exchange: Exchange, options: FaultOptions) -> Refusal:
    return Refusal(options.status, options.error, options.description, members=options.members)


def _redirect(_exchange: Exchange, options: FaultOptions) -> Refusal:
    return Refusal(302, "found", "moved", headers={"Location": options.location})


def _challenge_fresh(exchange: Exchange, _options: FaultOptions) -> Refusal:
    return challenge(exchange.state, exchange.path, exchange.state.nonces.fresh())


def _challenge_same(exchange: Exchange, _options: FaultOptions) -> Refusal:
    return challenge(exchange.state, exchange.path, exchange.state.nonces.fixed())


def _challenge_bare(exchange: Exchange, _options: FaultOptions) -> Refusal:
    return challenge(exchange.state, exchange.path, None)


def _challenge_and_spend(exchange: Exchange, _options: FaultOptions) -> Refusal:
    redeemed(exchange, nonce_waived=True)
    return challenge(exchange.state, exchange.path, exchange.state.nonces.current())


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


PLAYS: Mapping[AnyFault, Play] = {
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
    **TOKEN_PLAYS,
    Fault.MFA_REQUIRED: _answer(answers.MFA_REQUIRED),
    Fault.ACCESS_DENIED: _answer(answers.ACCESS_DENIED),
    Fault.USER_BLOCKED: _answer(answers.USER_BLOCKED),
    Fault.ACCOUNT_BLOCKED: _answer(answers.ACCOUNT_BLOCKED),
    Fault.UNAUTHORIZED_CLIENT: _answer(answers.UNAUTHORIZED_CLIENT),
    Fault.ENDPOINT_DISABLED: _answer(answers.ENDPOINT_DISABLED),
    Fault.VERIFICATION_REQUIRED: _answer(answers.VERIFICATION_REQUIRED),
    Fault.SMS_PROVIDER_ERROR: _answer(answers.SMS_PROVIDER_ERROR),
    Fault.REFUSAL: Play(instead=_refusal),
}
