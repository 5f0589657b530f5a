"""Step-up (RFC 9470): a user who is logged in confirms who they are, because something asks for a newer login.

Invariants:

- A GET sends no code: the user asks for it by a button.
- The code is for the session's own user, and opens a session of the same user or none.
- The session that stepped up has a new identifier and the data of the old one, which ends. If its user asked to stay
  logged in, they stay so.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import attrs

from passwordless_async.auth0.identity import Email, Phone
from passwordless_async.errors import InvalidInput, UsageError
from passwordless_async.gateway.replies import Page, Reply
from passwordless_async.gateway.steps.home import log_in_first, session_of
from passwordless_async.gateway.steps.identifier import start
from passwordless_async.gateway.steps.pages import code_page, fault, masked, may_remember, new_login, way_back

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async.client.sessions.values import StoredSession
    from passwordless_async.gateway.visit import Visit

_MAX_AGE_DIGITS = 9
_MAX_ACR_CHARACTERS = 256


async def show(visit: Visit) -> Reply:
    """Ask whether to send a code; go back at once if the session is what is asked for."""
    session = await session_of(visit)
    if session is None:
        return _log_in_first(visit)
    login, demands = new_login(visit), _demands(visit)
    if fulfils(session, demands, visit.services.clock()):
        return way_back(visit, login.return_to)
    who = _who(session)
    if who is None:
        return fault("not_possible", HTTPStatus.FORBIDDEN)
    remember = session.data.get("remember") is True and may_remember(visit)
    login = attrs.evolve(login, who=who, stepping_up=session.name, demands=demands, remember=remember)
    return Reply(page=Page.STEP_UP, facts={"sent_to": masked(who)}, login=login)


async def send_code(visit: Visit) -> Reply:
    """Send the code."""
    session, login = await session_of(visit), visit.login
    if session is None or login is None or login.who is None or login.stepping_up != session.name:
        return _log_in_first(visit) if session is None else Reply(page=Page.HOME, location="/", login=None)
    return await start(visit, login, login.who, code_page)


async def stepped_up(visit: Visit, new: StoredSession) -> Reply | None:
    """Check what a step-up led to, and give it the data of the session before; return the reply if it is refused."""
    login, before = visit.login, await session_of(visit)
    if login is None or login.stepping_up is None:
        return None
    is_same_user = before is not None and (before.name, before.user) == (login.stepping_up, new.user)
    # Its age is none, whatever the clocks say.
    if before is None or not is_same_user or not fulfils(new, login.demands or {}, new.opened_at):
        return attrs.evolve(fault("not_possible", HTTPStatus.FORBIDDEN), login=None)
    await visit.services.client.sessions.update(new.id, data={**before.data, **visit.session_data})
    return None


def fulfils(session: StoredSession, demands: Mapping[str, Any], now: float) -> bool:
    """Return whether a session's login is new and strong enough."""
    max_age, accepted = demands.get("max_age"), str(demands.get("acr_values", "")).split()
    is_new = max_age is None or now - session.opened_at <= max_age
    return is_new and (not accepted or (session.tokens.claims or {}).get("acr") in accepted)


def _demands(visit: Visit) -> dict[str, Any]:
    """Return what the query asks for; a login that is as new as can be if it says nothing that can be read."""
    query = visit.request.query
    max_age, acr_values = query.get("max_age", ""), query.get("acr_values", "")
    is_number = max_age.isascii() and max_age.isdecimal() and len(max_age) <= _MAX_AGE_DIGITS
    demands: dict[str, Any] = {"acr_values": acr_values[:_MAX_ACR_CHARACTERS]} if acr_values else {}
    if is_number:
        demands["max_age"] = int(max_age)
    return demands or {"max_age": 0}


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
