"""A FastAPI application with login pages, and an API behind them that gets each user's token: see README.md."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException

from passwordless_async import PasswordlessClient
from passwordless_async.gateway import CurrentUser, Gateway, Upstream

client = PasswordlessClient(os.environ["AUTH0_DOMAIN"], os.environ["CLIENT_ID"])
api = Upstream("/api/", os.environ["API"])
gateway = Gateway(client, base_url=os.environ["SITE"], home="/", audience="https://api.example", upstreams=[api])


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncGenerator[None, None]:
    """Open the client with the application, and close both together."""
    async with client:
        yield


app = FastAPI(lifespan=lifespan)
app.mount("/auth", gateway.asgi())


@app.get("/")
async def home(user: Annotated[CurrentUser | None, Depends(gateway.current_user)]) -> dict[str, str]:
    """Greet a user who is logged in, and send others to the login, which returns here."""
    if user is None:
        raise HTTPException(303, headers={"Location": "/auth/login?return_to=/"})
    return {"hello": user.claims.get("email", user.user)}
