"""The connections to an upstream: how long they are open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.upstreams import READ
from passwordless_async import PasswordlessClient

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
