"""The second factor, against a tenant that verifies every proof: each factor by each client, and what goes wrong."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import attrs
import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from helpers.values import present
from passwordless_async import (
    TESTING,
    AccessDenied,
    ClientSecretBasic,
    ClientSecretPost,
    CodeExpired,
    DPoPKey,
    Email,
    InvalidIdToken,
    InvalidMfaState,
    Login,
    MfaRequired,
    MfaState,
    MfaTokenExpired,
    MfaTokenSet,
    NoClientAuth,
    NotSenderConstrained,
    OAuthError,
    OutcomeUnknown,
    PasswordlessClient,
    PasswordlessError,
    Phone,
    PrivateKeyJwt,
    TooManyAttempts,
    UsageError,
    WrongCode,
)
from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.mfa.values import MfaRequirements
from passwordless_async.client.polling import PollTimes
from passwordless_async.testing import BOUND_API, PLAIN_API, Fault, LocalTenant, TenantSettings
from passwordless_async.testing.state.users import step_at, totp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from passwordless_async.client.traffic.dispatcher import Call

ADA = Email("ada@example.com")
SCOPE = "openid email offline_access"
TOKEN = "/oauth/token"
SEALING_KEY = bytes(range(32))
CLIENTS = ["none", "client_secret_post", "client_secret_basic", "private_key_jwt"]
SHAPES = ["challenge", "challenge_types"]
NONCES: dict[str, dict[str, Any]] = {
    "no nonce": {"public_nonce_required": False, "nonce_in_answers": "never"},
    "single-use nonces": {
        "public_nonce_required": True,
        "confidential_nonce_required": True,
        "single_use_nonces": True,
    },
}


@asynccontextmanager
async def opened(method: str = "none", **settings: Any) -> AsyncIterator[tuple[LocalTenant, PasswordlessClient]]:
    """Run a tenant and open a client that authenticates by this method."""
    async with LocalTenant(TenantSettings(**settings)) as tenant:
        known = tenant.client_for(method)
        ways: dict[str, Any] = {
            "none": NoClientAuth,
            "client_secret_post": lambda: ClientSecretPost(present(known.secret)),
            "client_secret_basic": lambda: ClientSecretBasic(present(known.secret)),
            "private_key_jwt": lambda: PrivateKeyJwt(
                present(known.private_pem), key_id=present(known.private_jwk)["kid"]
            ),
        }
        async with PasswordlessClient(
            tenant.url, known.client_id, client_auth=ways[method](), profile=TESTING
        ) as client:
            yield tenant, client


async def stopped(tenant: LocalTenant, client: PasswordlessClient, *factors: str, **parameters: Any) -> MfaState:
    """Log in as far as the second factor."""
    if factors:
        tenant.users.add(ADA, mfa=factors)
    await client.start(ADA)
    with pytest.raises(MfaRequired) as required:
        await client.exchange(ADA, tenant.outbox.code_for(ADA), **{"scope": SCOPE, **parameters})
    assert required.value.state is not None
    return required.value.state


class Time:
    """A time that passes only where somebody sleeps, here and at the tenant."""

    def __init__(self, tenant: LocalTenant, client: PasswordlessClient, *, approve_after: int | None = None) -> None:
        self.tenant = tenant
        client.mfa._poll_times = PollTimes(clock=self.clock, sleep=self.sleep)
        self.slept: list[float] = []
        self.approve_after = approve_after

    def clock(self) -> float:
        return _clock.now() + sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.tenant.clock.advance(seconds)
        if len(self.slept) == self.approve_after:
            self.tenant.mfa.approve(ADA)


async def finish(tenant: LocalTenant, client: PasswordlessClient, state: MfaState, factor: str) -> MfaTokenSet:
    """Bring a factor, from the list of factors to the tokens."""
    if factor == "recovery-code":
        return (await client.mfa.verify_recovery_code(state, tenant.mfa.recovery_code_for(ADA)))[0]
    (authenticator,) = [a for a in await client.mfa.authenticators(state) if a.authenticator_type != "recovery-code"]
    challenge = await client.mfa.challenge(state, authenticator=authenticator)
    if factor == "otp":
        assert (challenge.challenge_type, challenge.oob_code) == ("otp", None)
        return await client.mfa.verify_otp(state, tenant.mfa.otp_for(ADA))
    if factor == "push":
        time = Time(tenant, client, approve_after=3)
        tokens = await client.mfa.poll_oob(state, challenge)
        assert time.slept == [5.0, 5.0, 5.0]
        return tokens
    assert challenge.prompts
    return await client.mfa.verify_oob(state, challenge, binding_code=tenant.mfa.code_for(ADA))


@pytest.mark.parametrize("nonces", NONCES)
@pytest.mark.parametrize("method", CLIENTS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("factor", ["otp", "sms", "voice", "email", "push", "recovery-code"])
async def test_every_factor_finishes_a_login(factor: str, shape: str, method: str, nonces: str) -> None:
    """For each factor, shape, client and nonce policy the key stays; no proof or assertion is sent twice."""
    async with opened(method, mfa_requirements=shape, **NONCES[nonces]) as (tenant, client):
        key = DPoPKey.generate()
        also = ["otp"] if factor == "recovery-code" else []
        state = await stopped(tenant, client, factor, *also, key=key, audience=BOUND_API)
        assert (key, key.thumbprint, ADA, SCOPE, BOUND_API) == (
            state.key,
            state.jkt,
            state.who,
            state.scope,
            state.audience,
        )
        tokens = await finish(tenant, client, state, factor)
        assert (key.thumbprint, BOUND_API, tenant.issuer) == (tokens.jkt, tokens.audience, tokens.issuer)
        assert set(SCOPE.split()) == set(tokens.scope.split())
        assert present(tokens.claims)["email"] == ADA.address
        assert (await client.refresh(tokens)).key == key
        assert (tenant.stats.replays_refused, tenant.stats.assertions_replayed) == (0, 0)
        proofs = [jws.extract_compact(request.proof.encode()) for request in tenant.requests if request.proof]
    assert {key.thumbprint} == {ECKey.import_key(proof.headers()["jwk"]).thumbprint() for proof in proofs}
    identifiers = [json.loads(proof.payload)["jti"] for proof in proofs]
    assert len(identifiers) == len(set(identifiers))


@pytest.mark.parametrize(
    ("settings", "factors", "challenge", "enroll", "types"),
    [
        ({}, ["otp"], ("otp",), (), ("otp",)),
        ({}, ["otp", "push"], ("otp", "push-notification"), (), ("otp", "oob")),
        ({"mfa_requirements": "challenge_types"}, ["push"], ("oob",), (), ("oob",)),
        (
            {"mfa_policy": "always", "mfa_enrolls": ("otp", "push")},
            [],
            (),
            ("otp", "push-notification"),
            ("otp", "oob"),
        ),
    ],
)
async def test_requirements_of_either_shape(
    settings: dict[str, Any], factors: list[str], challenge: Any, enroll: Any, types: Any
) -> None:
    """What the service accepts is read from both shapes, and says what to ask a challenge for."""
    async with opened(**settings) as (tenant, client):
        requirements = (await stopped(tenant, client, *factors)).requirements
    assert (requirements.challenge, requirements.enroll, requirements.challenge_types) == (challenge, enroll, types)


async def test_another_process_goes_on() -> None:
    """A sealed state opens in another client of the application, with what was sent in it, and ends in tokens."""
    async with opened() as (tenant, client):
        state = await stopped(tenant, client, "sms")
        challenge = await client.mfa.challenge(state)
        sealed = state.with_challenge(challenge).seal(SEALING_KEY)
        async with PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as other:
            resumed = MfaState.unseal(sealed, SEALING_KEY, client=other)
            assert state.with_challenge(challenge) == resumed
            code = tenant.mfa.code_for(ADA)
            tokens = await other.mfa.verify_oob(resumed, present(resumed.challenge), binding_code=code)
            assert tokens.jkt == state.jkt
            assert (await other.userinfo(tokens))["email"] == ADA.address


async def test_a_chain_of_factors() -> None:
    """A second demand brings a new state with the same key; a recovery code spent on the way is not lost."""
    async with opened(mfa_rounds=2) as (tenant, client):
        first = await stopped(tenant, client, "otp", "recovery-code", audience=BOUND_API)
        with pytest.raises(MfaRequired) as required:
            await client.mfa.verify_recovery_code(first, tenant.mfa.recovery_code_for(ADA))
        second = present(required.value.state)
        assert second.mfa_token != first.mfa_token
        assert attrs.evolve(second, mfa_token=first.mfa_token, expires_at=first.expires_at) == first
        tokens = await client.mfa.verify_otp(second, tenant.mfa.otp_for(ADA))
        assert (first.jkt, BOUND_API) == (tokens.jkt, tokens.audience)
        assert tenant.mfa.recovery_code_for(ADA) == tokens.recovery_code


async def test_a_wrong_code_can_be_typed_again() -> None:
    """A wrong code says so, in the same error as the first factor's, and the state stays good."""
    async with opened() as (tenant, client):
        state = await stopped(tenant, client, "otp", "sms", "recovery-code")
        challenge = await client.mfa.challenge(state, types=["oob"])
        with pytest.raises(WrongCode, match="Invalid otp_code"):
            await client.mfa.verify_otp(state, "000000x")
        with pytest.raises(WrongCode, match="Invalid binding_code"):
            await client.mfa.verify_oob(state, challenge, binding_code="x")
        with pytest.raises(WrongCode, match="Invalid recovery"):
            await client.mfa.verify_recovery_code(state, "x")
        assert (await client.mfa.verify_otp(state, tenant.mfa.otp_for(ADA))).recovery_code is None


