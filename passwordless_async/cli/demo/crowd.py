"""``demo --processes``: a crowd meets several gateways that share a store, and what they share is proven.

Each user has a code sent by one process, exchanges it on another, and has the session read by any of them.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async.auth0.identity import Email
from passwordless_async.cli.demo.checks import Check, Miss
from passwordless_async.cli.demo.gateway import GatewaySettings
from passwordless_async.cli.demo.gateway_process import GatewayProcess, Refused
from passwordless_async.dpop import DPoPKey, ProofGenerator
from passwordless_async.errors import PasswordlessError
from passwordless_async.stores import KeyRing
from passwordless_async.stores.redis import RedisStore
from passwordless_async.testing import Fault, TenantProcess, TenantSettings, User

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from passwordless_async.cli.terminal import show
    from passwordless_async.testing import TenantStats

QUOTA = 400  # requests a second that the gateways share
_SPARE = 40  # more that the tenant takes: on a busy machine some requests come late, and meet the next ones
_KEPT = 600.0  # seconds that sessions stay in the store
_CODE_LIFETIME = 3600.0  # seconds; a slow machine is no failure
_STORE_TIMEOUT = 10.0  # seconds, for the same reason
_API = "https://api.example"
_WHILE = 0.7  # seconds
_GUESTS = 10  # users whom the checks add


@attrs.frozen
class Crowd:
    """Who logged in, and how.

    Attributes:
        sessions: The session of each.
        failures: Why the others have none.
        seconds: How long it took.
        stats: What the tenant had counted by then.
        counts: What each gateway had.
    """

    sessions: dict[str, str] = attrs.field(repr=False)
    failures: Sequence[str]
    seconds: float
    stats: TenantStats
    counts: Sequence[dict[str, Any]]

    def figures(self) -> dict[str, Any]:
        """Return the figures under the names of the JSON output."""
        return {
            "processes": len(self.counts),
            "logins": len(self.sessions),
            "failures": len(self.failures),
            "seconds": round(self.seconds, 3),
            "requests_per_second": round(self.stats.wire_requests / self.seconds, 1),
            "quota": QUOTA,
            "answered_429": sum(counts.get("answered 429", 0) for counts in self.counts),
            "nonce_challenges": self.stats.nonce_challenges,
        }


@attrs.frozen
class Stage:
    """A tenant and its gateways."""

    tenant: TenantProcess
    gateways: Sequence[GatewayProcess]
    chance: random.Random = attrs.field(factory=lambda: random.Random(0))  # noqa: S311 - no secret

    async def log_in(self, who: str) -> str:
        """Log a user in, on one process after another; returns the session."""
        asked, exchanged, read = self.chance.choices(self.gateways, k=3)
        await asked.call("start", user=who)
        opened = await exchanged.call("login", user=who, code=await self.tenant.code_for(Email(who)))
        found = await read.call("get", session=opened["session"])
        if found["user"] != User.of(Email(who)).subject:
            raise Miss("a session is another user's")
        return str(opened["session"])

    async def all_refuse(self, what: str, call: str, arguments: dict[str, Any], *, error: str) -> None:
        """Expect every process to refuse something with an error."""
        for gateway in self.gateways:
            try:
                await gateway.call(call, **arguments)
            except Refused as refused:
                if refused.code != error:
                    raise Miss(f"{what}: refused as {refused.code}") from None
            else:
                raise Miss(f"{what}: not refused")


async def gathered(
    users: int, processes: int, store: str, *, concurrency: int, bar: show.Bar
) -> tuple[Crowd, dict[Check, str | None]]:
    """Log a crowd in and make every check; returns what each found wrong, None where it found nothing."""
    of_tenant = TenantSettings(
        code_lifetime=_CODE_LIFETIME, messages_kept=users + _GUESTS, requests_kept=1, requests_per_second=QUOTA + _SPARE
    )
    async with AsyncExitStack() as stack:
        await _look(store)
        tenant = await stack.enter_async_context(TenantProcess(of_tenant))
        settings = GatewaySettings(
            tenant=tenant.url,
            client_id=tenant.public_client_id,
            store=store,
            # Its own, so that it meets nothing that is there, and nobody reads what it leaves.
            prefix=f"pa-demo-{secrets.token_hex(8)}",
            keys=(secrets.token_hex(32),),
            users=secrets.token_hex(32),
            requests_per_second=QUOTA,
            store_timeout=_STORE_TIMEOUT,
            lifetime=_KEPT,
        )
        gateways = [await stack.enter_async_context(GatewayProcess(settings)) for _ in range(processes)]
        stage = Stage(tenant, gateways)
        crowd = await _crowd(stage, users, concurrency, bar.phase("Logging in", users, "logins"))
        return crowd, {check: await _finding(check, stage, crowd) for check in CHECKS}


async def _look(store: str) -> None:
    """Raise what is wrong with a store, before many processes do."""
    ring = KeyRing(secrets.token_bytes(32), users=secrets.token_bytes(32))
    async with RedisStore(store, keys=ring, timeout=_STORE_TIMEOUT) as reached:
        await reached.nonce("demo")


async def _crowd(stage: Stage, users: int, concurrency: int, tick: Callable[[], None]) -> Crowd:
    sessions: dict[str, str] = {}
    failures: list[str] = []
    waiting = iter([f"user{number:06}@example.com" for number in range(users)])

    async def log_in() -> None:
        for who in waiting:
            try:
                sessions[who] = await stage.log_in(who)
            except (Refused, PasswordlessError, LookupError, Miss) as error:
                failures.append(str(error))
            tick()

    began = _clock.monotonic()
    await asyncio.gather(*(log_in() for _ in range(concurrency)))
    seconds = _clock.monotonic() - began
    counts = [await gateway.call("counts") for gateway in stage.gateways]
    return Crowd(sessions, failures, seconds, await stage.tenant.stats(), counts)


async def everybody_logged_in(_stage: Stage, crowd: Crowd) -> None:
    """No login failed."""
    if crowd.failures:
        raise Miss(f"{len(crowd.failures):,} did not, the first of them: {crowd.failures[0]}")


async def quota_kept(_stage: Stage, crowd: Crowd) -> None:
    """The tenant refused no request for coming too early."""
    refused = crowd.figures()["answered_429"]
    if refused:
        raise Miss(f"{refused:,} requests were answered 429")


async def one_challenge(_stage: Stage, crowd: Crowd) -> None:
    """The nonce that one process fetched served the others."""
    if crowd.stats.nonce_challenges != 1:
        raise Miss(f"there were {crowd.stats.nonce_challenges:,} challenges")


async def codes_presented_once(_stage: Stage, crowd: Crowd) -> None:
    """The tenant was presented each code once."""
    if crowd.stats.presented_again or crowd.stats.codes_presented != len(crowd.sessions):
        raise Miss(f"{crowd.stats.codes_presented:,} codes were presented for {len(crowd.sessions):,} logins")


async def cool_down_shared(stage: Stage, _crowd: Crowd) -> None:
    """No process kills the code that another has just asked for."""
    request = {"user": "impatient@example.com"}
    await stage.gateways[0].call("start", **request)
    await stage.all_refuse("another code", "start", request, error="cooling_down")


async def spent_code_refused(stage: Stage, _crowd: Crowd) -> None:
    """A code that one process presented is presented by no other."""
    who, first = "twice@example.com", stage.gateways[0]
    await first.call("start", user=who)
    request = {"user": who, "code": await stage.tenant.code_for(Email(who))}
    await first.call("login", **request)
    await stage.all_refuse("a spent code", "login", request, error="code_spent")


async def replay_refused(stage: Stage, _crowd: Crowd) -> None:
    """A proof that one process accepted is refused by all."""
    key, token, url = DPoPKey.generate(), secrets.token_urlsafe(), f"{_API}/me"
    proof = ProofGenerator(key).proof("GET", url, access_token=token)
    request = {"url": url, "token": token, "proof": proof, "jkt": key.thumbprint}
    await stage.gateways[-1].call("verify", **request)
    await stage.all_refuse("a replayed proof", "verify", request, error="invalid_dpop_proof")


async def refreshed_once(stage: Stage, crowd: Crowd) -> None:
    """A session that all processes refresh at once is refreshed by one of them."""
    if not crowd.sessions:
        raise Miss("nobody is logged in")
    session = next(iter(crowd.sessions.values()))
    before = (await stage.tenant.stats()).refresh_rotations
    # All ask while one is at it: whoever came later would refresh once more, and rightly.
    await stage.tenant.add_fault(Fault.SLOW, path="/oauth/token", times=1, delay=_WHILE)
    await asyncio.gather(*(gateway.call("refresh", session=session) for gateway in stage.gateways))
    rotations = (await stage.tenant.stats()).refresh_rotations - before
    if rotations != 1:
        raise Miss(f"its refresh token was exchanged {rotations:,} times")


CHECKS = (
    Check("everybody_logged_in", "Codes asked for on one process are exchanged on another", everybody_logged_in),
    Check("quota_kept", "All processes together stay within the quota", quota_kept),
    Check("one_challenge", "One nonce challenge serves all processes", one_challenge),
    Check("codes_presented_once", "Every code was presented once", codes_presented_once),
    Check("cool_down_shared", "A user is sent no second code by another process", cool_down_shared),
    Check("spent_code_refused", "A spent code is presented by no process", spent_code_refused),
    Check("replay_refused", "A replayed proof is refused by every process", replay_refused),
    Check("refreshed_once", "A session that all refresh at once is refreshed once", refreshed_once),
)


async def _finding(check: Check, stage: Stage, crowd: Crowd) -> str | None:
    try:
        await check.run(stage, crowd)
    except (Miss, Refused, PasswordlessError, LookupError) as problem:
        return str(problem)
    return None
