"""Every adapter lets through and refuses the same: one resource server behind each of them."""

# ruff: noqa: B008, FAST002 - FastAPI cannot read a local name in an annotation that is a text
from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from fastapi import Depends, FastAPI, HTTPException, Response, Security
from starlette.applications import Starlette
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from helpers import hostile
from helpers.apis import BASE, ApiClient, make_server
from passwordless_async import Authorized, DPoPVerifier, MemoryReplayStore, ResourceMetadata, ResourceServer
from passwordless_async.adapters import aiohttp_web, asgi, fastapi, starlette
from passwordless_async.dpop import parse_www_authenticate
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

SCOPES: dict[str, Any] = {"scopes": {"read"}}
TRICKS = ["/%68ealth", "/health;x", "//health", "/x/..//health", "/static/%2e%2e/me"]
HOSTS = [BASE, "https://old.example/v1"]


def publishes(server: ResourceServer) -> bool:
    """Return whether a server has metadata."""
    return bool(server.metadata_documents())


def aiohttp_app(server: ResourceServer, *, handlers: bool, middleware: bool, **options: Any) -> web.Application:
    """Return an application of aiohttp.web."""

    async def me(request: web.Request) -> web.Response:
        return web.json_response({"sub": request[aiohttp_web.AUTHORIZED].subject})

    async def fails(_request: web.Request) -> web.Response:
        raise web.HTTPConflict

    async def health(_request: web.Request) -> web.Response:
        return web.json_response({})

    guarded = aiohttp_web.dpop_middleware(server, public=["/health", "/static/*"], **options)
    decorate: Any = aiohttp_web.protect(server, **SCOPES, **options) if handlers else lambda handler: handler
    app = web.Application(middlewares=[guarded] if middleware else [])
    app.router.add_get("/me", decorate(me))
    app.router.add_get("/fails", decorate(fails))
    app.router.add_get("/health", health)
    if not middleware and publishes(server):
        app.add_routes(aiohttp_web.metadata_routes(server, **options))
    return app


def starlette_app(server: ResourceServer, *, handlers: bool, middleware: bool, **options: Any) -> Any:
    """Return an application of Starlette."""

    async def me(request: Any) -> JSONResponse:
        return JSONResponse({"sub": request[asgi.AUTHORIZED].subject})

    async def fails(_request: Any) -> None:
        raise StarletteHTTPException(409)

    async def health(_request: Any) -> JSONResponse:
        return JSONResponse({})

    decorate: Any = starlette.protect(server, **SCOPES, **options) if handlers else lambda endpoint: endpoint
    routes = [Route("/me", decorate(me)), Route("/fails", decorate(fails)), Route("/health", health)]
    if middleware:
        public = ["/health", "/static/*"]
        return asgi.DPoPASGIMiddleware(Starlette(routes=routes), server=server, public=public, **options)
    return Starlette(routes=routes + (starlette.metadata_routes(server, **options) if publishes(server) else []))


def fastapi_app(server: ResourceServer, *, handlers: bool, middleware: bool, **options: Any) -> Any:
    """Return an application of FastAPI."""
    assert handlers
    app = FastAPI()
    protect = fastapi.Protect(server, scopes={"read"}, **options)
    twice = [Depends(fastapi.Protect(server, **options))] if middleware else []

    @app.get("/me", dependencies=twice)
    async def me(user: Authorized = Depends(protect)) -> dict[str, str]:
        return {"sub": user.subject}

    @app.get("/fails")
    async def fails(response: Response, _user: Authorized = Depends(protect)) -> dict[str, str]:
        response.status_code = 409
        return {}

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {}

    if publishes(server):
        app.include_router(fastapi.metadata_router(server, **options))
    return app


DOORS: dict[str, tuple[Callable[..., Any], bool, bool]] = {
    "aiohttp.web, protect": (aiohttp_app, True, False),
    "aiohttp.web, middleware": (aiohttp_app, False, True),
    "aiohttp.web, both": (aiohttp_app, True, True),
    "ASGI middleware": (starlette_app, False, True),
    "Starlette, protect": (starlette_app, True, False),
    "ASGI middleware and Starlette": (starlette_app, True, True),
    "FastAPI": (fastapi_app, True, False),
    "FastAPI, twice": (fastapi_app, True, True),
}


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> str:
    """Return the name of a door."""
    name: str = request.param
    return name


