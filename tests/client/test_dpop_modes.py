"""The modes of a client (``dpop=``): each by each policy of an API, by each grant, and what follows a login.

What went over the wire is read from the tenant's record. On all of it one law is checked: an access token that names a
key (``cnf``) is never sent as Bearer, and goes with a proof by that very key.
"""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, get_args

import aiohttp
import attrs
import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from helpers.clients import cancelled, until
from helpers.values import present
from passwordless_async import (
    TESTING,
    AuthSession,
    BindingRequired,
    DPoPKey,
    DPoPMode,
    DPoPRequired,
    Email,
    KeyMissing,
    KeyRing,
    Login,
    MemoryStore,
    MfaRequired,
    MfaState,
    NotSenderConstrained,
    Orphan,
    PasswordlessClient,
    PasswordlessError,
    PendingLink,
    Phone,
    SenderConstrained,
    TokenSet,
    UsageError,
)
from passwordless_async.client.events import Operation, UnboundTokens
from passwordless_async.stores.redis import RedisStore
from passwordless_async.testing import Fault, LocalTenant, TenantSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

MODES: tuple[DPoPMode, ...] = get_args(DPoPMode)
# "checked": the API has no policy, and the service binds the refresh token to the key of the proof all the same.
POLICIES = ["none", "none checked", "optional", "required"]
ADA, PHONE = Email("ada@example.com"), Phone("+4930901820")
API, CALLBACK = "https://one.example", "https://app.example/callback"
SCOPE = "openid offline_access"
TOKEN, USERINFO = "/oauth/token", "/userinfo"
SEALING = bytes(range(32))
ASKED: dict[str, Any] = {"scope": SCOPE, "audience": API}


def claims_of(token: str) -> dict[str, Any]:
    """Return the claims of a JWT; none of a text that is not one."""
    if token.count(".") != 2:
        return {}
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return claims


def key_of(proof: str | None) -> str | None:
    """Return the thumbprint of the key that signed a proof."""
    return (
        None if proof is None else ECKey.import_key(jws.extract_compact(proof.encode()).headers()["jwk"]).thumbprint()
    )


def check_law(tenant: LocalTenant) -> None:
    """No bound token goes as Bearer, and none without a proof by its key."""
    for request in tenant.requests:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        bound_to = claims_of(token).get("cnf", {}).get("jkt")
        if scheme == "Bearer":
            assert (bound_to, request.proof) == (None, None)
        if scheme == "DPoP":
            assert bound_to == key_of(request.proof) is not None
    assert (tenant.stats.presented_again, tenant.stats.refresh_reuse_detected, tenant.disagreements) == (0, 0, ())


@attrs.define
class Bench:
    """A tenant, a client in a mode, and what they did."""

    tenant: LocalTenant
    client: PasswordlessClient
    mode: DPoPMode
    store: Any
    events: list[Any] = attrs.field(factory=list)

    def wire(self, path: str) -> list[tuple[str, str | None]]:
        """Return scheme and key of each request to a path since the last look at it."""
        sent = [
            (request.headers.get("Authorization", "").partition(" ")[0], key_of(request.proof))
            for request in self.tenant.requests.to(path)
        ]
        check_law(self.tenant)
        return sent

    def forget(self) -> None:
        check_law(self.tenant)
        self.tenant.requests.clear()
        self.events.clear()

    def unbound(self) -> list[UnboundTokens]:
        return [event for event in self.events if isinstance(event, UnboundTokens)]

    @asynccontextmanager
    async def other(self, mode: DPoPMode | None = None) -> AsyncIterator[PasswordlessClient]:
        """Open another client of the application, as another process has it."""
        async with PasswordlessClient(
            self.tenant.url,
            self.tenant.public_client_id,
            profile=TESTING,
            dpop=mode or self.mode,
            store=self.store,
            on_event=self.events.append,
        ) as client:
            yield client

    async def ask(self, api: Any) -> int:
        """Call userinfo as an API."""
        async with api.request("GET", f"{self.tenant.url}{USERINFO}") as response:
            return int(response.status)


