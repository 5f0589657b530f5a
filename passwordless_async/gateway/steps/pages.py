"""The pages of a login, as replies, for all steps."""

from __future__ import annotations

import json
import math
from http import HTTPStatus
from typing import TYPE_CHECKING

import attrs

from passwordless_async._common.secret import Secret
from passwordless_async.auth0.identity import Email, Phone
from passwordless_async.gateway.browser import csrf_token
from passwordless_async.gateway.replies import Page, Problem, Reply
from passwordless_async.gateway.state import LoginState
from passwordless_async.gateway.steps.new_logins import new_login, new_start, newest_path

if TYPE_CHECKING:
    from passwordless_async.auth0.identity import User
    from passwordless_async.gateway.visit import Visit

_SHORT_NUMBER = 9  # characters; five would be most of a shorter one


def unsent_problem(visit: Visit) -> Problem | None:
    """Return the problem that says that a form was not sent to its service but led here; None if none was."""
    return Problem("form_not_sent") if visit.request.query.get("unsent") == "1" else None


def is_of_other_login(visit: Visit, login: LoginState) -> bool:
    """Return whether a form was made for another login than the browser's: it was left open in another tab."""
    token = visit.form.get("csrf")
    return bool(token) and token != csrf_token(login.id)


def identifier_page(visit: Visit, login: LoginState, problem: Problem | None = None, status: int = 200) -> Reply:
    """Return the page that asks who logs in."""
    settings = visit.services.settings
    wants_captcha = problem is not None and problem.field == "captcha"
    facts = {
        "kinds": settings.identifiers,
        "identifier": visit.form.get("identifier") or (_typed_identifier(login) if wants_captcha else ""),
        "may_link": settings.magic_link and "email" in settings.identifiers,
        "captcha": None if settings.captcha is None or not wants_captcha else settings.captcha.facts,
        "may_remember": may_remember(visit),
        "return_to": login.return_to,
    }
    return Reply(page=Page.IDENTIFIER, facts=facts, login=login, problem=problem, status=status)


def _typed_identifier(login: LoginState) -> str:
    """Return the user's previous input, for the page that asks for a captcha."""
    return "" if login.who is None else login.who.username


def may_remember(visit: Visit) -> bool:
    """Return whether a user may ask to stay logged in."""
    return visit.services.settings.remember_for is not None


def expired_page(visit: Visit, problem: Problem | None = None) -> Reply:
    """Return the page that starts again, for a form of a login that has ended: by default, it took too long."""
    told = problem or Problem("login_expired")
    reply = identifier_page(visit, new_start(visit), told, HTTPStatus.FORBIDDEN)
    return with_codes(visit, reply, unconfirmed_codes(visit.login))


def way_back(visit: Visit, return_to: str | None = None) -> Reply:
    """Return the reply that redirects to a login's ``return_to``; None: to the application's home, or the gateway's."""
    path = return_to or visit.services.settings.home
    return Reply(page=Page.HOME, facts={"return_to": path}, location=path or "/", leaves=path is not None)


def code_page(
    visit: Visit, login: LoginState, problem: Problem | None = None, status: int = 200, *, moved: bool = False
) -> Reply:
    """Return the page that asks for the code; ``moved``: a page redirects to it."""
    facts = {
        "kind": "phone" if isinstance(login.who, Phone) else "email",
        "sent_to": masked(login.who),
        "resend_in": _resend_in(visit, login),
        "attempts_left": login.attempts_left,
        "expires_in": max(int(login.expires_at - visit.services.clock()), 0),
    }
    location = "/code" if moved and problem is None else None
    return Reply(page=Page.CODE, facts=facts, login=login, problem=problem, status=status, location=location)


def link_page(
    visit: Visit,
    login: LoginState,
    problem: Problem | None = None,
    status: int = 200,
    *,
    moved: bool = False,
    can_reload: bool = False,
) -> Reply:
    """Return the page that says where a link was sent; ``can_reload``: its callback may be tried once more."""
    facts = {"sent_to": masked(login.who), "resend_in": _resend_in(visit, login), "can_reload": can_reload}
    location = "/link-sent" if moved and problem is None else None
    return Reply(page=Page.LINK_SENT, facts=facts, login=login, problem=problem, status=status, location=location)


def sent_page(
    visit: Visit, login: LoginState, problem: Problem | None = None, status: int = 200, *, moved: bool = False
) -> Reply:
    """Return the page for the message that the user was sent: a code, or a link."""
    page = code_page if login.link is None else link_page
    return page(visit, login, problem, status, moved=moved)


def _resend_in(visit: Visit, login: LoginState) -> int:
    waits = 0.0 if login.sent_at is None else login.sent_at + visit.services.settings.resend_seconds
    return max(math.ceil(waits - visit.services.clock()), 0)


def masked(who: User | None) -> str:
    """Return an address or a number as a page shows it to its owner: enough to see a mistake."""
    if who is None:
        return ""
    if isinstance(who, Email):
        local, _, domain = who.address.partition("@")
        return f"{local[0]}{'•' * max(len(local) - 2, 1)}{local[-1] if len(local) > 1 else ''}@{domain}"
    number = who.number
    if len(number) < _SHORT_NUMBER:
        return "•" * len(number)
    return f"{number[:3]}{'•' * (len(number) - 5)}{number[-2:]}"


def unconfirmed_codes(login: LoginState | None) -> list[str]:
    """Return the recovery codes that the user has not confirmed yet."""
    codes: list[str] = [] if login is None or login.recovery_codes is None else json.loads(login.recovery_codes)
    return codes


def with_codes(visit: Visit, reply: Reply, codes: list[str]) -> Reply:
    """Return a reply that shows recovery codes first, with its problem; they stay in the login until confirmed."""
    if not codes:
        return reply
    if isinstance(reply.login, LoginState) and (reply.login.mfa is not None or reply.login.sent_at is not None):
        login = reply.login  # it continues when they are confirmed
    else:
        # Under another name: the login itself has ended. Another user's login replaces it, and shows none of them.
        before = visit.login or new_login(visit)
        login = attrs.evolve(new_start(visit), who=before.who, return_to=newest_path(visit, before))
    return attrs.evolve(
        reply,
        page=Page.RECOVERY_CODES,
        facts={"codes": codes},
        login=attrs.evolve(login, recovery_codes=Secret(json.dumps(codes))),
        location="/recovery-codes" if reply.problem is None else None,
        leaves=False,
    )
