"""The pages of problems that no form can correct, as replies."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async.errors import PasswordlessError
from passwordless_async.gateway.error_log import LogAndSuppress
from passwordless_async.gateway.problems import Refused, problem_of
from passwordless_async.gateway.replies import Page, Problem, Reply

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from passwordless_async.gateway.visit import Visit


def fault(problem: Problem | str, status: int, *, retry_to: str | None = None) -> Reply:
    """Return the page of a problem that no form can correct; it links to ``retry_to``."""
    problem = Problem(problem) if isinstance(problem, str) else problem
    facts: dict[str, Any] = {"status": int(status)}
    if retry_to is not None:
        facts["retry_to"] = retry_to
    return Reply(page=Page.FAULT, facts=facts, status=status, problem=problem)


async def reply_of(visit: Visit, running: Awaitable[Reply]) -> Reply:
    """Return what a step replies; an unexpected error is logged, and its page says so in plain words."""
    with LogAndSuppress(f"{visit.request.method} {visit.request.path}"):
        try:
            return await running
        except (PasswordlessError, Refused) as error:
            problem, status = problem_of(error)
        return fault(problem, status)
    return fault("fault", HTTPStatus.INTERNAL_SERVER_ERROR)


def without_form(reply: Reply) -> Reply:
    """Return a reply without its form if nothing that the user types can help: a setting is wrong.

    Recovery codes stay: the service does not send them again.
    """
    if reply.problem is None or reply.problem.key != "misconfigured" or reply.page is Page.RECOVERY_CODES:
        return reply
    # The code of a link's callback may be spent: that page is not asked for again.
    retry_to = "/login" if reply.page is Page.LINK_SENT else None
    return attrs.evolve(reply, page=Page.FAULT, facts=fault(reply.problem, reply.status, retry_to=retry_to).facts)
