"""The connections to an upstream: how long they are open."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from helpers import sites, upstreams
from helpers.clients import until
from helpers.upstreams import READ, problem
from passwordless_async import PasswordlessClient
from passwordless_async.gateway import Upstream
from passwordless_async.gateway.proxy.pool import UpstreamPool

if TYPE_CHECKING:
    from helpers.upstreams import Front


async def test_it_is_closed_with_its_client_and_opened_again(front: Front) -> None:
    """No line of the application's is needed; a gateway whose connections were closed opens others."""
    browser = await front.logged_in()
    assert (await browser.get("/api/me", READ)).status == 200
    http = front.pool._http
    assert http is not None
    await front.site.gateway.aclose()
    assert http.closed is True
    assert (await browser.get("/api/me", READ)).status == 200
    again = front.pool._http
    assert again is not None
    assert isinstance(front.site.client, PasswordlessClient)
    await front.site.client.aclose()
    assert again.closed is True
    await front.site.client.__aenter__()
    assert (await browser.get("/api/me", READ)).status == 200


async def test_the_sessions_of_a_user_leave_connections_to_others() -> None:
    """However many there are: a call that takes long holds its connection."""
    async with upstreams.opened("asgi", upstream={"max_per_session": 1, "max_connections": 4}) as front:
        ada, bob = [await front.logged_in() for _ in range(3)], await front.logged_in(sites.BOB)
        waiting = [asyncio.create_task(each.get("/api/wait", READ)) for each in ada[:2]]
        await until(lambda: len(front.api.seen) == 2)
        assert problem(await ada[2].get("/api/me", READ)) == (429, "too_many_requests")
        assert (await bob.get("/api/me", READ)).status == 200
        front.api.go.set()
        assert [each.text for each in await asyncio.gather(*waiting)] == ["waited", "waited"]


@pytest.mark.parametrize(("per_session", "per_user"), [(50, (100, 1000)), (150, (150, 1000))])
def test_how_many_calls_a_user_has(per_session: int, per_user: tuple[int, int]) -> None:
    """Half of the connections, and never fewer than one session."""
    pool = UpstreamPool(Upstream("/api/", "https://api.example", max_per_session=per_session))
    assert (pool.traffic.per_user, pool.socket_traffic.per_user) == per_user
