"""A user's session: renewal in time and on refusal, each new token set handed over exactly once."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import attrs
import pytest
from aiohttp import web

from passwordless_async import (
    TESTING,
    CircuitOpen,
    DPoPKey,
    Email,
    InvalidRefreshToken,
    NotSent,
    OutcomeUnknown,
    PasswordlessError,
    QuotaExceeded,
    RateLimited,
    TokenSet,
    UsageError,
)
from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import Secret
from passwordless_async.client.client import PasswordlessClient
from passwordless_async.errors import TemporarilyUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from passwordless_async.client.api.user_session import UserSession
    from passwordless_async.testing import LocalTenant


def tokens(number: int = 0, *, lifetime: int | None = 3600, refresh: bool = True) -> TokenSet:
    return TokenSet(
        Secret(f"access-{number}"),
        "DPoP",
        None if lifetime is None else int(time.time()) + lifetime,
        "",
        Secret(f"refresh-{number}") if refresh else None,
        None,
        None,
        DPoPKey.generate(),
    )


class Refreshes:
    """A refresh in the place of the client's: counts, and fails when told."""

    def __init__(self) -> None:
        self.spent: list[str] = []
        self.error: Exception | None = None
        self.lifetime = 3600
        self.rotates = True
        self.kept: list[TokenSet] = []

    async def __call__(self, request: Any, _departure: object, _policy: object) -> TokenSet:
        stale: TokenSet = request.tokens
        self.spent.append(str(stale.refresh_token))
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        number = len(self.spent)
        return attrs.evolve(
            stale,
            access_token=Secret(f"access-{number}"),
            refresh_token=Secret(f"refresh-{number}") if self.rotates else stale.refresh_token,
            expires_at=int(_clock.now()) + self.lifetime,
        )


@asynccontextmanager
async def api(good: set[str]) -> AsyncIterator[tuple[str, list[str]]]:
    """An API that takes these access tokens and answers 401 invalid_token to others."""
    seen: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        token = request.headers["Authorization"].removeprefix("DPoP ")
        await request.read()
        seen.append(token)
        if token in good:
            return web.json_response({"as": token})
        return web.Response(status=401, headers={"WWW-Authenticate": 'DPoP error="invalid_token", algs="ES256"'})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", seen
    await runner.cleanup()


@pytest.fixture
def refreshes() -> Refreshes:
    """Make refreshes that succeed."""
    return Refreshes()


@pytest.fixture
async def client(refreshes: Refreshes, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PasswordlessClient]:
    """Open a client whose refresh is the test's."""
    async with PasswordlessClient("acme.eu.auth0.com", "client", profile=TESTING) as opened:
        monkeypatch.setattr(opened._refreshes, "_refresh", refreshes)
        yield opened


async def test_good_tokens_are_used_as_they_are(client: PasswordlessClient, refreshes: Refreshes) -> None:
    """Nothing is refreshed that need not be."""
    async with api({"access-0"}) as (url, seen):
        async with client.request(tokens(), "GET", f"{url}/me", on_refresh=refreshes.kept.append) as response:
            assert await response.json() == {"as": "access-0"}
    assert (seen, refreshes.spent) == (["access-0"], [])


@pytest.mark.parametrize("lifetime", [29, 0, -100])
async def test_tokens_about_to_end_are_renewed_before(
    client: PasswordlessClient, refreshes: Refreshes, lifetime: int
) -> None:
    """Half a minute before its end, and after, an access token is not sent any more."""
    async with api({"access-1"}) as (url, seen):
        session = client.session(tokens(lifetime=lifetime), origins=[url], on_refresh=refreshes.kept.append)
        for _ in range(3):
            async with session.request("GET", f"{url}/me") as response:
                assert response.status == 200
    assert (seen, refreshes.spent) == (["access-1"] * 3, ["refresh-0"])
    assert refreshes.kept == [session.tokens]


@pytest.mark.parametrize("body", [{}, {"json": {"a": 1}}, {"data": b"bytes"}])
async def test_a_refused_token_is_renewed_once(
    client: PasswordlessClient, refreshes: Refreshes, body: dict[str, Any]
) -> None:
    """After 401 invalid_token the call is made again with a new token, its body whole."""
    async with api({"access-1"}) as (url, seen):
        async with client.request(tokens(), "POST", f"{url}/x", on_refresh=refreshes.kept.append, **body) as response:
            assert response.status == 200
    assert seen == ["access-0", "access-1"]
    assert len(refreshes.kept) == 1


async def test_a_second_refusal_is_handed_over(client: PasswordlessClient, refreshes: Refreshes) -> None:
    """A token that is refused although it is new is the caller's to see; nothing is tried for ever."""
    async with api(set()) as (url, seen):
        async with client.request(tokens(), "GET", f"{url}/me", on_refresh=refreshes.kept.append) as response:
            assert response.status == 401
    assert (seen, refreshes.spent) == (["access-0", "access-1"], ["refresh-0"])