async def test_too_many_wrong_codes() -> None:
    """The service ends a login that guesses."""
    async with opened(mfa_max_attempts=2) as (tenant, client):
        state = await stopped(tenant, client, "otp")
        with pytest.raises(WrongCode):
            await client.mfa.verify_otp(state, "x")
        with pytest.raises(TooManyAttempts):
            await client.mfa.verify_otp(state, "x")


@pytest.mark.parametrize("word", ["invalid_grant", "access_denied"])
async def test_a_denied_message(word: str) -> None:
    """A message that the user denies ends the poll, in either of the service's words."""
    async with opened(mfa_denial=word) as (tenant, client):
        state = await stopped(tenant, client, "push")
        challenge = await client.mfa.challenge(state)
        tenant.mfa.deny(ADA)
        Time(tenant, client)
        with pytest.raises(AccessDenied, match="MFA Authorization rejected") as denied:
            await client.mfa.poll_oob(state, challenge)
        assert (denied.value.error, tenant.stats.mfa_polls) == (word, 1)


async def test_polling_ends_before_the_challenge_expires() -> None:
    """Without an approval the polling ends in time, with at most twelve polls a minute."""
    async with opened(nonce_lifetime=1e9) as (tenant, client):
        state = await stopped(tenant, client, "push")
        challenge = await client.mfa.challenge(state)
        time = Time(tenant, client)
        with pytest.raises(CodeExpired, match="not answered in time"):
            await client.mfa.poll_oob(state, challenge, interval=0.1)
        assert set(time.slept) == {5.0}
        assert 290 <= sum(time.slept) < 300
        assert tenant.stats.mfa_polls == len(time.slept) <= 60


