"""The aiohttp.web middleware, in a real server on a loopback port."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict
from yarl import URL

from helpers.apis import ApiClient, make_server
from passwordless_async.adapters.aiohttp_web import AUTHORIZED, DPOP, TOKEN, dpop_middleware, protect
from passwordless_async.dpop import parse_www_authenticate
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def me(request: web.Request) -> web.Response:
    """Say who asks."""
    proof = request.get(DPOP)
    return web.json_response({"sub": request[TOKEN]["sub"], "jkt": proof and proof.thumbprint})


async def stream(request: web.Request) -> web.StreamResponse:
    """Answer in pieces."""
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"piece")
    return response


async def conflict(_request: web.Request) -> web.Response:
    """Answer by raising."""
    raise web.HTTPConflict(headers={"Access-Control-Expose-Headers": "X-Own", "Cache-Control": "max-age=60"})


@asynccontextmanager
async def serving(world: Any, **options: Any) -> AsyncIterator[Any]:
    """Run an application with the middleware, and return what sends a request to it."""
    app = web.Application(
        middlewares=[dpop_middleware(world.verifier, options.pop("token_info", world.token_info), **options)]
    )
    app.router.add_route("*", "/me", me)
    app.router.add_get("/stream", stream)
    app.router.add_route("*", "/conflict", conflict)
    app.router.add_get("/a/{rest}", me)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:

        async def get(path: str, headers: Any = (), method: str = "GET") -> tuple[int, Any, CIMultiDict[str]]:
            url = URL(f"http://127.0.0.1:{server.port}{path}", encoded=True)
            async with session.request(method, url, headers=CIMultiDict(headers)) as response:
                return response.status, await response.read(), CIMultiDict(response.headers)

        yield get


async def test_conformance(case: Any, world: Any) -> None:
    """Rules 21-28: the middleware lets through and refuses what the public conformance suite says."""
    async with serving(world) as get:
        for headers, passes in world.table(case):
            status, _body, answered = await get("/me", headers)
            assert status == (200 if passes else 401)
            assert ("WWW-Authenticate" in answered) != passes


async def test_hands_on_the_proof_and_the_token(world: Any) -> None:
    """Rule 30: the handler has the checked proof and the token's claims."""
    async with serving(world) as get:
        status, body, headers = await get("/me?x=1", world.headers())
    assert status == 200
    assert json.loads(body) == {"sub": "ada", "jkt": world.prover.thumbprint}
    assert "DPoP-Nonce" not in headers
    assert world.seen == ["bound"]


async def test_token_info_may_be_async(world: Any) -> None:
    """The application's validation may wait for something."""

    async def token_info(access_token: str) -> Any:
        return world.token_info(access_token)

    async with serving(world, token_info=token_info) as get:
        assert (await get("/me", world.headers()))[0] == 200


async def test_refusal(world: Any) -> None:
    """Rule 29: a refusal is 401 with challenge, no-store and CORS fields, and says why in JSON."""
    async with serving(world) as get:
        status, body, headers = await get("/me", world.headers(htm="PUT"))
    assert status == 401
    assert json.loads(body) == {"error": "invalid_dpop_proof", "error_description": "htm is not the request's method"}
    assert headers["Cache-Control"] == "no-store"
    assert headers["Access-Control-Expose-Headers"] == "DPoP-Nonce, WWW-Authenticate"
    (challenge,) = parse_www_authenticate(headers.getall("WWW-Authenticate"))
    assert challenge.scheme == "dpop"
    assert challenge.parameters["algs"] == "ES256"


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        ([], 'DPoP algs="ES256"'),
        ([("DPoP", "x")], 'DPoP algs="ES256"'),
        ([("Authorization", "DPoP bound"), ("Authorization", "DPoP bound")], None),
        ([("Authorization", "DPoP bound"), ("Authorization", "Bearer bound")], None),
        ([("Authorization", "DPoP unknown")], None),
        ([("Authorization", "DPoP unbound")], None),
        ([("Authorization", "Bearer unbound")], 'DPoP algs="ES256"'),
        ([("Authorization", "Bearer bound")], 'DPoP algs="ES256"'),
    ],
)
async def test_schemes(headers: Any, challenge: str | None, world: Any) -> None:
    """Rule 27: no token, two Authorization headers, an unknown token, or one under a scheme not its own: refused."""
    async with serving(world) as get:
        status, _body, answered = await get("/me", headers)
    assert status == (400 if len(headers) == 2 else 401)
    if challenge is not None:
        assert answered["WWW-Authenticate"] == challenge
    elif status == 401:
        assert 'error="invalid_token"' in answered["WWW-Authenticate"]


