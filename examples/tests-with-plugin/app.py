"""A login API on aiohttp.web, as an application has one: what its users read when something fails is what is tested."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from passwordless_async import (
    CodeExpired,
    CodeSpent,
    CoolingDown,
    Email,
    InvalidInput,
    OutcomeUnknown,
    PasswordlessClient,
    PasswordlessError,
    TooManyAttempts,
    WrongCode,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.typedefs import Handler

CLIENT = web.AppKey("client", PasswordlessClient)
# The first that fits counts. The code is over in the second row: asking for another is all that helps.
ANSWERS: list[tuple[tuple[type[PasswordlessError], ...], int, str]] = [
    ((WrongCode,), 400, "That code is not right. Type the newest one."),
    ((CodeExpired, CodeSpent, OutcomeUnknown, TooManyAttempts), 409, "That code no longer works. Ask for a new one."),
    ((CoolingDown,), 429, "A code is on its way. Look into your mail."),
    ((InvalidInput,), 400, "Check what you have typed."),
]


def make_app(client: PasswordlessClient) -> web.Application:
    """Return the application; it opens and closes the client."""

    async def opened(_app: web.Application) -> AsyncIterator[None]:
        async with client:
            yield

    app = web.Application(middlewares=[told])
    app[CLIENT] = client
    app.cleanup_ctx.append(opened)
    app.add_routes([web.post("/start", start), web.post("/login", log_in)])
    return app


@web.middleware
async def told(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer an error of the library by a sentence for people."""
    try:
        return await handler(request)
    except PasswordlessError as error:
        for kinds, status, text in ANSWERS:
            if isinstance(error, kinds):
                return web.json_response({"problem": text}, status=status)
        return web.json_response({"problem": "We cannot log you in now. Try again in a minute."}, status=503)


async def start(request: web.Request) -> web.Response:
    """Send a code."""
    form = await request.post()
    await request.app[CLIENT].start(Email(str(form["email"])))
    return web.Response(status=204)


async def log_in(request: web.Request) -> web.Response:
    """Log in with the code; the session's identifier goes into a cookie that scripts cannot read."""
    form = await request.post()
    session = await request.app[CLIENT].sessions.login(Email(str(form["email"])), str(form["code"]), scope="openid")
    response = web.json_response({"user": session.user})
    response.set_cookie("session", session.identifier, httponly=True, secure=True, samesite="Lax")
    return response
