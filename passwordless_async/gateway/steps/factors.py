"""The second factor: choosing one, answering it, and ending the login.

Invariants:

- A message is sent only because the user did something: typed the first code, or chose a factor. Loading a page sends
  none.
- The user may choose another factor as long as the login lasts.
- Each message, code and poll counts in the budgets before it is sent. If a budget is used up, nothing is lost: the
  login continues, with another factor or later.
- A factor opens one session: an old copy of the login's cookie opens none with it.
- Using a recovery code spends it, and the service sends the next one only once: it is shown until the user confirms it,
  also if the login fails after that, or needs another factor. The same is true of the codes of a new factor.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common.secret import Secret
from passwordless_async.auth0.mfa.state import MfaRequired
from passwordless_async.errors import (
    AuthorizationPending,
    CodeExpired,
    InvalidInput,
    NotSent,
    OutcomeUnknown,
    PasswordlessError,
    ProtocolError,
    QuotaExceeded,
    RateLimited,
    RegionNotAllowed,
    StoreError,
    StoreUnavailable,
    WrongCode,
)
from passwordless_async.gateway.forms import code_of
from passwordless_async.gateway.problems import problem_of
from passwordless_async.gateway.replies import Page, Problem, Reply
from passwordless_async.gateway.steps.enrolment import enrolment_choice, enrolment_page
from passwordless_async.gateway.steps.home import without_login
from passwordless_async.gateway.steps.logging_in import finish_login, keep
from passwordless_async.gateway.steps.mfa_login import OF_PHONES, mfa_state, sealed, user_of
from passwordless_async.gateway.steps.new_logins import new_start
from passwordless_async.gateway.steps.pages import (
    expired_page,
    identifier_page,
    sent_page,
    unconfirmed_codes,
    way_back,
    with_codes,
)
from passwordless_async.gateway.steps.problem_pages import reply_of

if TYPE_CHECKING:
    from passwordless_async.auth0.mfa.state import MfaState, MfaTokenSet
    from passwordless_async.auth0.mfa.values import Authenticator
    from passwordless_async.gateway.state import LoginState
    from passwordless_async.gateway.visit import Visit

_CHANNELS = {"sms": "sms", "voice": "voice", "email": "email", "auth0": "push"}
_PREFERRED = ("otp", "push", "email", "sms", "voice", "recovery")  # the cheapest and safest first
_BY_CODE = frozenset({"otp", "recovery"})
# The service still has the login.
_GOES_ON = (
    WrongCode,
    InvalidInput,
    AuthorizationPending,
    NotSent,
    QuotaExceeded,
    RateLimited,
    RegionNotAllowed,
    StoreUnavailable,
)
# The service has, or may have, accepted the factor: its codes count.
_ACCEPTED = (MfaRequired, OutcomeUnknown, ProtocolError)
_OTHER_LOGIN = Problem("other_login")
_CHOICES = (Page.FACTORS, Page.ENROLMENT_CHOICE)
_POLL_SECONDS = 5  # the service allows twelve polls a minute


async def second_factor(visit: Visit, login: LoginState, error: MfaRequired) -> Reply:
    """Continue with the preferred factor, after the service has demanded one."""
    if error.state is None:
        return _failure_page(visit, error)
    # The code, or the link, is spent.
    login = attrs.evolve(login, mfa=sealed(visit, error.state), factor=None, enrolment=None, sent_at=None)
    try:
        factors = await _factors(visit, error.state)
        if not factors:
            return enrolment_choice(login, error.state)
        best = min(factors, key=lambda factor: _PREFERRED.index(_kind(factor)))
        return await _ask_or_choose(visit, login, error.state, best, factors)
    except PasswordlessError as failure:
        return _failure_page(visit, failure)


async def show(visit: Visit) -> Reply:
    """Ask for the factor that was chosen."""
    login = visit.login
    if login is None or login.mfa is None or login.factor is None:
        return Reply(page=Page.IDENTIFIER, location="/login")
    return factor_page(login)


async def show_choice(visit: Visit) -> Reply:
    """List the user's factors; a user who has none enrols one."""
    login, state = visit.login, mfa_state(visit)
    if login is None or state is None:
        return Reply(page=Page.IDENTIFIER, location="/login")
    try:
        factors = await _factors(visit, state)
    except PasswordlessError as error:
        return _failure_page(visit, error)
    return _choice_page(login, factors) if factors else enrolment_choice(login, state)


def _choice_page(
    login: LoginState, factors: list[Authenticator], problem: Problem | None = None, status: int = HTTPStatus.OK
) -> Reply:
    choices = [{"id": each.id, "kind": _kind(each), "name": each.name} for each in factors]
    return Reply(page=Page.FACTORS, facts={"choices": choices}, login=login, problem=problem, status=status)