@asynccontextmanager
async def opened(mode: DPoPMode, policy: str, store: Any = None, **more: Any) -> AsyncIterator[Bench]:
    name, _, checked = policy.partition(" ")
    given: dict[str, Any] = {"apis": {API: name}, "unused_proof": checked or "ignored", "callback_urls": [CALLBACK]}
    settings = TenantSettings(**given, **more)
    async with LocalTenant(settings) as tenant:
        events: list[Any] = []
        kept = MemoryStore(keys=KeyRing(SEALING, users=SEALING)) if store is None else store
        async with PasswordlessClient(
            tenant.url, tenant.public_client_id, profile=TESTING, dpop=mode, store=kept, on_event=events.append
        ) as client:
            yield Bench(tenant, client, mode, kept, events)
        check_law(tenant)


# The grants


async def by_email(bench: Bench) -> TokenSet:
    await bench.client.start(ADA)
    return await bench.client.exchange(ADA, bench.tenant.outbox.code_for(ADA), **ASKED)


async def by_sms(bench: Bench) -> TokenSet:
    await bench.client.start(PHONE)
    return await bench.client.exchange(PHONE, bench.tenant.outbox.code_for(PHONE), **ASKED)


async def by_bulk(bench: Bench) -> TokenSet:
    await bench.client.start(ADA)
    (outcome,) = [
        each async for each in bench.client.exchange_many([Login(ADA, bench.tenant.outbox.code_for(ADA), **ASKED)])
    ]
    if outcome.error is not None:
        raise outcome.error
    return present(outcome.tokens)


async def by_database(bench: Bench) -> TokenSet:
    bench.tenant.users.add(ADA, database=True)
    session = await bench.client.start_database(ADA, connection="Username-Password-Authentication")
    assert isinstance(session, AuthSession)
    return await bench.client.exchange(session, bench.tenant.outbox.code_for(ADA), **ASKED)


async def follow(tenant: LocalTenant) -> str:
    """Do as a browser does with the link in the mail."""
    async with aiohttp.ClientSession() as browser:
        async with browser.get(tenant.outbox.link_for(ADA), allow_redirects=False) as response:
            return response.headers["Location"]


async def by_link(bench: Bench) -> TokenSet:
    pending = await bench.client.start_link(ADA, redirect_uri=CALLBACK, **ASKED)
    again = PendingLink.unseal(pending.seal(SEALING), SEALING)
    assert (again, pending.key is None) == (pending, bench.mode == "off")
    return await bench.client.exchange_link(again, await follow(bench.tenant))


async def by_stored_login(bench: Bench) -> TokenSet:
    await bench.client.start(ADA)
    return (await bench.client.sessions.login(ADA, bench.tenant.outbox.code_for(ADA), **ASKED)).tokens


def by_factor(factor: str) -> Callable[[Bench], Awaitable[TokenSet]]:
    async def log_in(bench: Bench) -> TokenSet:
        also = ["otp"] if factor == "recovery-code" else []
        bench.tenant.users.add(ADA, mfa=[factor, *also])
        return await verified(bench, await stopped(bench), factor)

    return log_in


async def by_association(bench: Bench) -> TokenSet:
    """Enrol an authenticator app on the way."""
    bench.tenant.users.add(ADA)
    state = await stopped(bench)
    await bench.client.mfa.associate(state, types=["otp"])
    return await bench.client.mfa.verify_otp(state, bench.tenant.mfa.otp_for(ADA))


async def stopped(bench: Bench) -> MfaState:
    """Log in as far as the second factor; give its state as another process has it."""
    await bench.client.start(ADA)
    with pytest.raises(MfaRequired) as required:
        await bench.client.exchange(ADA, bench.tenant.outbox.code_for(ADA), **ASKED)
    state = present(required.value.state)
    assert (state.key is None) is (state.jkt is None) is (bench.mode == "off")
    again = MfaState.unseal(state.seal(SEALING), SEALING, client=bench.client)
    assert again == state
    return again


