"""No secret of a second factor gets out by an error: every call is made to fail, and all that it shows is walked."""

from __future__ import annotations

import base64
import json
import logging
from typing import TYPE_CHECKING, Any, cast

import attrs
import pytest

import passwordless_async
from helpers.leaks import lines_with, shown
from helpers.values import present
from passwordless_async import (
    TESTING,
    ClientSecretPost,
    DPoPKey,
    Email,
    MfaChallenge,
    MfaRequired,
    MfaState,
    PasswordlessClient,
    PasswordlessError,
    UsageError,
)
from passwordless_async._common.secret import Secret
from passwordless_async.testing import BOUND_API, Fault, LocalTenant, TenantSettings

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

CLIENT_SECRET = "a-client-secret-that-must-not-show"
CODE = "91827364-a-code"
SEALING_KEY = b"M4rk3rOfASealingKeyOf32BytesLong"
ADA = Email("ada@example.com")
FAULTS = sorted(set(Fault) - {Fault.SLOW, Fault.CHALLENGE_SPENDS_CODE, Fault.ID_TOKEN_OF_OTHER_USER})
# One of four is for the edit loop.
FAULT_PARAMETERS = [
    pytest.param(fault, marks=pytest.mark.slow if number % 4 else ()) for number, fault in enumerate(FAULTS)
]


def secrets_of(state: MfaState, tenant: LocalTenant | None = None) -> set[str]:
    scalar = present(state.key).to_bytes()
    secrets = {
        str(state.mfa_token),
        CLIENT_SECRET,
        CODE,
        SEALING_KEY.decode(),
        str(present(state.key).to_jwk(private=True)["d"]),
    }
    secrets |= {scalar.hex(), str(int.from_bytes(scalar)), str(bytes(scalar))}
    for request in tenant.requests if tenant is not None else ():
        secrets |= {request.proof} if request.proof else set()
        secrets |= {request.form[name] for name in ("mfa_token", "oob_code", "recovery_code") if name in request.form}
    return secrets


@pytest.fixture
def state() -> MfaState:
    """Return a state of a tenant that does not exist."""
    key = DPoPKey.generate()
    return MfaState(
        mfa_token=Secret("Fe26.2*M4rk3r"),
        requirements=passwordless_async.MfaRequirements(("otp",)),
        key=key,
        jkt=key.thumbprint,
        issuer="https://tenant.example/",
        client_id="client",
        expires_at=4_000_000_000,
        who=ADA,
    )


