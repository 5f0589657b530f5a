"""Calls through a gateway on real sockets, to an API that checks each token and each proof."""

from __future__ import annotations

import asyncio
import gc
import gzip
import io
import socket
import tracemalloc
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from helpers import sites
from helpers.clients import until
from helpers.upstreams import READ, http_of, problem
from passwordless_async import PasswordlessClient
from passwordless_async.gateway import Upstream
from passwordless_async.gateway.proxy import uploads
from passwordless_async.testing import BOUND_API, ClaimFault, TenantSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from helpers.sites import Browser
    from helpers.upstreams import Front

    Serve = Callable[..., Awaitable[Front]]

MIB = 1 << 20
LOGIN_NOT_ENOUGH = (
    "This page asks for more than your sign-in can show, and signing in again does not help. Please contact support."
)
NAVIGATE = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate", "Accept": "text/html"}


async def raw(front: Front, head: str, body: bytes = b"") -> bytes:
    """Send bytes as they are, and return all that comes until the connection ends; of a part of a body the head."""
    host, port = front.site.origin.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.replace("\n", "\r\n").encode("latin-1") + body)
    await writer.drain()
    async with asyncio.timeout(20):
        # A server may wait for the rest before it closes the connection.
        answer = await (reader.readuntil(b"\r\n\r\n") if body == b"x" else reader.read())
    writer.close()
    return answer


async def test_a_call(front: Front) -> None:
    """It has the user's token and a proof of its own; the browser's cookie and credentials go no further."""
    browser = await front.logged_in()
    own = {"Authorization": "Bearer stolen", "DPoP": "proof", "X-Forwarded-Host": "evil.example", "X-Secret": "1"}
    seen = await browser.get("/api/me?a=1&b", {**READ, **own})
    assert (seen.status, seen.json["target"], seen.json["sub"]) == (200, "/me?a=1&b", front.api.subjects[0])
    headers = front.api.seen[0][2]
    assert headers.getall("Authorization")[0].startswith("DPoP ")
    assert len(headers.getall("DPoP")) == 1
    assert {"Cookie", "X-Secret", "Origin", "Sec-Fetch-Site"} & set(headers) == set()
    assert headers["X-Forwarded-Prefix"] == f"{front.site.mount}/api"
    assert headers["X-Forwarded-Host"] == front.site.origin.removeprefix("http://")


async def test_one_challenge_serves_all(front: Front) -> None:
    """The first nonce is fetched once, by the first of many calls."""
    browser = await front.logged_in()
    seen = await asyncio.gather(*(browser.get(f"/api/{number}", READ) for number in range(20)))
    assert {each.status for each in seen} == {200}
    assert front.api.statuses.count(401) == 1


async def test_users_do_not_cross(front: Front) -> None:
    """Many calls of two users at once: each is answered for its own, whatever connection it took."""
    ada, bob = await front.logged_in(), await front.logged_in(sites.BOB)
    subjects = [(await each.get("/api/me", READ)).json["sub"] for each in (ada, bob)]
    calls = [browser.get(f"/api/{number}", READ) for number in range(40) for browser in (ada, bob)]
    seen = await asyncio.gather(*calls)
    assert [each.json["sub"] for each in seen] == subjects * 40
    assert len(set(subjects)) == 2


