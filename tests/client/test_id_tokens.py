"""ID tokens and their keys from end to end: each algorithm, rotation, floods and outages, against a tenant."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from helpers.values import present
from passwordless_async import (
    TESTING,
    ClientSecretBasic,
    ClientSecretPost,
    Email,
    InvalidIdToken,
    NotSent,
    OutcomeUnknown,
    PasswordlessClient,
    UsageError,
)
from passwordless_async._common import clock as _clock
from passwordless_async.auth0 import grant, jwks
from passwordless_async.testing import ClaimFault, Fault, KeySetFault, LocalTenant, TenantSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from passwordless_async import TokenSet
    from passwordless_async._common.http import HttpRequest, HttpResponse
    from passwordless_async.testing.state.tenant_state import TenantState

ADA = Email("ada@example.com")
JWKS = "/.well-known/jwks.json"
DAY = 86_400
# Without dropped connections: aiohttp sends a GET on a reused connection a second time, and the counts would be its.
UNREACHABLE = (Fault.SERVICE_UNAVAILABLE, Fault.GARBAGE_JSON, Fault.HUGE_BODY, Fault.REDIRECT)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "_PAUSES_SECONDS", (0.0, 0.001, 0.002))


def state_of(tenant: LocalTenant) -> TenantState:
    """Return the state of a running tenant."""
    assert tenant._state is not None
    return tenant._state


def sub(tokens: TokenSet) -> str:
    """Return the user that the ID token is about."""
    assert tokens.claims is not None
    return str(tokens.claims["sub"])


def confidential(tenant: LocalTenant, **options: Any) -> PasswordlessClient:
    client_id, secret = tenant.confidential_client
    return PasswordlessClient(tenant.url, client_id, client_auth=ClientSecretPost(secret), **options, profile=TESTING)


def public(tenant: LocalTenant, **options: Any) -> PasswordlessClient:
    return PasswordlessClient(tenant.url, tenant.public_client_id, **options, profile=TESTING)


async def log_in(
    client: PasswordlessClient, tenant: LocalTenant, who: Email = ADA, scope: str = "openid", **options: Any
) -> TokenSet:
    await client.start(who)
    return await client.exchange(who, tenant.outbox.code_for(who), scope=scope, **options)


async def all_at_once(client: PasswordlessClient, tenant: LocalTenant, number: int) -> list[Any]:
    """Log many in at once and return what each was given or refused."""
    users = [Email(f"user{index}@example.com") for index in range(number)]
    await asyncio.gather(*(client.start(user) for user in users))
    return await asyncio.gather(
        *(client.exchange(user, tenant.outbox.code_for(user), scope="openid") for user in users),
        return_exceptions=True,
    )


def fetches(tenant: LocalTenant) -> int:
    return sum(request.path == JWKS for request in tenant.requests)


def make_unknown(monkeypatch: pytest.MonkeyPatch, tenant: LocalTenant) -> None:
    """Let the tenant publish for ever what it publishes now, and sign with another key."""
    published = state_of(tenant).keys.jwks()
    monkeypatch.setattr(type(state_of(tenant).keys), "jwks", lambda _: published)
    tenant.rotate_signing_key()


def forward(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let time pass for the client's keys."""
    now = _clock.monotonic
    monkeypatch.setattr(_clock, "monotonic", lambda: now() + seconds)


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256"])
async def test_each_algorithm(alg: Any) -> None:
    """Each asymmetric algorithm passes unasked, and where it is the only one that is taken."""
    async with LocalTenant(TenantSettings(id_token_alg=alg)) as tenant:
        async with public(tenant) as client:
            assert present((await log_in(client, tenant, scope="openid email")).claims)["email"] == "ada@example.com"
        async with public(tenant, id_token_algorithms=[alg]) as client:
            assert sub(await log_in(client, tenant))


@pytest.mark.parametrize(("alg", "taken"), [("RS256", "PS256"), ("PS256", "ES256"), ("ES256", "RS256")])
async def test_no_other_algorithm_than_the_one_that_is_taken(alg: Any, taken: str) -> None:
    """An application that says what its ID tokens are signed with takes nothing else."""
    async with LocalTenant(TenantSettings(id_token_alg=alg)) as tenant:
        async with public(tenant, id_token_algorithms=[taken]) as client:
            with pytest.raises(InvalidIdToken) as refused:
                await log_in(client, tenant)
            assert refused.value.claim == "alg"


