"""Sessions on Redis: what they cost above a bare SET and GET, how often a login asks, and the room that they take."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import secrets
import time
from typing import TYPE_CHECKING, Any

import attrs
from redis.asyncio import Redis

from benchmarks.measure import Series
from benchmarks.redis_server import redis_server
from benchmarks.report import Bar, Report, Row
from passwordless_async import TESTING, Email, KeyRing, PasswordlessClient, TokenSet
from passwordless_async._common.secret import Secret
from passwordless_async.stores.redis import RedisStore, batches
from passwordless_async.testing import BOUND_API, LocalTenant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SUMMARY = "Sessions on Redis: CPU above a bare SET and GET, round trips of a login, and room"
HOW = (
    "CPU time of this process, the server in another one; opening and reading a session against SET and GET of the "
    "same bytes by the same client, in turns; reading the sessions of 500 users again and again, as at each request of "
    "a user, against GET of the same bytes; read first: each for the first time in this process; round trips of start, "
    "exchange and open; bytes by MEMORY USAGE, and by used_memory for all that is kept of twenty times as many "
    "sessions, for a million"
)
PACKAGES = ("passwordless-async", "redis", "cryptography")
ROUNDS, MIN_ROUNDS, CALLS, COUNTED = 5, 1, 1000, "sessions"

AT_ONCE = 64
READ = 500  # sessions that are read again and again
TOKENS = 2048  # bytes of tokens in a session
SCOPE = "openid email offline_access"
_FIXED, _FIXED_GOAL = 400, 300  # bytes beside the tokens
_MILLION = 1_000_000


def run(rounds: int, calls: int) -> Report:
    """Measure on a server of its own."""
    with redis_server() as url:
        found = asyncio.run(_measure(url, rounds, calls))
    rows = [Row(name, series) for name, series in found.items()]
    bars = [
        *(
            Bar(
                f"sessions.get, {how}, ÷ GET",
                found[f"read, {how}"].over(found[f"bare GET, {how}"]),
                must=must,
                goal=goal,
            )
            for how, must, goal in (("alone", 1.6, 1.3), ("64 at once", 1.35, 1.15))
        ),
        Bar("CPU, 64 at once, ÷ SET and GET", found["64 at once"].over(found["bare, 64 at once"]), must=1.6, goal=1.25),
        Bar("CPU, one at a time, ÷ SET and GET", found["alone"].over(found["bare, alone"]), must=1.6, goal=1.25),
        Bar("round trips of a login, one at a time", found["round trips, alone"], must=4, goal=3),
        Bar("round trips of a login, 64 at once", found["round trips, 64 at once"], must=4, goal=3),
        Bar(
            f"bytes of a session with {TOKENS} of tokens",
            found["bytes"],
            must=TOKENS * 1.6 + _FIXED,
            goal=TOKENS * 1.4 + _FIXED_GOAL,
        ),
    ]
    return Report("sessions", SUMMARY, HOW, "µs, or as named", PACKAGES, rows, bars, [])


async def _measure(url: str, rounds: int, calls: int) -> dict[str, Series]:
    ring = KeyRing(secrets.token_bytes(32), users=secrets.token_bytes(32))
    raw = Redis.from_url(url)
    found: dict[str, list[float]] = {}
    async with (
        raw,
        LocalTenant() as tenant,
        RedisStore(url, keys=ring) as store,
        PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING, store=store) as client,
    ):
        for _ in range(rounds):
            for name, figure in (await _round(tenant, client, raw, calls)).items():
                found.setdefault(name, []).append(figure)
    return {name: Series(tuple(figures)) for name, figures in found.items()}


async def _round(tenant: LocalTenant, client: PasswordlessClient, raw: Redis, calls: int) -> dict[str, float]:
    await raw.flushall()
    trips_alone, tokens = await _round_trips(tenant, client, max(calls // 10, 1), 1)
    trips_at_once, _ = await _round_trips(tenant, client, calls, AT_ONCE)
    tokens = of_two_kilobytes(tokens)
    await raw.flushall()
    await client.sessions.open(tokens, user="first")
    names = await raw.keys("*:session:*")
    sealed, size = await raw.get(names[0]), await raw.memory_usage(names[0])
    if not isinstance(sealed, bytes) or size is None:
        raise ValueError("the session was not stored")
    numbers = itertools.count()

    async def ours() -> None:
        await client.sessions.get(await client.sessions.open(tokens, user=f"user{next(numbers)}"))

    async def bare() -> None:
        name = f"bare:{next(numbers)}"
        await raw.set(name, sealed, px=3_600_000)
        await raw.get(name)

    found = {
        "alone": await _cpu(ours, calls, 1),
        "bare, alone": await _cpu(bare, calls, 1),
        "64 at once": await _cpu(ours, calls, AT_ONCE),
        "bare, 64 at once": await _cpu(bare, calls, AT_ONCE),
        "round trips, alone": trips_alone,
        "round trips, 64 at once": trips_at_once,
        "bytes": size,
    }
    found |= await _reading(client, raw, tokens, sealed, calls)
    await raw.flushall()
    return found | {"MB of a million": await _room(client, raw, tokens, calls * 20)}


async def _reading(
    client: PasswordlessClient, raw: Redis, tokens: TokenSet, sealed: bytes, calls: int
) -> dict[str, float]:
    """Return what it costs to read sessions, and as many bare texts of the same length."""
    opened = [await client.sessions.open(tokens, user=f"reader{number}") for number in range(min(calls, READ))]
    for number in range(len(opened)):
        await raw.set(f"read:{number}", sealed, px=3_600_000)
    sessions, names = itertools.cycle(opened), itertools.cycle(range(len(opened)))

    async def read() -> None:
        await client.sessions.get(next(sessions))

    async def bare() -> None:
        await raw.get(f"read:{next(names)}")

    found = {"read first, alone": await _cpu(read, len(opened), 1)}
    for how, at_once in (("alone", 1), ("64 at once", AT_ONCE)):
        found[f"read, {how}"] = await _cpu(read, calls, at_once)
        found[f"bare GET, {how}"] = await _cpu(bare, calls, at_once)
    return found


async def _cpu(do: Callable[[], Awaitable[None]], calls: int, at_once: int) -> float:
    """Return the microseconds of CPU time that one call takes."""
    began = time.process_time()
    await _times(do, calls, at_once)
    return (time.process_time() - began) / calls * 1e6


async def _times(do: Callable[[], Awaitable[None]], calls: int, at_once: int) -> None:
    waiting = iter(range(calls))

    async def some() -> None:
        for _ in waiting:
            await do()

    await asyncio.gather(*(some() for _ in range(at_once)))


async def _round_trips(
    tenant: LocalTenant, client: PasswordlessClient, calls: int, at_once: int
) -> tuple[float, TokenSet]:
    """Return the round trips of a login to the store, and the tokens of the last."""
    trips, last = 0, None
    ask = batches._by_connection  # noqa: SLF001 - what is counted

    async def counted(*arguments: Any) -> Any:  # noqa: ANN401 - its own
        nonlocal trips
        trips += 1
        return await ask(*arguments)

    numbers = itertools.count()

    async def log_in() -> None:
        nonlocal last
        who = Email(f"user{next(numbers)}@example.com")
        await client.start(who)
        last = await client.exchange(who, tenant.outbox.code_for(who), scope=SCOPE, audience=BOUND_API)
        await client.sessions.open(last)

    batches._by_connection = counted  # type: ignore[assignment]  # noqa: SLF001
    try:
        await _times(log_in, calls, at_once)
    finally:
        batches._by_connection = ask  # noqa: SLF001
    if last is None:
        raise ValueError("there were no logins")
    return trips / calls, last


def of_two_kilobytes(tokens: TokenSet) -> TokenSet:
    """Return tokens that are as long as those of a tenant with many claims: the access token makes up for it."""
    others = len(tokens.refresh_token or "") + len(tokens.id_token or "")
    head, payload, signature = tokens.access_token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    # Three bytes are four characters; what the member's name takes is in it.
    claims["permissions"] = "x" * ((TOKENS - others - len(tokens.access_token)) * 3 // 4 - len(',"permissions":""'))
    payload = base64.urlsafe_b64encode(json.dumps(claims, separators=(",", ":")).encode()).decode().rstrip("=")
    longer = f"{head}.{payload}.{signature}"
    return attrs.evolve(tokens, access_token=Secret(longer))


async def _room(client: PasswordlessClient, raw: Redis, tokens: TokenSet, sessions: int) -> float:
    """Return the megabytes that a million sessions would take, their users' lists included."""
    numbers = itertools.count()

    async def one() -> None:
        await client.sessions.open(tokens, user=f"auth0|{next(numbers):024}")

    before = (await raw.info("memory"))["used_memory"]
    await _times(one, sessions, AT_ONCE)
    after = (await raw.info("memory"))["used_memory"]
    return float((after - before) / sessions * _MILLION / 1e6)