async def test_polls_of_one_login_share_its_pace() -> None:
    """Two that wait for the same answer ask no oftener together than one, and both get the tokens."""
    async with opened() as (tenant, client):
        state = await stopped(tenant, client, "push")
        challenge = await client.mfa.challenge(state)
        time = Time(tenant, client, approve_after=4)
        client.mfa._poll_times = PollTimes(sleep=time.sleep)
        both = [client.mfa.poll_oob(state, challenge) for _ in range(2)]
        first, second = await asyncio.gather(*both)
        assert first is second
        assert [round(seconds) for seconds in time.slept[:2]] == [5.0, 10.0]


async def test_an_expired_login_at_the_service() -> None:
    """Ten minutes after the first factor the service is done with it; each call says so."""
    async with opened(mfa_token_lifetime=300.0) as (tenant, client):
        state = await stopped(tenant, client, "otp")
        tenant.clock.advance(301)
        for call in (
            client.mfa.authenticators(state),
            client.mfa.challenge(state),
            client.mfa.verify_otp(state, tenant.mfa.otp_for(ADA)),
        ):
            with pytest.raises(MfaTokenExpired, match="mfa_token is expired"):
                await call


async def test_an_expired_code() -> None:
    """What was sent is too old after five minutes; the login is not."""
    async with opened(nonce_lifetime=1e9) as (tenant, client):
        state = await stopped(tenant, client, "sms")
        challenge = await client.mfa.challenge(state)
        tenant.clock.advance(301)
        with pytest.raises(CodeExpired, match="oob_code is expired"):
            await client.mfa.verify_oob(state, challenge, binding_code=tenant.mfa.code_for(ADA))
        assert (await client.mfa.challenge(state)).oob_code != challenge.oob_code


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({"issuer": "https://other.example/"}, "issuer"),
        ({"client_id": "other"}, "client_id"),
        ({"key": None}, "jkt"),
        ({"key": DPoPKey.generate()}, "jkt"),
        ({"expires_at": 0}, "expires_at"),
    ],
)
async def test_nothing_is_sent_for_a_state_that_is_not_ours(changes: dict[str, Any], failed: str) -> None:
    """A foreign, stripped, exchanged or expired state: typed, before anything is sent, by every method."""
    async with opened() as (tenant, client):
        state = await stopped(tenant, client, "sms")
        challenge = await client.mfa.challenge(state)
        before = tenant.stats.wire_requests
        cases: list[tuple[Any, type[PasswordlessError]]] = [
            (attrs.evolve(state, **changes), InvalidMfaState),
            ("a state", UsageError),
        ]
        for changed, error in cases:
            calls: list[Coroutine[Any, Any, object]] = [
                client.mfa.authenticators(changed),
                client.mfa.challenge(changed),
                client.mfa.verify_otp(changed, "1"),
                client.mfa.verify_oob(changed, challenge, binding_code="1"),
                client.mfa.poll_oob(changed, challenge),
                client.mfa.verify_recovery_code(changed, "1"),
                client.mfa.associate(changed),
            ]
            for call in calls:
                with pytest.raises(error) as refused:
                    await call
                assert isinstance(refused.value, UsageError) or getattr(refused.value, "failed", None) == failed
        assert tenant.stats.wire_requests == before


