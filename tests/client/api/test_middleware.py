"""The middleware in real sessions, against a server that checks every proof by joserfc."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
from typing import TYPE_CHECKING, Any

import aiohttp
import attrs
import pytest

from helpers.challenges import UNANSWERABLE
from passwordless_async import (
    DPoPKey,
    DPoPMiddleware,
    KeyMismatch,
    TokenSet,
    UsageError,
    UseDPoPNonce,
)
from passwordless_async._common.secret import Secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


def session(resource: Any, tokens: TokenSet, **connector: Any) -> aiohttp.ClientSession:
    middleware = DPoPMiddleware(tokens, origins=[resource.url])
    return aiohttp.ClientSession(
        middlewares=[middleware], connector=aiohttp.TCPConnector(**connector) if connector else None
    )


def multipart() -> aiohttp.MultipartWriter:
    writer = aiohttp.MultipartWriter("form-data")
    writer.append(b"part one" * 1000).set_content_disposition("form-data", name="one")
    writer.append(io.BytesIO(b"part two" * 1000)).set_content_disposition("form-data", name="two")
    return writer


def acquired(calls: aiohttp.ClientSession) -> bool:
    """Return whether a connection of the pool is in use."""
    assert calls.connector is not None
    return bool(calls.connector._acquired)


BODIES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "none": lambda _path: {},
    "bytes": lambda _path: {"data": b"some bytes"},
    "json": lambda _path: {"json": {"some": ["json"]}},
    "form": lambda _path: {"data": {"a": "1", "b": "2"}},
    "text": lambda _path: {"data": "some text"},
    "file": lambda path: {"data": path.open("rb")},
    "multipart": lambda _path: {"data": multipart()},
    "bytes io": lambda _path: {"data": io.BytesIO(b"x" * 100_000)},
}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "patch"])
async def test_a_challenge_is_answered_once(resource: Any, tokens: TokenSet, method: str) -> None:
    """A 401 that demands a nonce is answered with it; the next request has it from the start."""
    async with session(resource, tokens) as calls:
        for path in ("/me", "/me?page=2#top"):
            async with calls.request(method, f"{resource.url}{path}") as response:
                assert response.status == 200
    assert [request[0] for request in resource.requests] == [method.upper()] * 3


@pytest.mark.parametrize("kind", BODIES)
async def test_bodies_are_sent_again_whole(resource: Any, tokens: TokenSet, tmp_path: Path, kind: str) -> None:
    """The second transmission carries the same body as the first, whatever it was made of."""
    file = tmp_path / "upload"
    file.write_bytes(b"y" * 200_000)
    async with (
        session(resource, tokens) as calls,
        calls.post(f"{resource.url}/things", **BODIES[kind](file)) as response,
    ):
        assert response.status == 200
    first, second = (request[3] for request in resource.requests)
    assert first == second
    assert bool(first) == (kind != "none")


async def test_a_stream_is_not_sent_again_empty(resource: Any, tokens: TokenSet) -> None:
    """A body that is used up is refused before anything is sent; the nonce is kept, so the next try passes."""

    async def stream() -> AsyncIterator[bytes]:
        yield b"only "
        yield b"once"

    async with session(resource, tokens, limit=1) as calls:
        with pytest.raises(UseDPoPNonce, match="used up") as caught:
            await calls.post(f"{resource.url}/things", data=stream())
        assert (caught.value.retryable, caught.value.nonce) == (True, "nonce-1")
        assert len(resource.requests) == 1
        async with calls.post(f"{resource.url}/things", data=stream()) as response:
            assert response.status == 200
    assert [request[3] for request in resource.requests] == [b"only once"] * 2


@pytest.mark.parametrize("size", [0, 1000, 1_000_000])
async def test_one_connection_is_enough(make_resource: Callable[..., Any], tokens: TokenSet, size: int) -> None:
    """The challenge's connection is given back before the second transmission, however large its body is."""
    resource = await make_resource(nonce="nonce-1", challenge_body=b"x" * size)
    async with session(resource, tokens, limit=1) as calls:
        async with asyncio.timeout(10), calls.get(f"{resource.url}/me") as response:
            assert response.status == 200
        assert not acquired(calls)


