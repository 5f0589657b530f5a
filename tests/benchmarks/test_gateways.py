"""Gateway processes on one store: their shared rules, a crowd, and gateways that are killed."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from benchmarks import gateways as proof
from benchmarks.gateway import GatewaySettings, Site, site
from passwordless_async import DPoPKey, Email, ProofGenerator, TransportError
from passwordless_async.testing import Fault, TenantProcess, TenantSettings, User
from passwordless_async.testing.process.child import CallFailed, ChildProcess

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

USERS, PROCESSES, AT_ONCE = 2000, 4, 256
QUOTA = 400  # requests a second
KILLS = 6  # gateways
KEYS, PSEUDONYMS = secrets.token_hex(32), secrets.token_hex(32)


def user(number: int) -> str:
    return f"user{number:05}@example.com"


def running(store: str, **settings: Any) -> AbstractAsyncContextManager[Site]:
    """Run a tenant that takes what the gateways may send."""
    quota = settings.get("requests_per_second")
    tenant = TenantSettings(
        code_lifetime=3600,
        messages_kept=10 * USERS,
        requests_kept=1,
        # A tenth more than the gateways share: on a busy machine some requests come late, and meet the next ones.
        requests_per_second=quota and quota * 11 // 10,
    )
    return site(store, tenant, keys=(KEYS,), users=PSEUDONYMS, **settings)


async def for_all(people: Sequence[str], do: Callable[[str], Awaitable[Any]]) -> list[Any]:
    """Do something for each user, so many at once."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(who: str) -> Any:
        async with room:
            return await do(who)

    return await asyncio.gather(*map(one, people))


@pytest.mark.slow
async def test_everything_left_in_the_store_expires(redis_server: Any) -> None:
    """The proof holds for a small crowd, and each key that it leaves in the store has a lifetime."""
    failures: list[str] = []
    figures = await proof.prove(redis_server.url, 60, failures)
    assert failures == []
    assert {name: figures[name] for name in proof.EXPECTED} == proof.EXPECTED
    names = redis_server.ask("KEYS", "*")
    assert names
    assert all(redis_server.ask("PTTL", name) > 0 for name in names)


@pytest.mark.slow
async def test_a_crowd_meets_all_gateways(redis_server: Any) -> None:
    """A code asked for on one process is exchanged on another, within one quota, after one challenge for all.

    Nothing that is written to the store meanwhile holds a code, an address or an identifier.
    """
    chance = random.Random(1)  # noqa: S311 - no secret
    async with running(redis_server.url, requests_per_second=QUOTA) as place:
        tenant, gateways = place.tenant, [await place.start() for _ in range(PROCESSES)]
        people = [user(number) for number in range(USERS)]
        codes: list[str] = []

        async def log_in(who: str) -> str:
            asked, exchanged, read = chance.sample(gateways, 3)
            await asked.call("start", user=who)
            codes.append(await tenant.code_for(Email(who)))
            session = (await exchanged.call("login", user=who, code=codes[-1]))["session"]
            assert User.of(Email(who)).subject == (await read.call("get", session=session))["user"]
            return str(session)

        sessions = await for_all(people, log_in)
        stats = await tenant.stats()
        counted = sum([Counter(await gateway.call("counts")) for gateway in gateways], Counter())
        assert (stats.tokens_issued, stats.token_requests, stats.nonce_challenges) == (USERS, USERS + 1, 1)
        assert (counted["answered 429"], stats.presented_again, stats.codes_refused) == (0, 0, 0)
        written = redis_server.written() + redis_server.dump()
        found = [secret for secret in [*people, *sessions, KEYS, PSEUDONYMS] if secret.encode() in written]
        assert found == []
        # Six digits stand in any number: a code is looked for as a word.
        words = {word for word in written.replace(b"$6", b"\n").split() if len(word) == 6 and word.isdigit()}
        assert words.isdisjoint(code.encode() for code in codes)


@pytest.mark.slow
async def test_rules_hold_on_every_gateway(redis_url: str) -> None:
    """A replayed proof, a code that was presented, and a start too soon are refused by every other process."""
    async with running(redis_url) as place:
        tenant, gateways = place.tenant, [await place.start() for _ in range(PROCESSES)]
        for first in gateways:
            others = [gateway for gateway in gateways if gateway is not first]
            who, key, token = user(gateways.index(first)), DPoPKey.generate(), secrets.token_urlsafe()
            await first.call("start", user=who)
            code = await tenant.code_for(Email(who))
            refusals = [await refusal(other.call("start", user=who)) for other in others]
            assert refusals == ["cooling_down"] * 3
            session = (await first.call("login", user=who, code=code))["session"]
            assert [await refusal(other.call("login", user=who, code=code)) for other in others] == ["code_spent"] * 3
            url = "https://api.example/me"
            proof = ProofGenerator(key).proof("GET", url, access_token=token)
            request = {"url": url, "token": token, "proof": proof, "jkt": key.thumbprint}
            await first.call("verify", **request)
            replays = [await refusal(other.call("verify", **request)) for other in gateways]
            assert replays == ["invalid_dpop_proof"] * 4
            # Slow, so that all ask while it is in flight: a later caller would refresh once more, and rightly.
            await tenant.add_fault(Fault.SLOW, path="/oauth/token", times=1, delay=0.7)
            refreshed = await asyncio.gather(*(each.call("refresh", session=session) for each in gateways * 5))
            assert len({each["jkt"] for each in refreshed}) == 1
        stats = await tenant.stats()
        assert (stats.refresh_rotations, stats.refresh_reuse_detected, stats.presented_again) == (PROCESSES, 0, 0)


