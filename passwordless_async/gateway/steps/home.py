"""The gateway's own home page, the page after a logout, and the session's status for scripts."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from passwordless_async._common import clock as _clock
from passwordless_async.errors import BrokenSeal, InvalidSession
from passwordless_async.gateway.browser import csrf_token
from passwordless_async.gateway.replies import Page, Problem, Reply
from passwordless_async.gateway.steps.pages import expired_page, unconfirmed_codes, way_back, with_codes

if TYPE_CHECKING:
    from passwordless_async.client.sessions.values import StoredSession
    from passwordless_async.gateway.visit import Visit

_SHOWN_CLAIMS = ("name", "nickname", "email", "phone_number")


async def show(visit: Visit) -> Reply:
    """Show who is logged in."""
    session = await session_of(visit)
    if session is None:
        return log_in_first(visit)
    return Reply(page=Page.HOME, facts=user_facts(session))


def log_in_first(visit: Visit, *, back_to: str | None = None) -> Reply:
    """Send a browser without a session to the login; ``back_to`` is a page of the gateway's own."""
    query = "" if back_to is None else f"?return_to={visit.request.mount}{back_to}"
    status = HTTPStatus.UNAUTHORIZED
    problem = Problem("session_ended")
    return Reply(page=Page.IDENTIFIER, location=f"/login{query}", session=None, problem=problem, status=status)


async def without_login(visit: Visit, problem: Problem | None = None) -> Reply:
    """Answer a form of a login that has ended: it succeeded, for example before a double submit, or took too long."""
    if await session_of(visit) is not None:
        return with_codes(visit, way_back(visit), unconfirmed_codes(visit.login))
    return expired_page(visit, problem)


async def show_logged_out(_visit: Visit) -> Reply:
    """Confirm a logout."""
    return Reply(page=Page.LOGGED_OUT)


async def status(visit: Visit) -> Reply:
    """Tell a script whether its user is logged in, and the token for forms that it makes. It does not count as use."""
    session = await session_of(visit, counts_as_use=False)
    if session is None:
        return Reply(page=Page.HOME, facts={"logged_in": False}, is_json=True)
    ends_at = session.idle_ends_at or session.opened_at
    facts = {
        "logged_in": True,
        **user_facts(session),
        "seconds_left": max(int(ends_at - _clock.now()), 0),
        "csrf": csrf_token(session.id),
    }
    return Reply(page=Page.HOME, facts=facts, is_json=True)


async def session_of(visit: Visit, *, counts_as_use: bool = True) -> StoredSession | None:
    """Return the browser's session; None if it has none, or it has ended."""
    if visit.session is None:
        return None
    try:
        return await visit.services.client.sessions.get(visit.session, counts_as_use=counts_as_use)
    except (InvalidSession, BrokenSeal):
        return None


def user_facts(session: StoredSession) -> dict[str, Any]:
    """Return the facts about a session that a page may show."""
    claims = session.tokens.claims or {}
    name = next((claims[claim] for claim in _SHOWN_CLAIMS if isinstance(claims.get(claim), str)), "")
    return {"user": name, "device": session.data.get("device", "")}