async def test_wrong_arguments() -> None:
    """What is not of its form is named, and nothing is sent."""
    async with opened() as (tenant, client):
        state = await stopped(tenant, client, "sms", "push", "otp", "recovery-code")
        listed = {a.oob_channel or a.authenticator_type: a for a in await client.mfa.authenticators(state)}
        prompts = await client.mfa.challenge(state, authenticator=listed["sms"])
        push = await client.mfa.challenge(state, authenticator=listed["auth0"].id)
        otp = await client.mfa.challenge(state, authenticator=listed["otp"])
        before = tenant.stats.wire_requests
        wrong: Any = "oob"
        number: Any = 123456
        phone: Any = "+4930901820"
        cases: list[tuple[Coroutine[Any, Any, object], str]] = [
            (client.mfa.challenge(state, types=[cast("Any", "sms")]), "types"),
            (client.mfa.challenge(state, types=wrong), "types"),
            (client.mfa.challenge(state, types=[]), "types"),
            (client.mfa.challenge(state, types=cast("Any", {"oob"})), "types"),
            (client.mfa.challenge(state, types=cast("Any", [["oob"]])), "types"),
            (client.mfa.challenge(state, authenticator="a b"), "authenticator"),
            (client.mfa.challenge(state, authenticator=listed["recovery-code"]), "authenticator"),
            (client.mfa.verify_otp(state, "1 é"), "otp"),
            (client.mfa.verify_otp(state, number), "otp"),
            (client.mfa.verify_oob(state, prompts), "binding_code"),
            (client.mfa.verify_oob(state, prompts, binding_code=""), "binding_code"),
            (client.mfa.verify_oob(state, otp), "challenge"),
            (client.mfa.verify_oob(state, wrong), "challenge"),
            (client.mfa.poll_oob(state, prompts), "challenge"),
            (client.mfa.poll_oob(state, wrong), "challenge"),
            (client.mfa.poll_oob(state, attrs.evolve(push, expires_at=0)), "challenge"),
            (client.mfa.poll_oob(state, push, interval=0), "interval"),
            (client.mfa.verify_recovery_code(state, ""), "recovery_code"),
            (client.mfa.associate(state, phone=phone), "phone"),
            (client.mfa.associate(state, email=phone), "phone"),
            (client.mfa.associate(state, types=[cast("Any", "push")]), "types"),
            (client.mfa.associate(state, channels=[cast("Any", "fax")]), "channels"),
        ]
        for call, argument in cases:
            with pytest.raises(UsageError) as refused:
                await call
            assert argument == refused.value.argument
        assert tenant.stats.wire_requests == before
        with pytest.raises(UsageError, match="challenge: must be an MfaChallenge"):
            state.with_challenge(wrong)