@pytest.mark.parametrize(
    ("limit", "settings", "at_most"),
    [
        (100, {}, 51),
        (1, {}, 51),
        (1, {"challenge_body": b"x" * 100_000}, 51),
        (100, {"single_use": True}, 100),
        (1, {"single_use": True}, 51),
    ],
)
async def test_fifty_at_once_on_a_cold_cache(
    make_resource: Callable[..., Any], tokens: TokenSet, limit: int, settings: dict[str, Any], at_most: int
) -> None:
    """Rule 15: one asks for the nonce and the others wait for it: N + 1 on the wire; 2 N where each passes once."""
    resource = await make_resource(nonce="nonce-1", **settings)

    async def call(calls: aiohttp.ClientSession) -> int:
        async with calls.get(f"{resource.url}/me") as response:
            await response.read()
            return response.status

    async with session(resource, tokens, limit=limit) as calls:
        assert set(await asyncio.gather(*(call(calls) for _ in range(50)))) == {200}
    assert 51 <= len(resource.requests) <= at_most


@pytest.mark.parametrize("limit", [100, 1])
async def test_fifty_at_once_while_the_nonce_rotates(resource: Any, tokens: TokenSet, limit: int) -> None:
    """A rotated nonce costs each request in flight one challenge more, and no failure."""

    async def call(calls: aiohttp.ClientSession) -> int:
        async with calls.get(f"{resource.url}/me") as response:
            await response.read()
            return response.status

    async with session(resource, tokens, limit=limit) as calls:
        await call(calls)
        resource.nonce = "nonce-2"
        assert set(await asyncio.gather(*(call(calls) for _ in range(50)))) == {200}
    assert 2 + 50 + 1 <= len(resource.requests) <= 2 + 100
    assert limit > 1 or len(resource.requests) == 2 + 50 + 1


async def test_proofs_are_signed_when_there_is_a_connection(resource: Any, tokens: TokenSet) -> None:
    """With two connections the third request signs nothing before one of them is free again."""
    resource.nonce = None
    middleware = DPoPMiddleware(tokens, origins=[resource.url])
    signed: list[str] = []

    def jti() -> str:
        signed.append(f"a-jti-of-at-least-96-bits-{len(signed)}")
        return signed[-1]

    proofs = middleware._credentials._proofs
    assert proofs is not None
    proofs._jti = jti
    connector = aiohttp.TCPConnector(limit=2)
    async with aiohttp.ClientSession(middlewares=[middleware], connector=connector) as calls:
        (await calls.get(resource.url)).close()
        resource.hold = asyncio.Event()
        waiting = [asyncio.ensure_future(calls.get(f"{resource.url}/me")) for _ in range(5)]
        for _ in range(300):
            await asyncio.sleep(0)
        assert (len(signed), resource.waiting) == (1 + 2, 2)
        resource.hold.set()
        for response in await asyncio.gather(*waiting):
            response.close()
    assert len(signed) == 1 + 5


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_inside_the_origin(resource: Any, tokens: TokenSet, status: int) -> None:
    """Each hop has a proof of its own, for its own URL."""
    url = f"{resource.url}/start?status={status}&location=/end"
    async with session(resource, tokens) as calls, calls.get(url) as response:
        assert (response.status, response.url.path) == (200, "/end")


@pytest.mark.parametrize("status", [302, 307])
async def test_a_redirect_to_another_origin(
    make_resource: Callable[..., Any], resource: Any, tokens: TokenSet, status: int
) -> None:
    """Rule 20: the token and the proof do not follow."""
    other = await make_resource()
    url = f"{resource.url}/a?status={status}&location={other.url}/b"
    async with session(resource, tokens) as calls, calls.post(url, data=b"x") as response:
        assert await response.json() == {"anonymous": True}
    ((_, _, headers, _),) = other.requests
    assert "DPoP" not in headers
    assert "Authorization" not in headers


