"""Logging out: the session of this browser ends, here and at the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async.client.sessions.values import hashed
from passwordless_async.errors import PasswordlessError, StoreUnavailable
from passwordless_async.gateway.audit import AuditKind
from passwordless_async.gateway.hooks import run
from passwordless_async.gateway.replies import Page, Reply
from passwordless_async.gateway.steps.home import session_of

if TYPE_CHECKING:
    from passwordless_async._common.secret import Secret
    from passwordless_async.client.sessions.values import StoredSession
    from passwordless_async.gateway.visit import Visit


async def may_end(visit: Visit) -> StoredSession | None:
    """Ask the application whether the user may end sessions; return the user's session, if it is needed.

    Raises:
        Refused: They may not.
    """
    services = visit.services
    if services.hooks.before_end is None and not services.on_audit:
        return None
    session = await session_of(visit)
    if session is not None and services.hooks.before_end is not None:
        await run(services.hooks.before_end, session)
    return session


async def log_out(visit: Visit) -> Reply:
    """End the browser's session and revoke its refresh token.

    Raises:
        StoreUnavailable: The session may still exist, so the page must not say that the user is logged out.
    """
    if visit.session is not None:
        session = await may_end(visit)
        await end(visit, visit.session, user=None if session is None else session.user, reason="logout")
    return Reply(page=Page.LOGGED_OUT, session=None, login=None, location="/logged-out")


async def end(visit: Visit, identifier: Secret, *, user: str | None = None, reason: str) -> None:
    """End a session and revoke its refresh token; if that fails, the token expires, and the audit log says so.

    Raises:
        StoreUnavailable: The session may still exist.
    """
    failure: PasswordlessError | None = None
    try:
        if not await visit.services.client.sessions.close(identifier):
            return
    except StoreUnavailable:
        raise
    except PasswordlessError as error:
        failure = error
    tell_ended(visit, user=user, session=hashed(identifier), reason=reason, failure=failure)


def tell_ended(visit: Visit, *, user: str | None, session: str, reason: str, failure: PasswordlessError | None) -> None:
    """Write to the audit log that a session was ended, and whether its tokens could not be revoked."""
    visit.audit(AuditKind.ENDED, user=user, session=session, reason=reason)
    if failure is not None:
        visit.audit(AuditKind.NOT_REVOKED, user=user, session=session, reason=failure.code)
