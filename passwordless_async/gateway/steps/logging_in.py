"""The end of every kind of login: tokens become a session, and the browser gets its identifier.

Invariants:

- Each login has a new session identifier; a session that the browser had before ends.
- Tokens that cannot be stored as a session are revoked, so that no login stays at the service without a way to end it.
- If a request is cancelled before its response is made, its session ends: no browser has the identifier. If the request
  was sent twice, the other one gets the session. If the response is lost on its way, the session ends when it is idle.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import attrs

from passwordless_async.errors import PasswordlessError
from passwordless_async.gateway.audit import AuditKind
from passwordless_async.gateway.hooks import run
from passwordless_async.gateway.problems import Refused, problem_of
from passwordless_async.gateway.replies import Reply
from passwordless_async.gateway.steps.logout import end, tell_ended
from passwordless_async.gateway.steps.pages import unconfirmed_codes, way_back, with_codes
from passwordless_async.gateway.steps.problem_pages import fault
from passwordless_async.gateway.steps.step_up import check_step_up

if TYPE_CHECKING:
    from passwordless_async._common.secret import Secret
    from passwordless_async.auth0.tokens import TokenSet
    from passwordless_async.client.sessions.values import StoredSession
    from passwordless_async.gateway.state import LoginState
    from passwordless_async.gateway.visit import Visit

_OPENED = {False: AuditKind.LOGGED_IN, True: AuditKind.STEPPED_UP}


async def keep(visit: Visit, login: LoginState, tokens: TokenSet) -> Secret:
    """Keep the tokens of a login as a session, or revoke them; return its identifier.

    The login ends in both cases, because its code is spent.
    """
    visit.services.submissions.finish(login.id)
    sessions, options = visit.services.client.sessions, visit.session_options(remember=login.remember)
    return (await sessions.keep(tokens, who=login.who, **options)).id


async def finish_login(visit: Visit, login: LoginState, identifier: Secret) -> Reply:
    """End a login: the browser has a new session, and one that it had before ends.

    Recovery codes of an earlier try are shown first: the user has not confirmed them.
    """
    return with_codes(visit, await _finish_login(visit, login, identifier), unconfirmed_codes(login))


async def _finish_login(visit: Visit, login: LoginState, identifier: Secret) -> Reply:
    services = visit.services
    refusal = await _admit(visit, identifier)
    if refusal is not None:
        return refusal
    try:
        if visit.session is not None and visit.session != identifier:
            # If that fails, the old session expires by itself: the new cookie has replaced its cookie.
            with suppress(PasswordlessError):
                await end(visit, visit.session, reason="replaced")
        await _end_oldest(visit, identifier)
    except BaseException:
        with suppress(PasswordlessError):
            await end(visit, identifier, reason="not_delivered")
        raise
    return attrs.evolve(
        way_back(visit, login.return_to),
        login=None,
        session=identifier,
        session_seconds=services.settings.remember_for if login.remember else None,
    )


async def _admit(visit: Visit, identifier: Secret) -> Reply | None:
    """Check a new session; if it is refused, end it and return the reply."""
    services, is_step_up = visit.services, visit.login is not None and visit.login.stepping_up is not None
    if not is_step_up and services.hooks.after_login is None and not services.on_audit:
        return None
    try:
        session = await services.client.sessions.get(identifier)
        admitted = await check_step_up(visit, session)
        refusal = admitted if isinstance(admitted, Reply) else await _call_hook(visit, admitted)
    except BaseException:
        await _close(visit, identifier)
        raise
    if refusal is not None:
        await _close(visit, identifier)
    else:
        visit.audit(_OPENED[is_step_up], user=session.user, session=session.name)
    return refusal


async def _call_hook(visit: Visit, session: StoredSession) -> Reply | None:
    """Call the application's hook for a new session; return the reply if it refuses."""
    hook = visit.services.hooks.after_login
    if hook is not None:
        try:
            await run(hook, session)
        except Refused as error:
            return attrs.evolve(fault(*problem_of(error)), login=None)
    return None


async def _close(visit: Visit, identifier: Secret) -> None:
    with suppress(PasswordlessError):
        await visit.services.client.sessions.close(identifier)


async def _end_oldest(visit: Visit, identifier: Secret) -> None:
    """End the oldest sessions of a user who has too many, here and at the service; if it fails, the next login does."""
    sessions, at_most = visit.services.client.sessions, visit.services.settings.max_sessions
    if at_most is None:
        return
    with suppress(PasswordlessError):
        user = (await sessions.get(identifier)).user
        for name, failure in (await sessions.keep_newest(user, at_most)).items():
            tell_ended(visit, user=user, session=name, reason="limit", failure=failure)
