"""The login under way, as it goes into a cookie and comes out."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

from passwordless_async import Email, Phone
from passwordless_async._common.secret import Secret, SecretDict
from passwordless_async.gateway.state import LoginState

FULL = LoginState(
    id=Secret("id"),
    expires_at=5,
    return_to="/app",
    who=Email("Ada@example.com"),
    sent_at=1.5,
    attempts_left=2,
    mfa=Secret("mfa"),
    factor="otp",
    factor_name="+4••",
    enrolment=Secret("{}"),
    recovery_codes=Secret("[]"),
    link=Secret("link"),
    remember=True,
    stepping_up="name",
    demands={"max_age": 60},
)


def through_json(state: LoginState, **changes: Any) -> LoginState | None:
    members = SecretDict(json.loads(json.dumps(state.members())))
    members.update(changes)
    return LoginState.from_members(members)


@pytest.mark.parametrize(
    "state", [FULL, LoginState(id=Secret("id"), expires_at=5), attrs.evolve(FULL, who=Phone("+4930901820"))]
)
def test_round_trip(state: LoginState) -> None:
    """It comes back as it was, secrets as secrets."""
    back = through_json(state)
    assert back == state
    assert all(type(value) is Secret for value in (back.id, back.mfa or Secret(), back.link or Secret()))


def test_what_is_not_said_takes_no_room() -> None:
    """A cookie is small."""
    assert set(LoginState(id=Secret("id"), expires_at=5).members()) == {"id", "expires_at"}


@pytest.mark.parametrize(
    "changes",
    [
        *({"more": 1}, {"who": ["fax", "1"]}, {"who": ["email", "no address"]}, {"who": 5}),
        *({name: []} for name in FULL.members()),
    ],
    ids=str,
)
def test_another_form_is_none(changes: dict[str, Any]) -> None:
    """As of another version."""
    assert through_json(FULL, **changes) is None
    assert LoginState.from_members(SecretDict()) is None


def test_its_repr_shows_no_secret() -> None:
    """Neither its id nor its user."""
    shown = repr(FULL)
    assert [secret for secret in ("'id'", "ada", "'mfa'", "'link'") if secret in shown.lower()] == []
