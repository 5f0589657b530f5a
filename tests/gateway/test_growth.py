"""What a gateway holds after logins: its memories up to their bounds, and no object more for each login."""

from __future__ import annotations

import gc
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
import attrs
import pytest

from benchmarks.growth import timers
from benchmarks.moved_clock import MovedClock
from helpers import upstreams
from helpers.upstreams import READ
from passwordless_async import TESTING, Email, MemoryReplayStore, Profile
from passwordless_async._common import clock
from passwordless_async.client import refreshes
from passwordless_async.client.api import handovers
from passwordless_async.client.sessions import cache
from passwordless_async.gateway import cookies
from passwordless_async.resource_server import fetching, verified
from passwordless_async.testing import TenantSettings

if TYPE_CHECKING:
    from helpers.sites import Browser
    from helpers.upstreams import Front

LOGINS, BOUND = 16, 8
FORGETTING_SECONDS = 15 * 86_400.0  # twice as long as a store keeps a session without use
TENANT = TenantSettings(access_token_lifetime=30, messages_kept=1, requests_kept=1)
# The tenant and the API are in this process too. Containers are theirs as well.
OTHERS = ("passwordless_async.testing.", "passwordless_async.resource_server.", "passwordless_async.dpop.server.")
CONTAINERS = {
    "builtins.dict",
    "builtins.list",
    "builtins.tuple",
    "builtins.set",
    "builtins.frozenset",
    "collections.OrderedDict",
}
# asyncio keeps timers that were cancelled until there are a hundred; those that were not are counted apart.
TIMERS = {"asyncio.events.TimerHandle", "_contextvars.Context"}


def objects() -> Counter[str]:
    """Count the gateway's objects, by type."""
    gc.collect()
    names = (f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects())
    counted = Counter(name for name in names if name not in CONTAINERS | TIMERS and not name.startswith(OTHERS))
    return counted + Counter({"timers": timers()})


async def live(front: Front, browser: Browser, number: int) -> None:
    """Log a new user in and call an API, each time with new tokens; every second user logs out."""
    browser._session.cookie_jar.clear()
    await browser.log_in(Email(f"user{number}@example.com"))
    for _ in range(2):
        seen = await browser.get("/api/me", READ)
        assert seen.status == 200, (number, seen.text)
    if number % 2:
        await browser.post("/logout")
    front.api.seen.clear()


def bound_memories(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the memories that are bounded by number small, and forget what is kept for late callers at once."""
    for module, name in (
        (refreshes, "_REMEMBERED"),
        (handovers, "_REMEMBERED"),
        (cache, "_MAX_SESSIONS"),
        (cookies, "_MAX_KNOWN"),
        (verified, "_MAX_TOKENS"),
    ):
        monkeypatch.setattr(module, name, BOUND)
    monkeypatch.setattr(refreshes, "_KEEP_SECONDS", 0.001)


def be_patient(monkeypatch: pytest.MonkeyPatch) -> Profile:
    """Let the API live with a clock that is moved on in its process, and give requests time: all share a loop.

    Two weeks later the API fetches its keys again. By the moved clock its wall clock would be set back, so that it
    would refuse proofs as long as any is remembered.
    """
    monkeypatch.setattr(upstreams, "MemoryReplayStore", partial(MemoryReplayStore, clock=clock.now))
    monkeypatch.setattr(fetching, "_TIMEOUT", aiohttp.ClientTimeout(total=120.0))
    return attrs.evolve(TESTING, timeout=120.0)


@pytest.mark.slow
async def test_logins_leave_no_objects_beyond_the_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two weeks later, after as many logins again, there are as many objects of each type as before."""
    bound_memories(monkeypatch)
    profile = be_patient(monkeypatch)
    moved, counted = MovedClock(), []
    with moved.set():
        async with upstreams.opened("aiohttp-alone", TENANT, profile=profile, session_for=600.0) as front:
            browser = await front.site.browser()
            for number in range(3 * LOGINS):
                if number % LOGINS == 0:
                    moved.move(FORGETTING_SECONDS)
                await live(front, browser, number)
                if (number + 1) % LOGINS == 0:
                    counted.append(objects())
    grown = counted[-1] - counted[-2]
    # A leak is an object for each login, or for those who log out or do not.
    assert {name: number for name, number in grown.items() if number >= LOGINS // 4} == {}
