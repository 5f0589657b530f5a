"""Enrolling a second factor, if the service demands one and the user has none.

The user first chooses the kind, then types a number if the kind needs one, each on its own page. Users who mistyped a
number, or cannot scan a code, can go back and choose again as long as the login lasts.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common.secret import Secret
from passwordless_async.auth0.identity import Email, Phone
from passwordless_async.errors import InvalidInput, PasswordlessError
from passwordless_async.gateway.problems import problem_of
from passwordless_async.gateway.replies import Page, Problem, Reply
from passwordless_async.gateway.steps.mfa_login import OF_PHONES, mfa_state, sealed, user_of
from passwordless_async.gateway.steps.pages import expired_page

if TYPE_CHECKING:
    from passwordless_async.auth0.mfa.state import MfaState
    from passwordless_async.auth0.mfa.values import Association
    from passwordless_async.gateway.state import LoginState
    from passwordless_async.gateway.visit import Visit

_KINDS = ("otp", "push", "email", "sms", "voice")
_NAMES = {"push-notification": "push", "phone": "sms"}  # the service's names for kinds that have another name here
_GROUP = 4  # characters of a key, as people type it


def enrolment_choice(login: LoginState, state: MfaState, problem: Problem | None = None, status: int = 200) -> Reply:
    """Return the page that lets the user choose what to enrol."""
    offered = {_NAMES.get(kind, kind) for kind in state.requirements.enroll}
    choices = [kind for kind in _KINDS if kind in offered or not offered]
    return Reply(
        page=Page.ENROLMENT_CHOICE,
        facts={"choices": choices},
        login=login,
        problem=problem,
        status=status,
        location=None if problem else "/enrolment",
    )


async def show(visit: Visit) -> Reply:
    """Show what to do for a new factor, or the choice of one."""
    login, state = visit.login, mfa_state(visit)
    if login is None or state is None:
        return Reply(page=Page.IDENTIFIER, location="/login")
    wanted = visit.request.query.get("kind")
    if wanted in OF_PHONES:
        return _phone_page(visit, wanted)
    if login.enrolment is None or wanted is not None:
        return attrs.evolve(enrolment_choice(login, state), location=None)
    return enrolment_page(login)


async def enrol(visit: Visit) -> Reply:
    """Enrol a factor; it is active once the user has confirmed it."""
    login, state = visit.login, mfa_state(visit)
    if login is None or state is None:
        return expired_page(visit)
    kind = visit.form.get("kind", Secret(""))
    try:
        association = await _associate(visit, login, state, kind)
    except PasswordlessError as error:
        is_of_phone = kind in OF_PHONES
        problem, status = problem_of(error, "phone" if is_of_phone and isinstance(error, InvalidInput) else None)
        if is_of_phone:
            return _phone_page(visit, kind, problem, status)
        return enrolment_choice(login, state, problem, status)
    facts = _facts(kind, association)
    kept = sealed(visit, state.with_challenge(association.challenge))
    login = attrs.evolve(login, mfa=kept, factor=str(kind), factor_name=None, enrolment=Secret(json.dumps(facts)))
    return attrs.evolve(enrolment_page(login), location="/enrolment")


def _phone_page(visit: Visit, kind: str, problem: Problem | None = None, status: int = 200) -> Reply:
    """Return the page that asks for the number of a phone that is to be a factor."""
    facts = {"kind": str(kind), "phone": visit.form.get("phone", "")}
    return Reply(page=Page.ENROLMENT_PHONE, facts=facts, problem=problem, status=status)


def enrolment_page(login: LoginState, problem: Problem | None = None, status: int = 200) -> Reply:
    """Return the page that shows a new factor, and asks for the proof that it works."""
    facts = {} if login.enrolment is None else json.loads(login.enrolment)
    # They are valid once the factor is active: until then they are not shown.
    facts.pop("recovery_codes", None)
    return Reply(page=Page.ENROLMENT, facts=facts, login=login, problem=problem, status=status)


async def _associate(visit: Visit, login: LoginState, state: MfaState, kind: str) -> Association:
    """Associate a factor; its message counts in the budgets before it is sent."""
    associate = visit.services.client.mfa.associate
    if kind == "otp":
        return await associate(state, types=["otp"])
    where, phone = _where(visit, login, kind)
    number = None if phone is None else phone.number
    ledger, to_phone = visit.services.ledger, kind in OF_PHONES
    async with ledger.factor_message(user_of(login), visit.address, to_phone=to_phone, number=number):
        return await associate(state, **where)


def _where(visit: Visit, login: LoginState, kind: str) -> tuple[dict[str, Any], Phone | None]:
    """Return the destination of a factor's messages: the arguments for it, and the phone, if it is one."""
    if kind == "push":
        return {"types": ["oob"], "channels": ["auth0"]}, None
    if kind == "email":
        if not isinstance(login.who, Email):
            raise InvalidInput("kind", "needs an address")
        return {"email": login.who}, None
    if kind in OF_PHONES:
        phone = Phone(visit.form.get("phone", Secret("")))
        return {"phone": phone, "channels": [kind]}, phone
    raise InvalidInput("kind", "is no factor that can be enrolled")


def _facts(kind: str, association: Association) -> dict[str, Any]:
    """Return the facts about a new factor for the page; they are sealed in the login's cookie meanwhile."""
    key = association.secret
    return {
        "kind": kind,
        "barcode_uri": association.barcode_uri,
        "setup_key": None if key is None else " ".join(key[at : at + _GROUP] for at in range(0, len(key), _GROUP)),
        "recovery_codes": list(association.recovery_codes),
        "prompts": kind == "otp" or association.challenge.prompts,
        "name": "",
    }
