"""The contenders of :mod:`benchmarks.peers` that block, each call in a thread."""

# ruff: noqa: PLC0415 - the other libraries are imported where they are measured: none of them needs to be installed

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from benchmarks.load import OTP, SCOPE, form, in_threads, usernames
from benchmarks.stub import CLIENT_ID

if TYPE_CHECKING:
    from contextlib import ExitStack

    from benchmarks.measure import Prepare
    from benchmarks.server import Server


def auth0_python(stack: ExitStack, server: Server, threads: int) -> Prepare:
    """Log in as the SDK does: one object for all threads."""
    from auth0.authentication import GetToken

    username = usernames()
    client = GetToken(urlsplit(server.origin).netloc, CLIENT_ID, client_secret=secrets.token_urlsafe(32), timeout=60)

    def login() -> object:
        return client.passwordless_login(username(), OTP, "email", SCOPE, "https://api.example")

    return in_threads(stack, login, threads)


def requests_oauth2client(stack: ExitStack, server: Server, threads: int) -> Prepare:
    """Log in with a new key each; a session of requests whose pool has a connection for each thread."""
    import requests
    import requests_oauth2client as oauth2

    username = usernames()
    session = stack.enter_context(requests.Session())
    session.mount("https://", requests.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=threads))
    client = oauth2.OAuth2Client(
        server.token_url, client_id=CLIENT_ID, session=session, dpop_bound_access_tokens=True, testing=True
    )

    def login() -> object:
        return client.token_request(form(username()), timeout=60)

    return in_threads(stack, login, threads)