async def verified(bench: Bench, state: MfaState, factor: str) -> TokenSet:
    mfa, tenant = bench.client.mfa, bench.tenant
    if factor == "otp":
        return await mfa.verify_otp(state, tenant.mfa.otp_for(ADA))
    if factor == "recovery-code":
        return (await mfa.verify_recovery_code(state, tenant.mfa.recovery_code_for(ADA)))[0]
    challenge = await mfa.challenge(state)
    if factor == "push":
        tenant.mfa.approve(ADA)
        return await mfa.verify_oob(state, challenge)
    return await mfa.verify_oob(state, challenge, binding_code=tenant.mfa.code_for(ADA))


GRANTS: dict[str, Callable[[Bench], Awaitable[TokenSet]]] = {
    "email": by_email,
    "sms": by_sms,
    "bulk": by_bulk,
    "database": by_database,
    "link": by_link,
    "sessions.login": by_stored_login,
    **{f"mfa {name}": by_factor(name) for name in ("otp", "sms", "voice", "email", "push", "recovery-code")},
    "mfa association": by_association,
}


def expected(mode: DPoPMode, policy: str) -> bool | type[PasswordlessError]:
    """Return what a login ends in: bound tokens, unbound ones, or an error."""
    if policy.startswith("none"):
        return NotSenderConstrained if mode == "required" else False
    if mode != "off":
        return True
    return DPoPRequired if policy == "required" else False


def bound_to(tokens: TokenSet) -> tuple[bool, str | None, str | None]:
    """Return whether tokens say that they are bound, the key they name, and the key that they have."""
    key = None if tokens.key is None else tokens.key.thumbprint
    assert tokens.token_type == ("DPoP" if tokens.bound else "Bearer")
    assert claims_of(tokens.access_token).get("cnf", {}).get("jkt") == key
    return tokens.bound, tokens.jkt, key


def proven(tokens: TokenSet) -> str | None:
    """Return the key that a refresh proves."""
    key = tokens.refresh_key if tokens.key is None else tokens.key
    return None if key is None else key.thumbprint


async def check_calls(bench: Bench, api: Any, tokens: TokenSet) -> None:
    """Call an API: as Bearer without a proof, or as DPoP with one by the tokens' key."""
    bench.forget()
    assert await bench.ask(api) == 200
    assert set(bench.wire(USERINFO)) == {("DPoP", tokens.jkt) if tokens.bound else ("Bearer", None)}


async def check_refresh(bench: Bench, refresh: Callable[[], Awaitable[TokenSet]], tokens: TokenSet) -> TokenSet:
    """Refresh: by the key of the tokens, or the one that their login proved."""
    bench.forget()
    renewed = await refresh()
    assert bound_to(renewed) == bound_to(tokens)
    assert proven(renewed) == proven(tokens)
    assert set(bench.wire(TOKEN)) == {("", proven(tokens))}
    told = [UnboundTokens(Operation.REFRESH, API)] if bench.mode == "preferred" and not tokens.bound else []
    assert bench.unbound() == told
    return renewed


async def check_all(bench: Bench, tokens: TokenSet) -> None:
    """Do with tokens what an application does with them."""
    client, here = bench.client, [bench.tenant.url]
    await check_calls(bench, client.session(tokens, origins=here), tokens)
    tokens = await check_refresh(bench, lambda: client.refresh(tokens), tokens)
    identifier = await client.sessions.open(tokens)
    async with client.sessions.api(identifier, origins=here) as api:
        await check_calls(bench, api, tokens)

    async def refresh_stored() -> TokenSet:
        return (await client.sessions.refresh(identifier)).tokens

    tokens = await check_refresh(bench, refresh_stored, tokens)
    async with bench.other() as other:
        assert (await other.sessions.get(identifier)).tokens == tokens
        async with other.sessions.api(identifier, origins=here) as api:
            await check_calls(bench, api, tokens)
        await client.sessions.close(identifier, revoke=False)
        there = TokenSet.unseal(tokens.seal(SEALING), SEALING)
        await check_calls(bench, other.session(there, origins=here), tokens)
        there = await check_refresh(bench, lambda: other.refresh(there), tokens)
        assert (await other.userinfo(there))["sub"] == present(tokens.claims)["sub"]
        await other.revoke(there)


