"""The application's own say."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import AsyncMock, Mock

import pytest

from helpers.sites import ADA, BOB, JSON
from passwordless_async import StoredSession, UsageError
from passwordless_async.gateway import Refused, Starting
from passwordless_async.gateway.hooks import Hooks, run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from helpers.sites import Site


def test_what_a_hook_gets_does_not_print() -> None:
    """Neither the user nor the address, also if they are plain texts."""
    who, address = cast("Any", ("ada@example.com", "203.0.113.7"))
    shown = repr(Starting(who=who, address=address, device="Firefox on Linux", language="en"))
    assert shown == "Starting(who=<redacted>, address=<redacted>, device='Firefox on Linux', language='en')"


async def test_before_start(serve: Callable[..., Awaitable[Site]]) -> None:
    """It sees who, and what it refuses is not sent; the page says when to come back."""
    seen: list[Starting] = []

    async def before_start(starting: Starting) -> None:
        seen.append(starting)
        if starting.who == BOB:
            raise Refused(status=429, retry_after=60.0)

    site = await serve(before_start=before_start)
    refused = await (await site.browser()).start(BOB)
    assert (refused.status, refused.headers["Retry-After"]) == (429, "60")
    assert refused.alert == "This is not allowed at the moment."
    browser = await site.browser()
    assert (await browser.start(ADA)).path == "/code"
    await browser.post("/code/resend")
    assert site.tenant.stats.codes_sent == 2
    assert [(each.who, each.device, each.language) for each in seen] == [
        (BOB, "Firefox on Linux", "en"),
        (ADA, "Firefox on Linux", "en"),
        (ADA, "Firefox on Linux", "en"),
    ]
    assert "example.com" not in repr(seen)


@pytest.mark.parametrize(("error", "status"), [(Refused("access_denied"), 403), (ValueError("x"), 500)])
async def test_after_login(serve: Callable[..., Awaitable[Site]], error: Exception, status: int) -> None:
    """A session that is refused has ended, its tokens are revoked, and the browser has no cookie of it."""
    seen: list[StoredSession] = []

    async def after_login(session: StoredSession) -> None:
        seen.append(session)
        raise error

    site = await serve(after_login=after_login)
    browser = await site.browser()
    refused = await browser.log_in()
    assert (refused.status, browser.cookie("session"), refused.title) == (status, None, "That did not work")
    assert site.tenant.stats.revoke_requests == 1
    # Of a refusal nothing is left to try again with: the code is spent.
    assert (browser.cookie("login") is None) == (status == 403)
    browser.set_cookie("session", seen[0].id)
    assert (await browser.get("/", JSON)).status == 401


async def test_after_login_may_keep_data(serve: Callable[..., Awaitable[Site]]) -> None:
    """The application's own, beside the device."""

    async def after_login(session: StoredSession) -> None:
        await site.client.sessions.update(session.id, data={"basket": 3})

    site = await serve(after_login=after_login)
    browser = await site.browser()
    await browser.log_in()
    session = await site.client.sessions.get(browser.cookie("session") or "")
    assert session.data == {"device": "Firefox on Linux", "basket": 3}


async def test_before_end(serve: Callable[..., Awaitable[Site]]) -> None:
    """What it refuses does not end; a browser without a session is not asked about."""
    asked: list[str] = []

    async def before_end(session: StoredSession) -> None:
        asked.append(session.name)
        raise Refused

    site = await serve(before_end=before_end)
    browser, other = await site.browser(), await site.browser()
    await browser.log_in()
    await other.log_in()
    for path in ("/logout", "/sessions/end-others", "/sessions/end"):
        assert (await browser.post(path, {"name": "x"})).status == 403
    assert (len(asked), (await browser.get("/")).path, (await other.get("/")).path) == (3, "/", "/")
    assert (await (await site.browser()).post("/logout")).path == "/logged-out"


async def test_hooks_that_are_not_async(serve: Callable[..., Awaitable[Site]]) -> None:
    """They are called as the async ones are, as ``on_refresh`` and ``on_orphan`` of the client."""
    asked: list[str] = []
    site = await serve(
        before_start=lambda starting: asked.append(starting.who.address),
        after_login=lambda session: asked.append(session.name),
        before_end=functools.partial(_refuse, asked),
    )
    browser = await site.browser()
    assert (await browser.log_in()).status == 200
    assert (await browser.post("/logout")).status == 403
    session = await site.client.sessions.get(browser.cookie("session") or "")
    assert asked == [ADA.address, session.name, session.name]


def _refuse(asked: list[str], session: StoredSession) -> None:
    asked.append(session.name)
    raise Refused


async def test_mocks_are_hooks(serve: Callable[..., Awaitable[Site]]) -> None:
    """An ``AsyncMock`` is awaited, a ``Mock`` that returns None is not."""
    before, after = AsyncMock(), Mock(return_value=None)
    site = await serve(before_start=before, after_login=after)
    assert (await (await site.browser()).log_in()).status == 200
    assert (before.await_count, after.call_count) == (1, 1)


@pytest.mark.parametrize("name", ["before_start", "after_login", "before_end"])
def test_what_is_no_function(name: str) -> None:
    """The error names the argument."""
    given: Any = {name: "x"}
    with pytest.raises(UsageError) as refused:
        Hooks(**given)
    assert str(refused.value) == f"{name}: must be a function, not str"


@pytest.mark.parametrize("given", [False, object, lambda: None], ids=["false", "class", "function"])
async def test_what_a_hook_returns_by_mistake(given: Any) -> None:
    """It raises, so that the login ends: a hook that was meant to refuse is not passed by."""
    with pytest.raises(TypeError):
        await run(lambda _value: given, 1)
