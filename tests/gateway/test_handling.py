"""One request from its arrival to its response, without a socket."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from helpers.sites import request
from passwordless_async import MemoryStore, PasswordlessClient
from passwordless_async.gateway import Gateway, Response, handling
from passwordless_async.gateway.handling import wants_json

CLIENT = PasswordlessClient("acme.eu.auth0.com", "client", store=MemoryStore())
GATEWAY = Gateway(CLIENT, base_url="https://app.example")
JSON = [("Accept", "application/json"), ("X-CSRF", "1")]


async def asked(*arguments: Any, **named: Any) -> Response:
    return await GATEWAY.handle(request(*arguments, **named))


@pytest.mark.parametrize(
    ("accept", "is_json"),
    [
        ([], False),
        (["*/*"], False),
        (["text/html,application/xhtml+xml,*/*;q=0.8"], False),
        (["application/json"], True),
        (["application/json, text/plain, */*"], True),
        (["text/html, application/json"], False),
    ],
)
def test_page_or_json(accept: list[str], *, is_json: bool) -> None:
    """A page unless a script asks."""
    assert wants_json(request(headers=[("Accept", value) for value in accept])) is is_json


async def test_redirects_are_below_the_mount() -> None:
    """Those of a page; JSON has the next step at once."""
    page = await asked(path="/", mount="/auth")
    assert (page.status, dict(page.headers)["Location"], page.body) == (303, "/auth/login", b"")
    told = await asked(path="/", mount="/auth", headers=JSON)
    assert (told.status, json.loads(told.body)["problem"]["key"]) == (401, "session_ended")


async def test_cookies_are_of_https() -> None:
    """With the prefix."""
    page = await asked()
    assert dict(page.headers)["Set-Cookie"].startswith("__Host-login=")
    assert dict(page.headers)["Strict-Transport-Security"]


async def test_a_broken_login_cookie_is_removed_or_replaced() -> None:
    """It would be sent for ten minutes more."""
    page = await asked(headers=[("Cookie", "__Host-login=broken")])
    assert "__Host-login=ey" in dict(page.headers)["Set-Cookie"]


async def test_defects_are_pages(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The log has their place, and not what the message quotes."""

    async def fails(_visit: Any) -> Any:
        raise ValueError("the user typed 123456")

    monkeypatch.setattr(handling, "ROUTES", {"/code": {"GET": fails}})
    page = await asked(path="/code")
    assert (page.status, b"Something went wrong on our side." in page.body) == (500, True)
    assert ("GET /code failed: ValueError. Raised in " in caplog.text, "123456" in caplog.text) == (True, False)


async def test_cancellation_is_no_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancellation is passed on."""

    async def is_cancelled(_visit: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(handling, "ROUTES", {"/code": {"GET": is_cancelled}})
    with pytest.raises(KeyboardInterrupt):
        await asked(path="/code")


async def test_a_client_that_is_being_closed_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    """The process ends: the same call to another one succeeds. The operator has nothing to mend."""
    client = PasswordlessClient("acme.eu.auth0.com", "client", store=MemoryStore())
    async with client:
        pass
    fields = b'{"identifier": "ada@example.com"}'
    asking = request(method="POST", body=fields, headers=[*JSON, ("Content-Type", "application/json")])
    answer = await Gateway(client, base_url="https://app.example").handle(asking)
    key = json.loads(answer.body)["problem"]["key"]
    assert (answer.status, key, dict(answer.headers)["Retry-After"]) == (503, "service_unavailable", "1")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_client_that_is_not_open_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The page says that it is our fault, the log which: an application forgot its lifespan."""
    fields = b'{"identifier": "ada@example.com"}'
    json_headers = [*JSON, ("Content-Type", "application/json")]
    answer = await asked(path="/login", method="POST", body=fields, headers=json_headers)
    assert (answer.status, json.loads(answer.body)["problem"]["key"]) == (500, "fault")
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    expected = "client: is not open: use it inside async with, for example in the application's lifespan"
    assert [line.partition(". Raised in ")[0] for line in lines] == [f"POST /login failed: UsageError: {expected}"]
    assert "ada@" not in caplog.text
