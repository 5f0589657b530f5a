"""The table of routes."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest

from helpers.sites import request
from passwordless_async import MemoryStore, PasswordlessClient
from passwordless_async._common.secret import Secret
from passwordless_async.gateway import Gateway
from passwordless_async.gateway.replies import Page
from passwordless_async.gateway.routes import ROUTES, SIGNED
from passwordless_async.gateway.state import LoginState


def test_what_changes_something_is_a_post() -> None:
    """And no path ends with a slash but the root."""
    assert {method for steps in ROUTES.values() for method in steps} == {"GET", "POST"}
    assert all(path == "/" or not path.endswith("/") for path in ROUTES)
    posts = {path for path, steps in ROUTES.items() if "POST" in steps}
    assert posts == {
        *("/login", "/login/cancel", "/code", "/code/resend", "/sessions/end", "/sessions/end-others", "/logout"),
        "/link/resend",
        *("/factor", "/factors", "/enrolment", "/recovery-codes", "/step-up"),
        "/backchannel-logout",
    }


@pytest.mark.parametrize("others", [{"method": "HEAD"}, {"headers": [("Sec-Purpose", "prefetch")]}], ids=str)
async def test_what_only_fetches_in_advance_shares_no_answer(others: dict[str, Any]) -> None:
    """It is refused; the user who opens the link at the same time is not."""
    client = PasswordlessClient("acme.eu.auth0.com", "client", store=MemoryStore())
    handler = Gateway(client, base_url="https://app.example", magic_link=True)._handler
    login = LoginState(id=Secret("login"), expires_at=4_000_000_000)
    visits = [handler._visit(request(path="/link", **more)) for more in (others, {}, others, {})]
    step = ROUTES["/link"]["GET"]
    replies = await asyncio.gather(*(step(attrs.evolve(visit, login=login)) for visit in visits))
    assert [reply.page for reply in replies] == [Page.FAULT, Page.LINK_ELSEWHERE] * 2


def test_signed_requests_are_no_browsers() -> None:
    """The rule against CSRF is not for them; each is a route."""
    assert {"/backchannel-logout"} == SIGNED
    assert set(ROUTES) > SIGNED