async def choose(visit: Visit) -> Reply:
    """Ask for another factor."""
    login, state = visit.login, mfa_state(visit)
    if login is None or state is None:
        return expired_page(visit)
    wanted = visit.form.get("factor", Secret(""))
    try:
        factors = await _factors(visit, state)
        chosen = next((each for each in factors if each.id == wanted), None)
        if chosen is None:
            return Reply(page=Page.FACTORS, location="/factors")
        return await _ask_or_choose(visit, login, state, chosen, factors)
    except PasswordlessError as error:
        return _failure_page(visit, error)


async def verify(visit: Visit) -> Reply:
    """Finish the login with the factor."""
    login, state = visit.login, mfa_state(visit)
    if login is None or state is None or login.factor is None:
        return await without_login(visit)
    if visit.services.submissions.is_finished(login.id):
        return await _finished_page(visit, login)
    return await _verify(visit, login, state)


async def _verify(visit: Visit, login: LoginState, state: MfaState) -> Reply:
    outcome: MfaTokenSet | PasswordlessError
    try:
        outcome = await _present(visit, login, state)
        reply = await reply_of(visit, _finish(visit, login, outcome))
    except MfaRequired as error:
        outcome, reply = error, await second_factor(visit, login, error)
    except _GOES_ON as error:
        return factor_page(login, *problem_of(error, _field_of(error, login)))
    except PasswordlessError as error:
        outcome, reply = error, _failure_page(visit, error)
    return with_codes(visit, reply, _codes(visit, login, outcome))


def _field_of(error: PasswordlessError, login: LoginState) -> str | None:
    """Return the field that a problem belongs to."""
    return "code" if isinstance(error, WrongCode | InvalidInput) and login.factor != "push" else None


async def _finish(visit: Visit, login: LoginState, tokens: MfaTokenSet) -> Reply:
    """End the login."""
    try:
        identifier = await keep(visit, login, tokens)
    except StoreError:
        # The input is spent, and its tokens were given up.
        return identifier_page(visit, new_start(visit), Problem("login_not_kept"), HTTPStatus.SERVICE_UNAVAILABLE)
    except PasswordlessError as error:
        return _failure_page(visit, error)
    return await finish_login(visit, login, identifier)


async def show_recovery_codes(visit: Visit) -> Reply:
    """Show recovery codes that the user has not confirmed yet."""
    codes = unconfirmed_codes(visit.login)
    if not codes:
        return Reply(page=Page.HOME, location="/")
    return Reply(page=Page.RECOVERY_CODES, facts={"codes": codes})


async def keep_recovery_codes(visit: Visit) -> Reply:
    """The user has saved the codes: continue with the pending login, at ``return_to``, or with a new login."""
    login = visit.login
    if login is None:
        return attrs.evolve(way_back(visit), login=None)
    if login.sent_at is not None:
        return sent_page(visit, attrs.evolve(login, recovery_codes=None), moved=True)
    if login.mfa is not None:
        return await _next_factor(visit, attrs.evolve(login, recovery_codes=None))
    if visit.session is None:
        return attrs.evolve(identifier_page(visit, new_start(visit)), location="/login")
    return attrs.evolve(way_back(visit, login.return_to), login=None)


async def other_login_page(visit: Visit, login: LoginState) -> Reply:
    """Return the page where the browser's login stands, for a form of another one, which changes nothing."""
    if visit.services.submissions.is_finished(login.id):
        return await _finished_page(visit, login)
    if login.sent_at is not None or login.mfa is None:
        reply = sent_page(visit, login, _OTHER_LOGIN, HTTPStatus.CONFLICT)
    elif login.factor is not None:
        reply = factor_page(login, _OTHER_LOGIN, HTTPStatus.CONFLICT)
    else:
        reply = await show_choice(visit)
        if reply.page in _CHOICES:
            reply = attrs.evolve(reply, problem=_OTHER_LOGIN, status=HTTPStatus.CONFLICT, location=None)
    return with_codes(visit, reply, unconfirmed_codes(login))


async def _finished_page(visit: Visit, login: LoginState) -> Reply:
    """Answer a form of a login that has its session; if that response was lost, the browser still has the login."""
    return with_codes(visit, await without_login(visit, Problem("code_spent")), _accepted_codes(visit, login))


async def _next_factor(visit: Visit, login: LoginState) -> Reply:
    """Continue a login that needs another factor."""
    if login.factor is not None:
        return attrs.evolve(factor_page(login), location="/factor")
    reply = await show_choice(attrs.evolve(visit, login=login))
    return attrs.evolve(reply, location="/factors") if reply.page is Page.FACTORS else reply


