"""Who is logged in, in handlers of FastAPI, Starlette and aiohttp.web."""

from __future__ import annotations

import io
import socket
from contextlib import asynccontextmanager
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any

import aiohttp
import pytest
from aiohttp import web
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from helpers import sites
from helpers.values import present as value_of
from passwordless_async import InvalidSession, StoredSession, StoreUnavailable, TokenSet
from passwordless_async._common.secret import Secret
from passwordless_async.gateway import Connection, CurrentUser, Gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request


def shown(user: CurrentUser | None) -> Any:
    return user and {"email": user.claims["email"], "device": user.data["device"], "user": user.user}


def starlette(gateway: Gateway) -> Any:
    async def me(request: Request) -> JSONResponse:
        return JSONResponse(shown(await gateway.current_user(request)))

    async def mine(request: Request) -> JSONResponse:
        return JSONResponse(shown(await gateway.required_user(request)))

    return Starlette(routes=[Route("/me", me), Route("/mine", mine)])


def fastapi(gateway: Gateway) -> Any:
    app = FastAPI()

    async def me(user: Any) -> Any:
        return shown(user)

    async def mine(user: Any) -> Any:
        return shown(user)

    # Not by text: FastAPI reads annotations at run time, in the globals of the module.
    me.__annotations__ = {"user": Annotated[CurrentUser | None, Depends(gateway.current_user)]}
    mine.__annotations__ = {"user": Annotated[CurrentUser, Depends(gateway.required_user)]}
    app.get("/me")(me)
    app.get("/mine")(mine)
    return app


def aiohttp_web(gateway: Gateway) -> Any:
    async def me(request: web.Request) -> web.Response:
        return web.json_response(shown(await gateway.current_user(request)))

    async def mine(request: web.Request) -> web.Response:
        return web.json_response(shown(await gateway.required_user(request)))

    app = web.Application()
    app.add_routes([web.get("/me", me), web.get("/mine", mine)])
    return app


@asynccontextmanager
async def asking(make: Any, gateway: Gateway) -> AsyncIterator[Any]:
    """Serve an application beside a gateway; give what asks it, with a session's cookie or none."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with sites.served(make(gateway), listening), aiohttp.ClientSession() as session:

            async def ask(path: str, cookie: str | None = None) -> tuple[int, Any]:
                headers = {} if cookie is None else {"Cookie": f"other=1; session={cookie}"}
                url = f"http://127.0.0.1:{listening.getsockname()[1]}{path}"
                async with session.get(url, headers=headers) as response:
                    return response.status, await response.json() if response.status == 200 else None

            yield ask


@pytest.mark.parametrize("make", [starlette, fastapi, aiohttp_web])
async def test_who_is_logged_in(make: Any) -> None:
    """By the session's cookie; without one, or with one that has ended, None or 401."""
    async with sites.opened() as site, asking(make, site.gateway) as ask:
        assert [await ask("/me"), await ask("/mine")] == [(200, None), (401, None)]
        browser = await site.browser()
        await browser.log_in()
        cookie = browser.cookie("session")
        session = await site.client.sessions.get(cookie or "")
        known = {"email": "ada@example.com", "device": "Firefox on Linux", "user": session.user}
        assert [await ask("/me", cookie), await ask("/mine", cookie)] == [(200, known), (200, known)]
        await browser.post("/logout")
        assert [await ask("/me", cookie), await ask("/mine", cookie)] == [(200, None), (401, None)]
        assert await ask("/me", "A" * 51) == (200, None)


async def test_when_the_user_logged_in() -> None:
    """A handler sends an old login to the step-up, which leads back to a page that opens, and no newer one there."""
    async with sites.opened() as site:

        async def age() -> float:
            headers = {"Cookie": f"session={browser.cookie('session')}"}
            user = value_of(await site.gateway.current_user(SimpleNamespace(headers=headers)))
            assert user.claims["email"] == sites.ADA.address
            session = await site.client.sessions.get(user.identifier)
            assert user.logged_in_at == session.opened_at
            return site.clock() - user.logged_in_at

        browser = await site.browser()
        await browser.log_in()
        assert await age() == pytest.approx(0.0, abs=5.0)
        site.clock.ahead = 301
        assert await age() > 300
        assert (await browser.get("/step-up?return_to=/pay&max_age=300", follow=False)).status == 200
        await browser.post("/step-up")
        first = await age()
        await browser.post("/code", {"code": site.code()}, follow=False)
        assert await age() < first


@pytest.mark.parametrize(("auth_time", "expected"), [(900, 900.0), (1100, 1000.0), ("x", 1000.0), (None, 1000.0)])
def test_the_time_of_the_login_is_that_of_the_tokens(auth_time: object, expected: float) -> None:
    """A session may have been opened with the tokens of an earlier login; never is it newer than the session."""
    claims = {} if auth_time is None else {"auth_time": auth_time}
    tokens = TokenSet(Secret("opaque"), "Bearer", None, "", None, None, MappingProxyType(claims), None)
    session = StoredSession(Secret("id"), tokens, "ada", 1000.0)
    assert CurrentUser.of(session).logged_in_at == expected


def a_request_of_django() -> Any:
    from django.conf import settings  # noqa: PLC0415 - the one test that needs it
    from django.core.handlers.asgi import ASGIRequest  # noqa: PLC0415

    if not settings.configured:
        settings.configure(DEFAULT_CHARSET="utf-8")
    return ASGIRequest({"type": "http", "method": "GET", "path": "/me", "headers": []}, io.BytesIO())


def a_request_of_quart() -> Any:
    from quart import Quart  # noqa: PLC0415 - the one test that needs it
    from quart.wrappers import Request as QuartRequest  # noqa: PLC0415
    from werkzeug.datastructures import Headers  # noqa: PLC0415

    scope: Any = {"type": "http", "method": "GET", "path": "/me", "headers": []}
    parts = ("GET", "http", "/me", b"", Headers(), "", "1.1", scope)
    assert Quart.request_class is QuartRequest
    return QuartRequest(*parts, send_push_promise=None)  # type: ignore[arg-type] # a push is never sent


@pytest.mark.parametrize(("framework", "make"), [("django", a_request_of_django), ("quart", a_request_of_quart)])
async def test_frameworks_without_an_exception_of_ours(framework: str, make: Any) -> None:
    """Their requests have a scope too, and Starlette's exception would be a 500 there."""
    pytest.importorskip(framework)
    async with sites.opened() as site:
        request = make()
        assert (hasattr(request, "scope"), await site.gateway.current_user(request)) == (True, None)
        with pytest.raises(InvalidSession, match="the request has no session"):
            await site.gateway.required_user(request)


async def test_the_store_is_unreachable() -> None:
    """It is no logout: the application hears of it."""

    class Asked:
        headers: Any

    async with sites.opened() as site:
        browser = await site.browser()
        await browser.log_in()
        connection: Any = Asked()
        connection.headers = {"cookie": f"session={browser.cookie('session')}"}
        asked: Connection = connection
        user = await site.gateway.required_user(asked)
        assert (user.identifier, user.name in repr(user)) == (browser.cookie("session"), True)
        assert [secret for secret in (user.identifier, user.user, "ada@") if secret in repr(user)] == []
        site.store.is_unreachable = True
        with pytest.raises(StoreUnavailable):
            await site.gateway.current_user(asked)