async def test_a_recovery_code_is_replaced() -> None:
    """The new recovery code is handed over; it passes the next time and the old one does not."""
    async with opened() as (tenant, client):
        old = None
        for _ in range(2):
            state = await stopped(tenant, client, *([] if old else ["otp", "recovery-code"]))
            if old is not None:
                with pytest.raises(WrongCode):
                    await client.mfa.verify_recovery_code(state, old)
            old = tenant.mfa.recovery_code_for(ADA)
            tokens, new = await client.mfa.verify_recovery_code(state, old)
            assert tenant.mfa.recovery_code_for(ADA) == new == tokens.recovery_code != old
            assert repr(new) == "<redacted>"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.ID_TOKEN_TAMPERED, InvalidIdToken),
        (Fault.BEARER_TOKEN, NotSenderConstrained),
    ],
)
async def test_a_recovery_code_survives_an_answer_that_is_refused(fault: Fault, error: type[Exception]) -> None:
    """The old recovery code is spent although the tokens are thrown away: the error has the new one."""
    async with opened() as (tenant, client):
        state = await stopped(tenant, client, "otp", "recovery-code")
        tenant.faults.add(fault, path=TOKEN)
        with pytest.raises(error) as refused:
            await client.mfa.verify_recovery_code(state, tenant.mfa.recovery_code_for(ADA))
        assert getattr(refused.value, "recovery_code", None) == tenant.mfa.recovery_code_for(ADA)
        assert tenant.mfa.recovery_code_for(ADA) not in f"{refused.value!r} {vars(refused.value)!r}"


async def test_a_cancelled_verification_is_shared_with_the_next_call() -> None:
    """The same code asked for again returns the same tokens, and the factor is sent once."""
    async with opened() as (tenant, client):
        state = await stopped(tenant, client, "otp", "recovery-code")
        old = tenant.mfa.recovery_code_for(ADA)
        before = tenant.stats.token_requests
        calls = [asyncio.create_task(client.mfa.verify_recovery_code(state, old)) for _ in range(20)]
        await asyncio.sleep(0)
        calls[0].cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        again = await client.mfa.verify_recovery_code(state, old)
        assert {id(again[0])} == {id(answer[0]) for answer in answers if isinstance(answer, tuple)}
        assert tenant.mfa.recovery_code_for(ADA) == again[1]
        assert tenant.stats.token_requests == before + 1
        thief = attrs.evolve(state, key=DPoPKey.generate())
        with pytest.raises(OAuthError):
            await client.mfa.verify_recovery_code(attrs.evolve(thief, jkt=present(thief.key).thumbprint), old)


