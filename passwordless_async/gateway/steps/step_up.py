"""Step-up (RFC 9470): a user who is logged in confirms who they are, because something asks for a newer login.

Invariants:

- A GET sends no code: the user asks for it by a button.
- The code is for the session's own user, and opens a session of the same user or none.
- The new session has a new identifier and the data of the old one, which ends. If the user asked to stay logged in,
  that still applies.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

import attrs

from passwordless_async.auth0.identity import Email, Phone
from passwordless_async.errors import InsufficientUserAuthentication, InvalidInput, UsageError
from passwordless_async.gateway.demands import STEPPED_UP, demands_of, fulfils, is_strong
from passwordless_async.gateway.error_log import is_name
from passwordless_async.gateway.replies import Page, Problem, Reply
from passwordless_async.gateway.steps.home import log_in_first, session_of
from passwordless_async.gateway.steps.identifier import start
from passwordless_async.gateway.steps.new_logins import new_login
from passwordless_async.gateway.steps.pages import (
    code_page,
    masked,
    may_remember,
    unconfirmed_codes,
    unsent_problem,
    way_back,
    with_codes,
)
from passwordless_async.gateway.steps.problem_pages import fault

if TYPE_CHECKING:
    from passwordless_async.client.sessions.values import StoredSession
    from passwordless_async.gateway.state import LoginState
    from passwordless_async.gateway.visit import Visit


async def show(visit: Visit) -> Reply:
    """Ask whether to send a code; go back at once if the session meets the demands."""
    session = await session_of(visit)
    if session is None:
        return _log_in_first(visit)
    login, demands = new_login(visit), demands_of(visit.request.query)
    if fulfils(session, demands, visit.services.clock()):
        return way_back(visit, login.return_to)
    who = _who(session)
    if who is None:
        return fault("not_possible", HTTPStatus.FORBIDDEN)
    remember = session.data.get("remember") is True and may_remember(visit)
    login = attrs.evolve(login, who=who, stepping_up=session.name, demands=demands, remember=remember)
    reply = Reply(page=Page.STEP_UP, facts={"sent_to": masked(who)}, login=login, problem=unsent_problem(visit))
    return with_codes(visit, reply, unconfirmed_codes(visit.login))


async def send_code(visit: Visit) -> Reply:
    """Send the code."""
    session, login = await session_of(visit), visit.login
    if session is None or login is None or login.who is None or login.stepping_up != session.name:
        if session is None:
            return _log_in_first(visit)
        return with_codes(visit, Reply(page=Page.HOME, location="/", login=None), unconfirmed_codes(login))
    return await start(visit, login, login.who, code_page)


async def check_step_up(visit: Visit, new: StoredSession) -> StoredSession | Reply:
    """Check the session after a step-up; return it with the data of the old one, or the reply if it is refused.

    The session of any other login is returned as it is.
    """
    login, before = visit.login, await session_of(visit)
    if login is None or login.stepping_up is None:
        return new
    if before is None or (before.name, before.user) != (login.stepping_up, new.user):
        return attrs.evolve(fault("not_possible", HTTPStatus.FORBIDDEN), login=None)
    # Its age is none, whatever the clocks say.
    if not is_strong(new, login.demands or {}):
        problem = Problem("login_not_enough", cause=_weak_login_error(login))
        return attrs.evolve(fault(problem, HTTPStatus.FORBIDDEN), login=None)
    data = {**before.data, **visit.session_data, STEPPED_UP: True}
    return await visit.services.client.sessions.update(new.id, data=data)


def _weak_login_error(login: LoginState) -> InsufficientUserAuthentication:
    """Return what the log says of a login that has none of the demanded classes."""
    acr = str((login.demands or {}).get("acr_values"))
    error = InsufficientUserAuthentication(status=HTTPStatus.FORBIDDEN, acr_values=acr)
    if login.mfa is None:
        why = "the tenant asked for no second factor. Check its MFA policy, or the Action that demands one."
    else:
        why = "the tokens name another class after the second factor, or none. Check the Action that sets acr."
    # The browser can write anything there, such as an address.
    words = acr.split()
    shown = f"={' '.join(words)!r}" if all(map(is_name, words)) else ""
    return error.with_facts(advice=f"The step-up demands acr_values{shown}, but {why}")


def _who(session: StoredSession) -> Email | Phone | None:
    claims = session.tokens.claims or {}
    try:
        if isinstance(claims.get("email"), str):
            return Email(claims["email"])
        return Phone(claims["phone_number"]) if isinstance(claims.get("phone_number"), str) else None
    except (InvalidInput, UsageError):
        return None


def _log_in_first(visit: Visit) -> Reply:
    """Log in, and return where the step-up would have: a new login is new enough."""
    wanted = new_login(visit).return_to
    reply = log_in_first(visit)
    return reply if wanted is None else attrs.evolve(reply, location=f"/login?return_to={quote(wanted, safe='')}")
