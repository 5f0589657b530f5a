"""Four gateway processes on one store: what they share is proven, not timed.

Each user is sent a code by one gateway, exchanges it at another, and has the session read by any of them. Then every
gateway is asked for what another has used up: a start within the cool-down, a spent code, a replayed proof.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from typing import TYPE_CHECKING, Any

import attrs

from benchmarks.gateway import API, Site, site
from benchmarks.measure import Series
from benchmarks.redis_server import redis_server
from benchmarks.report import Bar, Report, Row
from passwordless_async import DPoPKey, Email, ProofGenerator, TransportError
from passwordless_async.testing import Fault, TenantSettings, User
from passwordless_async.testing.process.child import CallFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from passwordless_async.testing.process.child import ChildProcess

SUMMARY = "Four gateway processes on one store: one quota, one nonce, and nothing is used twice"
HOW = (
    "counted by the tenant and the gateways; each user is sent a code by one gateway and logs in at another, 128 at "
    "once, within a quota of 400 requests a second"
)
PACKAGES = ("passwordless-async", "redis", "aiohttp")
ROUNDS, MIN_ROUNDS, CALLS, COUNTED = 1, 1, 1000, "logins"

PROCESSES, QUOTA = 4, 400  # gateways; requests a second that they share
_SPARE = 40  # more that the tenant takes: on a busy machine some requests come late, and meet the next ones
_AT_ONCE = 128  # logins
_GUESTS = 10  # users that the checks add
_LIFETIME = 600.0  # seconds that sessions stay in the store
_CODE_LIFETIME = 3600.0  # seconds; a slow machine is no failure
_STORE_TIMEOUT = 10.0  # seconds, for the same reason
_REFRESH_SECONDS = 0.7  # that the refresh takes while all gateways ask for it

# What must come out: the figure's name, and the only value that passes.
EXPECTED = {
    "logins that failed": 0,
    "requests answered 429": 0,
    "nonce challenges": 1,
    "codes presented for a login": 1,
    "second codes sent within the cool-down": 0,
    "spent codes that a gateway presented": 0,
    "replayed proofs that a gateway accepted": 0,
    "refreshes of a session that all refresh at once": 1,
}


def run(rounds: int, calls: int) -> Report:
    """Prove it on a server of its own for each round."""
    found: dict[str, list[float]] = {}
    failures: list[str] = []
    for _ in range(rounds):
        with redis_server() as url:
            for name, figure in asyncio.run(prove(url, calls, failures)).items():
                found.setdefault(name, []).append(figure)
    series = {name: Series(tuple(figures)) for name, figures in found.items()}
    notes = {"logins that failed": failures[0]} if failures else {}
    rows = [Row(name, figures, notes=notes.get(name, "")) for name, figures in series.items()]
    bars = [Bar(name, series[name], must=value, goal=value) for name, value in EXPECTED.items()]
    return Report("gateways", SUMMARY, HOW, "as named", PACKAGES, rows, bars)


async def prove(store: str, logins: int, failures: list[str]) -> dict[str, float]:
    """Return the figures; why logins failed is added to ``failures``."""
    tenant = TenantSettings(
        code_lifetime=_CODE_LIFETIME,
        messages_kept=logins + _GUESTS,
        requests_kept=1,
        requests_per_second=QUOTA + _SPARE,
    )
    settings = {"requests_per_second": QUOTA, "store_timeout": _STORE_TIMEOUT, "lifetime": _LIFETIME}
    async with site(store, tenant, **settings) as place:
        proof = _Proof(place, [await place.start() for _ in range(PROCESSES)], failures)
        return {
            **await proof.crowd(logins),
            "second codes sent within the cool-down": await proof.start_again(),
            "spent codes that a gateway presented": await proof.present_again(),
            "replayed proofs that a gateway accepted": await proof.replay(),
            "refreshes of a session that all refresh at once": await proof.refresh(),
        }


@attrs.define
class _Proof:
    _site: Site
    _gateways: Sequence[ChildProcess]
    _failures: list[str]
    _sessions: dict[str, str] = attrs.field(factory=dict, repr=False)
    _chance: random.Random = attrs.field(factory=lambda: random.Random(0))  # noqa: S311 - no secret

    async def crowd(self, logins: int) -> dict[str, float]:
        """Log everyone in, at one gateway after another."""
        waiting = iter([f"user{number:06}@example.com" for number in range(logins)])

        async def work() -> None:
            for who in waiting:
                try:
                    self._sessions[who] = await self._log_in(who)
                except (CallFailed, TransportError, LookupError) as error:
                    self._failures.append(f"{type(error).__name__}: {error}")

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(_AT_ONCE)))
        seconds = time.perf_counter() - began
        stats = await self._site.tenant.stats()
        counts = [await gateway.call("counts") for gateway in self._gateways]
        return {
            "seconds": seconds,
            "requests a second": stats.wire_requests / seconds,
            "logins that failed": logins - len(self._sessions),
            "requests answered 429": sum(count.get("answered 429", 0) for count in counts),
            "nonce challenges": stats.nonce_challenges,
            "codes presented for a login": stats.codes_presented / logins,
        }

    async def _log_in(self, who: str) -> str:
        started, exchanged, read = self._chance.choices(self._gateways, k=3)
        await started.call("start", user=who)
        opened = await exchanged.call("login", user=who, code=await self._site.tenant.code_for(Email(who)))
        found = await read.call("get", session=opened["session"])
        if found["user"] != User.of(Email(who)).subject:
            raise LookupError("a session is another user's")
        return str(opened["session"])

    async def start_again(self) -> int:
        """Count the gateways that send a user a second code within the cool-down."""
        request = {"user": "impatient@example.com"}
        await self._gateways[0].call("start", **request)
        return await self._not_refused("start", request, error="cooling_down")

    async def present_again(self) -> int:
        """Count the gateways that present a code which another has presented."""
        who, first = "twice@example.com", self._gateways[0]
        await first.call("start", user=who)
        request = {"user": who, "code": await self._site.tenant.code_for(Email(who))}
        await first.call("login", **request)
        return await self._not_refused("login", request, error="code_spent")

    async def replay(self) -> int:
        """Count the gateways that accept a proof which another has accepted."""
        key, token, url = DPoPKey.generate(), secrets.token_urlsafe(), f"{API}/me"
        proof = ProofGenerator(key).proof("GET", url, access_token=token)
        request = {"url": url, "token": token, "proof": proof, "jkt": key.thumbprint}
        await self._gateways[-1].call("verify", **request)
        return await self._not_refused("verify", request, error="invalid_dpop_proof")

    async def refresh(self) -> int:
        """Count the refreshes of a session that all gateways refresh at once."""
        if not self._sessions:
            return 0
        session, tenant = next(iter(self._sessions.values())), self._site.tenant
        before = (await tenant.stats()).refresh_rotations
        # Slow, so that all ask while it is in flight: a later caller would refresh once more, and rightly.
        await tenant.add_fault(Fault.SLOW, path="/oauth/token", times=1, delay=_REFRESH_SECONDS)
        await asyncio.gather(*(gateway.call("refresh", session=session) for gateway in self._gateways))
        return (await tenant.stats()).refresh_rotations - before

    async def _not_refused(self, call: str, request: dict[str, Any], *, error: str) -> int:
        """Count the gateways that do not refuse a call with an error's code."""
        return [await _code(gateway.call(call, **request)) == error for gateway in self._gateways].count(False)


async def _code(call: Any) -> str | None:  # noqa: ANN401 - any awaitable
    try:
        await call
    except CallFailed as refused:
        return str(refused)
    return None
