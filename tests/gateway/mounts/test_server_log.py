"""What is logged of requests that cannot be read: on both mounts nothing that is in them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import pytest
from aiohttp import ClientSession, web
from aiohttp.http_exceptions import LineTooLong

from helpers import sites
from passwordless_async.gateway.mounts.server_log import Unquoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from helpers.sites import Site


@pytest.fixture
def capture_access(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], None]]:
    """Return what captures access logs, once a server runs: uvicorn's configuration removes all handlers of its own."""
    log = logging.getLogger("uvicorn.access")

    def capture() -> None:
        caplog.set_level(logging.INFO)
        log.setLevel(logging.INFO)
        log.addHandler(caplog.handler)

    yield capture
    log.removeHandler(caplog.handler)


SECRET = b"SECRETCOOKIE"
FORM = b"Sec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n"
MALFORMED = {
    "long field": b"GET MOUNT/login HTTP/1.1\r\nHost: x\r\nCookie: session=" + SECRET + b"A" * 20_000 + b"\r\n\r\n",
    "no colon": b"GET MOUNT/login HTTP/1.1\r\nHost: x\r\nCookie session=" + SECRET + b"\r\n\r\n",
    "control character": b"GET MOUNT/login HTTP/1.1\r\nHost: x\r\nCookie: session=" + SECRET + b"\x00\r\n\r\n",
    "long URL": b"GET MOUNT/login?code=" + SECRET + b"A" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "no URL": SECRET + b"\r\n\r\n",
    "version": b"GET MOUNT/login?" + SECRET + b" HTTP/9.9\r\nHost: x\r\n\r\n",
    "length": b"POST MOUNT/login HTTP/1.1\r\nHost: x\r\nContent-Length: " + SECRET + b"\r\n\r\n",
    "chunk": b"POST MOUNT/login HTTP/1.1\r\nHost: x\r\n"
    + FORM
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + SECRET
    + b"\r\n",
    "later chunk": b"POST MOUNT/login HTTP/1.1\r\nHost: x\r\n"
    + FORM
    + b"Transfer-Encoding: chunked\r\n\r\n2\r\na=\r\n"
    + SECRET
    + b"\r\n",
    "coding": b"POST MOUNT/login HTTP/1.1\r\nHost: x\r\n"
    + FORM
    + b"Content-Encoding: gzip\r\nContent-Length: 12\r\n\r\n"
    + SECRET,
    "host": b"GET http://[" + SECRET + b"/login HTTP/1.1\r\nHost: x\r\n\r\n",
}


async def status_of(site: Site, raw: bytes) -> int:
    """Send bytes; return the status of the response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(site.origin.rpartition(":")[2]))
    writer.write(raw.replace(b"MOUNT", site.mount.encode()))
    line = await reader.readline()
    writer.close()
    return int(line.split()[1])


@pytest.mark.parametrize("kind", sites.SUITE)
@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_requests(kind: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """No byte of them is logged; what is refused is the sender's fault, and the site goes on."""
    caplog.set_level(logging.DEBUG)
    async with sites.opened(kind) as site:
        status = await status_of(site, MALFORMED[name])
        assert (status < 500, SECRET.decode() in caplog.text) == (True, False)
        assert (await (await site.browser()).get("/login")).status == 200


@pytest.mark.parametrize("kind", sites.MOUNTS)
async def test_the_code_of_a_link(
    kind: str, caplog: pytest.LogCaptureFixture, capture_access: Callable[[], None]
) -> None:
    """The access logs of the servers have the path of its callback, and no query; no browser sends it on either."""
    async with sites.opened(kind, magic_link=True) as site:
        capture_access()
        browser = await site.browser()
        await browser.post("/login", {"identifier": sites.ADA.address, "send": "link"})
        async with ClientSession() as mail:
            link = str(site.tenant.outbox.link_for(sites.ADA))
            async with mail.get(link, allow_redirects=False) as response:
                query = urlsplit(response.headers["Location"]).query
        secrets = dict(parse_qsl(query))
        other = await (await site.browser()).get(f"/link?{query}")
        assert (other.status, other.headers["Referrer-Policy"]) == (403, "strict-origin")
        assert (await browser.get(f"/link?{query}")).status == 200
        assert (await browser.get("/session")).json["logged_in"]
    logged = [each.getMessage() for each in caplog.records if each.name in {"aiohttp.access", "uvicorn.access"}]
    assert sum(f"GET {site.mount}/link " in line for line in logged) == 2
    assert secrets.keys() >= {"code", "state"}
    assert [line for line in logged if any(secret in line for secret in secrets.values())] == []
    assert [line for line in logged if "?" in line] == []


@pytest.mark.parametrize("kind", sites.SUITE)
async def test_a_request_that_is_refused_for_its_framing(
    kind: str, caplog: pytest.LogCaptureFixture, capture_access: Callable[[], None]
) -> None:
    """Its query is not logged either."""
    async with sites.opened(kind) as site:
        capture_access()
        head = b"POST MOUNT/link?code=" + SECRET + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
        assert await status_of(site, head + b"0\r\n\r\n") == 400
    assert SECRET.decode() not in caplog.text


def record(error: Exception) -> logging.LogRecord:
    """Return a record with an error's traceback, as the server makes one."""
    made = logging.getLogger("aiohttp.server").makeRecord(
        "aiohttp.server",
        logging.ERROR,
        __file__,
        1,
        "Error handling request from %s",
        ("::1",),
        (type(error), error, None),
    )
    assert Unquoted().filter(made)
    return made


def test_the_error_is_still_named() -> None:
    """An operator sees that there was one, and from where."""
    assert record(LineTooLong(b"SECRET", 8190)).getMessage() == "Error handling request from ::1: LineTooLong"
    payload = record(web.RequestPayloadError("b'SECRET'"))
    assert logging.Formatter().format(payload) == "Error handling request from ::1: RequestPayloadError"


def test_other_errors_keep_their_traceback() -> None:
    """Those of an application's own handlers."""
    assert "ValueError: mine" in logging.Formatter().format(record(ValueError("mine")))


async def test_the_filter_goes_with_the_application() -> None:
    """What is not running filters nothing; the filters of other applications stay."""
    log = logging.getLogger("aiohttp.server")
    log.addFilter(other := Unquoted())
    before = list(log.filters)
    try:
        async with sites.opened("aiohttp"):
            assert [type(each) for each in log.filters if each not in before] == [Unquoted]
        assert log.filters == before
    finally:
        log.removeFilter(other)