async def check(bench: Bench, grant: str, policy: str) -> None:
    """Log in by a grant, and do all that follows."""
    outcome = expected(bench.mode, policy)
    if not isinstance(outcome, bool):
        with pytest.raises(outcome) as refused:
            await GRANTS[grant](bench)
        assert type(refused.value) is outcome
        assert {key is None for _, key in bench.wire(TOKEN)} == {bench.mode == "off"}
        # Where the tokens were refused, nothing of them stays valid.
        assert all(family.revoked for family in bench.tenant.refresh_families)
        return
    tokens = await GRANTS[grant](bench)
    assert bound_to(tokens)[0] is outcome
    assert (tokens.key is None, tokens.jkt is None) == (not outcome, not outcome)
    assert {key for _, key in bench.wire(TOKEN)} == {proven(tokens)}
    assert (proven(tokens) is None) is (bench.mode == "off")
    operation = Operation.MFA if grant.startswith("mfa") else Operation.EXCHANGE
    told = [UnboundTokens(operation, API)] if bench.mode == "preferred" and not outcome else []
    assert bench.unbound() == told
    await check_all(bench, tokens)
    assert (bench.tenant.stats.nonce_challenges == 0) or bench.mode != "off"


def settings_for(grant: str) -> dict[str, Any]:
    return {"mfa_policy": "always"} if grant == "mfa association" else {}


SAMPLE = [
    ("required", "optional", "email"),
    ("required", "none", "link"),
    ("preferred", "none", "email"),
    ("preferred", "none checked", "mfa otp"),
    ("preferred", "optional", "link"),
    ("off", "none", "database"),
    ("off", "optional", "mfa sms"),
    ("off", "required", "email"),
]


@pytest.mark.parametrize(("mode", "policy", "grant"), SAMPLE)
async def test_sample(mode: DPoPMode, policy: str, grant: str) -> None:
    """A few cells of the table."""
    async with opened(mode, policy, **settings_for(grant)) as bench:
        await check(bench, grant, policy)


@pytest.mark.slow
@pytest.mark.parametrize("grant", GRANTS)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("mode", MODES)
async def test_table(mode: DPoPMode, policy: str, grant: str, redis_url: str) -> None:
    """Each mode by each policy by each grant: the login, API calls, a refresh, a stored session, another process."""
    async with RedisStore(redis_url, keys=KeyRing(SEALING, users=SEALING)) as store:
        async with opened(mode, policy, store, **settings_for(grant)) as bench:
            await check(bench, grant, policy)


# Tokens of one mode in another


def carried_on(now: DPoPMode, policy: str, tokens: TokenSet) -> bool | type[PasswordlessError]:
    """Return what a refresh of tokens ends in: bound tokens, unbound ones, or an error before anything is sent."""
    if tokens.bound:
        return True
    if now == "required":
        return BindingRequired
    # A proof goes where the client makes a key, or has the one that the login proved.
    return policy == "optional" and (now == "preferred" or tokens.refresh_key is not None)


