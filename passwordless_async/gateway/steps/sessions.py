"""The user's sessions: listing and ending them.

Invariants:

- A session is named by its public name, which opens nothing, and is found only among the user's own.
- Ending a session closes it and revokes its refresh token. If the service is unreachable, the session is still ended,
  and the audit log says so.
- If a session has ended meanwhile, the user sees the list without it, and no error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from passwordless_async._common.secret import Secret
from passwordless_async.gateway.replies import Page, Reply
from passwordless_async.gateway.steps.home import log_in_first, session_of
from passwordless_async.gateway.steps.logout import log_out, may_end, tell_ended

if TYPE_CHECKING:
    from passwordless_async.client.sessions.values import SessionInfo
    from passwordless_async.gateway.visit import Visit


async def show(visit: Visit) -> Reply:
    """List the user's sessions, this browser's first."""
    session = await session_of(visit)
    if session is None:
        return log_in_first(visit, back_to="/sessions")
    sessions, current = visit.services.client.sessions, session.name
    infos = await sessions.list(session.user)
    facts = [_facts(info, is_current=info.name == current) for info in infos]
    facts.sort(key=lambda each: not each["is_current"])
    return Reply(page=Page.SESSIONS, facts={"sessions": facts})


async def end_one(visit: Visit) -> Reply:
    """End one of the user's sessions, by its public name."""
    session = await session_of(visit)
    if session is None:
        return log_in_first(visit, back_to="/sessions")
    name = visit.form.get("name", Secret(""))
    if name == session.name:
        return await log_out(visit)
    await may_end(visit)
    await _end(visit, session.user, [name])
    return Reply(page=Page.SESSIONS, location="/sessions")


async def end_others(visit: Visit) -> Reply:
    """End all of the user's sessions but this browser's."""
    session = await session_of(visit)
    if session is None:
        return log_in_first(visit, back_to="/sessions")
    await may_end(visit)
    infos = await visit.services.client.sessions.list(session.user)
    await _end(visit, session.user, [info.name for info in infos if info.name != session.name])
    return Reply(page=Page.SESSIONS, location="/sessions")


async def _end(visit: Visit, user: str, names: list[str]) -> None:
    ended = await visit.services.client.sessions.log_out(user, names)
    for name, failure in ended.items():
        tell_ended(visit, user=user, session=name, reason="by_user", failure=failure)


def _facts(info: SessionInfo, *, is_current: bool) -> dict[str, Any]:
    return {
        "name": info.name,
        "device": info.data.get("device", ""),
        "place": info.data.get("place", ""),
        "opened_at": info.opened_at,
        "last_seen_at": info.last_used_at,
        "is_current": is_current,
    }
