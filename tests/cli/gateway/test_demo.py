"""``gateway --demo``, from its first page to logged out, by the codes that it prints."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING

from cli.gateway.conftest import browser_at, line_with

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import Popen


def code_for(process: Popen[str], name: str) -> str:
    """Return the code that is printed for a user."""
    found = re.search(r" (\d{6})\b", line_with(process, name, out=True))
    assert found is not None
    return found[1]


async def test_the_whole_demonstration(started: Callable[..., Popen[str]]) -> None:
    """What it says to try works: log in, call the service, see sessions, a second factor, log out."""
    process = started("gateway", "--demo", "--port", "0")
    url = line_with(process, "Open ", out=True).removeprefix("Open ")
    line_with(process, "Codes:", out=True)
    async with browser_at(url) as browser:
        first = await browser.get("/api/messages", {"Accept": "text/html"})
        assert (first.status, first.path) == (200, "/login")
        sent = await browser.post("/login", {"identifier": "ada@example.com"})
        assert sent.path == "/code"
        back = await browser.post("/code", {"code": code_for(process, "ada@example.com")})
        assert (back.status, back.path) == (200, "/api/messages")
        assert back.json["messages"] == ["Hello.", "It works."]
        home = await browser.get("/")
        assert '<a href="/api/messages">' in home.text
        me = await browser.get("/api/me")
        assert me.json["scopes"] == ["email", "offline_access", "openid", "read:messages"]
        assert re.fullmatch(r"[\w-]{43}", me.json["token_is_bound_to_key"])
        sessions = await browser.get("/sessions")
        assert (sessions.status, "Firefox on Linux" in sessions.text) == (200, True)
        assert (await browser.post("/logout")).path == "/logged-out"
        assert (await browser.get("/api/messages", {"Accept": "text/html"})).path == "/login"
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out, err.strip()) == (130, "", "")


async def test_a_second_factor(started: Callable[..., Popen[str]]) -> None:
    """The user that is named needs a second factor: a code that is printed too."""
    process = started("gateway", "--demo", "--port", "0")
    url = line_with(process, "Open ", out=True).removeprefix("Open ")
    line_with(process, "Codes:", out=True)
    async with browser_at(url) as browser:
        await browser.post("/login", {"identifier": "grace@example.com"})
        asked = await browser.post("/code", {"code": code_for(process, "grace@example.com")})
        assert asked.path == "/factor"
        home = await browser.post("/factor", {"code": code_for(process, "(second factor: sms)")})
        assert (home.status, home.title) == (200, "You are signed in")


async def test_the_port_is_taken(started: Callable[..., Popen[str]]) -> None:
    """A sentence says so."""
    first = started("gateway", "--demo", "--port", "0")
    url = line_with(first, "Open ", out=True).removeprefix("Open ")
    port = url.rpartition(":")[2]
    second = started("gateway", "--demo", "--port", port)
    _, err = second.communicate()
    assert (second.returncode, err) == (
        2,
        f"Error: --port: cannot listen on 127.0.0.1, port {port}: Address already in use.\n",
    )