@pytest.mark.parametrize("now", MODES)
@pytest.mark.parametrize(
    ("before", "policy"),
    [
        ("required", "optional"),
        ("required", "required"),
        ("preferred", "none"),
        ("preferred", "none checked"),
        ("preferred", "optional"),
        ("off", "none"),
        ("off", "none checked"),
        ("off", "optional"),
    ],
)
async def test_tokens_of_one_mode_in_another(before: DPoPMode, now: DPoPMode, policy: str) -> None:
    """Bound tokens stay bound in every mode; others are upgraded where a proof goes and the policy has it so."""
    async with opened(before, policy) as bench:
        tokens = await by_email(bench)
        identifier = await bench.client.sessions.open(tokens)
        there = TokenSet.unseal(tokens.seal(SEALING), SEALING)
        outcome = carried_on(now, policy, tokens)
        async with bench.other(now) as other:
            bench.forget()
            if not isinstance(outcome, bool):
                for call in (
                    lambda: other.refresh(there),
                    lambda: other.userinfo(there),
                    lambda: other.sessions.refresh(identifier),
                    lambda: bench.ask(other.session(there, origins=[bench.tenant.url])),
                ):
                    with pytest.raises(outcome):
                        await call()
                with pytest.raises(outcome):
                    async with other.sessions.api(identifier, origins=[bench.tenant.url]):
                        pass
                assert list(bench.tenant.requests) == []
                # Nothing was spent, and the session is not in doubt.
                assert bound_to(await bench.client.refresh(there)) == bound_to(tokens)
                await other.revoke(there)
                return
            await check_calls(bench, other.session(there, origins=[bench.tenant.url]), there)
            bench.forget()
            renewed = (await other.sessions.refresh(identifier)).tokens
            assert bound_to(renewed)[0] is outcome
            assert {key for _, key in bench.wire(TOKEN)} == {proven(renewed)}
            assert tokens.bound <= renewed.bound
            if proven(tokens) is not None:
                assert proven(renewed) == proven(tokens)
            # The first process has the new tokens from the store.
            assert (await bench.client.sessions.get(identifier)).tokens == renewed
            await check_calls(bench, other.session(renewed, origins=[bench.tenant.url]), renewed)


async def test_an_unbound_answer_to_a_refresh_of_bound_tokens_is_refused_in_every_mode() -> None:
    """Once bound, always bound: the service, or who speaks for it, cannot talk a session out of its key."""
    for mode in MODES:
        async with opened("preferred", "optional") as bench, bench.other(mode) as other:
            tokens = await by_email(bench)
            bench.tenant.faults.add(Fault.BEARER_TOKEN, path=TOKEN)
            with pytest.raises(NotSenderConstrained):
                await other.refresh(tokens)
            assert all(family.revoked for family in bench.tenant.refresh_families)


async def test_a_second_factor_of_a_refresh_does_not_unbind() -> None:
    """A refresh of bound tokens that leads to a second factor ends in bound tokens, or in none."""
    async with opened("preferred", "optional") as bench:
        tokens = await by_email(bench)
        bench.tenant.users.add(ADA, mfa=["otp"])
        state = await stopped(bench)
        assert state.replaces_bound is False
        bench.tenant.faults.add(Fault.MFA_REQUIRED, path=TOKEN, times=1)
        with pytest.raises(MfaRequired) as required:
            await bench.client.refresh(tokens)
        led_here = present(required.value.state)
        assert (led_here.replaces_bound, led_here.key) == (True, tokens.key)
        continued = attrs.evolve(led_here, mfa_token=state.mfa_token, key=state.key, jkt=state.jkt)
        bench.tenant.faults.add(Fault.BEARER_TOKEN, path=TOKEN)
        with pytest.raises(NotSenderConstrained):
            await bench.client.mfa.verify_otp(continued, bench.tenant.mfa.otp_for(ADA))


async def test_off_refuses_a_bound_answer_and_revokes_it() -> None:
    """It is bound to a key that the client does not have; the code is spent."""
    async with opened("off", "optional") as bench:
        bench.tenant.faults.add(Fault.TOKEN_OF_OTHER_KEY, path=TOKEN, times=1)
        with pytest.raises(SenderConstrained):
            await by_email(bench)
        assert [family.revoked for family in bench.tenant.refresh_families] == [True]
        assert {key for _, key in bench.wire(TOKEN)} == {None}