@asynccontextmanager
async def asking(door: str, server: ResourceServer, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of an application behind a door."""
    make, handlers, middleware = DOORS[door]
    app = make(server, handlers=handlers, middleware=middleware, **options)
    if not isinstance(app, web.Application):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
            yield client
        return
    async with TestServer(app) as listening, httpx.AsyncClient(base_url=str(listening.make_url(""))) as client:
        yield client


async def test_a_bound_token_with_its_proof_passes_once(door: str) -> None:
    """The handler knows the user; the same proof again is a replay."""
    api, server = ApiClient(), make_server()
    headers = api.headers()
    async with asking(door, server) as client:
        first, second = await client.get("/me", headers=headers), await client.get("/me", headers=headers)
    assert (first.status_code, first.json()) == (200, {"sub": "ada"})
    assert (second.status_code, second.json()["error"]) == (401, "invalid_dpop_proof")


async def test_no_token_is_answered_by_a_bare_challenge(door: str) -> None:
    """Without an error code (RFC 6750 §3.1), and not to be stored."""
    async with asking(door, make_server()) as client:
        response = await client.get("/me")
    assert (response.status_code, response.json()) == (401, {})
    assert response.headers["WWW-Authenticate"] == 'DPoP algs="ES256"'
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Access-Control-Expose-Headers"] == "DPoP-Nonce, WWW-Authenticate"


@pytest.mark.parametrize("door", [name for name, (_make, handlers, _middleware) in DOORS.items() if handlers])
async def test_a_missing_scope_is_named(door: str) -> None:
    """403, with the scope to ask for in the challenge of the scheme that was used (RFC 6750 §3.1)."""
    async with asking(door, make_server(dpop="preferred")) as client:
        bound = await client.get("/me", headers=ApiClient().headers(scope="write"))
        token = ApiClient().token(bound=False, scope="")
        bearer = await client.get("/me", headers={"Authorization": f"Bearer {token}"})
    body = {"error": "insufficient_scope", "error_description": "the access token lacks a scope"}
    for response, used in ((bound, "dpop"), (bearer, "bearer")):
        assert (response.status_code, response.json()) == (403, body)
        challenges = parse_www_authenticate([response.headers["WWW-Authenticate"]])
        told = {"dpop": None, "bearer": None, used: "read"}
        assert {each.scheme: each.parameters.get("scope") for each in challenges} == told


async def test_a_missing_scope_is_answered_with_a_newer_nonce(door: str) -> None:
    """Its proof was good: the client need not be challenged next time (RFC 9449 §8.2)."""
    api = ApiClient()
    nonces = api.nonces()
    nonce = nonces.issue()
    api.now += 60
    async with asking(door, make_server(nonces=nonces, clock=api.clock)) as client:
        response = await client.get("/me", headers=api.headers(nonce=nonce, scope="write"))
    assert response.status_code == (403 if DOORS[door][1] else 200)
    assert response.headers.get_list("DPoP-Nonce") == [nonces.issue()] != [nonce]


async def test_bearer_where_it_is_accepted(door: str) -> None:
    """An unbound token passes as Bearer; a bound one never does."""
    api = ApiClient()
    async with asking(door, make_server(dpop="preferred")) as client:
        statuses = [
            (await client.get("/me", headers={"Authorization": f"Bearer {api.token(bound=bound)}"})).status_code
            for bound in (False, True)
        ]
    assert statuses == [200, 401]


async def test_a_nonce_is_demanded_and_renewed(door: str) -> None:
    """The challenge has the nonce; when it gets old, the response has the newer one, once; a failure has it too."""
    api = ApiClient()
    nonces = api.nonces()
    server = make_server(nonces=nonces, clock=api.clock)
    async with asking(door, server) as client:
        challenged = await client.get("/me", headers=api.headers())
        nonce = challenged.headers["DPoP-Nonce"]
        assert (challenged.status_code, challenged.json()["error"]) == (401, "use_dpop_nonce")
        passed = await client.get("/me", headers=api.headers(nonce=nonce))
        assert (passed.status_code, "DPoP-Nonce" in passed.headers) == (200, False)
        api.now += 60
        for path, status in (("/me", 200), ("/fails", 409)):
            response = await client.get(path, headers=api.headers(path, nonce=nonce))
            assert response.status_code == status
            assert response.headers.get_list("DPoP-Nonce") == [nonces.issue()]
            assert response.headers.get_list("Cache-Control") == ["no-store"]


async def test_metadata_is_served_without_a_token(door: str) -> None:
    """At the place that challenges name; of several hosts, each has its own; pages of other origins may read it."""
    server = make_server(base_url=HOSTS, metadata=ResourceMetadata(scopes_supported=["read"]))
    async with asking(door, server, trusted_proxies=1) as client:
        for host, base, path in (("api.example", HOSTS[0], ""), ("old.example", HOSTS[1], "/v1")):
            url = f"/.well-known/oauth-protected-resource{path}"
            for fields in ({"Host": host}, {"Forwarded": f"host={host}"}, {"X-Forwarded-Host": host}):
                refused = await client.get("/me", headers=fields)
                assert f'resource_metadata="https://{host}{url}"' in refused.headers["WWW-Authenticate"]
            response = await client.get(url, headers={"Host": host})
            assert (response.status_code, response.json()["resource"]) == (200, base)
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert response.headers["Content-Type"] == "application/json"


async def test_metadata_of_a_path_with_escapes_is_served(door: str) -> None:
    """At the place that challenges name; routers compare decoded paths."""
    base, url = f"{BASE}/caf%C3%A9", "/.well-known/oauth-protected-resource/caf%C3%A9"
    async with asking(door, make_server(base_url=base, metadata=ResourceMetadata())) as client:
        response = await client.get(url)
    assert (response.status_code, response.json()["resource"]) == (200, base)


async def test_proofs_are_for_the_named_names(door: str) -> None:
    """An API of several names accepts a proof for each of them, and for no other."""
    server, api = make_server(base_url=HOSTS), ApiClient()
    async with asking(door, server) as client:
        statuses = [
            (await client.get("/me", headers={**api.headers(url=f"{base}/me"), "Host": "evil.example"})).status_code
            for base in (*HOSTS, "https://evil.example")
        ]
    assert statuses == [200, 200, 401]


@pytest.mark.parametrize(
    "door", [name for name, (make, _, middleware) in DOORS.items() if middleware and make is not fastapi_app]
)
async def test_public_paths_need_no_token(door: str) -> None:
    """What is named, and no trick."""
    async with asking(door, make_server()) as client:
        found = {path: (await client.get(path)).status_code for path in ("/health", "/static/x", "/me", "/health/")}
        tricks = {path: (await client.get(f"{str(client.base_url).rstrip('/')}{path}")).status_code for path in TRICKS}
    assert found == {"/health": 200, "/static/x": 404, "/me": 401, "/health/": 401}
    assert tricks == dict.fromkeys(TRICKS, 401)


@pytest.mark.parametrize(
    "make",
    [
        *(aiohttp_web.protect, starlette.protect, fastapi.Protect),
        lambda server: asgi.DPoPASGIMiddleware(Starlette(), server=server),
    ],
)
def test_something_else_than_a_server_is_refused(make: Any) -> None:
    """When the application starts, not when the first request comes."""
    with pytest.raises(UsageError, match="server"):
        make(DPoPVerifier(replay=MemoryReplayStore(), base_url=BASE))


@pytest.mark.parametrize("make", [aiohttp_web.protect, starlette.protect, fastapi.Protect])
def test_wrong_requirements_are_refused(make: Any) -> None:
    """When the application starts."""
    for requirements in ({"scopes": ["a b"]}, {"scope": "a"}, {"max_age": "1"}, {"trusted_proxies": -1}):
        with pytest.raises((UsageError, TypeError)):
            make(make_server(), **requirements)


def test_a_handler_of_aiohttp_is_async() -> None:
    """Another one would fail with each request; it may be wrapped, or an object's call."""
    protect = aiohttp_web.protect(make_server())

    async def handler(_request: web.Request) -> web.Response:
        return web.Response()

    @wraps(handler)
    def wrapped(request: web.Request) -> Awaitable[web.Response]:
        return handler(request)

    class Called:
        async def __call__(self, request: web.Request) -> web.Response:
            return await handler(request)

    for right in (handler, wrapped, Called(), partial(handler)):
        protect(right)
    sync: Any = lambda _request: web.Response()  # noqa: E731 - what is refused
    with pytest.raises(UsageError, match="handler: must be async"):
        protect(sync)


@pytest.mark.parametrize("make", [aiohttp_web.metadata_routes, starlette.metadata_routes, fastapi.metadata_router])
def test_metadata_routes_need_metadata(make: Any) -> None:
    """A server that publishes nothing has nothing to serve."""
    with pytest.raises(UsageError, match="metadata"):
        make(make_server())


async def test_behind_a_mount() -> None:
    """The path that counts is the whole one, whether the base URL has the mount's path in it or not."""
    for base in (BASE, f"{BASE}/v1"):
        server, api = make_server(base_url=base), ApiClient()
        app = Starlette(routes=[Mount("/v1", starlette_app(server, handlers=False, middleware=True))])
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
            right = await client.get("/v1/me", headers=api.headers("/v1/me"))
            wrong = await client.get("/v1/me", headers=api.headers("/me"))
            public = await client.get("/v1/health")
        assert (right.status_code, wrong.status_code, public.status_code) == (200, 401, 200)


async def test_within_a_mount() -> None:
    """An application that is mounted in one behind the base URL is reached by the whole path too."""
    server, api = make_server(base_url=f"{BASE}/v1"), ApiClient()
    inner = [starlette_app(server, handlers=True, middleware=False)]
    inner.append(fastapi_app(server, handlers=True, middleware=False))
    for app in inner:
        routes = [Mount("/v1", Starlette(routes=[Mount("/sub", app)]))]
        async with httpx.AsyncClient(transport=httpx.ASGITransport(Starlette(routes=routes)), base_url=BASE) as client:
            right = await client.get("/v1/sub/me", headers=api.headers("/v1/sub/me"))
            wrong = await client.get("/v1/sub/me", headers=api.headers("/sub/me"))
        assert (right.status_code, wrong.status_code) == (200, 401)


async def test_several_base_urls_of_one_host() -> None:
    """The place of the mount tells them apart, whichever door refuses."""
    bases = [f"{BASE}/v1", f"{BASE}/v2"]
    server, api = make_server(base_url=bases, metadata=ResourceMetadata()), ApiClient()
    guarded = [starlette_app(server, handlers=True, middleware=middleware) for middleware in (False, True)]
    for app in guarded:
        mounted = Starlette(routes=[Mount("/v1", app), Mount("/v2", app)])
        async with httpx.AsyncClient(transport=httpx.ASGITransport(mounted), base_url=BASE) as client:
            for path in ("/v1", "/v2"):
                right = await client.get(f"{path}/me", headers=api.headers(f"{path}/me"))
                refused = await client.get(f"{path}/me")
                lacking = await client.get(f"{path}/me", headers=api.headers(f"{path}/me", scope="x"))
                assert (right.status_code, refused.status_code, lacking.status_code) == (200, 401, 403)
                for response in (refused, lacking):
                    named = f'resource_metadata="{BASE}/.well-known/oauth-protected-resource{path}"'
                    assert named in response.headers["WWW-Authenticate"]


async def test_a_proof_for_another_base_url_of_the_host_is_refused() -> None:
    """RFC 9449 §4.3 (9). Of other hosts' base URLs each may be the one: which host was asked, a client says."""
    bases = [f"{BASE}/v1", f"{BASE}/v2", "https://old.example/v1", "https://old.example/v2", "https://new.example"]
    server, api = make_server(base_url=bases), ApiClient()
    app = starlette_app(server, handlers=True, middleware=False)
    mounted = Starlette(routes=[Mount("/v1", app), Mount("/v2", app)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(mounted), base_url=BASE) as client:
        for host in ("api.example", "old.example", "unknown.example"):
            for path in ("/v1", "/v2"):
                for base in bases:
                    headers = {**api.headers(url=f"{base}/me"), "Host": host}
                    is_here = base.endswith((path, "//new.example"))
                    assert ((await client.get(f"{path}/me", headers=headers)).status_code == 200) is is_here
        proof = api.headers("/v1/me")
        statuses = [(await client.get("/v1/me", headers=proof)).status_code for _ in range(2)]
    assert statuses == [200, 401]


async def test_a_root_path_with_a_slash_opens_nothing() -> None:
    """Starlette routes the whole path then: what is below the root path is another place, and no public one."""

    async def answer(request: Any) -> JSONResponse:
        return JSONResponse(request.url.path)

    app: Any = Starlette(routes=[Route("/v1/health", answer), Route("/health", answer)])
    app = asgi.DPoPASGIMiddleware(app, server=make_server(), public=["/health"])
    for root, status in (("/v1/", 401), ("/v1//", 401), ("/v1", 200)):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app, root_path=root), base_url=BASE) as client:
            assert (await client.get("/v1/health")).status_code == status


