"""The tenant's users and their factors."""

from __future__ import annotations

from typing import cast

import pytest

from helpers.tenant_wire import ADA, Wire, stop_at_mfa
from passwordless_async import Email, UsageError
from passwordless_async.testing import (
    LocalTenant,
)
from passwordless_async.testing.state import users as users_module
from passwordless_async.testing.state.users import User, Users, step_at, totp


def test_factors_that_do_not_exist() -> None:
    """An unknown factor is refused, and a user without one has no code."""
    tenant = LocalTenant()
    with pytest.raises(ValueError, match="pigeon"):
        tenant.users.add(ADA, mfa=["pigeon"])
    with pytest.raises(LookupError, match="otp"):
        tenant.mfa.otp_for(ADA)
    tenant.users.add(ADA, mfa="otp")  # one text is not split into letters
    assert tenant.mfa.otp_for(ADA).isdecimal()


def test_what_is_said_of_a_user_adds_up() -> None:
    """A later call takes nothing back."""
    users = LocalTenant().users
    users.add(ADA, database=True, blocked=True)
    users.add(ADA, mfa=["otp"])
    account = users.account(User.of(ADA))
    assert (account.database, account.blocked, [factor.kind for factor in account.factors]) == (True, True, ["otp"])


def test_a_user_that_is_a_str() -> None:
    """It is refused by name, wherever a test names a user."""
    tenant, ada = LocalTenant(), cast("Email", "ada@example.com")
    for ask in (tenant.outbox.code_for, tenant.outbox.link_for, tenant.mfa.code_for, tenant.mfa.otp_for):
        with pytest.raises(UsageError, match="who: must be an Email or a Phone, not str"):
            ask(ada)


@pytest.mark.parametrize(
    ("seconds", "right"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_vectors(seconds: int, right: str) -> None:
    """RFC 6238 appendix B, its last six digits."""
    assert totp(b"12345678901234567890", step_at(seconds)) == right


async def test_an_authenticator_apps_code_passes_once(wire: Wire) -> None:
    """RFC 6238 §5.2: the second use of a code is refused, and the next one shown passes."""
    codes: list[str] = []
    for _ in range(2):
        token = (await stop_at_mfa(wire, *([] if codes else ["otp"])))["mfa_token"]
        for used in codes:
            assert (await wire.mfa("otp", token, otp=used)).words == (403, "invalid_grant", "Invalid otp_code.")
        codes.append(wire.tenant.mfa.otp_for(ADA))
        assert (await wire.mfa("otp", token, otp=codes[-1])).status == 200


async def test_an_address_in_another_case_is_the_same_user(wire: Wire) -> None:
    """The code for one spelling passes with another, and the account, its factors and the outbox know both."""
    upper = Email("Ada@EXAMPLE.com")
    wire.tenant.users.add(upper, mfa=["otp"])
    assert (await wire.start(email=upper.address)).json["email"] == ADA.address
    assert wire.tenant.outbox.messages[0].username == upper.address
    assert wire.tenant.outbox.code_for(ADA) == wire.tenant.outbox.code_for(upper)
    await wire.exchange(otp="000")
    assert (await wire.exchange(username="ADA@example.com")).json["error"] == "mfa_required"
    assert wire.tenant.mfa.otp_for(ADA)
    assert User.of(ADA).subject == User.of(upper).subject
    assert len({User.of(ADA), User.of(upper), User("sms", ADA.address)}) == 2


async def test_a_resend_to_another_case_kills_the_code_before(wire: Wire) -> None:
    """Only the newest code of a user is valid."""
    await wire.start()
    first = wire.tenant.outbox.code_for(ADA)
    await wire.start(email="ADA@example.com")
    second = wire.tenant.outbox.code_for(ADA)
    await wire.exchange(otp="000000" if second != "000000" else "000001")
    assert (await wire.exchange(otp=second)).status == 200
    assert (await wire.exchange(otp=first)).status == 403


def test_wrong_codes_of_a_bounded_number_of_users_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anyone may fail as any user: the one whose last failure is longest ago makes room, and starts anew."""
    monkeypatch.setattr(users_module, "_MAX_FAILING", 3)
    users, crowd = Users(), [User("email", f"user{number}@example.com") for number in range(4)]
    for user in (*crowd[:3], crowd[0], crowd[3]):
        users.failed(user)

    assert [users.failures(user) for user in crowd] == [2, 0, 1, 1]


def test_a_bounded_number_of_users_who_logged_in_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was used least recently makes room; to be looked for is a use."""
    monkeypatch.setattr(users_module, "_MAX_LOGGED_IN", 3)
    users, crowd = Users(), [User("email", f"user{number}@example.com") for number in range(5)]
    for user in (*crowd[:3], crowd[0], crowd[3]):
        users.note_login(user)
    assert crowd[2] in users
    users.note_login(crowd[4])

    assert [user in users for user in crowd] == [False, False, True, True, True]


def test_no_login_of_others_makes_the_tenant_forget_whom_a_test_added(monkeypatch: pytest.MonkeyPatch) -> None:
    """A blocked user stays blocked, and a second factor stays one."""
    monkeypatch.setattr(users_module, "_MAX_LOGGED_IN", 1)
    users, ada = Users(), User.of(ADA)
    users.note_login(ada, database=True)
    users.add(ADA, mfa=["otp"], blocked=True)
    for number in range(3):
        users.add(Email(f"user{number}@example.com"), mfa=["otp"])
        users.note_login(User("email", f"other{number}@example.com"))
    users.note_login(ada)

    account = users.account(ada)
    assert (account.database, account.blocked, account.enrolled) == (True, True, True)
    assert all(User("email", f"user{number}@example.com") in users for number in range(3))