@pytest.mark.parametrize(
    ("method", "size"),
    [("POST", 0), ("PATCH", 10), ("POST", 65_536), ("POST", 65_537), ("PUT", 300_000), ("DELETE", 300_000)],
)
async def test_bodies_before_the_first_nonce(
    front: Front, method: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A challenge is answered with the whole body, of any size: the first transmission is one that is refused."""
    monkeypatch.setattr(uploads, "_PAUSE_SECONDS", 1.0)  # on a busy machine a challenge takes longer
    browser = await front.logged_in()
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    seen = await browser.request(method, "/api/echo", headers=READ, data=body)
    assert (seen.status, front.api.bodies, front.api.statuses) == (200, [body], [401, 200])


@pytest.mark.parametrize("size", [10, 100_000])
async def test_chunks_before_the_first_nonce(front: Front, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Likewise of a body without a length."""
    monkeypatch.setattr(uploads, "_PAUSE_SECONDS", 1.0)
    browser = await front.logged_in()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * (size // 10)

    seen = await browser.request("POST", "/api/echo", headers=READ, data=pieces())
    assert (seen.status, front.api.bodies, front.api.statuses) == (200, [b"x" * size], [401, 200])


async def test_a_long_body_that_is_challenged_on_its_way(front: Front) -> None:
    """What cannot be sent again is not: the browser hears that it may, and its next try goes through."""
    browser = await front.logged_in()
    await browser.get("/api/me", READ)
    front.api.ahead += 600
    body = b"x" * (8 * MIB)
    seen = await browser.request("POST", "/api/echo", headers=READ, data=io.BytesIO(body))
    assert (*problem(seen), seen.headers["Retry-After"]) == (503, "send_again", "1")
    again = await browser.request("POST", "/api/echo", headers=READ, data=io.BytesIO(body))
    assert (again.status, again.json["size"], len(front.api.bodies)) == (200, 8 * MIB, 2)


async def test_nonces_change(front: Front) -> None:
    """A nonce that is too old costs one more transmission, and nothing that the browser sees."""
    browser = await front.logged_in()
    for _ in range(3):
        seen = await browser.request("POST", "/api/echo", headers=READ, data=b"body")
        assert (seen.status, front.api.bodies[-1]) == (200, b"body")
        front.api.ahead += 600
    assert front.api.statuses == [401, 200] * 3


async def test_renewals_while_many_calls_are_in_flight(serve_front: Serve) -> None:
    """A hundred calls with a token that ends: one refresh, for all, through the store."""
    front = await serve_front(settings=TenantSettings(access_token_lifetime=20), upstream={"max_per_session": 200})
    browser = await front.logged_in()
    seen = await asyncio.gather(*(browser.get(f"/api/{number}", READ) for number in range(100)))
    assert {each.status for each in seen} == {200}
    assert len({headers["Authorization"] for _, _, headers in front.api.seen}) == 1
    refreshes = [each for each in front.site.tenant.requests if each.form.get("grant_type") == "refresh_token"]
    assert len([each for each in refreshes if each.status == HTTPStatus.OK]) == 1


async def test_a_response_arrives_before_its_end(front: Front) -> None:
    """Piece by piece, as the upstream sends it."""
    browser = await front.logged_in()
    async with http_of(browser).get(front.url("/halves"), headers=READ) as response:
        assert await response.content.readany() == b"first,"
        front.api.go.set()
        assert await response.content.read() == b"second"


async def test_a_request_arrives_before_its_end(front: Front) -> None:
    """Piece by piece, as the browser sends it."""
    browser = await front.logged_in()
    await browser.get("/api/me", READ)

    async def pieces() -> AsyncIterator[bytes]:
        yield b"x" * 10
        await front.api.reached.wait()
        yield b"x" * 10

    seen = await browser.request("POST", "/api/count", headers=READ, data=pieces())
    assert seen.json == {"size": 20}


@pytest.mark.slow
async def test_large_bodies_take_no_memory(front: Front) -> None:
    """Fifty megabytes in each direction."""
    browser = await front.logged_in()
    await browser.get("/api/me", READ)

    async def pieces() -> AsyncIterator[bytes]:
        piece = b"x" * 65_536
        for _ in range(800):
            yield piece

    gc.collect()
    tracemalloc.start()
    try:
        seen = await browser.request("POST", "/api/count", headers=READ, data=pieces())
        assert seen.json == {"size": 50 * MIB}
        size = 0
        async with http_of(browser).get(front.url("/large?pieces=800"), headers=READ) as response:
            async for piece in response.content.iter_any():
                size += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size == 50 * MIB
    assert peak < 8 * MIB


@pytest.mark.parametrize("path", ["/wait", "/halves"])
async def test_a_browser_that_goes(front: Front, path: str) -> None:
    """The upstream's work is cancelled, before the response and in it; its place is free again."""
    browser = await front.logged_in()
    await browser.get("/api/me", READ)
    call = asyncio.create_task(browser.get(f"/api{path}", READ))
    await until(lambda: len(front.api.seen) == 2)
    call.cancel()
    async with asyncio.timeout(20):
        await front.api.left.acquire()
    await until(lambda: not front.pool.traffic.calls)


async def test_a_body_that_is_cut_off(front: Front) -> None:
    """The upstream never takes a part for the whole."""
    browser = await front.logged_in()
    await browser.get("/api/me", READ)

    async def pieces() -> AsyncIterator[bytes]:
        yield b"x" * 10
        await front.api.reached.wait()
        raise ConnectionAbortedError

    with pytest.raises(aiohttp.ClientError):
        await browser.request("POST", "/api/count", headers=READ, data=pieces())
    await until(lambda: not front.pool.traffic.calls)
    assert front.api.statuses == [401, 200]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large(serve_front: Serve, *, chunked: bool) -> None:
    """By its length at once, else on its way: the upstream does not get the whole."""
    front = await serve_front(upstream={"max_request_bytes": 1000})
    browser = await front.logged_in()
    await browser.get("/api/me", READ)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b"x" * 100

    data: Any = pieces() if chunked else b"x" * 1001
    seen = await browser.request("POST", "/api/echo", headers=READ, data=data)
    assert problem(seen) == (413, "too_large")
    assert front.api.bodies == [b""]


async def test_a_browser_that_is_slow(serve_front: Serve) -> None:
    """It is told so: the upstream is not blamed, and its connection not held."""
    front = await serve_front(upstream={"upload_timeout": 0.2})
    browser = await front.logged_in()
    await browser.get("/api/me", READ)
    cookie = f"session={browser.cookie('session')}"
    head = f"POST {front.site.mount}/api/count HTTP/1.1\nHost: a\nCookie: {cookie}\nX-CSRF: 1\nContent-Length: 9\n"
    answer = await raw(front, f"{head}Connection: close\n\n", b"x")
    assert answer.startswith(b"HTTP/1.1 408")


async def test_an_upstream_that_is_down_or_hangs_harms_no_other(serve_front: Serve) -> None:
    """502 and 504 for its own calls, at once and in time; the other's calls go on meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as hanging, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        down, hangs = (f"http://127.0.0.1:{each.getsockname()[1]}" for each in (closed, hanging))
        more = [Upstream("/down/", down), Upstream("/hangs/", hangs, timeout=0.5, max_connections=2)]
        front = await serve_front(more=more)
        browser = await front.logged_in()
        assert problem(await browser.get("/down/me", READ)) == (502, "upstream_down")
        waiting = [asyncio.create_task(browser.get("/hangs/me", READ)) for _ in range(6)]
        await asyncio.sleep(0)
        seen = await asyncio.gather(*(browser.get(f"/api/{number}", READ) for number in range(20)))
        assert {each.status for each in seen} == {200}
        refused = await asyncio.gather(*waiting)
        assert {problem(each) for each in refused} == {(504, "upstream_slow")}
        page = await browser.get("/down/me", NAVIGATE)
        assert (page.status, page.alert) == (
            502,
            "The service behind this page is not reachable. Please try again in a moment.",
        )
        assert down not in page.text


@pytest.mark.parametrize(
    "answer",
    [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: 1\r\n B: 2\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"],
)
async def test_an_upstream_that_speaks_no_http(serve_front: Serve, answer: bytes) -> None:
    """502, and nothing of what it said."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        front = await serve_front(more=[Upstream("/odd/", f"http://127.0.0.1:{port}")])
        browser = await front.logged_in()
        assert problem(await browser.get("/odd/me", READ)) == (502, "upstream_down")


async def test_a_response_that_is_cut_off(serve_front: Serve) -> None:
    """The browser sees a failure: a part never looks like the whole."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        front = await serve_front(more=[Upstream("/odd/", f"http://127.0.0.1:{port}")])
        browser = await front.logged_in()
        with pytest.raises(aiohttp.ClientError):
            await browser.get("/odd/me", READ)


async def test_a_response_that_pauses_too_long_or_is_too_large(serve_front: Serve) -> None:
    """It is cut off, and the browser sees that it was."""
    front = await serve_front(upstream={"timeout": 0.5, "max_response_bytes": 100_000})
    browser = await front.logged_in()
    for path in ("/halves", "/large?pieces=3"):
        with pytest.raises(aiohttp.ClientError):
            await browser.get(f"/api{path}", READ)


async def test_a_session_has_so_many_calls_at_once(serve_front: Serve) -> None:
    """More are refused; another user's are not."""
    front = await serve_front(upstream={"max_per_session": 2})
    ada, bob = await front.logged_in(), await front.logged_in(sites.BOB)
    waiting = [asyncio.create_task(ada.get("/api/wait", READ)) for _ in range(2)]
    await until(lambda: len(front.api.seen) == 2)
    assert problem(await ada.get("/api/me", READ)) == (429, "too_many_requests")
    assert (await bob.get("/api/me", READ)).status == 200
    front.api.go.set()
    assert [each.text for each in await asyncio.gather(*waiting)] == ["waited", "waited"]
    assert (await ada.get("/api/me", READ)).status == 200


async def test_who_is_not_logged_in(front: Front) -> None:
    """A page leads to the login and back, a script gets JSON, and the upstream hears nothing."""
    browser = await front.site.browser()
    mount = front.site.mount
    page = await browser.get("/api/me?a=1", NAVIGATE, follow=False)
    back = f"{mount}/api/me?a=1".replace("/", "%2F").replace("?", "%3F").replace("=", "%3D")
    assert (page.status, page.headers["Location"]) == (303, f"{mount}/login?return_to={back}")
    script = await browser.get("/api/me", READ)
    assert (*problem(script), script.json["login"]) == (401, "signed_out", f"{mount}/login")
    posted = await browser.post("/api/me", headers=NAVIGATE, follow=False)
    assert posted.headers["Location"] == f"{mount}/login?unsent=1"
    assert front.api.seen == []


@pytest.mark.parametrize("value", ["unknown", "x" * 60, "é", "a b"])
async def test_cookies_that_open_nothing(front: Front, value: str) -> None:
    """They are removed."""
    async with aiohttp.ClientSession() as http:
        headers = {**READ, "Cookie": f"session={value}"}
        async with http.get(front.url("/me"), headers=headers) as response:
            assert (response.status, (await response.json())["problem"]["key"]) == (401, "session_ended")
            assert "session=;" in response.headers["Set-Cookie"]


async def test_after_a_logout(front: Front) -> None:
    """The session's cookie, kept by a thief, calls nothing."""
    browser = await front.logged_in()
    cookie = str(browser.cookie("session"))
    await browser.post("/logout")
    browser.set_cookie("session", cookie)
    assert problem(await browser.get("/api/me", READ)) == (401, "session_ended")
    assert front.api.seen == []


async def test_a_session_without_a_key(front: Front) -> None:
    """Of a time before the client took only bound tokens: the user logs in again."""
    site = front.site
    store: Any = site.store
    async with PasswordlessClient(site.tenant.url, site.client.client_id, dpop="off", store=store) as before:
        await before.start(sites.ADA)
        session = await before.sessions.login(sites.ADA, site.code(), scope="openid")
        browser = await site.browser()
        browser.set_cookie("session", session.identifier)
        refused = await browser.get("/api/me", READ)
    assert problem(refused) == (401, "session_ended")
    assert (browser.cookie("session"), front.api.seen) == (None, [])


async def test_the_store_is_unreachable(front: Front) -> None:
    """The call gets a 503, and the session stays open."""
    browser = await front.logged_in()
    front.site.store.is_unreachable = True
    seen = await browser.get("/api/me", READ)
    assert (*problem(seen), seen.set_cookies) == (503, "store_unavailable", {})


async def test_the_log_says_what_a_call_lacks(front: Front, caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG, with the upstream, and without the path: it may be anything, such as a code."""
    browser = await front.logged_in()
    caplog.set_level("DEBUG", "passwordless_async")
    for method, headers in (("POST", {}), ("PUT", {"Sec-Fetch-Site": "cross-site", "X-CSRF": "1"}), ("GET", OTHER)):
        answer = await browser.request(method, "/api/123456?code=1", headers={"Accept": "application/json", **headers})
        assert problem(answer) == (403, "csrf")
    changes = (
        "a call that changes something needs Sec-Fetch-Site: same-origin; without that field, Origin: "
        f"{front.site.origin}; without both, the header field X-CSRF: 1"
    )
    reads = "another site may only link to it; a page of this site sends Sec-Fetch-Site: same-origin"
    assert [line for line in caplog.messages if "csrf" in line] == [
        f"POST to the upstream /api/ is refused as csrf: {changes}",
        f"PUT to the upstream /api/ is refused as csrf: {changes}",
        f"GET to the upstream /api/ is refused as csrf: {reads}",
    ]


OTHER = {"Sec-Fetch-Site": "cross-site"}


async def test_another_site(front: Front) -> None:
    """Its pages neither change nor read anything, nor open a WebSocket; the upstream hears nothing."""
    browser = await front.logged_in()
    other = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example", "X-CSRF": "1"}
    for method in ("GET", "POST", "OPTIONS"):
        assert problem(await browser.request(method, "/api/me", headers=other)) == (403, "csrf")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http_of(browser).ws_connect(front.url("/socket"), origin="https://evil.example")
    assert (refused.value.status, front.api.seen) == (403, [])


async def test_scopes(serve_front: Serve) -> None:
    """A user whose token lacks one gets a 403, and the upstream hears nothing."""
    front = await serve_front(upstream={"scopes": "openid admin"})
    browser = await front.logged_in()
    assert problem(await browser.get("/api/me", READ)) == (403, "scope_missing")
    assert front.api.seen == []


async def test_the_page_of_a_missing_scope_leads_back(serve_front: Serve) -> None:
    """No second try helps: the way is to the application's home."""
    front = await serve_front(upstream={"scopes": "openid admin"}, home="/shop")
    page = await (await front.logged_in()).get("/api/me", NAVIGATE)
    assert (page.status, '<a class="button" href="/shop">Back</a>' in page.text) == (403, True)


async def test_step_up(front: Front) -> None:
    """RFC 9470: a script gets the challenge, a page leads to a newer login and back."""
    challenge = 'DPoP error="insufficient_user_authentication", max_age=5, acr_values="a b"'

    def answer(_request: web.Request) -> web.Response:
        return web.Response(status=401, headers={"WWW-Authenticate": challenge}, text="again")

    front.api.answer = answer
    browser = await front.logged_in()
    script = await browser.get("/api/answer", READ)
    assert (script.status, script.headers["WWW-Authenticate"], script.text) == (401, challenge, "again")
    page = await browser.get("/api/answer", NAVIGATE, follow=False)
    place, mount = page.headers["Location"], front.site.mount
    back = f"{mount}/api/answer".replace("/", "%2F")
    assert (page.status, place) == (303, f"{mount}/step-up?max_age=5&acr_values=a%20b&return_to={back}")
    assert (await browser.get("/api/answer", NAVIGATE)).path == "/step-up"


FORM_NOT_SENT = "What you sent has not been processed. Once you are done here, please send it again."


@pytest.mark.parametrize("is_logged_in", [True, False])
async def test_a_form_that_needs_a_login_first(front: Front, *, is_logged_in: bool) -> None:
    """A browser's form is not answered with a script's JSON: the user is told, and comes back to the form's page."""
    challenge = 'DPoP error="insufficient_user_authentication", max_age=5, acr_values="a b"'
    front.api.answer = lambda _request: web.Response(status=401, headers={"WWW-Authenticate": challenge}, text="again")
    browser = await front.logged_in() if is_logged_in else await front.site.browser()
    mount, origin = front.site.mount, front.site.origin
    start = f"{mount}/step-up?max_age=5&acr_values=a%20b&" if is_logged_in else f"{mount}/login?"
    for referer, back in (
        (
            f"{origin}{mount}/api/form?a=1",
            f"return_to={mount}/api/form?a=1&".replace("/", "%2F").replace("?a=1", "%3Fa%3D1"),
        ),
        (f"{origin}/", "return_to=%2F&"),
        (f"{origin}.evil.example/", ""),
        ("https://evil.example/", ""),
    ):
        headers = {**NAVIGATE, "Referer": referer}
        posted = await browser.request("POST", "/api/answer", headers=headers, data=b"a=1", follow=False)
        assert (posted.status, posted.headers["Location"]) == (303, f"{start}{back}unsent=1")
    seen = await browser.request("POST", "/api/answer", headers={**NAVIGATE, "Referer": f"{origin}/form"}, data=b"a=1")
    assert (seen.path, seen.alert) == ("/step-up" if is_logged_in else "/login", FORM_NOT_SENT)


@pytest.mark.parametrize("page", ["\xff", "é", "x" * 2000, "/evil.example", "\\evil.example", "a/../b"])
async def test_a_form_on_a_page_that_no_login_returns_to(
    front: Front, page: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A ``Referer`` is never in the ``Location`` if the login would refuse it, and makes no line in the log."""
    mount, origin = front.site.mount, front.site.origin
    fields = {"Host": origin.removeprefix("http://"), **NAVIGATE, "Referer": f"{origin}/{page}"}
    head = "".join(f"{name}: {value}\n" for name, value in fields.items())
    answer = await raw(front, f"POST {mount}/api/me HTTP/1.1\n{head}Content-Length: 0\nConnection: close\n\n")
    lines = answer.decode("latin-1").split("\r\n")
    assert lines[0] == "HTTP/1.1 303 See Other"
    locations = [line.partition(": ")[2] for line in lines if line.lower().startswith("location:")]
    assert locations == [f"{mount}/login?unsent=1"]
    assert [each.getMessage() for each in caplog.records if " failed: " in each.getMessage()] == []


_NAMES: Any = {"auth_time_claim": f"{BOUND_API}/auth_time", "acr_claim": f"{BOUND_API}/acr"}


async def log_in_long_ago(front: Front) -> Browser:
    """Return a browser whose user logged in more than five minutes ago, by the tenant's clock."""
    front.site.tenant.clock.go_wrong(-400)
    browser = await front.logged_in()
    front.site.tenant.clock.go_wrong(400)
    front.site.clock.ahead = 20  # the session itself is not the newest either
    return browser


async def test_a_newer_login(serve_front: Serve) -> None:
    """The API asks for one, the user enters a new code, and the API answers; a script is told where it stands."""
    # The client's proofs must pass while the tenant's clock is behind.
    front = await serve_front(settings=TenantSettings(nonce_replaces_iat=True, **_NAMES), server=_NAMES)
    browser = await log_in_long_ago(front)
    script = await browser.get("/api/fresh", READ)
    assert (script.status, "too long ago" in script.headers["WWW-Authenticate"]) == (401, True)
    asked = await browser.get("/api/fresh", NAVIGATE)
    assert (asked.path, asked.title) == ("/step-up", "Confirm it is you")
    await browser.post("/step-up")
    done = await browser.post("/code", {"code": front.site.code()})
    assert (done.status, done.path, done.json["target"]) == (200, "/api/fresh", "/fresh")
    assert (await browser.get("/api/fresh", READ)).status == 200


@pytest.mark.parametrize(("old_logins", "status"), [(1, 200), (2, 403)])
async def test_a_session_that_was_just_opened_with_an_old_login(
    serve_front: Serve, old_logins: int, status: int
) -> None:
    """It goes to step-up at once; if the new login is as old, the user sees one page, and is not sent there again."""
    front = await serve_front(settings=TenantSettings(**_NAMES), server=_NAMES)
    front.site.tenant.faults.add(ClaimFault.ID_TOKEN_OF_AN_OLD_LOGIN, times=old_logins)
    browser = await front.logged_in()
    script = await browser.get("/api/fresh", READ)
    assert (script.status, "too long ago" in script.headers["WWW-Authenticate"]) == (401, True)
    assert (await browser.get("/api/fresh", NAVIGATE)).path == "/step-up"
    await browser.post("/step-up")
    done = await browser.post("/code", {"code": front.site.code()}, headers=NAVIGATE)
    assert (done.status, done.path) == (status, "/api/fresh")
    assert (await browser.get("/api/fresh", READ)).status == status


async def test_a_newer_login_that_the_api_cannot_see(serve_front: Serve) -> None:
    """Its tokens have no ``auth_time``: one page, nothing that goes round; a script is told the same."""
    front = await serve_front()
    browser = await front.logged_in()
    page = await browser.get("/api/fresh", NAVIGATE, follow=False)
    assert (page.status, page.headers.get("Location")) == (403, None)
    assert (page.alert, "Try again" in page.text, ">Back</a>" in page.text) == (LOGIN_NOT_ENOUGH, False, True)
    script = await browser.get("/api/fresh", READ)
    assert (*problem(script), "login" in script.json) == (403, "login_not_enough", False)
    posted = await browser.request("POST", "/api/fresh", headers=READ, data=b"x")
    assert problem(posted) == (403, "login_not_enough")
    front.site.clock.ahead = 400  # the gateway asks for a new code then, once, and the API refuses that login too
    assert (await browser.get("/api/fresh", NAVIGATE)).path == "/step-up"
    await browser.post("/step-up")
    front.site.clock.ahead = 0
    done = await browser.post("/code", {"code": front.site.code()}, headers=NAVIGATE)
    assert (done.status, done.path, done.alert) == (403, "/api/fresh", LOGIN_NOT_ENOUGH)
    assert front.site.tenant.stats.codes_sent == 2


async def test_a_stronger_login(serve_front: Serve) -> None:
    """The user has a second factor by now: the new login asks for it, and the API answers."""
    front = await serve_front(settings=TenantSettings(**_NAMES), server=_NAMES)
    browser = await front.logged_in()
    front.site.tenant.users.add(sites.ADA, mfa=["otp"])
    assert (await browser.get("/api/strong", READ)).status == 401
    assert (await browser.get("/api/strong", NAVIGATE)).path == "/step-up"
    await browser.post("/step-up")
    assert (await browser.post("/code", {"code": front.site.code()})).path == "/factor"
    done = await browser.post("/factor", {"code": front.site.tenant.mfa.otp_for(sites.ADA)})
    assert (done.status, done.path) == (200, "/api/strong")


@pytest.mark.parametrize("has_factor", [True, False])
async def test_a_stronger_login_that_cannot_be(serve_front: Serve, *, has_factor: bool) -> None:
    """No factor is asked for, or the tokens do not say that one passed: one page, and the session stays."""
    front = await serve_front()
    browser = await front.logged_in()
    session = browser.cookie("session")
    assert (await browser.get("/api/strong", NAVIGATE)).path == "/step-up"
    if has_factor:
        front.site.tenant.users.add(sites.ADA, mfa=["otp"])
    await browser.post("/step-up")
    done = await browser.post("/code", {"code": front.site.code()})
    if has_factor:
        done = await browser.post("/factor", {"code": front.site.tenant.mfa.otp_for(sites.ADA)})
    assert (done.status, done.alert, browser.cookie("session")) == (403, LOGIN_NOT_ENOUGH, session)


async def test_a_store_that_is_gone_when_the_api_asks_for_a_newer_login(front: Front) -> None:
    """Then it is not known whether that would help; nothing of the call is kept."""
    browser = await front.logged_in()

    def answer(_request: web.Request) -> web.Response:
        front.site.store.is_unreachable = True
        challenge = 'DPoP error="insufficient_user_authentication", max_age="5"'
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    front.api.answer = answer
    assert problem(await browser.get("/api/answer", READ)) == (503, "store_unavailable")
    front.site.store.is_unreachable = False
    assert (await browser.get("/api/me", READ)).status == 200


async def test_what_an_upstream_answers(front: Front) -> None:
    """Its fields that are on the list; its redirects below the prefix; its status."""

    def answer(request: web.Request) -> web.Response:
        headers = {"ETag": '"1"', "Set-Cookie": "a=1", "Location": "/other?x=1", "Server": "secret", "X-Own": "1"}
        return web.Response(status=int(request.query["status"]), headers=headers)

    front.api.answer = answer
    browser = await front.logged_in()
    for status in (201, 204, 302, 304, 404, 500):
        seen = await browser.get(f"/api/answer?status={status}", READ, follow=False)
        assert (seen.status, seen.headers["ETag"], seen.set_cookies) == (status, '"1"', {})
        assert seen.headers["Location"] == f"{front.site.mount}/api/other?x=1"
        assert "X-Own" not in seen.headers
        assert "secret" not in seen.headers.get("Server", "")
    head = await browser.request("HEAD", "/api/me", headers=READ)
    assert (head.status, int(head.headers["Content-Length"]) > 10, head.text) == (200, True, "")


async def test_a_body_that_is_compressed(front: Front) -> None:
    """The upstream gets it decoded or as it came, and is told which."""
    browser = await front.logged_in()
    headers = {**READ, "Content-Encoding": "gzip", "Content-Type": "text/plain"}
    seen = await browser.request("POST", "/api/echo", headers=headers, data=gzip.compress(b"plain"))
    assert (seen.status, front.api.bodies) == (200, [b"plain"])


async def session_cookie(front: Front) -> str:
    """Log a user in, and return what its browser sends in ``Cookie``."""
    browser = await front.logged_in()
    return f"session={browser.cookie('session')}"


@pytest.mark.parametrize(
    "path",
    [
        "/api/../login",
        "/api/%2e%2e/login",
        "/api/..;/x",
        "/api/a%2fb",
        "/api/a%5cb",
        "/api//x",
        "/api/a%00b",
        "/api/%c0%ae%c0%ae/x",
        "/api/a%252e%252e",
    ],
)
async def test_paths_that_climb(front: Front, path: str) -> None:
    """As they come over the wire; the upstream hears nothing."""
    cookie = await session_cookie(front)
    answer = await raw(
        front, f"GET {front.site.mount}{path} HTTP/1.1\nHost: a\nCookie: {cookie}\nConnection: close\n\n"
    )
    assert answer.startswith(b"HTTP/1.1 400")
    assert front.api.seen == []


@pytest.mark.parametrize(
    "fields",
    [
        "Content-Length: 5\nTransfer-Encoding: chunked\n",
        "Transfer-Encoding: chunked\nContent-Length: 5\n",
        "Content-Length: 5\nContent-Length: 6\n",
        "Content-Length: +5\n",
        "Transfer-Encoding: chunked\nTransfer-Encoding: identity\n",
        "Transfer-Encoding: xchunked\n",
        "Transfer-Encoding: gzip, chunked\n",
        "Transfer-Encoding : chunked\n",
        "Content-Length: 5\n Transfer-Encoding: chunked\n",
        "X: 1\nTransfer-Encoding:\x0bchunked\n",
    ],
)
async def test_requests_in_requests(front: Front, fields: str) -> None:
    """What a server in front may frame in another way: no second request comes out of it, neither here nor behind."""
    cookie = await session_cookie(front)
    head = f"POST {front.site.mount}/api/outer HTTP/1.1\nHost: a\nCookie: {cookie}\nX-CSRF: 1\n{fields}\n"
    inner = f"0\n\nGET {front.site.mount}/api/inner HTTP/1.1\nHost: a\nCookie: {cookie}\nConnection: close\n\n"
    answer = await raw(front, head, inner.replace("\n", "\r\n").encode())
    assert answer[:5] + answer[8:12] == b"HTTP/ 400"
    assert [target for _, target, _ in front.api.seen] == []


async def test_fields_in_fields(front: Front) -> None:
    """No value of a field becomes a field behind, and none is continued on the next line."""
    cookie = await session_cookie(front)
    head = f"GET {front.site.mount}/api/me HTTP/1.1\nHost: a\nCookie: {cookie}\nConnection: close\n"
    for bad in ("Accept: a\n X-Evil: 1\n", "Accept: a\rX-Evil: 1\n", "Accept: a\0b\n", "Accept: \xe9\n"):
        await raw(front, f"{head}{bad}\n")
    for _, _, headers in front.api.seen:
        assert "X-Evil" not in headers
        assert headers.get("Accept", "") in {"", "a X-Evil: 1"}


async def test_a_response_that_is_compressed(front: Front) -> None:
    """It goes on as it came, with the field that says so and the length that it has."""
    packed = gzip.compress(b"plain" * 100)

    def answer(_request: web.Request) -> web.Response:
        return web.Response(body=packed, headers={"Content-Encoding": "gzip", "Content-Type": "text/plain"})

    front.api.answer = answer
    browser = await front.logged_in()
    async with http_of(browser).get(front.url("/answer"), headers=READ) as response:
        assert await response.read() == b"plain" * 100
        assert (response.headers["Content-Encoding"], response.headers["Content-Length"]) == ("gzip", str(len(packed)))


@asynccontextmanager
async def speaking(serve_front: Serve, answer: bytes, *, closes: bool = False) -> AsyncIterator[tuple[Front, Browser]]:
    """Serve an upstream ``/odd/`` that answers each request with these bytes as soon as its header fields are here."""
    speakers: set[asyncio.StreamWriter] = set()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        speakers.add(writer)
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(answer)
            if closes:
                writer.close()
                return

    def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asyncio.get_running_loop().create_task(speak(reader, writer)).add_done_callback(lambda task: task.exception())

    server = await asyncio.start_server(quiet, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        front = await serve_front(more=[Upstream("/odd/", f"http://127.0.0.1:{port}")])
        yield front, await front.logged_in()
        for writer in speakers:
            writer.close()


@pytest.mark.parametrize("status", ["101 Switching Protocols", "600 No", "999 No"])
async def test_a_status_that_is_no_response(serve_front: Serve, status: str) -> None:
    """An upstream makes no tunnel of a browser's connection."""
    answer = f"HTTP/1.1 {status}\r\nConnection: upgrade\r\nUpgrade: raw\r\nContent-Length: 0\r\n\r\n".encode()
    async with speaking(serve_front, answer) as (_, browser):
        assert problem(await browser.get("/odd/me", READ)) == (502, "upstream_down")


@pytest.mark.parametrize("status", [204, 304])
async def test_a_response_without_a_body_that_states_a_length(serve_front: Serve, status: int) -> None:
    """RFC 9110 §8.6: the length of what is not sent. The connection serves the next call."""
    answer = f'HTTP/1.1 {status} No\r\nETag: "1"\r\nContent-Length: 5\r\n\r\n'.encode()
    async with speaking(serve_front, answer) as (_, browser):
        for _ in range(3):
            seen = await browser.get("/odd/me", READ)
            assert (seen.status, seen.headers["ETag"], seen.text) == (status, '"1"', "")


async def test_an_answer_before_the_body_has_come(serve_front: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """The browser gets it, nothing is left running, and the next call goes through."""
    answer = b"HTTP/1.1 413 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
    async with speaking(serve_front, answer, closes=True) as (_, browser):
        go = asyncio.Event()

        async def pieces() -> AsyncIterator[bytes]:
            yield b"x" * 10
            await go.wait()

        async with asyncio.timeout(20):
            seen = await browser.request("POST", "/odd/me", headers=READ, data=pieces())
            assert (seen.status, seen.text) == (413, "no")
            go.set()
            assert (await browser.get("/api/me", READ)).status == 200
    assert "Unhandled" not in caplog.text
    assert "Traceback" not in caplog.text


async def test_what_fails_is_told_without_secrets(serve_front: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """No log and no response has the session, its token, or the query of the call."""
    caplog.set_level("DEBUG")
    async with speaking(serve_front, b"nonsense\r\n\r\n", closes=True) as (front, browser):
        session = str(browser.cookie("session"))
        token = (await front.site.client.sessions.get(session)).tokens.access_token
        caplog.clear()
        seen = await browser.get("/odd/me?code=hunter2", READ)
        page = await browser.get("/odd/me?code=hunter2", NAVIGATE)
        assert (problem(seen), page.status) == ((502, "upstream_down"), 502)
        ours = "\n".join(record.getMessage() for record in caplog.records if "access" not in record.name)
        for secret in (session, str(token), "hunter2"):
            assert secret not in ours + seen.text + page.text


async def test_a_login_that_has_ended_at_the_service(serve_front: Serve) -> None:
    """Its tokens cannot be renewed any more: the user logs in again, and the upstream hears nothing."""
    front = await serve_front(settings=TenantSettings(access_token_lifetime=20))
    browser = await front.logged_in()
    session = await front.site.client.sessions.get(str(browser.cookie("session")))
    await front.site.client.revoke(session.tokens)
    assert (await browser.get("/api/me", READ)).status == 401
    page = await browser.get("/api/me", NAVIGATE, follow=False)
    assert (page.status, page.headers["Location"].partition("?")[0]) == (303, f"{front.site.mount}/login")
