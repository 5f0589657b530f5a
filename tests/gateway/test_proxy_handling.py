"""Calls to upstreams as a mount sees them: what is answered here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from passwordless_async import MemoryStore, PasswordlessClient, UsageError
from passwordless_async.gateway import Gateway, Upstream
from passwordless_async.gateway.proxy.messages import BrowserGone, ProxiedRequest, ProxiedResponse

if TYPE_CHECKING:
    from passwordless_async.gateway.proxy_handling import ProxyHandler

CLIENT = PasswordlessClient("acme.eu.auth0.com", "client", store=MemoryStore())


def proxy_of(prefix: str = "/api/", **options: Any) -> ProxyHandler:
    upstreams = [Upstream(prefix, "https://api.example")]
    gateway = Gateway(CLIENT, base_url="https://app.example", upstreams=upstreams, **options)
    assert gateway._proxy is not None
    return gateway._proxy


async def answered(proxy: ProxyHandler, *pairs: tuple[str, str], **more: Any) -> tuple[ProxiedResponse, str]:
    given = {"method": "GET", "mount": "/auth", "path": "/api/me", "query": ""}
    request = ProxiedRequest(**{**given, **more}, headers=CIMultiDictProxy(CIMultiDict(pairs)))
    response = await proxy.forward(request)
    assert response is not None
    assert isinstance(response.body, bytes)
    return response, response.body.decode()


def test_without_upstreams() -> None:
    """There is no proxy."""
    assert Gateway(CLIENT, base_url="https://app.example")._proxy is None


@pytest.mark.parametrize("prefix", ["/login/", "/static/", "/session", "/sessions/api/"])
def test_prefixes_of_the_gateways_own(prefix: str) -> None:
    """They are refused at once."""
    with pytest.raises(UsageError, match="upstreams"):
        Gateway(CLIENT, base_url="https://app.example", upstreams=[Upstream(prefix, "https://api.example")])


@pytest.mark.parametrize(
    ("path", "is_served"), [("/api/me", True), ("/api", True), ("/apis", False), ("/login", False)]
)
def test_what_goes_to_an_upstream(path: str, *, is_served: bool) -> None:
    """What is below a prefix."""
    assert proxy_of().serves(path) is is_served


@pytest.mark.parametrize(
    ("path", "is_served"),
    [
        ("/", True),
        ("/me", True),
        ("/logins", True),
        ("/login", False),
        ("/sessions/end", False),
        ("/static/a.css", False),
    ],
)
def test_an_upstream_at_the_root_leaves_the_gateways_own_paths(path: str, *, is_served: bool) -> None:
    """Else no user could log in."""
    assert proxy_of("/").serves(path) is is_served


async def test_a_page_and_a_script() -> None:
    """A refusal is a page for a user, and JSON for a script, whatever it accepts."""
    bad = "/api/../x"
    page, text = await answered(proxy_of(), ("Accept", "text/html"), path=bad)
    assert (page.status, "This address is not valid." in text) == (400, True)
    script, text = await answered(proxy_of(), ("Sec-Fetch-Mode", "cors"), ("Accept", "text/html"), path=bad)
    assert (script.status, json.loads(text)["problem"]["key"]) == (400, "unclear_address")
    for response in (page, script):
        fields = dict(response.headers)
        assert (fields["Cache-Control"], "Content-Security-Policy" in fields) == ("no-store", True)


async def test_a_session_that_there_is_not() -> None:
    """A cookie that opens nothing."""
    headers = ("Cookie", f"__Host-session={'x' * 51}")
    response, text = await answered(proxy_of(), headers)
    assert (response.status, json.loads(text)["problem"]["key"]) == (401, "session_ended")


async def test_what_nothing_foresees(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A 500, and a line in the log without the message."""
    proxy = proxy_of()

    async def fails(_request: object) -> None:
        raise ValueError("secret")

    monkeypatch.setattr(proxy._forwarding, "forward", fails)
    response, text = await answered(proxy)
    assert (response.status, json.loads(text)["problem"]["key"]) == (500, "fault")
    assert ("ValueError" in caplog.text, "secret" in caplog.text) == (True, False)


async def test_a_browser_that_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No response is made for a browser that has gone."""
    proxy = proxy_of()

    async def fails(_request: object) -> None:
        raise BrowserGone

    monkeypatch.setattr(proxy._forwarding, "forward", fails)
    headers = CIMultiDictProxy(CIMultiDict[str]())
    request = ProxiedRequest(method="GET", mount="", path="/api/me", query="", headers=headers)
    assert await proxy.forward(request) is None