async def _factors(visit: Visit, state: MfaState) -> list[Authenticator]:
    """Return the user's factors that a page can ask for."""
    factors = await visit.services.client.mfa.authenticators(state)
    return [each for each in factors if each.active and _kind(each) in _PREFERRED]


def _kind(factor: Authenticator) -> str:
    if factor.authenticator_type == "oob":
        return _CHANNELS.get(factor.oob_channel or "", "")
    return "recovery" if factor.authenticator_type == "recovery-code" else factor.authenticator_type


async def _ask_or_choose(
    visit: Visit, login: LoginState, state: MfaState, factor: Authenticator, factors: list[Authenticator]
) -> Reply:
    """Ask for a factor; if its message may not be sent, let the user choose another one."""
    try:
        return await _ask(visit, login, state, factor)
    except _GOES_ON as error:
        return _choice_page(login, factors, *problem_of(error))


async def _ask(visit: Visit, login: LoginState, state: MfaState, factor: Authenticator) -> Reply:
    """Ask for a factor; a message is sent to it if it is out of band."""
    kind, services = _kind(factor), visit.services
    if factor.authenticator_type == "oob":
        async with services.ledger.factor_message(user_of(login), visit.address, to_phone=kind in OF_PHONES):
            state = state.with_challenge(await services.client.mfa.challenge(state, authenticator=factor))
    login = attrs.evolve(login, mfa=sealed(visit, state), factor=kind, factor_name=factor.name, enrolment=None)
    return attrs.evolve(factor_page(login), location="/factor")


def factor_page(login: LoginState, problem: Problem | None = None, status: int = HTTPStatus.OK) -> Reply:
    """Return the page that asks for a factor, or for the proof that a new one works."""
    if login.enrolment is not None:
        return enrolment_page(login, problem, status)
    facts: dict[str, Any] = {"kind": login.factor, "name": login.factor_name or "", "poll_every": _POLL_SECONDS}
    return Reply(page=Page.FACTOR, facts=facts, login=login, problem=problem, status=status)


async def _present(visit: Visit, login: LoginState, state: MfaState) -> MfaTokenSet:
    """Present the factor, within the budgets: a code counts as a guess, a push as a poll."""
    mfa, ledger = visit.services.client.mfa, visit.services.ledger
    who, challenge = user_of(login), state.challenge
    is_typed = login.factor in _BY_CODE or challenge is None or challenge.prompts
    if not is_typed and challenge is not None:
        await ledger.poll(who, visit.address)
        return await mfa.verify_oob(state, challenge)
    code = _typed_code(visit, login)
    async with ledger.attempt(who, visit.address):
        if login.factor == "recovery":
            return await _present_recovery_code(visit, state, code)
        if login.factor == "otp" or challenge is None:
            return await mfa.verify_otp(state, code)
        return await mfa.verify_oob(state, challenge, binding_code=code)


def _typed_code(visit: Visit, login: LoginState) -> Secret:
    """Return what was typed. Only recovery codes may have letters; what cannot be a code raises ``InvalidInput``."""
    return visit.form.get("code", Secret("")) if login.factor == "recovery" else code_of(visit.form)


async def _present_recovery_code(visit: Visit, state: MfaState, code: Secret) -> MfaTokenSet:
    tokens, _ = await visit.services.client.mfa.verify_recovery_code(state, code)
    return tokens


def _codes(visit: Visit, login: LoginState, outcome: MfaTokenSet | PasswordlessError) -> list[str]:
    """Return the recovery codes to show with the reply to a factor."""
    if isinstance(outcome, PasswordlessError) and not isinstance(outcome, _ACCEPTED):
        return unconfirmed_codes(login)
    return _accepted_codes(visit, login, outcome.recovery_code)


def _accepted_codes(visit: Visit, login: LoginState, successor: str | None = None) -> list[str]:
    """Return the codes that count once a factor was accepted: unconfirmed ones, a new factor's, and the next one."""
    enrolled = [] if login.enrolment is None else json.loads(login.enrolment)["recovery_codes"]
    codes = [*unconfirmed_codes(login), *enrolled, *(() if successor is None else (successor,))]
    # The one that was typed is spent.
    return [code for code in dict.fromkeys(codes) if code != visit.form.get("code")]


def _failure_page(visit: Visit, error: PasswordlessError) -> Reply:
    """Start again, because this login cannot continue. If just a factor's message is too old, request another."""
    problem, status = problem_of(error)
    if isinstance(error, CodeExpired) and visit.login is not None and visit.login.factor is not None:
        return factor_page(visit.login, problem, status)
    return with_codes(visit, identifier_page(visit, new_start(visit), problem, status), unconfirmed_codes(visit.login))
