"""Who logs in: the page that asks for an address or a number, and the code that is sent to it.

Invariants:

- The answer is the same whether or not an account exists: a code page. What the service refuses for a reason that would
  tell is answered as if a code had been sent.
- A code that was sent a moment ago is not sent again: the user types that one.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, TypeAlias

import attrs

from passwordless_async._common.secret import Secret
from passwordless_async.auth0.identity import Email, Phone
from passwordless_async.errors import (
    AccessDenied,
    CoolingDown,
    InvalidInput,
    OutcomeUnknown,
    PasswordlessError,
    UsageError,
    VerificationRequired,
)
from passwordless_async.gateway.audit import AuditKind
from passwordless_async.gateway.hooks import Starting
from passwordless_async.gateway.problems import problem_of
from passwordless_async.gateway.replies import Problem, Reply
from passwordless_async.gateway.steps.pages import (
    code_page,
    expired_page,
    identifier_page,
    is_of_other_login,
    may_remember,
    new_login,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from passwordless_async.gateway.state import LoginState
    from passwordless_async.gateway.visit import Visit

PageOfLogin: TypeAlias = "Callable[[Visit, LoginState, Problem, int], Reply]"


async def show(visit: Visit) -> Reply:
    """Ask who logs in."""
    login, fresh = visit.login, new_login(visit)
    if login is None or login.who is None:
        login = fresh if login is None else attrs.evolve(fresh, id=login.id, return_to=login.return_to)
    return identifier_page(visit, attrs.evolve(login, return_to=fresh.return_to or login.return_to))


async def send_code(visit: Visit) -> Reply:
    """Send a code to whom the form names."""
    fresh = new_login(visit)
    login = visit.login or fresh
    try:
        who = _who(visit)
    except InvalidInput as error:
        problem, status = problem_of(error, "identifier")
        return identifier_page(visit, login, problem, status)
    if login.who is not None and (login.who.realm, login.who.username) != (who.realm, who.username):
        login = attrs.evolve(login, id=fresh.id, mfa=None, link=None, sent_at=None, stepping_up=None)
    remember = "remember" in visit.form and may_remember(visit)
    login = attrs.evolve(login, who=who, expires_at=fresh.expires_at, remember=remember, attempts_left=None)
    return await start(visit, login, who, identifier_page)


async def send_again(visit: Visit) -> Reply:
    """Send another code to the same user."""
    login = visit.login
    if login is None or login.who is None:
        return expired_page(visit)
    if is_of_other_login(visit, login):
        return code_page(visit, login, Problem("other_login"), HTTPStatus.CONFLICT)
    return await start(visit, login, login.who, code_page)


async def start(visit: Visit, login: LoginState, who: Email | Phone, page: PageOfLogin) -> Reply:
    """Send a code to the user of a login, and go on to the page that asks for it; else show a page with the problem."""
    services, now = visit.services, visit.services.clock()
    sent = attrs.evolve(login, sent_at=now, attempts_left=None)
    if services.hooks.before_start is not None:
        await services.hooks.before_start(
            Starting(who=who, address=visit.address, device=visit.device, language=visit.language)
        )
    try:
        async with services.ledger.start(who, visit.address):
            await services.client.start(
                who, language=visit.language, forwarded_for=visit.forwarded_for, captcha=visit.form.get("captcha")
            )
    except CoolingDown as error:
        # A code is on its way, or has just come.
        waits = error.retry_after or 0.0
        login = attrs.evolve(login, sent_at=now - services.settings.resend_seconds + waits)
        return code_page(visit, login, moved=True)
    except AccessDenied:
        # Blocked, or signing up is not allowed: to say so would tell who has an account.
        return code_page(visit, sent, moved=True)
    except OutcomeUnknown as error:
        # A code may be on its way.
        return code_page(visit, sent, Problem("code_unconfirmed"), problem_of(error)[1])
    except VerificationRequired as error:
        return identifier_page(visit, login, *problem_of(error, "captcha"))
    except PasswordlessError as error:
        return page(visit, login, *problem_of(error))
    attrs.evolve(visit, login=sent).audit(AuditKind.STARTED)
    return code_page(visit, sent, moved=True)


async def cancel(visit: Visit) -> Reply:
    """Let the user name another address."""
    login = attrs.evolve(new_login(visit), return_to=visit.login.return_to) if visit.login else new_login(visit)
    return attrs.evolve(identifier_page(visit, login), location="/login")


def _who(visit: Visit) -> Email | Phone:
    """Return the user that the form names: an address has an @, a number has none."""
    typed, kinds = visit.form.get("identifier", Secret("")).strip(), visit.services.settings.identifiers
    kind = "email" if "@" in typed or "phone" not in kinds else "phone"
    if kind not in kinds:
        raise InvalidInput("identifier", "must be a phone number")
    try:
        return Email(typed) if kind == "email" else Phone(typed)
    except InvalidInput:
        raise
    except UsageError as error:
        problem = error.problem
    raise InvalidInput("identifier", problem)