async def test_fifty_calls_renew_once(client: PasswordlessClient, refreshes: Refreshes) -> None:
    """All calls of a session that are refused at once share one refresh, and the callback hears of it once."""
    async with api({"access-1"}) as (url, seen):
        session = client.session(tokens(), origins=[url], on_refresh=refreshes.kept.append)

        async def call() -> int:
            async with session.request("GET", f"{url}/me") as response:
                return response.status

        assert set(await asyncio.gather(*(call() for _ in range(50)))) == {200}
    assert (refreshes.spent, len(refreshes.kept)) == (["refresh-0"], 1)
    assert set(seen) == {"access-0", "access-1"}


@pytest.mark.parametrize("refresh", [True, False])
async def test_nothing_is_refreshed_for_nobody(
    client: PasswordlessClient, refreshes: Refreshes, *, refresh: bool
) -> None:
    """Without a callback, or without a refresh token, the refusal goes to the caller."""
    keep = None if refresh else refreshes.kept.append
    async with api(set()) as (url, seen):
        async with client.request(tokens(lifetime=1, refresh=refresh), "GET", url, on_refresh=keep) as response:
            assert response.status == 401
    assert (seen, refreshes.spent) == (["access-0"], [])


async def test_a_refresh_that_fails_early_does_not_fail_the_call(
    client: PasswordlessClient, refreshes: Refreshes
) -> None:
    """While the access token is good for some seconds more, the call is made with it."""
    refreshes.error = NotSent("nothing was sent")
    async with api({"access-0"}) as (url, _):
        async with client.request(tokens(lifetime=20), "GET", url, on_refresh=refreshes.kept.append) as response:
            assert response.status == 200
        with pytest.raises(NotSent):
            async with client.request(tokens(lifetime=-1), "GET", url, on_refresh=refreshes.kept.append):
                pass


LATER = [
    CircuitOpen(retry_after=1.0),
    QuotaExceeded("there is no room"),
    RateLimited(status=429, error="too_many_requests"),
    TemporarilyUnavailable(status=503, error="temporarily_unavailable"),
]


@pytest.mark.parametrize("error", LATER, ids=lambda error: type(error).__name__)
async def test_an_early_refresh_that_can_come_later_fails_no_call(
    client: PasswordlessClient, refreshes: Refreshes, error: PasswordlessError
) -> None:
    """While the access token is good, whatever the refresh waits for."""
    refreshes.error = error
    async with api({"access-0"}) as (url, _):
        async with client.request(tokens(lifetime=20), "GET", url, on_refresh=refreshes.kept.append) as response:
            assert response.status == 200
        with pytest.raises(type(error)):
            async with client.request(tokens(lifetime=-1), "GET", url, on_refresh=refreshes.kept.append):
                pass


