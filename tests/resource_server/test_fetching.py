"""Fetching signing keys from an issuer on loopback: shared, bounded, and never the failure of a request's own."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from passwordless_async.auth0 import jwks
from passwordless_async.errors import TemporarilyUnavailable, UsageError
from passwordless_async.resource_server import fetching
from passwordless_async.resource_server.fetching import MAX_BODY, KeyFetcher
from passwordless_async.resource_server.keys import IssuerKeys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

METADATA = "/.well-known/openid-configuration"
DAY = 86_400


def fetcher_of(issuer: Any, http: Any = None) -> KeyFetcher:
    """Return a fetcher that knows nothing yet."""
    return KeyFetcher(IssuerKeys(issuer.url, ("RS256",)), http)


async def problem_of(fetcher: KeyFetcher, kid: str = "k1") -> str:
    """Return why there are no keys, as the operator is told."""
    with pytest.raises(TemporarilyUnavailable) as caught:
        await fetcher.find(kid, "RS256")
    error = caught.value
    assert (error.status, error.error, error.retry_after) == (503, "temporarily_unavailable", 5.0)
    assert error.error_description == "the signing keys of the issuer cannot be fetched"
    return error.__notes__[0]


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search for an unknown kid without waiting."""
    monkeypatch.setattr(jwks, "_PAUSES_SECONDS", (0.0, 0.0, 0.0))


async def test_a_herd_makes_one_fetch(issuer: Any) -> None:
    """All that need the keys at the same time share it."""
    fetcher = fetcher_of(issuer)
    found = await asyncio.gather(*(fetcher.find("k1", "RS256") for _ in range(500)))
    assert None not in found
    assert issuer.asked == [METADATA, "/jwks"]


async def test_a_cancelled_request_leaves_the_fetch_to_the_others(issuer: Any) -> None:
    """The one that began it may go; the last one too: the keys are there for the next."""
    issuer.hold = asyncio.Event()
    fetcher = fetcher_of(issuer)
    first, second = (asyncio.create_task(fetcher.find("k1", "RS256")) for _ in range(2))
    await issuer.is_asked.wait()
    first.cancel()
    await asyncio.wait([first])
    assert first.cancelled()
    issuer.hold.set()
    assert await second is not None

    third = asyncio.create_task(fetcher_of(issuer).find("k1", "RS256"))
    await asyncio.sleep(0)
    third.cancel()
    with pytest.raises(asyncio.CancelledError):
        await third
    assert issuer.asked == [METADATA, "/jwks"]


async def test_the_only_request_is_cancelled(issuer: Any) -> None:
    """Its fetch lands, and the next request finds the keys."""
    issuer.hold = asyncio.Event()
    fetcher = fetcher_of(issuer)
    request = asyncio.create_task(fetcher.find("k1", "RS256"))
    await issuer.is_asked.wait()
    request.cancel()
    await asyncio.wait([request])
    issuer.hold.set()
    assert await fetcher.find("k1", "RS256") is not None
    assert issuer.asked == [METADATA, "/jwks"]


async def test_a_new_key(issuer: Any, other_key: Any) -> None:
    """An unknown kid has the key set fetched again: after a rotation the first request finds the key."""
    fetcher = fetcher_of(issuer)
    await fetcher.find("k1", "RS256")
    issuer.keys.append(other_key)
    found = await asyncio.gather(*(fetcher.find("k2", "RS256") for _ in range(50)))
    assert None not in found
    assert issuer.asked == [METADATA, "/jwks", "/jwks"]


@pytest.mark.usefixtures("no_pauses")
async def test_a_flood_of_unknown_keys(issuer: Any) -> None:
    """It costs three fetches, and no more until the pause is over."""
    fetcher = fetcher_of(issuer)
    await fetcher.find("k1", "RS256")
    found = await asyncio.gather(*(fetcher.find(f"forged-{number}", "RS256") for number in range(200)))
    assert set(found) == {None}
    assert await fetcher.find("forged", "RS256") is None
    assert await fetcher.find("k1", "RS256") is not None
    assert issuer.asked == [METADATA, *["/jwks"] * 4]


@pytest.mark.usefixtures("no_pauses")
async def test_a_flood_of_requests_that_are_cancelled(issuer: Any) -> None:
    """The fetch that such a request began counts all the same: it begins no search before the pause is over."""
    fetcher = fetcher_of(issuer)
    await fetcher.find("k1", "RS256")
    for number in range(20):
        issuer.hold, issuer.is_asked = asyncio.Event(), asyncio.Event()
        request = asyncio.create_task(fetcher.find(f"forged-{number}", "RS256"))
        await asyncio.wait([request, asyncio.create_task(issuer.is_asked.wait())], return_when="FIRST_COMPLETED")
        request.cancel()
        await asyncio.wait([request])
        issuer.hold.set()
        assert fetcher._flight is not None
        await asyncio.wait([fetcher._flight])
    assert issuer.asked == [METADATA, *["/jwks"] * 4]


