"""Requests between questions, and codes that are asked for until they are right."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
import pytest

from helpers.people import Typist
from passwordless_async import PasswordlessClient
from passwordless_async.cli.login.caller import Caller, until_right
from passwordless_async.errors import AccessDenied, WrongCode

if TYPE_CHECKING:
    from passwordless_async.testing import LocalTenant


def test_each_request_has_a_client_of_its_own(tenant: LocalTenant) -> None:
    """It is open during the request, and closed after it."""
    made: list[PasswordlessClient] = []

    def make() -> PasswordlessClient:
        made.append(PasswordlessClient(tenant.url, tenant.public_client_id))
        return made[-1]

    async def name(client: PasswordlessClient) -> str:
        return client.client_id

    caller = Caller(make)
    assert [caller.run(name), caller.run(name)] == [tenant.public_client_id] * 2
    assert len(made) == 2


@pytest.mark.parametrize(("left", "asked"), [(2, 2), (None, 2), (0, 1)])
def test_a_wrong_code_is_asked_for_again(
    left: int | None, asked: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unless it has no attempts left; their number is told if it is known."""
    monkeypatch.setattr(sys, "stdin", typist := Typist("1", "2", ""))
    tried = []

    def attempt(code: str) -> str:
        tried.append(code)
        if len(tried) == 1:
            raise WrongCode(status=403, error="invalid_grant", attempts_left=left)
        return code

    if left == 0:
        with pytest.raises(WrongCode):
            until_right("Code: ", attempt)
    else:
        assert until_right("Code: ", attempt) == "2"
    assert (len(tried), typist.left) == (asked, 3 - asked)
    assert ("Attempts left: 2." in capsys.readouterr().err) is (left == 2)


def test_another_failure_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """So does an empty line."""

    def attempt(_code: str) -> None:
        raise AccessDenied(status=403, error="access_denied")

    monkeypatch.setattr(sys, "stdin", Typist("1", ""))
    with pytest.raises(AccessDenied):
        until_right("Code: ", attempt)
    with pytest.raises(click.ClickException, match="No code was given"):
        until_right("Code: ", attempt)
