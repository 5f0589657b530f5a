"""The states of new logins, and where they return to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import Secret
from passwordless_async.gateway.return_paths import return_path
from passwordless_async.gateway.state import LoginState

if TYPE_CHECKING:
    from passwordless_async.gateway.visit import Visit


def new_login(visit: Visit) -> LoginState:
    """Return the state of a new login."""
    return LoginState(
        id=new_id(),
        expires_at=int(visit.services.clock() + visit.services.settings.login_seconds),
        return_to=wanted_path(visit),
    )


def new_start(visit: Visit) -> LoginState:
    """Return the state of a new login that replaces the browser's, with the same ``return_to``."""
    fresh = new_login(visit)
    return fresh if visit.login is None else attrs.evolve(fresh, return_to=visit.login.return_to)


def new_id() -> Secret:
    """Return the name of a new login, or of one that continues with another user."""
    return Secret(_clock.unique_id())


def wanted_path(visit: Visit) -> str | None:
    """Return the path that a request wants to return to; None if it names none that is allowed."""
    given = visit.request.query.get("return_to") or visit.form.get("return_to")
    # The gateway's own pages are always allowed: some of them send the user to the login first.
    return return_path(given, (*visit.services.settings.return_to, f"{visit.request.mount}/sessions"))


def newest_path(visit: Visit, login: LoginState) -> str | None:
    """Return the ``return_to`` of a login: that of the request, if there is one; None if it is not allowed."""
    is_named = "return_to" in visit.request.query or "return_to" in visit.form
    return wanted_path(visit) if is_named else login.return_to