@pytest.mark.usefixtures("no_pauses")
async def test_a_new_key_in_a_flood(issuer: Any, other_key: Any, clock: Any) -> None:
    """A flood of unknown keys delays a new one by the pause between two searches, and no more."""
    fetcher = fetcher_of(issuer)
    assert await fetcher.find("forged", "RS256") is None
    issuer.keys.append(other_key)
    for _ in range(9):
        clock.time += 1
        assert await fetcher.find("forged", "RS256") is None
        assert await fetcher.find("k2", "RS256") is None
    clock.time += 1
    assert await fetcher.find("forged", "RS256") is None
    assert await fetcher.find("k2", "RS256") is not None


@pytest.mark.usefixtures("no_pauses")
async def test_an_unknown_key_in_an_outage(issuer: Any) -> None:
    """The issuer may have published it in the meantime: that is no bad token."""
    fetcher = fetcher_of(issuer)
    await fetcher.find("k1", "RS256")
    issuer.answers["/jwks"] = {"status": 503}
    assert await problem_of(fetcher, "k2") == "the signing keys cannot be read (status 503)"
    assert await fetcher.find("k1", "RS256") is not None


async def test_old_keys_are_renewed_in_the_background(issuer: Any, clock: Any, other_key: Any) -> None:
    """No request waits for it; the next one has the new keys."""
    fetcher = fetcher_of(issuer)
    await fetcher.find("k1", "RS256")
    issuer.keys[:] = [other_key]
    issuer.hold = asyncio.Event()
    clock.time += DAY
    assert await fetcher.find("k1", "RS256") is not None
    assert await fetcher.find("k1", "RS256") is not None
    flight = fetcher._flight
    assert flight is not None
    issuer.hold.set()
    await flight
    assert fetcher.keys.get("k2", "RS256") is not None
    assert fetcher.keys.get("k1", "RS256") is None
    assert issuer.asked == [METADATA, "/jwks"] * 2


async def test_a_failed_renewal_is_tried_once_a_minute(issuer: Any, clock: Any) -> None:
    """The old keys serve, and the issuer is not asked by each request."""
    fetcher = fetcher_of(issuer)
    await fetcher.find("k1", "RS256")
    issuer.answers[METADATA] = {"status": 500}
    clock.time += DAY
    for _ in range(3):
        assert await fetcher.find("k1", "RS256") is not None
        flight = fetcher._flight
        assert flight is not None
        await flight
    assert issuer.asked == [METADATA, "/jwks", METADATA]
    clock.time += 60
    await fetcher.find("k1", "RS256")
    flight = fetcher._flight
    assert flight is not None
    await flight
    assert issuer.asked == [METADATA, "/jwks", METADATA, METADATA]


@pytest.mark.parametrize(
    ("path", "answer", "problem"),
    [
        (METADATA, {"status": 500}, "the issuer's metadata cannot be read (status 500)"),
        (METADATA, {"body": b"<html>", "content_type": "text/html"}, "the answer is not a JSON object (status 200)"),
        (METADATA, {"body": b"x" * (MAX_BODY + 1)}, f"the answer is over {MAX_BODY} bytes, or encoded (status 200)"),
        ("/jwks", {"status": 302, "headers": {"Location": "/other"}}, "the signing keys cannot be read (status 302)"),
        ("/jwks", {"body": b"x" * 2 * MAX_BODY}, f"the answer is over {MAX_BODY} bytes, or encoded (status 200)"),
        (
            "/jwks",
            {"body": gzip.compress(b" " * 50_000_000), "headers": {"Content-Encoding": "gzip"}},
            f"the answer is over {MAX_BODY} bytes, or encoded (status 200)",
        ),
        (
            "/jwks",
            {"body": b"{}", "headers": {"Content-Encoding": "exi"}},
            f"the answer is over {MAX_BODY} bytes, or encoded (status 200)",
        ),
        ("/jwks", {"body": b'{"keys":[]}'}, "the key set has no usable RSA or P-256 key for signatures (status 200)"),
    ],
)
async def test_answers_that_are_no_keys(path: str, answer: Any, problem: str, issuer: Any) -> None:
    """Huge, empty, wrong, elsewhere: no keys, told to the operator, and a bound on what is read."""
    issuer.answers[path] = answer
    assert await problem_of(fetcher_of(issuer)) == problem


async def test_an_endless_answer(issuer: Any) -> None:
    """It is left when the bound is reached."""

    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65_536

    issuer.answers["/jwks"] = {"body": pieces()}
    expected = f"the answer is over {MAX_BODY} bytes, or encoded (status 200)"
    assert await problem_of(fetcher_of(issuer)) == expected