@pytest.mark.parametrize(("bound", "proof", "status"), [(False, False, 200), (False, True, 401), (True, False, 401)])
async def test_bearer_where_it_is_allowed(bound: bool, proof: bool, status: int, world: Any) -> None:  # noqa: FBT001 - a table
    """Rule 27: where bearer is allowed, it is for unbound tokens without a proof alone."""
    headers = world.headers(bound=bound, scheme="Bearer")
    if not proof:
        del headers["DPoP"]
    async with serving(world, allow_bearer=True) as get:
        answered, body, _headers = await get("/me", headers)
    assert answered == status
    if status == 200:
        assert json.loads(body) == {"sub": "bob", "jkt": None}


async def test_nonce_challenge_and_offer(world: Any) -> None:
    """Rule 29: the middleware challenges, accepts the nonce, and offers the next when it changes, on errors too."""
    nonces = world.issue_nonces()
    async with serving(world) as get:
        status, body, headers = await get("/me", world.headers())
        assert (status, json.loads(body)["error"]) == (401, "use_dpop_nonce")
        nonce = headers["DPoP-Nonce"]
        assert 'DPoP error="use_dpop_nonce"' in headers["WWW-Authenticate"]

        status, _body, headers = await get("/me", world.headers(nonce=nonce))
        assert status == 200
        assert "DPoP-Nonce" not in headers

        world.now += 60
        for path, expected in (("/me", 200), ("/conflict", 409), ("/nowhere", 404)):
            status, _body, headers = await get(path, world.headers(path, nonce=nonce))
            assert status == expected
            assert headers["DPoP-Nonce"] == nonces.issue() != nonce
            assert headers.getall("Cache-Control") == ["no-store"]
            assert headers.getall("Access-Control-Expose-Headers")[-1] == "DPoP-Nonce, WWW-Authenticate"
        assert (await get("/stream", world.headers("/stream", nonce=nonce)))[:2] == (200, b"piece")


async def test_keeps_the_applications_own_fields(world: Any) -> None:
    """Rule 29: what the application exposes to scripts stays exposed."""
    nonce = world.issue_nonces().issue()
    world.now += 60
    async with serving(world) as get:
        headers = (await get("/conflict", world.headers("/conflict", nonce=nonce)))[2]
    assert headers.getall("Access-Control-Expose-Headers") == ["X-Own", "DPoP-Nonce, WWW-Authenticate"]


@pytest.mark.parametrize("path", ["/a/x%2Fy", "/a/x%40y", "/a/%7Ex", "/a/x@y"])
async def test_compares_the_path_as_it_came(path: str, world: Any) -> None:
    """Rule 25: escapes count as they were sent, whatever aiohttp makes of them in request.url."""
    async with serving(world) as get:
        assert (await get(path, world.headers(path)))[0] == 200
        assert (await get(path, world.headers("/a/other")))[0] == 401


async def test_exempt_requests_pass(world: Any) -> None:
    """A health check or a preflight needs no token where the application says so."""

    async def ask(get: Any, method: str) -> int:
        status: int = (await get("/conflict", method=method))[0]
        return status

    async with serving(world, exempt=lambda request: request.method == "OPTIONS") as get:
        assert await ask(get, "OPTIONS") == 409
        assert await ask(get, "GET") == 401