async def test_another_origin_gets_neither_token_nor_proof(
    make_resource: Callable[..., Any], resource: Any, tokens: TokenSet, caplog: pytest.LogCaptureFixture
) -> None:
    """A request to an origin that was not named goes out without either, even where the caller put them in.

    The log says so, without the path.
    """
    caplog.set_level(logging.DEBUG, "passwordless_async")
    other = await make_resource()
    headers = {"Authorization": f"Bearer {tokens.access_token}", "DPoP": "a proof"}
    async with session(resource, tokens) as calls, calls.get(f"{other.url}/?a=b", headers=headers) as response:
        assert await response.json() == {"anonymous": True}
    assert "DPoP" not in other.requests[0][2]
    (line,) = [record.getMessage() for record in caplog.records if record.name == "passwordless_async"]
    assert line == f"sent without a token: {other.url} is not among origins ({resource.url})"


async def test_a_bound_token_never_goes_out_as_bearer(resource: Any, tokens: TokenSet) -> None:
    """Rule 20: whatever the caller puts in the header fields, the origin gets the DPoP scheme and one fresh proof."""
    headers = [("Authorization", f"Bearer {tokens.access_token}"), ("DPoP", "stale"), ("dpop", "staler")]
    async with session(resource, tokens) as calls, calls.get(f"{resource.url}/", headers=headers) as response:
        assert response.status == 200
    assert {request[2]["Authorization"] for request in resource.requests} == {f"DPoP {tokens.access_token}"}