async def test_a_compressed_key_set_is_read(issuer: Any) -> None:
    """A gateway compressed it unasked; one key more than nothing would be an outage."""
    body = gzip.compress(json.dumps({"keys": [key.as_dict(private=False) for key in issuer.keys]}).encode())
    issuer.answers["/jwks"] = {"body": body, "headers": {"Content-Encoding": "gzip"}}
    assert await fetcher_of(issuer).find("k1", "RS256") is not None


async def test_an_issuer_that_is_gone(unused_tcp_port: int) -> None:
    """No connection: the kind of the failure, and where."""
    fetcher = KeyFetcher(IssuerKeys(f"http://127.0.0.1:{unused_tcp_port}/", ("RS256",)), None)
    expected = f"no answer came from http://127.0.0.1:{unused_tcp_port} (ClientConnectorError)"
    assert await problem_of(fetcher) == expected


async def test_an_issuer_that_hangs(issuer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fetch has a time limit."""
    monkeypatch.setattr(fetching, "_TIMEOUT", aiohttp.ClientTimeout(total=0.05))
    issuer.hold = asyncio.Event()
    assert await problem_of(fetcher_of(issuer)) == f"no answer came from {issuer.url[:-1]} (time-out)"
    issuer.hold.set()


async def test_an_issuer_that_breaks_off(issuer: Any) -> None:
    """Less than it promised."""

    def broken() -> web.Response:
        response = web.Response(body=b"{}", headers={"Content-Length": "100"})
        response.force_close()
        return response

    issuer.answers["/jwks"] = broken
    assert (await problem_of(fetcher_of(issuer))).startswith(f"no answer came from {issuer.url[:-1]} (")


def tracing(hook: Any) -> aiohttp.ClientSession:
    """Return a session with a hook that is called before each request."""
    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(hook)
    return aiohttp.ClientSession(trace_configs=[trace])


async def test_a_lent_session(issuer: Any) -> None:
    """It is used, and left open."""
    seen: list[str] = []

    async def on_start(_session: Any, _context: Any, params: Any) -> None:
        seen.append(params.url.path)

    async with tracing(on_start) as http:
        assert await fetcher_of(issuer, http).find("k1", "RS256") is not None
        assert seen == [METADATA, "/jwks"]
        assert not http.closed


async def test_a_hook_of_a_lent_session_fails(issuer: Any) -> None:
    """Whatever it raises is a failed fetch, of which the kind alone is told."""

    async def on_start(*_: Any) -> None:
        raise LookupError("marker")

    async with tracing(on_start) as http:
        assert await problem_of(fetcher_of(issuer, http)) == "the fetch failed (LookupError)"


async def test_a_lent_session_that_is_closed(issuer: Any) -> None:
    """No keys, and the operator is told."""
    async with aiohttp.ClientSession() as http:
        fetcher = fetcher_of(issuer, http)
    assert await problem_of(fetcher) == "the fetch failed (RuntimeError)"


async def test_a_lent_session_checks_certificates() -> None:
    """Without a check any server could publish the keys; on loopback there is nothing to check."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as http:
        with pytest.raises(UsageError, match="http: does not check certificates"):
            KeyFetcher(IssuerKeys("https://issuer.example/", ("RS256",)), http)
        KeyFetcher(IssuerKeys("http://127.0.0.1/", ("RS256",)), http)
    context = ssl.create_default_context()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as http:
        KeyFetcher(IssuerKeys("https://issuer.example/", ("RS256",)), http)
    with pytest.raises(UsageError, match="http"):
        KeyFetcher(IssuerKeys("https://issuer.example/", ("RS256",)), "http")  # type: ignore[arg-type] # the mistake


def test_several_event_loops() -> None:
    """A fetch that was left behind in a closed loop is not waited for."""
    fetcher = KeyFetcher(IssuerKeys("http://127.0.0.1:9/", ("RS256",)), None)

    async def begin() -> None:
        task = asyncio.create_task(fetcher.find("k1", "RS256"))
        await asyncio.sleep(0)
        task.cancel()

    async def ask() -> str:
        return await problem_of(fetcher)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    left = fetcher._flight
    assert left is not None
    assert not left.done()
    assert asyncio.run(ask()) == "no answer came from http://127.0.0.1:9 (ClientConnectorError)"
    left.cancel()
    loop.run_until_complete(asyncio.wait([left]))
    loop.close()


async def test_a_fetch_that_is_ended_with_its_loop(issuer: Any) -> None:
    """Its request is refused as in an outage, not cancelled: nobody cancelled it."""
    issuer.hold = asyncio.Event()
    fetcher = fetcher_of(issuer)
    request = asyncio.create_task(fetcher.find("k1", "RS256"))
    await issuer.is_asked.wait()
    flight = fetcher._flight
    assert flight is not None
    flight.cancel()
    with pytest.raises(TemporarilyUnavailable):
        await request
    issuer.hold.set()
