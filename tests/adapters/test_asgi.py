"""The ASGI middleware: bare, and under the real Starlette and FastAPI."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI
from fastapi import Request as FastAPIRequest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route, WebSocketRoute

from helpers.apis import make_server
from passwordless_async import ResourceMetadata
from passwordless_async.adapters.asgi import DPOP, TOKEN, DPoPASGIMiddleware
from passwordless_async.dpop import parse_www_authenticate
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.websockets import WebSocket


async def me(request: Request) -> JSONResponse:
    """Say who asks."""
    proof = request[DPOP]
    return JSONResponse(
        {"sub": request[TOKEN]["sub"], "jkt": proof and proof.thumbprint},
        headers={"Cache-Control": "max-age=60", "Access-Control-Expose-Headers": "X-Own"},
    )


async def talk(websocket: WebSocket) -> None:
    """Say who asks, over a WebSocket."""
    await websocket.accept()
    await websocket.send_json({"jkt": websocket["dpop"].thumbprint})
    await websocket.close()


def starlette(world: Any, **options: Any) -> Starlette:
    """Make a Starlette application with the middleware."""
    app = Starlette(routes=[Route("/me", me), Route("/a/{rest:path}", me), WebSocketRoute("/talk", talk)])
    app.add_middleware(DPoPASGIMiddleware, verifier=world.verifier, **{"token_info": world.token_info, **options})
    return app


def fastapi(world: Any, **options: Any) -> FastAPI:
    """Make a FastAPI application with the middleware."""
    app = FastAPI()
    app.add_middleware(DPoPASGIMiddleware, verifier=world.verifier, **{"token_info": world.token_info, **options})

    async def handler(request: FastAPIRequest) -> JSONResponse:
        return await me(request)

    # Not by its annotations: FastAPI reads those at run time, and this module has them as texts.
    handler.__annotations__ = {"request": FastAPIRequest}
    app.get("/me", response_model=None)(handler)
    return app


async def get(app: Any, path: str = "/me", headers: Any = (), method: str = "GET") -> httpx.Response:
    """Send one request into an application."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://10.0.0.7:8000") as client:
        return await client.request(method, path, headers=headers)


@pytest.mark.parametrize("make", [starlette, fastapi])
async def test_conformance(case: Any, make: Any, world: Any) -> None:
    """Rules 21-28: the middleware lets through and refuses what the public conformance suite says."""
    app = make(world)
    for headers, passes in world.table(case):
        response = await get(app, headers=headers)
        assert response.status_code == (200 if passes else 401)
        assert ("WWW-Authenticate" in response.headers) != passes


@pytest.mark.parametrize("make", [starlette, fastapi])
async def test_hands_on_the_proof_and_the_token(make: Any, world: Any) -> None:
    """Rule 30: the endpoint has the checked proof and the token's claims in its request."""
    response = await get(make(world), "/me?x=1", world.headers())
    assert response.json() == {"sub": "ada", "jkt": world.prover.thumbprint}
    assert "DPoP-Nonce" not in response.headers
    assert response.headers["Cache-Control"] == "max-age=60"


async def test_token_info_may_be_async(world: Any) -> None:
    """The application's validation may wait for something."""

    async def token_info(access_token: str) -> Any:
        return world.token_info(access_token)

    assert (await get(starlette(world, token_info=token_info), headers=world.headers())).status_code == 200


async def test_refusal(world: Any) -> None:
    """Rule 29: a refusal is 401 with challenge, no-store and CORS fields, and says why in JSON."""
    response = await get(starlette(world), headers=world.headers(htm="PUT"))
    assert response.status_code == 401
    assert response.json() == {
        "error": "invalid_dpop_proof",
        "error_description": "htm is not the request's method",
    }
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Access-Control-Expose-Headers"] == "DPoP-Nonce, WWW-Authenticate"
    (challenge,) = parse_www_authenticate(response.headers.get_list("WWW-Authenticate"))
    assert (challenge.scheme, challenge.parameters["algs"]) == ("dpop", "ES256")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "DPoP bound"), ("Authorization", "DPoP bound")],
        [("Authorization", "DPoP bound"), ("Authorization", "Bearer bound")],
        [("Authorization", "DPoP unknown")],
        [("Authorization", "DPoP unbound")],
        [("Authorization", "Bearer unbound")],
        [("Authorization", "Bearer bound")],
    ],
)
async def test_schemes(headers: Any, world: Any) -> None:
    """Rule 27: no token, two Authorization headers, an unknown token, or one under a scheme not its own: refused."""
    assert (await get(starlette(world), headers=headers)).status_code == (400 if len(headers) == 2 else 401)


