"""Login by a link in an e-mail: the page after it was sent, and its callback.

Invariants:

- A link logs in only the browser that asked for it. The values that check its callback (``state``, the PKCE verifier
  and the key) are sealed in that browser's cookie. In another browser it opens nothing, and its code is not spent: the
  page says how to continue.
- The callback is a GET, because links in mails are. ``HEAD`` and prefetches spend nothing.
- If the code was not presented, for example while the store is unreachable, the same page can be loaded again.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import attrs

from passwordless_async._common.secret import Secret
from passwordless_async.auth0.link import PendingLink
from passwordless_async.auth0.mfa.state import MfaRequired
from passwordless_async.errors import (
    BrokenSeal,
    CodeExpired,
    CodeSpent,
    InvalidCallback,
    NotSent,
    OutcomeUnknown,
    PasswordlessError,
    QuotaExceeded,
    RateLimited,
    StoreError,
    StoreUnavailable,
    TooManyAttempts,
    WrongCode,
)
from passwordless_async.gateway.audit import AuditKind
from passwordless_async.gateway.problems import problem_of
from passwordless_async.gateway.replies import Page, Problem, Reply
from passwordless_async.gateway.steps import identifier
from passwordless_async.gateway.steps.factors import second_factor
from passwordless_async.gateway.steps.home import session_of
from passwordless_async.gateway.steps.logging_in import finish_login, keep
from passwordless_async.gateway.steps.new_logins import new_id
from passwordless_async.gateway.steps.pages import link_page
from passwordless_async.gateway.steps.problem_pages import fault

if TYPE_CHECKING:
    from passwordless_async.auth0.identity import User
    from passwordless_async.auth0.tokens import TokenSet
    from passwordless_async.gateway.state import LoginState
    from passwordless_async.gateway.visit import Visit

_NOT_PRESENTED = (NotSent, QuotaExceeded, RateLimited, StoreUnavailable)


async def show(visit: Visit) -> Reply:
    """Say where the link was sent."""
    login = visit.login
    if login is None or login.link is None:
        return Reply(page=Page.IDENTIFIER, location="/login")
    return link_page(visit, login)


async def send_again(visit: Visit) -> Reply:
    """Send another link to the same user."""
    if not visit.services.settings.magic_link:
        return fault("not_found", HTTPStatus.NOT_FOUND)
    return await identifier.send_again(visit, by_link=True)


async def open_link(visit: Visit) -> Reply:
    """Log the user in who opened a link."""
    if not visit.services.settings.magic_link:
        return fault("not_found", HTTPStatus.NOT_FOUND)
    if visit.request.method == "HEAD" or "prefetch" in visit.request.headers.get("Sec-Purpose", ""):
        return fault("refused", HTTPStatus.SERVICE_UNAVAILABLE)
    login, pending = visit.login, _pending(visit)
    if login is None or login.who is None or pending is None:
        return await _reply_elsewhere(visit)
    if "state" not in visit.request.query:
        return Reply(page=Page.LINK_SENT, location="/link-sent")
    return await _log_in(visit, login, login.who, pending)


async def _log_in(visit: Visit, login: LoginState, who: User, pending: PendingLink) -> Reply:
    try:
        tokens = await _exchange(visit, who, pending)
    except MfaRequired as error:
        return await second_factor(visit, attrs.evolve(login, link=None), error)
    except PasswordlessError as error:
        return _refusal_page(visit, login, error)
    return await _finish(visit, login, tokens)


async def _exchange(visit: Visit, who: User, pending: PendingLink) -> TokenSet:
    """Exchange the code of the callback; nothing is sent for another login's."""
    services, request = visit.services, visit.request
    callback = Secret(f"{pending.redirect_uri}?{urlencode(request.query)}")
    async with services.ledger.attempt(who, visit.address):
        return await services.client.exchange_link(pending, callback)


async def _finish(visit: Visit, login: LoginState, tokens: TokenSet) -> Reply:
    try:
        identifier = await keep(visit, login, tokens)
    except PasswordlessError as error:
        # The code is spent, and the login has ended: a new one begins, and needs another link.
        problem, status = problem_of(error)
        if isinstance(error, StoreError):
            problem = Problem("link_outcome_unknown")
        return link_page(visit, attrs.evolve(login, id=new_id(), sent_at=None), *_audit(visit, problem, status))
    return await finish_login(visit, login, identifier)


def _pending(visit: Visit) -> PendingLink | None:
    """Return the values that check the callback; None if this browser asked for no link."""
    if visit.login is None or visit.login.link is None:
        return None
    try:
        return PendingLink.unseal(visit.login.link, visit.services.keys)
    except BrokenSeal:
        return None


async def _reply_elsewhere(visit: Visit) -> Reply:
    """Answer a link that was opened in another browser, or once more after its login."""
    if await session_of(visit) is not None:
        return Reply(page=Page.HOME, location="/")
    _audit(visit, Problem("link_elsewhere"), HTTPStatus.FORBIDDEN)
    return Reply(page=Page.LINK_ELSEWHERE, problem=Problem("link_elsewhere"), status=HTTPStatus.FORBIDDEN)


def _refusal_page(visit: Visit, login: LoginState, error: PasswordlessError) -> Reply:
    problem, status = problem_of(error)
    if isinstance(error, InvalidCallback):
        # An older link, or a forged one: the newest one still works.
        return link_page(visit, login, *_audit(visit, problem, status))
    if isinstance(error, _NOT_PRESENTED):
        return link_page(visit, login, *_audit(visit, problem, status), can_reload=True)
    if isinstance(error, OutcomeUnknown):
        problem = Problem("link_outcome_unknown")
    elif isinstance(error, CodeSpent | CodeExpired | TooManyAttempts | WrongCode):
        problem = Problem("link_not_valid")
    return link_page(visit, attrs.evolve(login, sent_at=None), *_audit(visit, problem, status))


def _audit(visit: Visit, problem: Problem, status: int) -> tuple[Problem, int]:
    """Write a refusal to the audit log; refusals of a POST are written elsewhere."""
    visit.audit(AuditKind.REFUSED, reason=problem.key)
    return problem, status