async def refusal(call: Awaitable[Any]) -> str:
    with pytest.raises(CallFailed) as refused:
        await call
    return str(refused.value)


@pytest.mark.slow
async def test_a_gateway_ends_with_its_parent(redis_url: str) -> None:
    """When its standard input ends a gateway ends in time, though a call in flight would go on being tried."""
    called = asyncio.Event()

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.set()
        await reader.read(-1)
        writer.close()

    tenant = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{tenant.sockets[0].getsockname()[1]}"
    settings = GatewaySettings(tenant=url, client_id="no-client", store=redis_url, keys=(KEYS,), users=PSEUDONYMS)
    async with tenant, ChildProcess("benchmarks.gateway", attrs.asdict(settings)) as gateway:
        process = gateway._process
        asking = asyncio.create_task(gateway.call("start", user=user(0)))
        await called.wait()
        await gateway.aclose()
        assert process is not None
        assert process.returncode == 0
        with pytest.raises(TransportError, match="the child process has ended with status 0"):
            await asking


class Crowd:
    """Users who log in and refresh while gateways are killed, and the errors that they met."""

    def __init__(self, tenant: TenantProcess, gateways: list[Any]) -> None:
        self.tenant = tenant
        self.gateways = gateways
        self.chance = random.Random(2)  # noqa: S311 - no secret
        self.sessions: dict[str, str] = {}
        self.codes: Counter[str] = Counter()

    async def call(self, call: str, **arguments: Any) -> Any:
        """Call a random gateway; returns None if it failed, and counts the reason."""
        try:
            return await self.chance.choice(self.gateways).call(call, **arguments) or {}
        except CallFailed as refused:
            self.codes[f"{call}: {refused}"] += 1
        except TransportError:
            self.codes[f"{call}: killed"] += 1
        return None

    async def log_in(self, who: str) -> None:
        """Log in, with as many attempts as it takes, and refresh once."""
        opened = None
        while opened is None:
            if await self.call("start", user=who) is not None:
                code = await self.tenant.code_for(Email(who))
                opened = await self.call("login", user=who, code=code)
            await asyncio.sleep(0)
        self.sessions[who] = opened["session"]
        await self.call("refresh", session=opened["session"])

    async def check(self, who: str) -> None:
        """Read the session, which is this user's, and refresh it."""
        found = await self.call("get", session=self.sessions[who])
        assert {"user": User.of(Email(who)).subject}.items() <= found.items()
        await self.call("refresh", session=self.sessions[who])

    async def until_so_many_are_in(self, share: float) -> None:
        """Wait until so large a share has logged in."""
        while len(self.sessions) < USERS * share:  # noqa: ASYNC110 - nothing signals it
            await asyncio.sleep(0.01)


@pytest.mark.slow
async def test_acknowledged_sessions_outlive_gateways_and_the_primary(redis_sentinel: Any) -> None:
    """Gateways are killed at random, and the primary is, while a crowd logs in and refreshes.

    Every session that a gateway has given out still exists and is its user's; no refresh token is used twice, no
    family is revoked, and no code is presented again. The outcome of a refresh whose gateway was killed may be unknown.
    """
    hosts = ",".join(f"{host}:{port}" for host, port in redis_sentinel.addresses)
    store = f"redis+sentinel://{hosts}/{redis_sentinel.name}"
    async with running(store, replicas=1, store_timeout=1.0, cool_down=0.0) as place:
        tenant = place.tenant
        crowd = Crowd(tenant, [await place.start() for _ in range(PROCESSES)])
        people = [user(number) for number in range(USERS)]

        async def kill_some() -> None:
            for turn in range(KILLS):
                await crowd.until_so_many_are_in((turn + 1) / (KILLS + 2))
                victim = crowd.chance.randrange(PROCESSES)
                killed, crowd.gateways[victim] = crowd.gateways[victim], await place.start()
                killed.kill()
                if turn == KILLS // 2:
                    lost = redis_sentinel.primary
                    await asyncio.to_thread(redis_sentinel.fail_over)
                    await asyncio.to_thread(redis_sentinel.bring_back, lost)

        await asyncio.gather(for_all(people, crowd.log_in), kill_some())
        during, crowd.codes = crowd.codes, Counter()
        await for_all(people, crowd.check)
        assert during["login: killed"] + during["refresh: killed"]
        # Only refreshes that were in flight at a kill have an unknown outcome.
        assert {"refresh: outcome_unknown"} >= set(crowd.codes)
        assert (
            crowd.codes["refresh: outcome_unknown"] <= during["refresh: killed"] + during["refresh: store_unavailable"]
        )
        stats = await tenant.stats()
        assert (stats.refresh_reuse_detected, stats.families_revoked, stats.presented_again) == (0, 0, 0)