@pytest.mark.parametrize(("bound", "proof", "status"), [(False, False, 200), (False, True, 401), (True, False, 401)])
async def test_bearer_where_it_is_allowed(bound: bool, proof: bool, status: int, world: Any) -> None:  # noqa: FBT001 - a table
    """Rule 27: where bearer is allowed, it is for unbound tokens without a proof alone."""
    headers = world.headers(bound=bound, scheme="Bearer")
    if not proof:
        del headers["DPoP"]
    response = await get(starlette(world, allow_bearer=True), headers=headers)
    assert response.status_code == status
    if status == 200:
        assert response.json() == {"sub": "bob", "jkt": None}


async def test_nonce_challenge_and_offer(world: Any) -> None:
    """Rule 29: the middleware challenges, accepts the nonce, and offers the next when it changes, on errors too."""
    nonces = world.issue_nonces()
    app = starlette(world)
    challenged = await get(app, headers=world.headers())
    assert (challenged.status_code, challenged.json()["error"]) == (401, "use_dpop_nonce")
    nonce = challenged.headers["DPoP-Nonce"]

    accepted = await get(app, headers=world.headers(nonce=nonce))
    assert accepted.status_code == 200
    assert "DPoP-Nonce" not in accepted.headers

    world.now += 60
    for path, expected in (("/me", 200), ("/nowhere", 404)):
        response = await get(app, path, world.headers(path, nonce=nonce))
        assert response.status_code == expected
        assert response.headers["DPoP-Nonce"] == nonces.issue() != nonce
        assert response.headers.get_list("Cache-Control") == ["no-store"]
    exposed = (await get(app, headers=world.headers(nonce=nonce))).headers.get_list("Access-Control-Expose-Headers")
    assert exposed == ["X-Own", "DPoP-Nonce, WWW-Authenticate"]


@pytest.mark.parametrize("path", ["/a/x%2Fy", "/a/x%40y", "/a/%7Ex", "/a/x@y"])
async def test_compares_the_path_as_it_came(path: str, world: Any) -> None:
    """Rule 25: escapes count as they were sent, whatever the server decodes."""
    app = starlette(world)
    assert (await get(app, path, world.headers(path))).status_code == 200
    assert (await get(app, path, world.headers("/a/x/y"))).status_code == 401


async def test_under_a_mount(world: Any) -> None:
    """Rule 25: under a Mount the path that counts is the whole one."""
    inner = Starlette(routes=[Route("/me", me)])
    app = Starlette(routes=[Mount("/v1", DPoPASGIMiddleware(inner, world.verifier, world.token_info))])
    assert (await get(app, "/v1/me", world.headers("/v1/me"))).status_code == 200
    assert (await get(app, "/v1/me", world.headers("/me"))).status_code == 401


class Wire:
    """An ASGI server for one connection: what the application sends is kept."""

    def __init__(self, kind: str, headers: dict[str, str], **scope: Any) -> None:
        pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self.scope = {"type": kind, "path": "/talk", "headers": pairs, "asgi": {"version": "3.0"}, **scope}
        self.sent: list[dict[str, Any]] = []
        self.received = [{"type": f"{kind}.connect" if kind == "websocket" else "http.request"}]

    async def receive(self) -> dict[str, Any]:
        """Hand out what the client sent."""
        return self.received.pop(0)

    async def send(self, message: dict[str, Any]) -> None:
        """Keep what the application sends."""
        self.sent.append(message)

    async def run(self, app: Any) -> list[dict[str, Any]]:
        """Run an application."""
        await app(self.scope, self.receive, self.send)
        return self.sent