@pytest.mark.parametrize("fault", FAULT_PARAMETERS)
async def test_no_fault_leaks(fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the server does to whichever call, neither code, token, proof nor key shows."""
    caplog.set_level(logging.DEBUG)
    settings = TenantSettings(confidential_client_secret=CLIENT_SECRET, mfa_max_attempts=100)
    auth = ClientSecretPost(CLIENT_SECRET)
    async with (
        LocalTenant(settings) as tenant,
        PasswordlessClient(tenant.url, settings.confidential_client_id, client_auth=auth, profile=TESTING) as client,
    ):
        tenant.users.add(ADA, mfa=["otp", "push", "recovery-code"])
        await client.start(ADA)
        with pytest.raises(MfaRequired) as required:
            await client.exchange(ADA, tenant.outbox.code_for(ADA), scope="openid offline_access", audience=BOUND_API)
        state = present(required.value.state)
        challenge = await client.mfa.challenge(state, types=["oob"])
        everything = shown(required.value)
        tenant.faults.add(fault)
        old = tenant.mfa.recovery_code_for(ADA)
        for call in (
            client.mfa.authenticators(state),
            client.mfa.challenge(state),
            client.mfa.associate(state),
            client.mfa.verify_otp(state, CODE),
            client.mfa.verify_oob(state, challenge, binding_code=CODE),
            client.mfa.verify_recovery_code(state, old),
        ):
            try:
                await call
            except PasswordlessError as error:
                everything += shown(error)
        forbidden = secrets_of(state, tenant) | {old, tenant.mfa.recovery_code_for(ADA), str(challenge.oob_code)}
    assert lines_with(forbidden, everything + caplog.text) == []


async def test_wrong_arguments_do_not_leak(state: MfaState) -> None:
    """A secret that is refused, or stands beside what is refused, shows nowhere."""
    challenge = MfaChallenge("oob", Secret(CODE), "prompt", 4_000_000_000)
    foreign = attrs.evolve(state, issuer="https://other.example/")
    wrong: Any = CODE
    keyless: Any = attrs.evolve(state, key=cast("Any", None))
    async with PasswordlessClient("tenant.example", "client", profile=TESTING) as client:
        calls: list[Coroutine[Any, Any, object]] = [
            client.mfa.verify_otp(state, f"{CODE} {CODE}"),
            client.mfa.verify_otp(state, f"{CODE}\n"),
            client.mfa.verify_otp(state, wrong.encode()),
            client.mfa.verify_otp(state, [wrong]),  # type: ignore[arg-type]
            client.mfa.verify_otp(foreign, CODE),
            client.mfa.verify_otp(wrong, CODE),
            client.mfa.verify_oob(state, challenge),
            client.mfa.verify_oob(state, wrong),
            client.mfa.poll_oob(state, wrong),
            client.mfa.poll_oob(wrong, challenge),
            client.mfa.authenticators(wrong),
            client.mfa.challenge(wrong),
            client.mfa.associate(wrong),
            client.mfa.verify_oob(state, challenge, binding_code=f"{CODE} "),
            client.mfa.verify_oob(foreign, challenge, binding_code=CODE),
            client.mfa.poll_oob(state, challenge),
            client.mfa.verify_recovery_code(state, f"{CODE} "),
            client.mfa.verify_recovery_code(foreign, CODE),
            client.mfa.authenticators(keyless),
        ]
        for call in calls:
            with pytest.raises(PasswordlessError) as refused:
                await call
            assert lines_with(secrets_of(state), shown(refused.value)) == []


def tampered(state: MfaState) -> Iterator[str]:
    sealed = state.seal(SEALING_KEY).split(".")
    for index in range(len(sealed)):
        yield ".".join([*sealed[:index], sealed[index][:-2] or "AA", *sealed[index + 1 :]])


def test_no_seal_leaks(state: MfaState) -> None:
    """A sealed state says nothing of what is in it, and neither does any way in which it does not open."""
    client = PasswordlessClient("tenant.example", "client", profile=TESTING)
    sealed = state.seal(SEALING_KEY)
    readable = b"".join(base64.urlsafe_b64decode(part + "==") for part in sealed.split("."))
    assert [secret for secret in secrets_of(state) if secret.encode() in readable] == []
    calls: list[Any] = [lambda text=text: MfaState.unseal(text, SEALING_KEY, client=client) for text in tampered(state)]
    calls += [
        lambda: MfaState.unseal(sealed, bytes(32), client=client),
        lambda: MfaState.unseal(
            sealed, SEALING_KEY, client=PasswordlessClient("other.example", "client", profile=TESTING)
        ),
        lambda: MfaState.unseal(attrs.evolve(state, expires_at=0).seal(SEALING_KEY), SEALING_KEY, client=client),
        lambda: MfaState.unseal(attrs.evolve(state, jkt="x").seal(SEALING_KEY), SEALING_KEY, client=client),
        lambda: MfaState.unseal(
            attrs.evolve(state, who=None, scope=cast("Any", 5)).seal(SEALING_KEY), SEALING_KEY[:-1], client=client
        ),
        lambda: state.seal(SEALING_KEY[:-1]),
        lambda: state.seal(cast("Any", SEALING_KEY.decode())),
    ]
    for call in calls:
        with pytest.raises(PasswordlessError) as refused:
            call()
        text = shown(refused.value)
        assert lines_with(secrets_of(state), text) == []
        assert SEALING_KEY[:-1].decode() not in text


def test_a_value_half_built_prints_its_name() -> None:
    """A state that was never built can be printed all the same."""
    assert repr(MfaState.__new__(MfaState)) == "<MfaState>"
    with pytest.raises(UsageError) as refused:
        passwordless_async.MfaState.unseal("x", b"", client=cast("Any", json))
    assert "MfaState" in shown(refused.value)
