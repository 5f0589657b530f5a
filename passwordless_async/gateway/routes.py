"""The table of routes: the step for each path and method."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from passwordless_async.gateway.replies import Reply
from passwordless_async.gateway.steps import (
    backchannel,
    code,
    enrolment,
    factors,
    home,
    identifier,
    link,
    logout,
    sessions,
    step_up,
)
from passwordless_async.gateway.steps.pages import is_of_other_login
from passwordless_async.gateway.visit import Visit

Step: TypeAlias = Callable[[Visit], Awaitable[Reply]]


def _shared_step(step: Step) -> Step:
    """Return a step that simultaneous duplicates of a request share."""

    async def run(visit: Visit) -> Reply:
        login, request = visit.login, visit.request
        if login is None:
            return await step(visit)
        state = login.id, login.mfa, login.link, login.stepping_up, visit.session
        # A prefetch is refused, and has another field value.
        how = request.method, request.headers.get("Sec-Purpose")
        said = *how, request.path, *sorted(request.query.items()), *sorted(visit.form.items())
        return await visit.services.submissions.share((state, said), lambda: step(visit))

    return run


def _of_one_login(step: Step) -> Step:
    """Return a step that answers a form of another login than the browser's, left open in another tab, by itself."""

    async def run(visit: Visit) -> Reply:
        login = visit.login
        if login is not None and login.who is not None and is_of_other_login(visit, login):
            return await factors.other_login_page(visit, login)
        return await step(visit)

    return run


ROUTES: Mapping[str, Mapping[str, Step]] = {
    "/": {"GET": home.show},
    "/login": {"GET": identifier.show, "POST": identifier.send_code},
    "/login/cancel": {"POST": identifier.cancel},
    "/code": {"GET": code.show, "POST": _of_one_login(_shared_step(code.log_in))},
    "/code/resend": {"POST": _of_one_login(identifier.send_again)},
    "/link": {"GET": _shared_step(link.open_link)},
    "/link/resend": {"POST": _of_one_login(link.send_again)},
    "/link-sent": {"GET": link.show},
    "/factor": {"GET": factors.show, "POST": _of_one_login(_shared_step(factors.verify))},
    "/factors": {"GET": factors.show_choice, "POST": _of_one_login(factors.choose)},
    "/enrolment": {"GET": enrolment.show, "POST": _of_one_login(enrolment.enrol)},
    "/recovery-codes": {"GET": factors.show_recovery_codes, "POST": _of_one_login(factors.keep_recovery_codes)},
    "/sessions": {"GET": sessions.show},
    "/sessions/end": {"POST": sessions.end_one},
    "/sessions/end-others": {"POST": sessions.end_others},
    "/logout": {"POST": logout.log_out},
    "/logged-out": {"GET": home.show_logged_out},
    "/session": {"GET": home.status},
    "/step-up": {"GET": step_up.show, "POST": step_up.send_code},
    "/backchannel-logout": {"POST": backchannel.end_sessions},
}
"""The steps by path and method. HEAD is answered as GET."""

RESERVED = frozenset(path.split("/")[1] for path in (*ROUTES, "/static")) - {""}
"""The first segments of the gateway's own paths; the home is not among them: an upstream at ``/`` takes its place."""

SIGNED = frozenset({"/backchannel-logout"})
"""The paths that no browser calls: their requests are signed, so they need no CSRF check."""
