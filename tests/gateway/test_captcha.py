"""A captcha, where the tenant demands one: the widget of a provider, and its token on the way to the tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from helpers.sites import ADA, JSON, Site
from passwordless_async import UsageError
from passwordless_async.gateway import Captcha
from passwordless_async.testing import TenantSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Serve: TypeAlias = "Callable[..., Awaitable[Site]]"
WIDGET = Captcha(
    script="https://captcha.example/api.js?render=explicit",
    site_key="key",
    css_class="cf-turnstile",
    field="cf-turnstile-response",
    sources=["https://frames.captcha.example"],
)
START = "/passwordless/start"


@pytest.fixture
async def site(serve: Serve) -> Site:
    """Serve a gateway with a widget, at a tenant that wants a captcha."""
    return await serve(settings=TenantSettings(captcha="solved"), captcha=WIDGET, magic_link=True)


async def test_the_widget(site: Site) -> None:
    """It is shown once it is needed, with the sources that were named; its token goes to the tenant."""
    browser = await site.browser()
    plain = await browser.get("/login")
    assert ("captcha.example" in plain.text, "captcha.example" in str(plain.headers)) == (False, False)
    asked = await browser.start()
    assert (asked.status, asked.path, asked.alert) == (403, "/login", "Please complete the security check.")
    assert '<div class="cf-turnstile" data-sitekey="key"' in asked.text
    assert '<script src="https://captcha.example/api.js?render=explicit" async defer></script>' in asked.text
    assert 'value="ada@example.com"' in asked.text
    policy = asked.headers["Content-Security-Policy"]
    for directive in (
        "script-src 'self'",
        "connect-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "frame-src",
    ):
        assert f"{directive} https://captcha.example https://frames.captcha.example;" in policy
    assert "unsafe" not in policy
    wrong = await browser.post("/login", {"identifier": ADA.address, WIDGET.field: "guessed"})
    assert wrong.status == 403
    sent = await browser.post("/login", {"identifier": ADA.address, WIDGET.field: "solved"})
    assert (sent.path, "captcha.example" in sent.headers["Content-Security-Policy"]) == ("/code", False)
    assert site.tenant.requests.to(START)[-1].json["captcha"] == "solved"
    assert (await browser.post("/code", {"code": site.code()})).path == "/"


async def test_in_json(site: Site) -> None:
    """A script is told which widget, and sends its token under either name."""
    browser = await site.browser()
    asked = await browser.call("/login", {"identifier": ADA.address})
    assert (asked.status, asked.json["problem"]["key"], asked.json["captcha"]) == (403, "captcha_needed", WIDGET.facts)
    assert (await browser.get("/login", JSON)).json["captcha"] is None
    assert (await browser.call("/login", {"identifier": ADA.address, "captcha": "solved"})).json["step"] == "code"


async def test_a_link(site: Site) -> None:
    """It is asked for with the same token."""
    browser = await site.browser()
    fields = {"identifier": ADA.address, "send": "link"}
    assert (await browser.post("/login", fields)).status == 403
    assert (await browser.post("/login", {**fields, WIDGET.field: "solved"})).path == "/link-sent"


async def test_a_resend(site: Site) -> None:
    """The page with the widget knows the user still."""
    browser = await site.browser()
    await browser.post("/login", {"identifier": ADA.address, WIDGET.field: "solved"})
    asked = await browser.post("/code/resend")
    assert (asked.status, 'value="ada@example.com"' in asked.text, "cf-turnstile" in asked.text) == (403, True, True)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("script", "http://captcha.example/api.js"),
        ("script", "/api.js"),
        ("script", "https://user@captcha.example/api.js"),
        ("site_key", ""),
        ("site_key", "a\nb"),
        ("css_class", 'x" onclick="'),
        ("field", "a b"),
        ("sources", ["*"]),
        ("sources", ["http://captcha.example"]),
        ("sources", "https://captcha.example/path; script-src *"),
    ],
)
def test_arguments_are_checked(argument: str, value: Any) -> None:
    """They stand in pages and in the content security policy."""
    usual: dict[str, Any] = {**WIDGET.facts, "sources": WIDGET.sources}
    with pytest.raises(UsageError, match=argument):
        Captcha(**{**usual, argument: value})