@pytest.mark.parametrize("auth", [ClientSecretPost, ClientSecretBasic])
async def test_hs256_for_those_who_ask(auth: Any) -> None:
    """The client secret is the key of HS256, and no key set is fetched for it; who did not ask is not given it."""
    async with LocalTenant(TenantSettings(id_token_alg="HS256")) as tenant:
        client_id, secret = tenant.confidential_client
        async with PasswordlessClient(
            tenant.url, client_id, client_auth=auth(secret), id_token_algorithms=["HS256"], profile=TESTING
        ) as client:
            assert sub(await log_in(client, tenant))
            assert fetches(tenant) == 0
        async with PasswordlessClient(tenant.url, client_id, client_auth=auth(secret), profile=TESTING) as client:
            with pytest.raises(InvalidIdToken) as refused:
                await log_in(client, tenant)
            assert refused.value.claim == "alg"


async def test_hs256_is_not_for_public_clients(tenant: LocalTenant) -> None:
    """There is no secret to check it with, and that is said before anything is sent."""
    with pytest.raises(UsageError) as refused:
        public(tenant, id_token_algorithms=["HS256"])
    assert refused.value.argument == "id_token_algorithms"


@pytest.mark.parametrize("revoke", [False, True])
async def test_logins_go_on_when_the_key_rotates(tenant: LocalTenant, revoke: bool) -> None:  # noqa: FBT001 - a parameter
    """The first login by the new key has the key set fetched, all at once share that, and nobody is refused."""
    async with public(tenant) as client:
        await log_in(client, tenant)
        tenant.rotate_signing_key(revoke=revoke)
        outcomes = await all_at_once(client, tenant, 50)
        assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []
        assert fetches(tenant) == 2


@pytest.mark.parametrize("fault", [None, *(pytest.param(fault, marks=pytest.mark.slow) for fault in UNREACHABLE)])
async def test_a_flood_of_unknown_keys_costs_three_fetches(
    tenant: LocalTenant, monkeypatch: pytest.MonkeyPatch, fault: Fault | None
) -> None:
    """200 tokens by a key that the set has not, at once and one after the other: three fetches, though they fail."""
    expected = InvalidIdToken if fault is None else OutcomeUnknown
    monkeypatch.setattr(jwks, "_SEARCH_SECONDS", 3600.0)  # however slow this machine is
    async with public(tenant) as client:
        await log_in(client, tenant)
        make_unknown(monkeypatch, tenant)
        if fault is not None:
            tenant.faults.add(fault, path=JWKS)
        before = fetches(tenant)
        outcomes = await all_at_once(client, tenant, 195)
        for _ in range(5):
            with pytest.raises(expected):
                await log_in(client, tenant)
        assert all(isinstance(outcome, expected) for outcome in outcomes)
        assert fetches(tenant) - before == 3