@pytest.mark.parametrize("fault", [Fault.SERVICE_UNAVAILABLE, Fault.DROP_AFTER_PROCESSING])
async def test_a_factor_that_may_be_spent_is_not_sent_again(fault: Fault) -> None:
    """After a lost response or a 5xx the call raises ``OutcomeUnknown``, with one request."""
    async with opened() as (tenant, client):
        state = await stopped(tenant, client, "otp")
        tenant.faults.add(fault, path=TOKEN)
        before = tenant.stats.token_requests
        with pytest.raises(OutcomeUnknown):
            await client.mfa.verify_otp(state, tenant.mfa.otp_for(ADA))
        assert tenant.stats.token_requests == before + 1


async def test_a_poll_survives_a_lost_answer() -> None:
    """RFC 8628 §3.5: a poll that gets no answer is repeated, in twice the time."""
    async with opened() as (tenant, client):
        state = await stopped(tenant, client, "push")
        challenge = await client.mfa.challenge(state)
        time = Time(tenant, client, approve_after=3)
        tenant.faults.add(Fault.DROP_BEFORE_READ, path=TOKEN, times=1)
        assert (await client.mfa.poll_oob(state, challenge)).jkt == state.jkt
        assert [round(seconds) for seconds in time.slept] == [5.0, 10.0, 10.0]


async def test_the_policy_of_the_api_holds() -> None:
    """A login for an API without bound tokens is refused after the second factor too, and its token revoked."""
    async with opened() as (tenant, client):
        state = await stopped(tenant, client, "otp", audience=PLAIN_API)
        with pytest.raises(NotSenderConstrained):
            await client.mfa.verify_otp(state, tenant.mfa.otp_for(ADA))
        assert [family.revoked for family in tenant.refresh_families] == [True]


@pytest.mark.parametrize("method", CLIENTS)
async def test_an_app_is_associated(method: str) -> None:
    """A user without a factor gets one, confirms it with its first code, and brings it the next time."""
    async with opened(method, mfa_policy="always", nonce_lifetime=1e9) as (tenant, client):
        state = await stopped(tenant, client)
        with pytest.raises(OAuthError) as needed:
            await client.mfa.challenge(state)
        assert needed.value.error == "association_required"
        new, again = await asyncio.gather(client.mfa.associate(state), client.mfa.associate(state))
        assert new is again is await client.mfa.associate(state)  # also for a caller that comes later
        assert (new.authenticator_type, new.oob_code, new.challenge.challenge_type) == ("otp", None, "otp")
        assert f"secret={new.secret}" in present(new.barcode_uri)
        assert (tenant.mfa.recovery_code_for(ADA),) == new.recovery_codes
        assert not [secret for secret in (present(new.secret), *new.recovery_codes) if secret in repr(new)]
        code = totp(base64.b32decode(present(new.secret)), step_at(tenant.clock.now()))
        assert (await client.mfa.verify_otp(state, code)).jkt == state.jkt
        state = await stopped(tenant, client)
        with pytest.raises(AccessDenied, match="already enrolled") as refused:
            await client.mfa.associate(state)
        assert refused.value.advice == (
            "The user must use a factor that they have: client.mfa.authenticators lists them."
        )
        assert (await client.mfa.verify_otp(state, tenant.mfa.otp_for(ADA))).jkt == state.jkt


@pytest.mark.parametrize(
    ("parameters", "channel", "prompts"),
    [
        ({"phone": Phone("+4930901820")}, "sms", True),
        ({"phone": Phone("+4930901820"), "channels": ["voice"]}, "voice", True),
        ({"email": Email("ada@elsewhere.example")}, "email", True),
        ({"types": ["oob"]}, "auth0", False),
    ],
)
async def test_an_out_of_band_factor_is_associated(parameters: dict[str, Any], channel: str, *, prompts: bool) -> None:
    """What is sent to the new factor finishes the login, which confirms the factor."""
    async with opened(mfa_policy="always", nonce_lifetime=1e9) as (tenant, client):
        state = await stopped(tenant, client)
        new = await client.mfa.associate(state, **parameters)
        assert (new.oob_channel, new.challenge.prompts) == (channel, prompts)
        if prompts:
            code = tenant.mfa.code_for(ADA)
            await client.mfa.verify_oob(state, new.challenge, binding_code=code)
        else:
            Time(tenant, client, approve_after=1)
            await client.mfa.poll_oob(state, new.challenge)
        state = await stopped(tenant, client)
        listed = await client.mfa.authenticators(state)
        assert [(channel, True), (None, True)] == [(entry.oob_channel, entry.active) for entry in listed]