async def test_a_reconnect_has_a_proof_of_its_own(tokens: TokenSet) -> None:
    """Rule 3: where aiohttp sends an idempotent request again on a new connection, the proof is new."""
    seen: list[str] = []
    connections = 0

    async def drop_the_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        seen.append(next(line for line in head.splitlines() if line.lower().startswith("dpop:")))
        if connections > 1:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(drop_the_first, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    calls = aiohttp.ClientSession(middlewares=[DPoPMiddleware(tokens, origins=[url])])
    async with server, calls, calls.get(f"{url}/me") as response:
        assert response.status == 200
    assert len(set(seen)) == 2


@pytest.mark.parametrize(("headers", "error", "sent"), UNANSWERABLE)
async def test_a_challenge_that_cannot_be_answered(
    resource: Any, tokens: TokenSet, headers: dict[str, str], error: type[Exception], sent: int
) -> None:
    """A second challenge, or one without a usable nonce, is a typed error, and the connection is given back."""
    resource.challenge_headers = {"WWW-Authenticate": 'dPoP error="use_dpop_nonce"', **headers}
    async with session(resource, tokens) as calls:
        with pytest.raises(error):
            await calls.get(f"{resource.url}/me")
        assert len(resource.requests) == sent
        assert not acquired(calls)


async def test_a_challenge_that_a_gateway_renamed_is_answered(resource: Any, tokens: TokenSet) -> None:
    """Amazon API Gateway renames WWW-Authenticate; the second request has the nonce all the same."""
    resource.challenge_headers = {"x-amzn-remapped-www-authenticate": 'DPoP error="use_dpop_nonce"'}
    resource.challenge_headers["DPoP-Nonce"] = "nonce-1"
    async with session(resource, tokens) as calls, calls.get(f"{resource.url}/me") as response:
        assert response.status == 200
    assert len(resource.requests) == 2


@pytest.mark.parametrize(
    "challenge",
    ['DPoP realm="use_dpop_nonce_blocklist"', 'Bearer error="use_dpop_nonce"', 'DPoP error="invalid_token"'],
)
async def test_other_401_is_returned(resource: Any, tokens: TokenSet, challenge: str) -> None:
    """A 401 that demands no nonce is returned after one transmission, even if it carries a nonce."""
    resource.challenge_headers = {"WWW-Authenticate": challenge, "DPoP-Nonce": "fresh"}
    async with session(resource, tokens) as calls, calls.get(f"{resource.url}/me") as response:
        assert response.status == 401
    assert len(resource.requests) == 1


async def test_cancelling_leaks_nothing(resource: Any, tokens: TokenSet) -> None:
    """A caller that gives up leaves neither a connection nor a slot behind: later calls go through."""
    resource.hold = asyncio.Event()
    async with session(resource, tokens, limit=2) as calls:
        waiting = [asyncio.create_task(calls.get(f"{resource.url}/me")) for _ in range(6)]
        for _ in range(300):
            await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        assert not acquired(calls)
        resource.hold.set()
        async with asyncio.timeout(10):
            for _ in range(5):
                async with calls.get(f"{resource.url}/me") as response:
                    assert response.status == 200


@pytest.mark.slow
async def test_dropped_response_releases_its_slot(resource: Any, tokens: TokenSet) -> None:
    """An application that drops a response unread loses its connection but no slot."""
    async with session(resource, tokens, limit=1) as calls:
        resource.challenge_body = b"x"
        for _ in range(3):
            async with asyncio.timeout(10):
                response = await calls.get(f"{resource.url}/me")
            del response
            gc.collect()


@pytest.mark.parametrize("backwards", [False, True])
async def test_two_middlewares_on_one_session(
    make_resource: Callable[..., Any], resource: Any, tokens: TokenSet, *, backwards: bool
) -> None:
    """Each has its own API and its own token, in whatever order they stand, and neither takes the other's proof."""
    other = await make_resource(nonce="nonce-2")
    others = attrs.evolve(tokens, access_token=Secret("another-token"), key=DPoPKey.generate())
    middlewares = [DPoPMiddleware(tokens, origins=[resource.url]), DPoPMiddleware(others, origins=[other.url])]
    async with aiohttp.ClientSession(middlewares=middlewares[::-1] if backwards else middlewares) as calls:
        for url in (resource.url, other.url, f"{resource.url}/a?status=307&location={other.url}/b"):
            async with calls.get(url) as response:
                assert response.status == 200
    assert {request[2]["Authorization"] for request in resource.requests} == {f"DPoP {tokens.access_token}"}
    assert {request[2]["Authorization"] for request in other.requests} == {"DPoP another-token"}


async def test_second_middleware_for_an_origin_passes_the_request_on(resource: Any, tokens: TokenSet) -> None:
    """The second middleware finds the proof of the first and passes the request on: one connection is enough."""
    twice = [DPoPMiddleware(tokens, origins=[resource.url]) for _ in range(2)]
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(middlewares=twice, connector=connector) as calls, asyncio.timeout(10):
        async with calls.get(resource.url) as response:
            assert response.status == 200


async def test_one_origin_does_not_hold_up_another(make_resource: Callable[..., Any], tokens: TokenSet) -> None:
    """A pool's bound per host is per host: a response that is held open at one leaves the others alone."""
    one, other = await make_resource(), await make_resource()
    middleware = DPoPMiddleware(tokens, origins=[one.url, other.url])
    connector = aiohttp.TCPConnector(limit_per_host=1)
    one.hold = asyncio.Event()
    async with aiohttp.ClientSession(middlewares=[middleware], connector=connector) as calls, asyncio.timeout(10):
        held = asyncio.create_task(calls.get(one.url))
        async with calls.get(other.url) as response:
            assert response.status == 200
        one.hold.set()
        (await held).close()


async def test_a_call_in_a_session_that_is_closed_meanwhile_is_not_sent(resource: Any, tokens: TokenSet) -> None:
    """It fails as a call does that has no connection, for every call that waits for its tokens then."""
    is_closed = asyncio.Event()

    class Source:
        def __init__(self) -> None:
            self.tokens = tokens

        def is_renewable(self, refused: TokenSet) -> bool:
            return refused is not tokens

        async def current(self) -> TokenSet:
            await is_closed.wait()
            return tokens

        async def renew(self, refused: TokenSet) -> TokenSet:
            return refused

    calls = aiohttp.ClientSession(middlewares=[DPoPMiddleware(Source(), origins=[resource.url])])
    waiting = [asyncio.ensure_future(calls.get(f"{resource.url}/me")) for _ in range(2)]
    await asyncio.sleep(0)
    await calls.close()
    is_closed.set()
    for call in waiting:
        with pytest.raises(aiohttp.ClientConnectionError, match="closed"):
            await call
    assert resource.requests == []


async def test_a_web_socket_is_a_request_too(resource: Any, tokens: TokenSet) -> None:
    """Its handshake carries token and proof, for the http URL that it is (RFC 6455 §4.1)."""
    url = resource.url.replace("http://", "ws://")
    async with session(resource, tokens) as calls:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await calls.ws_connect(f"{url}/socket")
    assert {request[2]["Authorization"] for request in resource.requests} == {f"DPoP {tokens.access_token}"}
    assert len(resource.requests) == 2


async def test_a_challenge_that_breaks_off_is_answered(tokens: TokenSet) -> None:
    """The nonce comes with the head: that the body never ends does not matter."""
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        challenge = b'HTTP/1.1 401 No\r\nWWW-Authenticate: DPoP error="use_dpop_nonce"\r\nDPoP-Nonce: n\r\n'
        good = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        writer.write(challenge + b"Content-Length: 99\r\n\r\nshort" if len(heads) == 1 else good)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    calls = aiohttp.ClientSession(middlewares=[DPoPMiddleware(tokens, origins=[url])])
    async with server, calls, calls.get(url) as response:
        assert response.status == 200
    assert len(heads) == 2


async def test_renewed_tokens_of_another_key_are_refused(resource: Any, tokens: TokenSet) -> None:
    """Rule 18: tokens and key stay together; what a source brings is looked at before it is sent."""

    class Source:
        def is_renewable(self, _refused: TokenSet) -> bool:
            return False

        @property
        def tokens(self) -> TokenSet:
            return tokens

        async def current(self) -> TokenSet:
            return attrs.evolve(tokens, key=DPoPKey.generate())

        async def renew(self, refused: TokenSet) -> TokenSet:
            return refused

    middleware = DPoPMiddleware(Source(), origins=[resource.url])
    async with aiohttp.ClientSession(middlewares=[middleware]) as calls:
        with pytest.raises(KeyMismatch):
            await calls.get(resource.url)
    assert resource.requests == []


async def test_errors_of_aiohttp_do_not_show_the_token(resource: Any, tokens: TokenSet) -> None:
    """An error of aiohttp prints a request's header fields with its errors: token and proof are redacted there."""
    resource.nonce = None
    async with session(resource, tokens) as calls, calls.get(f"{resource.url}/a?status=404&location=x") as response:
        with pytest.raises(aiohttp.ClientResponseError) as caught:
            response.raise_for_status()
    printed = repr(caught.value) + repr(caught.value.request_info) + repr(response)
    assert tokens.access_token not in printed
    assert "eyJ" not in printed


@pytest.mark.parametrize(
    ("origins", "argument"),
    [
        (["http://api.example"], "origins"),
        (["https://api.example/path"], "origins"),
        (["https://user@api.example"], "origins"),
        (["ftp://api.example"], "origins"),
        ([""], "origins"),
        ("https://api.example", "origins"),
    ],
)
def test_origins_are_checked(tokens: TokenSet, origins: Any, argument: str) -> None:
    """An origin is https, or http on loopback, without anything behind it."""
    with pytest.raises(UsageError) as caught:
        DPoPMiddleware(tokens, origins=origins)
    assert caught.value.argument == argument


def test_tokens_must_be_tokens() -> None:
    """A text is not a token set; it is not in the error either."""
    given: Any = "an-access-token"
    with pytest.raises(UsageError, match=r"^tokens: must be a TokenSet, not str") as caught:
        DPoPMiddleware(given, origins=["https://api.example"])
    assert given not in str(caught.value)


def test_the_repr_shows_origins_alone(tokens: TokenSet) -> None:
    """Neither the token nor the key is in it."""
    assert (
        repr(DPoPMiddleware(tokens, origins=["https://API.example:443"])) == "<DPoPMiddleware for https://api.example>"
    )
