"""No secret gets out by an error: not by its message, its attributes, its context, its traceback's locals or a log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from helpers.leaks import lines_with, shown
from helpers.values import present
from passwordless_async import (
    TESTING,
    ClientSecretPost,
    DPoPKey,
    Email,
    Login,
    PasswordlessClient,
    PasswordlessError,
)
from passwordless_async.testing import BOUND_API, PLAIN_API, Fault, LocalTenant, TenantSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "a-client-secret-that-must-not-show"
ADA = Email("ada@example.com")
FAULTS = sorted(
    set(Fault) - {Fault.SLOW, Fault.CHALLENGE_SPENDS_CODE, Fault.ID_TOKEN_OF_OTHER_USER, Fault.ACCESS_TOKEN_EXPIRED}
)
# One of four is for the edit loop.
FAULT_PARAMETERS = [
    pytest.param(fault, marks=pytest.mark.slow if number % 4 else ()) for number, fault in enumerate(FAULTS)
]


def secrets_on_the_wire(tenant: LocalTenant) -> Iterator[str]:
    """What the tenant was sent: codes, assertions and proofs."""
    for request in tenant.requests:
        if request.body and request.path == "/oauth/token":
            yield request.form["otp"]
        if request.proof:
            yield request.proof


@pytest.mark.parametrize("fault", FAULT_PARAMETERS)
async def test_no_fault_of_the_server_leaks(fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the server does, what is raised and what is logged shows neither code, secret, proof nor key."""
    caplog.set_level(logging.DEBUG)
    settings = TenantSettings(confidential_client_secret=SECRET)
    auth = ClientSecretPost(SECRET)
    key = DPoPKey.generate()
    async with (
        LocalTenant(settings) as tenant,
        PasswordlessClient(tenant.url, settings.confidential_client_id, client_auth=auth, profile=TESTING) as client,
    ):
        await client.start(ADA)
        otp = tenant.outbox.code_for(ADA)
        tenant.faults.add(fault)
        with pytest.raises(PasswordlessError) as caught:
            await client.exchange(ADA, otp, scope="openid offline_access", audience=BOUND_API, key=key)
        tenant.faults.clear()
        tenant.faults.add(fault, path="/oauth/token")
        await client.start(ADA)
        otp = tenant.outbox.code_for(ADA)
        with pytest.raises(PasswordlessError) as caught_later:
            await client.exchange(ADA, otp, scope="openid offline_access", audience=BOUND_API, key=key)
        everything = shown(caught.value) + shown(caught_later.value) + caplog.text
        forbidden = {SECRET, otp, key.to_jwk(private=True)["d"], *secrets_on_the_wire(tenant)}
    assert lines_with(forbidden, everything) == []


async def test_a_refused_bearer_token_does_not_show(tenant: LocalTenant) -> None:
    """The token that was thrown away is not in the error either."""
    async with PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as client:
        await client.start(ADA)
        with pytest.raises(PasswordlessError) as caught:
            await client.exchange(ADA, tenant.outbox.code_for(ADA), audience=PLAIN_API)
    assert "eyJ" not in shown(caught.value)


@pytest.mark.parametrize(
    ("call", "secret"),
    [
        (lambda client: client.exchange(ADA, "12 345 678"), "12 345 678"),
        (lambda client: client.exchange(ADA, "secret-code", scope="a\\b"), "secret-code"),
        (lambda client: client.exchange("ada", "secret-code"), "secret-code"),
        (lambda client: client.start(ADA, captcha="secret-captcha" * 1000), "secret-captcha"),
    ],
)
async def test_a_wrong_argument_does_not_show(tenant: LocalTenant, call: Any, secret: str) -> None:
    """The code beside a wrong argument, or the wrong argument itself, is not in the error."""
    async with PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as client:
        with pytest.raises(PasswordlessError) as caught:
            await call(client)
    assert secret not in shown(caught.value)


async def test_an_outcome_of_many_does_not_show(tenant: LocalTenant) -> None:
    """Outcomes and their errors are printed without the code."""
    async with PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as client:
        await client.start(ADA)
        (outcome,) = [o async for o in client.exchange_many([Login(ADA, "wrong-code-31")])]
    assert "wrong-code-31" not in repr(outcome) + shown(present(outcome.error))


async def test_tokens_print_redacted(tenant: LocalTenant) -> None:
    """A token set prints without tokens and private key; each token is plain text when it is formatted by itself."""
    async with PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as client:
        await client.start(ADA)
        tokens = await client.exchange(ADA, tenant.outbox.code_for(ADA), scope="openid offline_access")
    printed = f"{tokens!r} {tokens}"
    secrets = [
        tokens.access_token,
        tokens.refresh_token,
        tokens.id_token,
        present(tokens.key).to_jwk(private=True)["d"],
    ]
    assert [secret for secret in secrets if str(secret) in printed] == []
    assert "redacted" not in f"{tokens.access_token}"
