"""The dependency of FastAPI: the OpenAPI document, scopes and WebSockets. That it checks is in test_doors.py."""

# ruff: noqa: B008, FAST002 - FastAPI cannot read a local name in an annotation that is a text
from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Response, Security
from fastapi.responses import PlainTextResponse
from fastapi.security import HTTPBearer
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from helpers.apis import BASE, ISSUER, ApiClient, make_server
from passwordless_async import Authorized, ResourceMetadata
from passwordless_async.adapters.fastapi import AUTHORIZED, Protect
from passwordless_async.errors import UsageError


async def ask(app: FastAPI, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    """Send a GET request."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        return await client.get(path, headers=headers)


async def test_the_document_shows_lock_and_scopes() -> None:
    """One scheme with all scopes; each operation has those that it requires, however they were named."""
    server = make_server(metadata=ResourceMetadata(scopes_supported=["admin"]))
    reads, protects = Protect(server, scopes={"read"}), Protect(server)
    app = FastAPI()

    @app.get("/read")
    async def read(_user: Authorized = Depends(reads)) -> None: ...
    @app.get("/write")
    async def write(_user: Authorized = Security(reads, scopes=["write"])) -> None: ...
    @app.get("/any")
    async def anyone(_user: Authorized = Depends(protects)) -> None: ...
    @app.get("/open")
    async def everyone() -> None: ...

    document = (await ask(app, "/openapi.json")).json()
    (name, scheme), *others = document["components"]["securitySchemes"].items()
    flow = scheme["flows"]["authorizationCode"]
    assert (name, scheme["type"], others) == ("OAuth2", "oauth2", [])
    assert (flow["authorizationUrl"], flow["tokenUrl"]) == (f"{ISSUER}authorize", f"{ISSUER}oauth/token")
    assert flow["scopes"] == {"admin": "", "read": ""}
    security = {path: methods["get"].get("security") for path, methods in document["paths"].items()}
    assert {path: each and sorted(each[0]["OAuth2"]) for path, each in security.items()} == {
        "/read": ["read"],
        "/write": ["read", "write"],
        "/any": [],
        "/open": None,
    }


async def test_a_scheme_of_ones_own_is_shown() -> None:
    """And two servers have a scheme each, by its name."""
    app = FastAPI()
    bearer = Protect(make_server(), scheme=HTTPBearer(scheme_name="Mine", auto_error=False))
    other = Protect(make_server(), scheme_name="Other", scopes=["x"])

    @app.get("/a")
    async def first(_user: Authorized = Depends(bearer)) -> None: ...
    @app.get("/b")
    async def second(_user: Authorized = Depends(other)) -> None: ...

    schemes = (await ask(app, "/openapi.json")).json()["components"]["securitySchemes"]
    assert {name: scheme["type"] for name, scheme in schemes.items()} == {"Mine": "http", "Other": "oauth2"}
    with pytest.raises(UsageError, match="scheme"):
        Protect(make_server(), scheme="OAuth2")  # type: ignore[arg-type] # the mistake


async def test_a_scheme_of_ones_own_is_not_called() -> None:
    """It would refuse by itself what it does not know, such as the scheme DPoP, and without a challenge for it."""
    protect = Protect(make_server(), scheme=HTTPBearer())
    app = FastAPI()

    @app.get("/me")
    async def me(user: Authorized = Depends(protect)) -> str:
        return user.subject

    passed, refused = await ask(app, "/me", ApiClient().headers()), await ask(app, "/me")
    assert (passed.status_code, passed.json()) == (200, "ada")
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, 'DPoP algs="ES256"')


async def test_scopes_of_security_are_required() -> None:
    """Those of the dependency, of ``Security`` around it, and of the router's, together; the proof is spent once."""
    server = make_server()
    protects, writes = Protect(server), Protect(server, scopes=["write"])
    router = APIRouter(dependencies=[Security(protects, scopes=["read"])])

    @router.get("/me")
    async def me(user: Authorized = Security(writes, scopes=["admin"])) -> str:
        return user.subject

    app = FastAPI()
    app.include_router(router)
    statuses = {
        scope: (await ask(app, "/me", ApiClient().headers(scope=scope))).status_code
        for scope in ("read write admin", "read write", "read admin", "write admin", "")
    }
    assert statuses == {"read write admin": 200, "read write": 403, "read admin": 403, "write admin": 403, "": 403}


async def test_a_response_of_ones_own_takes_the_nonce_by_hand() -> None:
    """FastAPI adds nothing to it."""
    api = ApiClient()
    nonces = api.nonces()
    nonce = nonces.issue()
    protects = Protect(make_server(nonces=nonces, clock=api.clock))
    app = FastAPI()

    @app.get("/me")
    async def me(user: Authorized = Depends(protects)) -> PlainTextResponse:
        return PlainTextResponse(user.subject, headers=dict(user.headers))

    api.now += 60
    response = await ask(app, "/me", api.headers(nonce=nonce))
    assert (response.status_code, response.headers["DPoP-Nonce"]) == (200, nonces.issue())


def test_websockets_are_protected() -> None:
    """The handshake is checked as the GET that it is."""
    api, reads = ApiClient(), Protect(make_server(), scopes=["read"])
    app = FastAPI()

    @app.websocket("/talk")
    async def talk(websocket: WebSocket, user: Authorized = Depends(reads)) -> None:
        await websocket.accept()
        await websocket.send_text(user.subject + websocket[AUTHORIZED].subject)
        await websocket.close()

    client = TestClient(app)
    with client.websocket_connect("/talk", headers=api.headers("/talk")) as socket:
        assert socket.receive_text() == "adaada"
    for headers in ({}, api.headers("/talk", scope="write")):
        with pytest.raises((WebSocketDisconnect, Exception)) as caught:
            client.websocket_connect("/talk", headers=headers).__enter__()
        refused: Any = caught.value
        assert getattr(refused, "status_code", getattr(refused, "code", None)) in {401, 403, 1008}


async def test_what_another_dependency_exposes_stays_exposed() -> None:
    """A newer nonce adds to the names that pages of other origins may read."""
    api = ApiClient()
    nonces = api.nonces()
    nonce, server = nonces.issue(), make_server(nonces=nonces, clock=api.clock)
    api.now += 60
    app = FastAPI()

    def expose(response: Response) -> None:
        response.headers["Access-Control-Expose-Headers"] = "X-Own"

    @app.get("/me", dependencies=[Depends(expose), Depends(Protect(server))])
    async def me() -> None:
        return None

    response = await ask(app, "/me", api.headers(nonce=nonce))
    assert response.headers["DPoP-Nonce"] == nonces.issue() != nonce
    assert response.headers["Access-Control-Expose-Headers"] == "X-Own, DPoP-Nonce, WWW-Authenticate"
