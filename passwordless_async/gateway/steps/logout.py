"""Logging out: the session of this browser ends, here and at the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async.errors import PasswordlessError, StoreUnavailable
from passwordless_async.gateway.problems import problem_of
from passwordless_async.gateway.replies import Page, Reply

if TYPE_CHECKING:
    from passwordless_async.gateway.visit import Visit


async def log_out(visit: Visit) -> Reply:
    """End the browser's session and revoke its refresh token."""
    if visit.session is not None:
        try:
            await visit.services.client.sessions.close(visit.session)
        except StoreUnavailable as error:
            # The session may be alive: the user is not told that they are logged out.
            problem, status = problem_of(error)
            return Reply(page=Page.FAULT, facts={"status": status, "retry_to": "/"}, problem=problem, status=status)
        except PasswordlessError:
            # It is closed; only its refresh token could not be revoked, and it lapses.
            pass
    return Reply(page=Page.LOGGED_OUT, session=None, login=None, location="/logged-out")
