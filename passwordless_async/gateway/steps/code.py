"""The code that was sent: the page that asks for it, and the login that it opens."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import attrs

from passwordless_async.auth0.mfa.state import MfaRequired
from passwordless_async.errors import (
    CodeExpired,
    CodeSpent,
    InvalidInput,
    OutcomeUnknown,
    PasswordlessError,
    StoreError,
    TooManyAttempts,
    WrongCode,
)
from passwordless_async.gateway.forms import code_of
from passwordless_async.gateway.problems import problem_of
from passwordless_async.gateway.replies import Page, Problem, Reply
from passwordless_async.gateway.steps.factors import second_factor
from passwordless_async.gateway.steps.home import without_login
from passwordless_async.gateway.steps.logging_in import finish_login
from passwordless_async.gateway.steps.pages import code_page

if TYPE_CHECKING:
    from passwordless_async._common.secret import Secret
    from passwordless_async.auth0.identity import User
    from passwordless_async.client.sessions.values import StoredSession
    from passwordless_async.gateway.state import LoginState
    from passwordless_async.gateway.visit import Visit

# The code no longer works: another one may be sent at once.
_DEAD = (CodeExpired, CodeSpent, TooManyAttempts, OutcomeUnknown)


async def show(visit: Visit) -> Reply:
    """Ask for the code."""
    if visit.login is None or visit.login.who is None:
        return Reply(page=Page.IDENTIFIER, location="/login")
    return code_page(visit, visit.login)


async def log_in(visit: Visit) -> Reply:
    """Exchange the code for a session."""
    login = visit.login
    if login is None or login.who is None:
        return await without_login(visit)
    try:
        code = code_of(visit.form)
        async with visit.services.ledger.attempt(login.who, visit.address):
            session = await _session(visit, login, login.who, code)
    except MfaRequired as error:
        return await second_factor(visit, login, error)
    except PasswordlessError as error:
        return _refusal_page(visit, login, error)
    if session is None:
        # The code is spent, and its tokens were given up: the user needs another code.
        login = attrs.evolve(login, sent_at=None, attempts_left=None)
        return code_page(visit, login, Problem("outcome_unknown"), HTTPStatus.SERVICE_UNAVAILABLE)
    return await finish_login(visit, login, session.identifier)


async def _session(visit: Visit, login: LoginState, who: User, code: Secret) -> StoredSession | None:
    """Exchange the code, and store the tokens as a session; None if the store did not take it."""
    services = visit.services
    try:
        return await services.client.sessions.login(
            who,
            code,
            scope=services.settings.scope,
            audience=services.settings.audience,
            forwarded_for=visit.forwarded_for,
            **visit.session_options(remember=login.remember),
        )
    except StoreError:
        return None


def _refusal_page(visit: Visit, login: LoginState, error: PasswordlessError) -> Reply:
    problem, status = problem_of(error, "code" if isinstance(error, WrongCode | InvalidInput) else None)
    left = error.attempts_left if isinstance(error, WrongCode) else login.attempts_left
    login = attrs.evolve(login, attempts_left=left)
    # The service says which wrong code was the last one, but only for users that have an account.
    was_last = isinstance(error, WrongCode | CodeSpent) and error.attempts_left == 0
    if was_last:
        problem = Problem("too_many_attempts")
    if was_last or isinstance(error, _DEAD):
        login = attrs.evolve(login, sent_at=None, attempts_left=None)
    return code_page(visit, login, problem, status)