async def test_websocket_needs_a_proof(world: Any) -> None:
    """Rule 27: a WebSocket's handshake is checked as the GET that it is."""
    app = starlette(world)
    scope = {"subprotocols": [], "query_string": b"", "scheme": "wss", "server": ("x", 1), "client": ("x", 1)}
    accepted = await Wire("websocket", world.headers("/talk"), **scope).run(app)
    assert [message["type"] for message in accepted] == ["websocket.accept", "websocket.send", "websocket.close"]
    assert json.loads(accepted[1]["text"]) == {"jkt": world.prover.thumbprint}

    refused = await Wire("websocket", world.headers("/me"), **scope).run(app)
    assert refused == [{"type": "websocket.close", "code": 1008, "reason": "invalid_dpop_proof"}]


async def test_websocket_refusal_with_an_answer(world: Any) -> None:
    """Rule 29: where the server can answer a refused handshake, the answer carries the challenge."""
    world.issue_nonces()
    scope: dict[str, Any] = {"extensions": {"websocket.http.response": {}}}
    start, body = await Wire("websocket", world.headers("/talk"), **scope).run(starlette(world))
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    assert {b"www-authenticate", b"dpop-nonce"} <= {name for name, _value in start["headers"]}
    assert (body["type"], json.loads(body["body"])["error"]) == ("websocket.http.response.body", "use_dpop_nonce")


async def test_websocket_is_offered_a_nonce(world: Any) -> None:
    """Rule 29: an accepted handshake carries the newer nonce."""
    nonces = world.issue_nonces()
    old = nonces.issue()
    world.now += 60

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})

    guarded = DPoPASGIMiddleware(app, world.verifier, world.token_info)
    accept, close = await Wire("websocket", world.headers("/talk", nonce=old)).run(guarded)
    assert dict(accept["headers"])[b"dpop-nonce"] == nonces.issue().encode()
    assert close == {"type": "websocket.close"}


async def test_lifespan_passes(world: Any) -> None:
    """A lifespan is no request."""
    called = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        called.append(scope["type"])

    await Wire("lifespan", {}).run(DPoPASGIMiddleware(app, world.verifier, world.token_info))
    assert called == ["lifespan"]


@pytest.mark.parametrize(
    ("path", "signed", "passes"),
    [
        ("/a b@c", "/a%20b@c", True),
        ("/é", "/%C3%A9", True),
        ("/a/b", "/a/b", True),
        ("/a/b", "/a%2Fb", False),
        ("/\udcff", "/%3F", True),
    ],
)
async def test_path_of_a_server_that_does_not_say(path: str, signed: str, passes: bool, world: Any) -> None:  # noqa: FBT001
    """Rule 25: without raw_path the path is rebuilt; a proof for %2F is refused then."""
    sent = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204})

    wire = Wire("http", world.headers(signed), path=path, method="GET")
    sent = await wire.run(DPoPASGIMiddleware(app, world.verifier, world.token_info))
    assert sent[0]["status"] == (204 if passes else 401)


async def test_leaves_the_servers_scope_alone(world: Any) -> None:
    """ASGI: a middleware that adds to the scope adds to a copy."""

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        assert scope["dpop"].thumbprint == world.prover.thumbprint

    wire = Wire("http", world.headers("/talk"), method="GET")
    await wire.run(DPoPASGIMiddleware(app, world.verifier, world.token_info))
    assert DPOP not in wire.scope


async def test_exempt_requests_pass(world: Any) -> None:
    """A health check or a preflight needs no token where the application says so."""
    app = starlette(world, exempt=lambda scope: scope.get("method") == "OPTIONS")
    assert (await get(app, method="OPTIONS")).status_code == 405
    assert (await get(app)).status_code == 401


@pytest.mark.parametrize("raw_path", [b"/health", b"/%68ealth", b"/health?x"])
async def test_a_rewritten_path_is_not_public(raw_path: bytes) -> None:
    """A middleware outside that changes ``path`` makes no other path public, and no public one protected by tricks."""
    app = DPoPASGIMiddleware(answer_204, server=make_server(), public=["/health"])
    sent = await Wire("http", {}, path="/admin", raw_path=raw_path, method="GET").run(app)
    assert sent[0]["status"] == 401


