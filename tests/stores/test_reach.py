"""Asking a store that may be gone: who looks whether it is back, what the others have meanwhile, and what is told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from passwordless_async import MemoryStore, StoreUnavailable
from passwordless_async.client.events import Emitter, StoreLost, StoreRegained, Use
from passwordless_async.client.shared.availability import Availability
from passwordless_async.stores.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import Awaitable

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

    def ask(self, use: Use = C) -> Awaitable[str]:
        return self.availability.ask(use, self._question, "otherwise")


async def test_a_store_that_is_there_is_asked():
    """Each question goes to it, and nothing is told."""
    asked = Asked()
    assert ["answer"] * 10 == await asyncio.gather(*(asked.ask() for _ in range(10)))
    assert (10, []) == (asked.times, asked.events)


async def test_a_loss_is_told_once_for_each_use(clock: Any):
    """However many notice; and so is that it is back, when that use has an answer."""
    asked = Asked()
    asked.away = True
    assert ["otherwise"] * 20 == await asyncio.gather(*(asked.ask() for _ in range(20)))
    await asked.ask(Q)
    clock.time += REST
    await asked.ask(Q)
    assert [StoreLost(C), StoreLost(Q)] == asked.events
    asked.away = False
    clock.time += REST
    assert ["answer", "answer", "answer"] == [await asked.ask(use) for use in (Q, C, N)]
    assert [StoreRegained(Q), StoreRegained(C)] == asked.events[2:]
    asked.away = True
    await asked.ask(Q)
    assert [StoreLost(Q)] == asked.events[4:]


async def test_a_store_that_is_away_is_left_alone_for_a_while(clock: Any):
    """It is asked once in a second at the most; the others go on without it at once."""
    asked = Asked()
    asked.away = True
    await asked.ask()
    for _ in range(10):
        for _ in range(50):
            assert "otherwise" == await asked.ask()
            clock.time += REST / 50
    assert 10 <= asked.times <= 11


@pytest.mark.parametrize("away", [True, False])
async def test_one_looks_whether_it_is_back(clock: Any, away: bool):  # noqa: FBT001 - a parameter
    """However long that takes the others do not wait for it, and do not look as well; afterwards all ask, or none."""
    asked = Asked()
    asked.away = True
    await asked.ask()
    clock.time += REST
    asked.hangs, asked.away = asyncio.Event(), away
    looks = asyncio.create_task(asked.ask())
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        for _ in range(10):
            assert ["otherwise"] * 10 == await asyncio.gather(*(asked.ask() for _ in range(10)))
            clock.time += REST
    assert 2 == asked.times
    asked.hangs.set()
    asked.hangs = None
    assert ("otherwise" if away else "answer") == await looks
    assert ["otherwise" if away else "answer"] * 3 == [await asked.ask() for _ in range(3)]


async def test_who_looks_may_stop(clock: Any):
    """Where whoever looks is cancelled, or fails for another reason, the next one looks."""
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
    assert "answer" == await asked.ask()


async def test_an_answer_from_before_the_loss_hides_nobody_who_looks(clock: Any):
    """Of those who asked before it was lost one may have an answer still: nobody is told to look for ever."""
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
    assert "answer" == await before
    asked.hangs.set()
    asked.hangs = None
    assert ["answer", "answer"] == [await looks, await asked.ask()]


async def test_what_nobody_waits_for_is_told_in_the_end():
    """Closing gives it some time, and ends what takes longer."""
    asked, done = Asked(), []

    async def tell(seconds: float) -> None:
        await asyncio.sleep(seconds)
        done.append(seconds)

    tasks = [asked.availability.in_background(tell(seconds)) for seconds in (0.0, 60.0)]
    await asked.availability.aclose(grace=0.05)
    await asyncio.wait(tasks)
    assert ([0.0], [False, True]) == (done, [task.cancelled() for task in tasks])
    await asked.availability.aclose(grace=0.05)


async def test_a_server_that_hangs_holds_up_one_for_its_time(redis_server: Any):
    """Who asks while it hangs waits for the store's time and no longer, and after the first loss nobody does."""
    async with RedisStore(redis_server.url, keys=MemoryStore().keys, timeout=0.3) as store:
        events: list[Any] = []
        availability = Availability(store, Emitter(events.append))
        assert None is await availability.ask(N, lambda: store.nonce("origin"), "otherwise")
        redis_server.pause()
        loop = asyncio.get_running_loop()
        began = loop.time()
        asks = [availability.ask(N, lambda: store.nonce("origin"), "otherwise") for _ in range(300)]
        assert ["otherwise"] * 300 == await asyncio.gather(*asks)
        assert loop.time() - began < 0.3 + 0.5
        began = loop.time()
        assert "otherwise" == await availability.ask(N, lambda: store.nonce("origin"), "otherwise")
        assert loop.time() - began < 0.1
        redis_server.resume()
        async with asyncio.timeout(30):
            while await availability.ask(N, lambda: store.nonce("origin"), "otherwise"):  # noqa: ASYNC110 - it says nothing
                await asyncio.sleep(0.02)
        assert [StoreLost(N), StoreRegained(N)] == events