async def test_off_takes_no_key() -> None:
    """A key that would never be proven is a mistake; nothing is sent, and the code stays good."""
    async with opened("off", "optional") as bench:
        await bench.client.start(ADA)
        code, key = bench.tenant.outbox.code_for(ADA), DPoPKey.generate()
        bench.forget()
        with pytest.raises(UsageError, match="key: "):
            await bench.client.exchange(ADA, code, key=key)
        with pytest.raises(UsageError, match="key: "):
            await bench.client.sessions.login(ADA, code, scope=SCOPE, key=key)
        with pytest.raises(UsageError, match="key: "):
            await bench.client.start_link(Email("bob@example.com"), redirect_uri=CALLBACK, key=key)
        (outcome,) = [each async for each in bench.client.exchange_many([Login(ADA, code, key=key)])]
        assert isinstance(outcome.error, UsageError)
        assert list(bench.tenant.requests) == []
        assert (await bench.client.exchange(ADA, code)).bound is False


async def test_a_code_outlives_a_refusal_for_the_lack_of_a_proof() -> None:
    """The service refuses before it looks at the code: the same code is good in a client that sends proofs."""
    async with opened("off", "required") as bench, bench.other("preferred") as other:
        await bench.client.start(ADA)
        code = bench.tenant.outbox.code_for(ADA)
        with pytest.raises(DPoPRequired):
            await bench.client.exchange(ADA, code, **ASKED)
        assert (await other.exchange(ADA, code, **ASKED)).bound


async def test_what_began_without_a_key_does_not_end_where_all_must_be_bound() -> None:
    """A link and a second factor that began without a proof are refused before anything is sent."""
    async with opened("off", "optional") as bench, bench.other("required") as other:
        pending = await bench.client.start_link(ADA, redirect_uri=CALLBACK, **ASKED)
        callback = await follow(bench.tenant)
        bench.tenant.users.add(ADA, mfa=["otp"])
        state = await stopped(bench)
        bench.forget()
        with pytest.raises(BindingRequired):
            await other.exchange_link(pending, callback)
        with pytest.raises(BindingRequired):
            await other.mfa.verify_otp(state, bench.tenant.mfa.otp_for(ADA))
        assert list(bench.tenant.requests) == []
        assert (await bench.client.mfa.verify_otp(state, bench.tenant.mfa.otp_for(ADA))).bound is False


async def test_what_began_with_a_key_ends_with_it_in_every_mode() -> None:
    """A client that makes no keys goes on with the one that a link or a state brings."""
    async with opened("preferred", "optional") as bench, bench.other("off") as other:
        pending = await bench.client.start_link(ADA, redirect_uri=CALLBACK, **ASKED)
        tokens = await other.exchange_link(pending, await follow(bench.tenant))
        assert (tokens.bound, tokens.key) == (True, pending.key)
        bench.tenant.users.add(ADA, mfa=["otp"])
        state = await stopped(bench)
        verified = await other.mfa.verify_otp(state, bench.tenant.mfa.otp_for(ADA))
        assert (verified.bound, verified.key) == (True, state.key)


async def test_a_renewal_during_an_api_call_may_bind() -> None:
    """A refused Bearer token is renewed once; the new tokens are bound, so the call goes again with a proof."""
    async with opened("off", "optional") as bench, bench.other("preferred") as other:
        tokens = await by_email(bench)
        bench.tenant.revoke_access_tokens()
        bench.forget()
        kept: list[TokenSet] = []
        api = other.session(tokens, origins=[bench.tenant.url], on_refresh=kept.append)
        assert await bench.ask(api) == 200
        (renewed,) = kept
        assert bench.wire(USERINFO) == [("Bearer", None), ("DPoP", renewed.jkt)]
        assert renewed.bound
        await check_calls(bench, api, renewed)


@pytest.mark.parametrize("mode", MODES)
async def test_a_redirect_carries_no_token_to_another_origin(mode: DPoPMode) -> None:
    """Neither a Bearer token nor a bound one leaves the named origins, whatever the mode is."""
    async with opened(mode, "optional") as bench, LocalTenant() as elsewhere:
        tokens = await by_email(bench)
        bench.tenant.faults.add(Fault.REDIRECT, path=USERINFO, location=f"{elsewhere.url}/x")
        async with bench.client.request(tokens, "GET", f"{bench.tenant.url}{USERINFO}") as response:
            await response.read()
        async with bench.client.session(tokens, origins=[bench.tenant.url]).request("GET", elsewhere.url) as response:
            await response.read()
        assert len(elsewhere.requests) == 2
        assert [(r.headers.get("Authorization"), r.proof) for r in elsewhere.requests] == [(None, None)] * 2