@pytest.mark.parametrize(
    ("root_path", "path", "status"),
    [
        ("/api", "/api/static/x", 204),
        ("/api", "/static/x", 204),  # a server that leaves the root path out
        ("/", "/static/x", 204),
        ("/caf\u00e9", "/caf\u00e9/static/x", 204),
        ("/api", "/static/api/admin", 401),  # Litestar routes what comes after the root path, wherever it stands
        ("/api", "/static/apix", 401),
        ("/api/", "/api/static/x", 401),  # Starlette routes the whole path, others what is below
    ],
)
async def test_a_root_path_that_frameworks_read_differently_makes_nothing_public(
    root_path: str,
    path: str,
    status: int,
) -> None:
    """What one framework takes for a path below /static and another for /admin needs a token."""
    app = DPoPASGIMiddleware(answer_204, server=make_server(), public=["/static/*"])
    scope = {"path": path, "raw_path": quote(path).encode(), "root_path": root_path, "method": "GET"}
    assert (await Wire("http", {}, **scope).run(app))[0]["status"] == status


async def test_metadata_is_found_where_its_path_ends_with_the_root_path() -> None:
    """RFC 9728 §3.1: the path of the resource comes last; a server may leave the root path out."""
    base = "https://api.example/api"
    app = DPoPASGIMiddleware(answer_204, server=make_server(base_url=base, metadata=ResourceMetadata()))
    path = "/.well-known/oauth-protected-resource/api"
    for whole in (path, f"/api{path}"):
        scope = {"path": whole, "raw_path": whole.encode(), "root_path": "/api", "method": "GET"}
        assert (await Wire("http", {}, **scope).run(app))[0]["status"] == 200


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"verifier": None},
        {"server": make_server(), "allow_bearer": True},
        {"server": make_server(), "exempt": ["/health"]},
    ],
)
def test_arguments_that_do_not_go_together_are_refused(options: Any) -> None:
    """There is one of the two: a server, or a verifier and a check of tokens."""
    with pytest.raises(UsageError):
        DPoPASGIMiddleware(answer_204, **options)


async def answer_204(_scope: Any, _receive: Any, send: Any) -> None:
    """Answer every request."""
    await send({"type": "http.response.start", "status": 204})
    await send({"type": "http.response.body"})


@pytest.mark.slow
@settings(max_examples=300)
@given(
    data=st.data(),
    method=st.sampled_from(["GET", "get", "OPTIONS", ""]) | st.text(max_size=5),
    path=st.sampled_from(["/me", "", "*", "//", "/%", "/a/../me"]) | st.text(st.characters(), max_size=10),
    raw_path=st.none() | st.sampled_from([b"/me", b"", b"*", b"http://[", b"/%ff"]) | st.binary(max_size=10),
)
def test_whatever_comes(make_world: Any, hostile_fields: Any, data: st.DataObject, **scope: Any) -> None:
    """Any combination of method, path and header fields is let through or refused: never an exception, never a 500."""
    world = make_world()
    fields = [(name.encode(), value.encode("latin-1")) for name, value in world.hostile(data.draw(hostile_fields))]
    wire = Wire("http", {}, **scope)
    wire.scope["headers"] = fields
    guarded = DPoPASGIMiddleware(answer_204, world.verifier, world.token_info, allow_bearer=data.draw(st.booleans()))
    sent = asyncio.run(wire.run(guarded))
    assert sent[0]["status"] in {204, 400, 401}
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


async def test_scope_without_headers_is_refused(world: Any) -> None:
    """A server that leaves empty headers out gets the refusal of a request without a token."""
    wire = Wire("http", {}, path="/me", method="GET")
    del wire.scope["headers"]
    sent = await wire.run(DPoPASGIMiddleware(answer_204, world.verifier, world.token_info))
    assert sent[0]["status"] == 401