@pytest.mark.parametrize("kind", [HTTPException, StarletteHTTPException])
async def test_own_handlers_of_an_application_get_refusals(kind: type[Exception]) -> None:
    """FastAPI: a handler for HTTPException that the application has gets the refusal, its body as the detail."""
    app, protect = FastAPI(), fastapi.Protect(make_server())

    @app.exception_handler(kind)
    async def own(_request: Any, error: HTTPException) -> JSONResponse:
        return JSONResponse({"mine": error.detail}, status_code=error.status_code, headers=error.headers)

    @app.get("/me")
    async def me(user: Authorized = Security(protect, scopes=["write"])) -> str:
        return user.subject

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        response = await client.get("/me", headers=ApiClient().headers())
    assert (response.status_code, response.json()["mine"]["error"]) == (403, "insufficient_scope")
    assert 'scope="write"' in response.headers["WWW-Authenticate"]


@pytest.mark.parametrize("adapter", ["ASGI", "aiohttp.web"])
async def test_no_input_yields_a_500(adapter: str) -> None:
    """Any method, target and header fields: let through or refused, with all statuses that there are."""
    ask = hostile.asgi_door() if adapter == "ASGI" else await hostile.aiohttp_door()
    seen = await hostile.attack(ask, 1500, seed=1)
    assert seen.keys() >= {200, 400, 401, 404, 405}