@pytest.mark.parametrize("mode", MODES)
async def test_tokens_that_lost_their_key_are_of_no_use_in_any_mode(mode: DPoPMode) -> None:
    """A bound token set without its key does not become a Bearer one; nothing is sent."""
    async with opened("required", "optional") as bench, bench.other(mode) as other:
        tokens = attrs.evolve(await by_email(bench), key=None)
        bench.forget()
        for call in (
            lambda: other.refresh(tokens),
            lambda: other.userinfo(tokens),
            lambda: other.sessions.open(tokens),
            lambda: bench.ask(other.session(tokens, origins=[bench.tenant.url])),
        ):
            with pytest.raises(KeyMissing):
                await call()
        assert list(bench.tenant.requests) == []


@pytest.mark.parametrize("mode", ["preferred", "off"])
async def test_orphans_carry_tokens_without_a_key(mode: DPoPMode) -> None:
    """A result whose caller has gone is handed over as it is."""
    orphans: list[Orphan] = []
    async with LocalTenant(TenantSettings(apis={API: "none"})) as tenant:
        async with PasswordlessClient(
            tenant.url, tenant.public_client_id, profile=TESTING, dpop=mode, on_orphan=orphans.append
        ) as client:
            await client.start(ADA)
            answer = asyncio.Event()
            tenant.faults.add(Fault.SLOW, path=TOKEN, until=answer, times=1)
            call = asyncio.create_task(client.exchange(ADA, tenant.outbox.code_for(ADA), **ASKED))
            await until(lambda: tenant.requests.to(TOKEN))
            await cancelled(call)
            answer.set()
            await until(lambda: orphans)
        assert (present(orphans[0].tokens).bound, proven(present(orphans[0].tokens)) is None) == (False, mode == "off")
        assert (tenant.stats.revoke_requests, tenant.disagreements) == (0, ())


CHILD = """
import asyncio, json, sys
from passwordless_async import PasswordlessClient, TokenSet

async def main(url, client_id, mode, sealed):
    tokens = TokenSet.unseal(sealed, bytes(range(32)))
    async with PasswordlessClient(url, client_id, dpop=mode) as client:
        async with client.request(tokens, "GET", url + "/userinfo") as response:
            status = response.status
        renewed = await client.refresh(tokens)
        print(json.dumps([status, tokens.bound, renewed.bound, renewed.seal(bytes(range(32)))]))

asyncio.run(main(*sys.argv[1:4], sys.stdin.read()))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "policy"),
    [("required", "optional"), ("preferred", "none checked"), ("preferred", "required"), ("off", "none")],
)
async def test_a_real_process_goes_on(mode: DPoPMode, policy: str) -> None:
    """Sealed tokens are used and refreshed in a child, by its own nonces, and come back."""
    async with opened(mode, policy) as bench:
        tokens = await by_email(bench)
        bench.forget()
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            CHILD,
            bench.tenant.url,
            bench.tenant.public_client_id,
            mode,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await child.communicate(tokens.seal(SEALING).encode())
        assert err == b""
        status, was_bound, is_bound, sealed = json.loads(out)
        assert (status, was_bound, is_bound) == (200, tokens.bound, tokens.bound)
        back = TokenSet.unseal(sealed, SEALING)
        assert (bound_to(back), proven(back)) == (bound_to(tokens), proven(tokens))
        assert set(bench.wire(USERINFO)) == {("DPoP", tokens.jkt) if tokens.bound else ("Bearer", None)}
        assert set(bench.wire(TOKEN)) == {("", proven(tokens))}
        await check_calls(bench, bench.client.session(back, origins=[bench.tenant.url]), back)
