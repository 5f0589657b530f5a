"""Asking a store that may be unreachable: fallbacks, probes and events."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from helpers.machines import ADA, machines
from helpers.timing import ends_at_once, ends_within
from passwordless_async import INTERACTIVE, KeyRing, MemoryStore, StoreUnavailable
from passwordless_async.client.events import Emitter, StoreLost, StoreRegained, Use
from passwordless_async.client.shared.availability import Availability
from passwordless_async.stores.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import Coroutine


C, Q, N = Use.CODES, Use.QUOTA, Use.NONCES


REST = 1.0


class Asked:
    """A store that is asked one thing; each question waits for the test where it is told to."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.availability = Availability(MemoryStore(), Emitter(self.events.append))
        self.away = False
        self.times = 0
        self.hangs: asyncio.Event | None = None

    async def _question(self) -> str:
        self.times += 1
        if self.hangs is not None:
            await self.hangs.wait()
        if self.away:
            raise StoreUnavailable("away")
        return "answer"

    def ask(self, use: Use = C) -> Coroutine[Any, Any, str]:
        return self.availability.ask(use, self._question, "otherwise")


async def test_a_reachable_store_is_asked_each_time() -> None:
    """Each question goes to it, and no event is emitted."""
    asked = Asked()
    assert await asyncio.gather(*(asked.ask() for _ in range(10))) == ["answer"] * 10
    assert (asked.times, asked.events) == (10, [])


async def test_a_loss_is_emitted_once_for_each_use(clock: Any) -> None:
    """However many callers notice. The return is emitted when that use has an answer again."""
    asked = Asked()
    asked.away = True
    assert await asyncio.gather(*(asked.ask() for _ in range(20))) == ["otherwise"] * 20
    await asked.ask(Q)
    clock.time += REST
    await asked.ask(Q)
    assert asked.events == [StoreLost(C), StoreLost(Q)]
    asked.away = False
    clock.time += REST
    assert [await asked.ask(use) for use in (Q, C, N)] == ["answer", "answer", "answer"]
    assert asked.events[2:] == [StoreRegained(Q), StoreRegained(C)]
    asked.away = True
    await asked.ask(Q)
    assert asked.events[4:] == [StoreLost(Q)]


async def test_an_unreachable_store_is_asked_once_a_second(clock: Any) -> None:
    """All other callers go on without it at once."""
    asked = Asked()
    asked.away = True
    await asked.ask()
    for _ in range(10):
        for _ in range(50):
            assert await asked.ask() == "otherwise"
            clock.time += REST / 50
    assert 10 <= asked.times <= 11


@pytest.mark.parametrize("away", [True, False])
async def test_one_caller_probes_whether_the_store_is_back(clock: Any, away: bool) -> None:  # noqa: FBT001 - a parameter
    """The others neither wait for the probe nor probe as well; afterwards all ask, or none."""
    asked = Asked()
    asked.away = True
    await asked.ask()
    clock.time += REST
    asked.hangs, asked.away = asyncio.Event(), away
    looks = asyncio.create_task(asked.ask())
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        for _ in range(10):
            assert await asyncio.gather(*(asked.ask() for _ in range(10))) == ["otherwise"] * 10
            clock.time += REST
    assert asked.times == 2
    asked.hangs.set()
    asked.hangs = None
    assert await looks == ("otherwise" if away else "answer")
    assert [await asked.ask() for _ in range(3)] == ["otherwise" if away else "answer"] * 3


async def test_a_cancelled_probe_is_followed_by_another(clock: Any) -> None:
    """So is one that failed for another reason."""
    asked = Asked()
    asked.away = True
    await asked.ask()
    clock.time += REST
    asked.hangs = asyncio.Event()
    looks = asyncio.create_task(asked.ask())
    await asyncio.sleep(0)
    looks.cancel()
    await asyncio.wait([looks])

    async def broken() -> None:
        raise RuntimeError("of the store's own")

    with pytest.raises(RuntimeError):
        await asked.availability.ask(C, broken, None)
    asked.hangs, asked.away = None, False
    assert await asked.ask() == "answer"


