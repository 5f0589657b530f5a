"""``login`` with a second factor: each kind, answered or enrolled, and what is shown of it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pytest

from helpers.people import Typist
from helpers.tenant_thread import running
from passwordless_async import Email
from passwordless_async.cli.app import run
from passwordless_async.testing import LocalTenant, TenantSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

Shown = tuple[int, str, str]
Login = Callable[..., Shown]

ADA = Email("ada@example.com")
CODE = f"A code was sent to {ADA.address}. Code: "


@pytest.fixture
def login(tenant: LocalTenant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Login:
    """Return a function that logs Ada in, who types her code and then what is given: the status, and what is shown."""

    def log_in(*answers: str | Callable[[], str], at: LocalTenant = tenant) -> Shown:
        typist = Typist(lambda: at.outbox.code_for(ADA), *answers)
        monkeypatch.setattr(sys, "stdin", typist)
        named = ("--domain", at.url, "--client-id", at.public_client_id, "--email", ADA.address)
        status = run(["login", *named, "--json"])
        assert typist.left == 0
        return (status, *capsys.readouterr())

    return log_in


@pytest.fixture
def demanding() -> Iterator[LocalTenant]:
    """Run a tenant that demands a second factor of everyone."""
    with running(LocalTenant(TenantSettings(mfa_policy="always"))) as tenant:
        yield tenant


def test_a_single_factor_is_not_chosen(login: Login, tenant: LocalTenant) -> None:
    """Its message is sent at once, and a wrong code is asked for again."""
    tenant.users.add(ADA, mfa=["sms"])
    status, out, err = login("wrong", lambda: tenant.mfa.code_for(ADA))
    assert (status, json.loads(out)["token_type"]) == (0, "DPoP")
    assert err.startswith(CODE)
    assert re.search(
        r"A second factor is needed:\n  1  code by SMS, \S+\nA code was sent to you. Code: Wrong code.", err
    )


def test_one_of_several_is_chosen(login: Login, tenant: LocalTenant) -> None:
    """By its number; another answer is asked for again, and nothing is sent for a factor that was not chosen."""
    tenant.users.add(ADA, mfa=["sms", "otp"])
    status, _, err = login("3", "two", "2", lambda: tenant.mfa.otp_for(ADA))
    assert status == 0
    assert (
        "  2  authenticator app\nNumber, 1 to 2: Number, 1 to 2: Number, 1 to 2: Code of the authenticator app: " in err
    )
    assert [message.factor for message in tenant.outbox.messages] == [None]


def test_a_recovery_code_brings_the_next(login: Login, tenant: LocalTenant) -> None:
    """It is shown once, on standard error."""
    tenant.users.add(ADA, mfa=["sms", "recovery-code"])
    status, out, err = login("2", lambda: tenant.mfa.recovery_code_for(ADA))
    new = tenant.mfa.recovery_code_for(ADA)
    assert (status, new in out) == (0, False)
    assert err.endswith(f"Recovery code: Keep your recovery code; it is shown once:\n  {new}\n")


@pytest.mark.slow
@pytest.mark.parametrize(("decision", "status"), [("approve", 0), ("deny", 1)])
def test_a_push_message_is_waited_for(decision: str, status: int, login: Login, tenant: LocalTenant) -> None:
    """The user answers on another device, and types nothing here."""
    tenant.users.add(ADA, mfa=["push"])
    decide = {"approve": tenant.mfa.approve, "deny": tenant.mfa.deny}[decision]
    tenant.mfa.on_send = lambda _message: decide(ADA)
    ended, out, err = login()
    assert (ended, bool(out)) == (status, status == 0)
    assert "Approve the login on your other device; Ctrl-C ends it.\n" in err


def test_two_factors_in_a_row(login: Login) -> None:
    """Each is asked for."""
    with running(LocalTenant(TenantSettings(mfa_rounds=2))) as tenant:
        tenant.users.add(ADA, mfa=["sms", "email"])
        code = partial(tenant.mfa.code_for, ADA)
        assert login("1", code, "2", code, at=tenant)[0] == 0


def test_giving_up(login: Login, tenant: LocalTenant) -> None:
    """An empty line ends the login: one line, status 1, and no tokens."""
    tenant.users.add(ADA, mfa=["sms", "otp"])
    assert login("")[:2] == (1, "")
    assert login("2", "")[:2] == (1, "")


@pytest.mark.parametrize(
    ("number", "answers", "words"),
    [
        (3, (), "code by e-mail"),
        (4, ("030", "+4930901820"), "code by SMS"),
        (5, ("+4930901820",), "code by a phone call"),
    ],
)
def test_enrolling_by_message(
    number: int, answers: tuple[str, ...], words: str, login: Login, demanding: LocalTenant
) -> None:
    """A user without a factor enrols one; a number is asked for until it is one, and recovery codes are shown."""
    status, _, err = login(str(number), *answers, lambda: demanding.mfa.code_for(ADA), at=demanding)
    assert status == 0
    assert "A second factor is needed, and you have none: enrol one:\n" in err
    assert f"\n  {number}  {words}\n" in err
    assert ("It must be E.164" in err) is ("030" in answers)
    assert re.search(r"Keep your recovery code; it is shown once:\n  [A-Z2-9]{24}\n$", err)


def test_enrolling_an_app(login: Login, demanding: LocalTenant) -> None:
    """Its key is shown, to scan and to type; recovery codes once the factor counts."""
    status, _, err = login("1", lambda: demanding.mfa.otp_for(ADA), at=demanding)
    assert status == 0
    uri = re.search(r"For the application: (otpauth://totp/\S+)\n", err)
    key = re.search(r"Its key, to type: ((?:[A-Z2-7]{4} ?)+)\n", err)
    assert uri is not None
    assert key is not None
    assert key[1].replace(" ", "") in uri[1]
    assert "█" in err
    assert err.index(key[0]) < err.index("Keep your recovery code")


def test_an_app_without_the_library_for_codes(
    login: Login, demanding: LocalTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is shown nevertheless, with what to install for a picture."""
    monkeypatch.setattr("passwordless_async.cli.login.factors.find_spec", lambda _name: None)
    _, _, err = login("1", lambda: demanding.mfa.otp_for(ADA), at=demanding)
    assert 'For a QR code: pip install "passwordless-async[gateway]"\n' in err
    assert "Its key, to type: " in err
