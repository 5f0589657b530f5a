"""A Django project with login pages, and a view that calls an API for its user: see README.md."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import path
from starlette.applications import Starlette
from starlette.routing import Mount

from passwordless_async import PasswordlessClient
from passwordless_async.gateway import Gateway

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"], SECRET_KEY=os.environ["SECRET_KEY"])
API = os.environ["API"]
client = PasswordlessClient(os.environ["AUTH0_DOMAIN"], os.environ["CLIENT_ID"])
gateway = Gateway(client, base_url=os.environ["SITE"], audience="https://api.example")


async def home(request: HttpRequest) -> HttpResponse:
    """Show what the API says to the user; send a browser without a session to the login, which returns here."""
    user = await gateway.current_user(request)
    if user is None:
        return HttpResponseRedirect("/auth/login?return_to=/")
    async with client.sessions.api(user.identifier, origins=[API]) as api, api.request("GET", f"{API}/me") as answer:
        return JsonResponse(
            {"hello": user.claims.get("email", user.user), "api": await answer.json()}, status=answer.status
        )


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncGenerator[None, None]:
    """Open the client when the server starts, and close it when it stops."""
    async with client:
        yield


urlpatterns = [path("", home)]
django: Any = get_asgi_application()  # its types of ASGI are not Starlette's
app = Starlette(routes=[Mount("/auth", gateway.asgi()), Mount("/", django)], lifespan=lifespan)
