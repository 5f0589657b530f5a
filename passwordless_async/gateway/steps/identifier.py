"""The page that asks for an address or a number, and the code or the link that is sent to it.

Invariants:

- The response is the same whether or not an account exists: the page for a code or a link. If the service's refusal
  would reveal it, the response is as if a code had been sent; even the cookie has the same length.
- If a code was sent a moment ago, no other one is sent: the user types that one.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from passwordless_async._common.secret import Secret
from passwordless_async.auth0.identity import Email, Phone
from passwordless_async.auth0.link import PendingLink
from passwordless_async.dpop import DPoPKey
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
from passwordless_async.gateway.hooks import Starting, run
from passwordless_async.gateway.problems import Refused, problem_of
from passwordless_async.gateway.replies import Problem, Reply
from passwordless_async.gateway.steps.new_logins import new_login, new_start, newest_path
from passwordless_async.gateway.steps.pages import (
    code_page,
    expired_page,
    identifier_page,
    may_remember,
    sent_page,
    unconfirmed_codes,
    unsent_problem,
    with_codes,
)
from passwordless_async.gateway.steps.problem_pages import fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from passwordless_async.gateway.state import LoginState
    from passwordless_async.gateway.visit import Visit

PageOfLogin: TypeAlias = "Callable[[Visit, LoginState, Problem, int], Reply]"


async def show(visit: Visit) -> Reply:
    """Ask who logs in."""
    login, fresh = visit.login, new_login(visit)
    if login is None:
        return identifier_page(visit, fresh, unsent_problem(visit))
    if login.who is None:
        login = attrs.evolve(fresh, id=login.id, return_to=login.return_to)
    return identifier_page(visit, attrs.evolve(login, return_to=newest_path(visit, login)), unsent_problem(visit))


async def send_code(visit: Visit) -> Reply:
    """Send a code to whom the form names."""
    fresh = new_login(visit)
    login = visit.login or fresh
    try:
        who = _who(visit)
    except InvalidInput:
        return identifier_page(visit, login, Problem("invalid_identifier", field="identifier"), HTTPStatus.BAD_REQUEST)
    remember = "remember" in visit.form and may_remember(visit)
    login = attrs.evolve(
        _login_of(visit, who, login, fresh), who=who, expires_at=fresh.expires_at, remember=remember, attempts_left=None
    )
    by_link = visit.form.get("send") == "link" and visit.services.settings.magic_link and isinstance(who, Email)
    return await start(visit, login, who, identifier_page, by_link=by_link)


def _login_of(visit: Visit, who: Email | Phone, login: LoginState, fresh: LoginState) -> LoginState:
    """Return the login of the user whom the form names: the pending one, if it is of the same user."""
    if login.who is not None and (login.who.realm, login.who.username) != (who.realm, who.username):
        # Of another user's login, only ``return_to`` is kept.
        return attrs.evolve(fresh, return_to=newest_path(visit, login))
    # A step-up is dropped: its session may have ended.
    return attrs.evolve(login, stepping_up=None, demands=None)


async def send_again(visit: Visit, *, by_link: bool = False) -> Reply:
    """Send another code to the same user, or another link to one who was sent a link."""
    login = visit.login
    if login is None or login.who is None or (by_link and login.link is None):
        return expired_page(visit)
    return await start(visit, login, login.who, sent_page, by_link=by_link)


async def start(
    visit: Visit, login: LoginState, who: Email | Phone, page: PageOfLogin, *, by_link: bool = False
) -> Reply:
    """Send a code or a link to the user of a login, and show its page; or show a page with the problem."""
    services = visit.services
    try:
        await _ask_application(visit, who)
    except Refused as error:
        return attrs.evolve(fault(*problem_of(error)), login=login)
    sent = attrs.evolve(login, sent_at=services.clock(), attempts_left=None, link=None)
    try:
        async with services.ledger.start(who, visit.address):
            link = await _send(visit, who, by_link=by_link)
    except AccessDenied as error:
        # Blocked, or signing up is not allowed: saying so would reveal who has an account.
        visit.audit(AuditKind.REFUSED, login=sent, reason=error.code)
        decoy = _decoy(visit, who) if by_link else None
        return sent_page(visit, attrs.evolve(sent, link=decoy), moved=True)
    except OutcomeUnknown as error:
        status = problem_of(error)[1]
        if by_link:
            # The link may be on its way, but the values that check its callback are lost.
            return page(visit, login, Problem("link_unconfirmed"), status)
        return code_page(visit, sent, Problem("code_unconfirmed"), status)
    except PasswordlessError as error:
        return _unsent_page(visit, login, error, page)
    visit.audit(AuditKind.STARTED, login=sent)
    return sent_page(visit, sent if link is None else attrs.evolve(sent, link=link), moved=True)


async def _ask_application(visit: Visit, who: Email | Phone) -> None:
    """Ask the application whether a user may be sent a code; raises ``Refused`` if not."""
    hook = visit.services.hooks.before_start
    if hook is not None:
        starting = Starting(who=who, address=visit.address, device=visit.device, language=visit.language)
        await run(hook, starting)


def _unsent_page(visit: Visit, login: LoginState, error: PasswordlessError, page: PageOfLogin) -> Reply:
    services = visit.services
    if isinstance(error, CoolingDown):
        # A code or a link is on its way, or has just come.
        waited = services.settings.resend_seconds - (error.retry_after or 0.0)
        return sent_page(visit, attrs.evolve(login, sent_at=services.clock() - waited), moved=True)
    if isinstance(error, VerificationRequired):
        return _captcha_page(visit, login, error)
    return page(visit, login, *problem_of(error))


def _captcha_page(visit: Visit, login: LoginState, error: VerificationRequired) -> Reply:
    """Return the page with a captcha; without a provider, the page says that there is none."""
    problem, status = problem_of(error, "captcha")
    if visit.services.settings.captcha is None:
        problem = Problem("captcha_missing")
    return identifier_page(visit, login, problem, status)


async def _send(visit: Visit, who: Email | Phone, *, by_link: bool) -> Secret | None:
    """Send a code, or a link; return the sealed values that check the link's callback."""
    services, widget = visit.services, visit.services.settings.captcha
    captcha = visit.form.get("captcha" if widget is None else widget.field) or visit.form.get("captcha") or None
    options: dict[str, Any] = {"language": visit.language, "forwarded_for": visit.forwarded_for, "captcha": captcha}
    if not by_link or not isinstance(who, Email):
        await services.client.start(who, **options)
        return None
    settings = services.settings
    pending = await services.client.start_link(
        who, redirect_uri=_callback(visit), scope=settings.scope, audience=settings.audience, **options
    )
    return Secret(pending.seal(services.keys))


def _decoy(visit: Visit, who: Email | Phone) -> Secret | None:
    """Return the sealed values of a link that was not sent: the cookie's length must not reveal that."""
    client, settings = visit.services.client, visit.services.settings
    if not isinstance(who, Email):
        return None
    pending = PendingLink(
        who=who,
        redirect_uri=_callback(visit),
        scope=settings.scope,
        audience=settings.audience,
        key=None if client.dpop == "off" else DPoPKey.generate(),
        issuer=client.issuer,
        client_id=client.client_id,
    )
    return Secret(pending.seal(visit.services.keys))


def _callback(visit: Visit) -> str:
    return f"{visit.services.settings.base_url}{visit.request.mount}/link"


async def cancel(visit: Visit) -> Reply:
    """Let the user name another address."""
    reply = attrs.evolve(identifier_page(visit, new_start(visit)), location="/login")
    return with_codes(visit, reply, unconfirmed_codes(visit.login))


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