async def test_wrong_token_info_is_an_error(world: Any) -> None:
    """Rule 30: a callback that returns neither claims nor None is an error, and the request is refused."""
    async with serving(world, token_info=lambda _token: True) as get:
        assert (await get("/me", world.headers()))[0] == 500


async def test_views_and_methods_are_protected() -> None:
    """A method of a view has its request, a method of another class is given one; what is neither is refused."""
    server, api = make_server(), ApiClient()

    class Things(web.View):
        @protect(server, scopes={"read"})
        async def get(self) -> web.Response:
            return web.Response(text=self.request[AUTHORIZED].subject)

    class Handlers:
        @protect(server)
        async def other(self, request: web.Request) -> web.Response:
            return web.Response(text=str(request[AUTHORIZED].client_id))

    app = web.Application()
    app.router.add_view("/things", Things)
    app.router.add_get("/other", Handlers().other)
    async with TestServer(app) as listening, aiohttp.ClientSession(listening.make_url("")) as session:
        for path, text in (("/things", "ada"), ("/other", "client")):
            async with session.get(path, headers=api.headers(path)) as passed, session.get(path) as refused:
                assert (passed.status, await passed.text(), refused.status) == (200, text, 401)
    decorate: Any = protect(server)
    for wrong in (Things, None):
        with pytest.raises(UsageError, match="handler"):
            decorate(wrong)
    with pytest.raises(UsageError, match="handler"):
        await decorate(test_views_and_methods_are_protected)("no request")


@pytest.mark.parametrize(
    "options", [{"token_info": print}, {"allow_bearer": True}, {"public": "/health"}, {"exempt": "/health"}]
)
def test_arguments_that_do_not_go_together_are_refused(options: Any) -> None:
    """A resource server checks tokens itself; and public paths are a list."""
    with pytest.raises(UsageError):
        dpop_middleware(make_server(), **options)


def test_a_verifier_needs_a_check_of_tokens(world: Any) -> None:
    """When the application starts."""
    with pytest.raises(UsageError, match="token_info"):
        dpop_middleware(world.verifier)


async def statuses_of(world: Any, requests: list[tuple[str, str, list[tuple[str, str]]]], *, allow_bearer: bool) -> Any:
    """Send requests over plain sockets, each on its own, and return the status of each; None without an answer."""
    middleware = dpop_middleware(world.verifier, world.token_info, allow_bearer=allow_bearer)
    app = web.Application(middlewares=[middleware])
    app.router.add_route("*", "/me", me)
    async with TestServer(app) as server:
        return [await _status(server.port, _wire(*request)) for request in requests]


def _wire(method: str, target: str, fields: list[tuple[str, str]]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def _status(port: int | None, request: bytes) -> int | None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        line = await reader.readline()
    finally:
        writer.close()
    return int(line.split()[1]) if line else None


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(data=st.data(), allow_bearer=st.booleans())
def test_whatever_comes(make_world: Any, hostile_fields: Any, data: st.DataObject, allow_bearer: bool) -> None:  # noqa: FBT001 - drawn
    """Any combination of method, target and header fields, as bytes on a socket: let through or refused, no 500."""
    world = make_world()
    methods = st.sampled_from(["GET", "get", "OPTIONS", "CONNECT", "X"])
    targets = st.sampled_from(["/me", "/me?x", "*", "//", "/%", "/a/../me", "http://[", "http://x/me", "x:1", "/\xe9"])
    requests = [
        (data.draw(methods), data.draw(targets), world.hostile(data.draw(hostile_fields)))
        for _ in range(data.draw(st.integers(1, 8)))
    ]
    statuses = asyncio.run(statuses_of(world, requests, allow_bearer=allow_bearer))
    assert set(statuses) <= {200, 400, 401, 404, None}