async def test_an_api_that_refuses_every_token_costs_one_refresh(
    client: PasswordlessClient, refreshes: Refreshes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many calls and session objects there are; a minute later it costs another one."""
    now = time.monotonic()
    monkeypatch.setattr(_clock, "monotonic", lambda: now)
    async with api(set()) as (url, seen):
        session = client.session(tokens(), origins=[url], on_refresh=refreshes.kept.append)
        for _ in range(5):
            async with session.request("GET", url) as response:
                assert response.status == 401
        for _ in range(5):
            async with client.request(session.tokens, "GET", url, on_refresh=refreshes.kept.append) as response:
                assert response.status == 401
        assert refreshes.spent == ["refresh-0"]
        assert seen == ["access-0"] + ["access-1"] * 10
        now += 60.0
        async with session.request("GET", url):
            pass
    assert refreshes.spent == ["refresh-0", "refresh-1"]


@pytest.mark.parametrize(("lifetime", "spent_at"), [(0, 1.0), (4, 3.0), (20, 15.0)])
async def test_tokens_that_live_for_seconds_are_not_renewed_at_every_call(
    client: PasswordlessClient,
    refreshes: Refreshes,
    monkeypatch: pytest.MonkeyPatch,
    lifetime: int,
    spent_at: float,
) -> None:
    """They are renewed after three quarters of their life, and not twice within a second."""
    clock = time.time()
    monkeypatch.setattr(_clock, "now", lambda: clock)
    monkeypatch.setattr(_clock, "monotonic", lambda: clock)
    refreshes.lifetime = lifetime
    session = client.session(tokens(lifetime=1), origins=["https://api.example"], on_refresh=refreshes.kept.append)
    for _ in range(5):
        await session.current()
    assert refreshes.spent == ["refresh-0"]
    clock += spent_at + 0.01
    await session.current()
    assert refreshes.spent == ["refresh-0", "refresh-1"]


@pytest.mark.parametrize("calls", ["current", "renew"])
async def test_a_callback_that_uses_its_session_has_the_new_tokens(
    client: PasswordlessClient, refreshes: Refreshes, calls: str
) -> None:
    """By the session, by another one with the old tokens, in another task: it never waits for itself."""
    stale, seen = tokens(lifetime=1), list[object]()

    async def use(session: UserSession) -> None:
        seen.append((await session.current() if calls == "current" else await session.renew(stale)).access_token)

    async def keep(renewed: TokenSet) -> None:
        assert session.tokens is renewed
        await use(session)
        await asyncio.create_task(use(other))
        await use(client.session(stale, origins=["https://api.example"], on_refresh=keep))

    session, other = (client.session(stale, origins=["https://api.example"], on_refresh=keep) for _ in range(2))
    async with asyncio.timeout(10):
        assert (await session.current()).access_token == "access-1"
    assert seen == ["access-1"] * 3
    assert refreshes.spent == ["refresh-0"]


async def test_one_handover_for_all_sessions_of_one_user(client: PasswordlessClient, refreshes: Refreshes) -> None:
    """Calls at once with the same ended tokens, each a session of its own: one refresh, handed over once."""
    ended = tokens(lifetime=-1)
    async with api({"access-1"}) as (url, _):

        async def call() -> int:
            async with client.request(ended, "GET", url, on_refresh=refreshes.kept.append) as response:
                return response.status

        assert set(await asyncio.gather(*(call() for _ in range(5)))) == {200}
        assert await call() == 200
    assert (refreshes.spent, len(refreshes.kept)) == (["refresh-0"], 1)


async def test_a_handover_that_fails_comes_again(client: PasswordlessClient, refreshes: Refreshes) -> None:
    """A callback that could not keep the tokens is called again with the next call."""
    failures = [ConnectionError("the store is down")]

    def keep(renewed: TokenSet) -> None:
        if failures:
            raise failures.pop()
        refreshes.kept.append(renewed)

    async with api({"access-1", "access-2"}) as (url, _):
        session = client.session(tokens(lifetime=-1), origins=[url], on_refresh=keep)
        with pytest.raises(ConnectionError):
            await session.current()
        await session.current()
    assert len(refreshes.kept) == 1


async def test_a_refresh_token_of_unknown_fate_is_not_sent_again(
    client: PasswordlessClient, refreshes: Refreshes
) -> None:
    """A second use would be taken for theft: the access token serves while it is good, and then the error comes."""
    refreshes.error = OutcomeUnknown("no answer came")
    async with api({"access-0"}) as (url, _):
        soon = tokens(lifetime=20)
        for _ in range(3):
            async with client.request(soon, "GET", url, on_refresh=refreshes.kept.append) as response:
                assert response.status == 200
        with pytest.raises(OutcomeUnknown):
            async with client.request(attrs.evolve(soon, expires_at=1), "GET", url, on_refresh=refreshes.kept.append):
                pass
    assert refreshes.spent == ["refresh-0"]


async def test_a_session_that_is_over_says_so(client: PasswordlessClient, refreshes: Refreshes) -> None:
    """Where the refresh token is no longer good the call ends in that error."""
    refreshes.error = InvalidRefreshToken(status=403, error="invalid_grant")
    async with api(set()) as (url, _):
        with pytest.raises(InvalidRefreshToken):
            async with client.request(tokens(), "GET", url, on_refresh=refreshes.kept.append):
                pass
    assert refreshes.kept == []


async def test_a_callback_may_be_a_coroutine(client: PasswordlessClient) -> None:
    """It is awaited before the call goes on: what it keeps is kept."""
    kept: list[str] = []

    async def keep(renewed: TokenSet) -> None:
        await asyncio.sleep(0)
        kept.append(str(renewed.refresh_token))

    async with api({"access-1"}) as (url, _), client.request(tokens(), "GET", url, on_refresh=keep) as response:
        assert response.status == 200
        assert kept == ["refresh-1"]


@pytest.mark.parametrize(("lifetime", "sent"), [(-1, []), (3600, ["access-0"])])
async def test_older_tokens_with_a_refresh_token_that_stays_are_renewed(
    client: PasswordlessClient, refreshes: Refreshes, lifetime: int, sent: list[str]
) -> None:
    """Only the tokens of the last refresh are new, not all that have its refresh token."""
    refreshes.rotates = False
    older = tokens(lifetime=lifetime)
    async with api({"access-1", "access-2"}) as (url, seen):
        for _ in range(2):
            async with client.request(older, "GET", url, on_refresh=refreshes.kept.append) as response:
                assert response.status == 200
    assert (seen, refreshes.spent) == ([*sent, "access-1", *sent, "access-2"], ["refresh-0"] * 2)


async def test_a_callback_may_call_apis_through_a_pool_of_one_connection(
    refreshes: Refreshes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that waits for the renewal of a refused token holds no connection and no slot of the pool."""
    statuses: list[int] = []

    async def keep(_renewed: TokenSet) -> None:
        statuses.append(await call())

    async def call() -> int:
        async with session.request("GET", url) as response:
            return response.status

    async with (
        api({"access-1"}) as (url, seen),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as http,
        PasswordlessClient("acme.eu.auth0.com", "client", profile=TESTING, session=http) as client,
    ):
        monkeypatch.setattr(client._refreshes, "_refresh", refreshes)
        session = client.session(tokens(), origins=[url], on_refresh=keep)
        async with asyncio.timeout(5):
            statuses.append(await call())
    assert (statuses, seen) == ([200, 200], ["access-0", "access-1", "access-1"])
    assert refreshes.spent == ["refresh-0"]


async def given_up(call: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Begin a call, cancel it, and give what it began the turns to end."""
    calling = asyncio.create_task(call)
    await asyncio.sleep(0)
    calling.cancel()
    await asyncio.wait([calling])
    for _ in range(10):
        await asyncio.sleep(0)
    return calling


async def test_a_caller_that_gives_up_loses_nothing(client: PasswordlessClient, refreshes: Refreshes) -> None:
    """A refresh whose only caller is cancelled is finished, and handed to the callback."""
    async with api({"access-1"}) as (url, _):
        session = client.session(tokens(lifetime=1), origins=[url], on_refresh=refreshes.kept.append)
        calling = await given_up(session.current())
    assert calling.cancelled()
    assert [str(kept.refresh_token) for kept in refreshes.kept] == ["refresh-1"]


async def test_a_session_whose_caller_gave_up_has_the_new_tokens(
    client: PasswordlessClient, refreshes: Refreshes
) -> None:
    """However late it is used again: the refresh token that was spent is not sent a second time."""
    client._refreshes._flights._keep = 0.0
    async with api({"access-1"}) as (url, _):
        session = client.session(tokens(lifetime=1), origins=[url], on_refresh=refreshes.kept.append)
        await given_up(session.current())
        assert (await session.current()).access_token == "access-1"
    assert refreshes.spent == ["refresh-0"]


async def test_tokens_that_could_not_be_handed_over_are_kept(client: PasswordlessClient, refreshes: Refreshes) -> None:
    """However long the callback fails: the next call hands over what came, and nothing is refreshed again."""
    client._refreshes._flights._keep = 0.0
    failures = [ConnectionError("the store is down")] * 3

    def keep(renewed: TokenSet) -> None:
        if failures:
            raise failures.pop()
        refreshes.kept.append(renewed)

    session = client.session(tokens(lifetime=-1), origins=["https://api.example"], on_refresh=keep)
    for _ in range(3):
        with pytest.raises(ConnectionError):
            await session.current()
    await session.current()
    assert (refreshes.spent, [kept.refresh_token for kept in refreshes.kept]) == (["refresh-0"], ["refresh-1"])


async def test_revoked_tokens_are_not_handed_over(client: PasswordlessClient, refreshes: Refreshes) -> None:
    """A logout while a refresh is under way: nothing is kept, and who waits is told that the session is over."""
    stale = tokens(lifetime=-1)
    session = client.session(stale, origins=["https://api.example"], on_refresh=refreshes.kept.append)
    calling = asyncio.create_task(session.current())
    await asyncio.sleep(0)
    with pytest.raises(NotSent):  # this tenant does not exist
        await client.revoke(stale)
    with pytest.raises(InvalidRefreshToken, match="revoked while"):
        await calling
    assert refreshes.kept == []


@pytest.mark.parametrize("url", ["/me", "api.example/me", "ftp://api.example/", "http://api.example/", "", None, 5])
async def test_a_url_must_be_absolute_and_https(client: PasswordlessClient, url: Any) -> None:
    """Plain http, except on loopback, and what is no URL are refused."""
    with pytest.raises(UsageError):
        client.request(tokens(), "GET", url)


async def test_the_middleware_of_a_session(tenant: LocalTenant) -> None:
    """It adds token and proof to calls of an aiohttp session of the application's own."""
    async with PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as client:
        await client.start(Email("ada@example.com"))
        code = tenant.outbox.code_for(Email("ada@example.com"))
        session = client.session(
            await client.exchange(Email("ada@example.com"), code, scope="openid"), origins=[tenant.url]
        )
        async with aiohttp.ClientSession() as http:
            async with http.get(f"{tenant.url}/userinfo", middlewares=[session.middleware]) as response:
                assert (response.status, (await response.json())["sub"][:6]) == (200, "email|")