async def test_many_logins_stop_each_with_its_state() -> None:
    """An outcome of many has its state as well."""
    async with opened() as (tenant, client):
        tenant.users.add(ADA, mfa=["otp"])
        await client.start(ADA)
        login = Login(ADA, tenant.outbox.code_for(ADA), scope="openid", max_age=60)
        (outcome,) = [outcome async for outcome in client.exchange_many([login])]
        assert isinstance(outcome.error, MfaRequired)
        state = present(outcome.error.state)
        assert (state.who, state.scope, state.expected.max_age) == (ADA, "openid", 60)


def noted_calls(monkeypatch: pytest.MonkeyPatch, client: PasswordlessClient) -> list[Call[Any]]:
    """Return a list of the calls that a client would send from now on; each returns None."""
    calls: list[Call[Any]] = []

    async def run(call: Call[Any], _departure: object = None) -> None:
        calls.append(call)

    monkeypatch.setattr(client._dispatcher, "run", run)
    return calls


def state_at(client: PasswordlessClient, **members: Any) -> MfaState:
    """Return a login at its second factor, by default without key and user."""
    state = MfaState(
        mfa_token=Secret("token"),
        requirements=MfaRequirements(challenge=("otp",)),
        key=None,
        jkt=None,
        issuer=client.issuer,
        client_id=client.client_id,
        expires_at=2**33,
    )
    return attrs.evolve(state, **members)


@pytest.mark.parametrize("key", [DPoPKey.generate(), None], ids=["a key", "no key"])
@pytest.mark.parametrize("who", [ADA, None])
async def test_the_calls_of_a_login(monkeypatch: pytest.MonkeyPatch, who: Email | None, key: DPoPKey | None) -> None:
    """A verification with a key waits for the first nonce. Failures count for the user; if unknown, for the login."""
    client = PasswordlessClient("tenant.example", "client", profile=TESTING, dpop="preferred")
    calls = noted_calls(monkeypatch, client)
    state = state_at(client, key=key, jkt=None if key is None else key.thumbprint, who=who)
    for call in (client.mfa.authenticators, client.mfa.challenge, client.mfa.associate):
        await call(state)
    await client.mfa.verify_otp(state, "123456")
    assert [call.is_proven for call in calls] == [False, False, False, key is not None]
    assert [call.user for call in calls] == [who or "token"] * 4
    await client.mfa.aclose(grace=0.0)


async def test_what_is_asked_for_without_types(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the service requires; of a factor that is named, any type. A new authenticator app has no channels."""
    client = PasswordlessClient("tenant.example", "client", profile=TESTING, dpop="preferred")
    calls, state = noted_calls(monkeypatch, client), state_at(client)
    await client.mfa.challenge(state)
    await client.mfa.challenge(state, authenticator="push|dev_1")
    await client.mfa.associate(state)
    bodies = [json.loads(next(call.flow()).body) for call in calls]
    assert [body.get("challenge_type") for body in bodies] == ["otp", "otp oob", None]
    assert (bodies[2]["authenticator_types"], "oob_channels" in bodies[2]) == (["otp"], False)
    await client.mfa.aclose(grace=0.0)


def test_the_client_prints_itself() -> None:
    """Neither the namespace nor what it keeps shows anything but names and counts."""
    client = PasswordlessClient("tenant.example", "client", profile=TESTING)
    assert repr(client.mfa) == "<MfaClient client at https://tenant.example>"
    assert repr(client.mfa._poll_times) == "<PollTimes of 0 logins>"
    assert (client.issuer, client.client_id) == ("https://tenant.example/", "client")
