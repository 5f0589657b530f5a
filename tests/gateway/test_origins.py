"""A wrong ``base_url`` is seen in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from helpers.sites import request
from passwordless_async.gateway.origins import OriginWatch
from passwordless_async.gateway.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from helpers.sites import Site

SAME = ("Sec-Fetch-Site", "same-origin")


@pytest.mark.parametrize(
    ("headers", "proxies", "seen"),
    [
        ([("Host", "app.example")], 0, None),
        ([("Host", "APP.example")], 0, None),
        ([("Host", "app.example:443")], 0, None),
        ([("X-Forwarded-Host", "app.example:443")], 1, None),
        ([("Host", "app.example:80")], 0, "app.example:80"),
        ([], 0, None),
        ([("Host", "127.0.0.1:8000")], 0, "127.0.0.1:8000"),
        ([("Host", "127.0.0.1:8000")], 1, None),
        ([("Host", "127.0.0.1:8000"), ("X-Forwarded-Host", "www.example")], 1, "www.example"),
        ([SAME, ("Origin", "https://app.example"), ("Host", "inner")], 0, None),
        ([SAME, ("Origin", "http://app.example"), ("Host", "app.example")], 0, "http://app.example"),
        ([("Host", "a\nb")], 0, None),
        ([("Host", "a" * 300)], 0, None),
    ],
)
def test_another_origin(
    headers: list[tuple[str, str]], proxies: int, seen: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """One line, however many requests there are; nothing of what a header may not have is in it."""
    watch = OriginWatch(Settings(base_url="https://app.example", trusted_proxies=proxies))
    for _ in range(2):
        watch.look(request(headers=headers))
    lines = [record.getMessage() for record in caplog.records]
    expected = [] if seen is None else [f"base_url: a request came to {seen}, but base_url is https://app.example."]
    assert [line.partition(" If browsers")[0] for line in lines] == expected


async def test_a_site_that_is_opened_by_another_name(
    serve: Callable[..., Awaitable[Site]], caplog: pytest.LogCaptureFixture
) -> None:
    """The first request shows it; one by the right name shows nothing."""
    browser = await (await serve()).browser()
    await browser.get("/login")
    assert "base_url" not in caplog.text
    await browser.get("/login", {"Host": "localhost:1"})
    assert "base_url: a request came to localhost:1, but" in caplog.text
    assert "forms that come without Sec-Fetch-Site will be refused" in caplog.text
