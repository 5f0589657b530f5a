"""An aiohttp.web application with login pages, and an API behind them that gets each user's token: see README.md."""

import os
from collections.abc import AsyncIterator

from aiohttp import web

from passwordless_async import PasswordlessClient
from passwordless_async.gateway import Gateway, Upstream


async def home(request: web.Request) -> web.Response:
    """Greet a user who is logged in, and send others to the login, which returns here."""
    user = await gateway.current_user(request)
    if user is None:
        raise web.HTTPSeeOther("/auth/login?return_to=/")
    return web.json_response({"hello": user.claims.get("email", user.user)})


async def lifespan(_app: web.Application) -> AsyncIterator[None]:
    """Open the client with the application, and close both together."""
    async with client:
        yield


client = PasswordlessClient(os.environ["AUTH0_DOMAIN"], os.environ["CLIENT_ID"])
api = Upstream("/api/", os.environ["API"])
gateway = Gateway(client, base_url=os.environ["SITE"], audience="https://api.example", upstreams=[api])
app = web.Application()
app.cleanup_ctx.append(lifespan)
app.add_routes([web.get("/", home)])
app.add_subapp("/auth", gateway.aiohttp())

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=8000)