async def test_a_flood_over_time_costs_a_search_in_ten_seconds(
    tenant: LocalTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause ends, and a key that has come meanwhile is found."""
    async with public(tenant) as client:
        await log_in(client, tenant)
        with monkeypatch.context() as patched:
            make_unknown(patched, tenant)
            for _ in range(2):
                with pytest.raises(InvalidIdToken):
                    await log_in(client, tenant)
        assert fetches(tenant) == 4
        forward(monkeypatch, 10)
        assert sub(await log_in(client, tenant))
        assert fetches(tenant) == 5


async def test_logins_go_on_while_a_cache_serves_the_old_key_set(
    tenant: LocalTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tenant has a new key and the cache before it does not know: 50 at once search on together, and past it."""
    async with public(tenant) as client:
        await log_in(client, tenant)
        old, answers = state_of(tenant).keys.jwks(), iter((True, True, False))
        new = type(state_of(tenant).keys).jwks
        monkeypatch.setattr(
            type(state_of(tenant).keys), "jwks", lambda keys: old if next(answers, False) else new(keys)
        )
        tenant.rotate_signing_key()
        outcomes = await all_at_once(client, tenant, 50)
        assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []
        assert fetches(tenant) == 4
        searches = [request for request in tenant.requests if request.path == JWKS][1:]
        assert [request.headers.get("Cache-Control") for request in searches] == ["no-cache"] * 3


@pytest.mark.parametrize("fault", UNREACHABLE)
async def test_one_unreachable_moment_after_the_tokens_came(tenant: LocalTenant, fault: Fault) -> None:
    """The codes are spent: the fetch that failed is made again, and nobody's login is lost."""
    async with public(tenant) as client:
        await log_in(client, tenant)
        tenant.rotate_signing_key()
        tenant.faults.add(fault, path=JWKS, times=1)
        outcomes = await all_at_once(client, tenant, 20)
        assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []
        assert fetches(tenant) == 3


async def test_tokens_that_cannot_be_checked_are_revoked(tenant: LocalTenant) -> None:
    """No session stays open at the service that the application was never given."""
    async with public(tenant) as client:
        await log_in(client, tenant)
        tenant.rotate_signing_key()
        tenant.faults.add(Fault.SERVICE_UNAVAILABLE, path=JWKS)
        with pytest.raises(OutcomeUnknown):
            await log_in(client, tenant, scope="openid offline_access")
        assert [request.path for request in tenant.requests][-1] == "/oauth/revoke"


@pytest.mark.parametrize(("skew", "passes"), [(60.0, False), (180.0, True)])
async def test_the_clock_skew_is_a_setting(
    tenant: LocalTenant,
    monkeypatch: pytest.MonkeyPatch,
    skew: float,
    passes: bool,  # noqa: FBT001 - a row
) -> None:
    """A machine two minutes behind: the error says so by the tenant's own Date, or the setting forgives it."""
    late = SimpleNamespace(now=lambda: _clock.now() - 120)
    async with public(tenant, clock_skew=skew) as client:
        monkeypatch.setattr(grant, "_clock", late)
        try:
            await log_in(client, tenant)
        except InvalidIdToken as error:
            assert (passes, error.claim, round(error.clock_difference or 0, -1)) == (False, "iat", -120)  # noqa: PT017
            assert "s behind the server's" in str(error)  # noqa: PT017
        else:
            assert passes


async def test_whoever_gives_up_does_not_spoil_it_for_the_others(
    tenant: LocalTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login that is cancelled while it waits for the keys takes nothing from those who come after it."""
    async with public(tenant) as client:
        await log_in(client, tenant)
        tenant.rotate_signing_key()
        send, asked, answered, gate = client._transport.send, asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def watched(request: HttpRequest, departs: Callable[[], None]) -> HttpResponse:
            if request.shareable:
                asked.set()
                await gate.wait()
            response = await send(request, departs)
            if asked.is_set() and request.url.path == "/oauth/token":
                answered.set()
            return response

        monkeypatch.setattr(client._transport, "send", watched)
        first = asyncio.create_task(log_in(client, tenant, Email("first@example.com")))
        await asked.wait()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        second = asyncio.create_task(log_in(client, tenant, Email("second@example.com")))
        await answered.wait()
        gate.set()
        assert sub(await second)
        assert fetches(tenant) == 2


@pytest.mark.parametrize("fault", UNREACHABLE)
@pytest.mark.parametrize("age", [0, 2 * DAY])
async def test_logins_go_on_while_the_key_set_cannot_be_had(
    tenant: LocalTenant, monkeypatch: pytest.MonkeyPatch, fault: Fault, age: int
) -> None:
    """Keys of less than a day are not asked for; older ones are, and serve on where that fails."""
    async with public(tenant) as client:
        await log_in(client, tenant)
        tenant.faults.add(fault, path=JWKS)
        forward(monkeypatch, age)
        outcomes = await all_at_once(client, tenant, 20)
        assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []
        assert (2 if age else 1) == fetches(tenant)


@pytest.mark.parametrize("fault", UNREACHABLE)
@pytest.mark.parametrize("age", [0, 3 * DAY])
async def test_no_code_is_spent_without_keys(
    tenant: LocalTenant, monkeypatch: pytest.MonkeyPatch, fault: Fault, age: int
) -> None:
    """Without keys, or with none that may still be trusted, nothing but the request for them is sent."""
    async with public(tenant) as client:
        if age:
            await log_in(client, tenant)
            forward(monkeypatch, age)
        tenant.faults.add(fault, path=JWKS, times=1)
        await client.start(ADA)
        presented, code = tenant.stats.codes_presented, tenant.outbox.code_for(ADA)
        with pytest.raises(NotSent):
            await client.exchange(ADA, code, scope="openid")
        assert presented == tenant.stats.codes_presented
        assert sub(await client.exchange(ADA, code, scope="openid"))


async def test_no_refresh_token_is_spent_without_keys(tenant: LocalTenant) -> None:
    """A process that starts with tokens from a store fetches the keys before it spends a refresh token."""
    async with public(tenant) as client:
        tokens = await log_in(client, tenant, scope="openid offline_access")
    async with public(tenant) as client:
        tenant.faults.add(Fault.SERVICE_UNAVAILABLE, path=JWKS, times=1)
        with pytest.raises(NotSent):
            await client.refresh(tokens)
        assert sub(tokens) == sub(await client.refresh(tokens))


async def test_an_unknown_key_in_an_outage_says_that_the_code_is_spent(tenant: LocalTenant) -> None:
    """Nobody knows whether the token is good: not refused, and not to be tried again."""
    async with public(tenant) as client:
        await log_in(client, tenant)
        tenant.rotate_signing_key()
        tenant.faults.add(Fault.DROP_BEFORE_READ, path=JWKS)
        with pytest.raises(OutcomeUnknown):
            await log_in(client, tenant)


async def test_tokens_of_another_tenant(tenant: LocalTenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sign with the same key, as two tenants of one service may: the issuer tells them apart."""
    async with LocalTenant() as other, public(tenant) as client:
        mint, foreign = type(state_of(tenant).tokens), other.issuer
        respond = mint.respond
        monkeypatch.setattr(mint, "respond", lambda self, grant, _issuer: respond(self, grant, foreign))
        with pytest.raises(InvalidIdToken) as refused:
            await log_in(client, tenant)
        assert refused.value.claim == "iss"


FORGED = {
    Fault.ID_TOKEN_OF_OTHER_ISSUER: "iss",
    Fault.ID_TOKEN_ISSUER_WITHOUT_SLASH: "iss",
    Fault.ID_TOKEN_OF_OTHER_CLIENT: "aud",
    Fault.ID_TOKEN_OF_TWO_CLIENTS: "azp",
    Fault.ID_TOKEN_FOR_OTHER_PARTY: "azp",
    Fault.ID_TOKEN_WITHOUT_SUB: "sub",
    Fault.ID_TOKEN_EXPIRED: "exp",
    Fault.ID_TOKEN_FROM_THE_FUTURE: "iat",
    Fault.ID_TOKEN_EXP_IS_TEXT: "exp",
    Fault.ID_TOKEN_TAMPERED: "signature",
    Fault.ID_TOKEN_UNSIGNED: "alg",
    Fault.ID_TOKEN_SIGNED_WITH_PUBLIC_KEY: "alg",
    Fault.ID_TOKEN_OF_OTHER_KEY: "signature",
    Fault.ID_TOKEN_OF_UNKNOWN_KID: "kid",
}


@pytest.mark.parametrize(("fault", "claim"), FORGED.items())
async def test_forged_tokens(tenant: LocalTenant, fault: Fault, claim: str) -> None:
    """Each forgery is refused by the name of what is wrong, and the error says nothing of the token."""
    async with public(tenant) as client:
        tenant.faults.add(fault, path="/oauth/token")
        with pytest.raises(InvalidIdToken) as refused:
            await log_in(client, tenant, scope="openid email")
        assert claim == refused.value.claim
        assert "ada" not in f"{refused.value!r} {vars(refused.value)}"


async def test_the_public_key_is_no_secret_for_those_who_ask_for_hs256_either(tenant: LocalTenant) -> None:
    """Key confusion where HS256 is taken: the key is the client secret and nothing that is published."""
    async with confidential(tenant, id_token_algorithms=["HS256", "RS256"]) as client:
        tenant.faults.add(Fault.ID_TOKEN_SIGNED_WITH_PUBLIC_KEY, path="/oauth/token")
        with pytest.raises(InvalidIdToken) as refused:
            await log_in(client, tenant)
        assert refused.value.claim == "signature"


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (KeySetFault.JWKS_HUGE, "the answer is over 262144 bytes"),
        (KeySetFault.JWKS_DUPLICATE_KIDS, "the key set has no usable RSA or P-256 key for signatures"),
        (KeySetFault.JWKS_SYMMETRIC_KEY, "the key set has no usable RSA or P-256 key for signatures"),
    ],
)
async def test_key_sets_that_must_not_be_trusted(tenant: LocalTenant, fault: KeySetFault, problem: str) -> None:
    """No code is sent where its answer could be checked with such keys alone."""
    async with public(tenant) as client:
        tenant.faults.add(fault, path=JWKS)
        with pytest.raises(NotSent, match=problem):
            await log_in(client, tenant)
        assert tenant.stats.codes_presented == 0


async def test_max_age() -> None:
    """auth_time is checked where max_age says so: there, and not too long ago."""
    async with LocalTenant(TenantSettings(auth_time_in_id_token=True)) as tenant, public(tenant) as client:
        assert present((await log_in(client, tenant, max_age=60)).claims)["auth_time"]
    async with LocalTenant() as tenant, public(tenant) as client:
        with pytest.raises(InvalidIdToken) as refused:
            await log_in(client, tenant, max_age=60)
        assert refused.value.claim == "auth_time"
        with pytest.raises(UsageError):
            await client.exchange(ADA, "123456", max_age=60)
    async with LocalTenant(TenantSettings(auth_time_in_id_token=True)) as tenant, public(tenant) as client:
        tenant.faults.add(ClaimFault.ID_TOKEN_OF_AN_OLD_LOGIN, path="/oauth/token")
        with pytest.raises(InvalidIdToken, match="auth_time: is longer ago than max_age"):
            await log_in(client, tenant, max_age=60)