async def test_an_answer_from_before_the_loss_does_not_end_the_probe(clock: Any) -> None:
    """A caller that asked before the loss may still get an answer; no caller probes for ever."""
    asked = Asked()
    asked.hangs = early = asyncio.Event()
    before = asyncio.create_task(asked.ask())
    await asyncio.sleep(0)
    asked.hangs, asked.away = None, True
    await asked.ask()
    clock.time += REST
    asked.hangs = asyncio.Event()
    looks = asyncio.create_task(asked.ask())
    await asyncio.sleep(0)
    asked.away = False
    early.set()
    assert await before == "answer"
    asked.hangs.set()
    asked.hangs = None
    assert [await looks, await asked.ask()] == ["answer", "answer"]


async def test_closing_gives_reports_in_the_background_some_time() -> None:
    """Reports that take longer are ended."""
    asked = Asked()
    tasks = [asked.availability.in_background(tell()) for tell in (partial(asyncio.sleep, 0), asyncio.Event().wait)]
    await asked.availability.aclose(grace=0.05)
    await asyncio.wait(tasks)
    assert [task.cancelled() for task in tasks] == [False, True]
    await asked.availability.aclose(grace=0.05)


@pytest.mark.slow
async def test_a_hanging_server_delays_callers_once(redis_server: Any) -> None:
    """Callers wait for the store's time-out and no longer, and after the first loss not at all."""
    async with RedisStore(redis_server.url, keys=MemoryStore().keys, timeout=0.3) as store:
        events: list[Any] = []
        availability = Availability(store, Emitter(events.append))
        assert await availability.ask(N, lambda: store.nonce("origin"), "otherwise") is None
        redis_server.pause()
        asking = asyncio.gather(*(availability.ask(N, lambda: store.nonce("origin"), "otherwise") for _ in range(300)))
        assert await ends_within(0.3 + 0.5, asking)
        assert asking.result() == ["otherwise"] * 300
        assert await ends_at_once(availability.ask(N, lambda: store.nonce("origin"), "otherwise"))
        redis_server.resume()
        async with asyncio.timeout(30):
            while await availability.ask(N, lambda: store.nonce("origin"), "otherwise"):  # noqa: ASYNC110 - only polling tells
                await asyncio.sleep(0.02)
        assert events == [StoreLost(N), StoreRegained(N)]


@pytest.mark.slow
async def test_without_the_store_each_process_goes_on_alone(start_redis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logins succeed while the server is unreachable and after it is back; both are emitted once for each use."""
    server = start_redis()
    profile = attrs.evolve(INTERACTIVE, requests_per_second=1000, cool_down=0.0)
    async with RedisStore(server.url, keys=KeyRing(b"k" * 32, users=b"u" * 32), timeout=0.5) as store:
        async with machines(lambda: store, 1, profile=profile) as (tenant, (client,), events):
            monkeypatch.setattr(client._peers.availability, "_retry_seconds", 0.05)
            monkeypatch.setattr(client._peers.nonces, "_poll_seconds", 0.0)

            async def log_in() -> None:
                await client.start(ADA)
                await client.exchange(ADA, tenant.outbox.code_for(ADA))

            await log_in()
            assert [event for event in events if isinstance(event, StoreLost)] == []
            server.kill()
            for _ in range(3):
                await log_in()
            lost = [event.use for event in events if isinstance(event, StoreLost)]
            assert set(lost) == set(Use)
            assert len(lost) == len(set(lost))
            server.restart()
            async with asyncio.timeout(30):
                while {event.use for event in events if isinstance(event, StoreRegained)} != set(Use):
                    await log_in()
            assert tenant.stats.presented_again == 0


async def test_closing_waits_until_reports_have_ended() -> None:
    """One that is cancelled may have something to put back first."""
    ended: list[str] = []

    async def report() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            ended.append("report")

    availability = Availability(MemoryStore(), Emitter(None))
    availability.in_background(report())
    await asyncio.sleep(0)
    await availability.aclose(grace=0.0)
    assert ended == ["report"]
