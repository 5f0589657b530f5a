"""``gateway`` as its users meet it: a process that logs people in, passes calls on, and ends in order."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import WSCloseCode

from helpers.sites import ADA, JSON
from passwordless_async.cli.app import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from subprocess import CompletedProcess

    from cli.gateway.conftest import Program, Service
    from passwordless_async.testing import LocalTenant

REQUIRED = ("--domain", "acme.eu.auth0.com", "--client-id", "app", "--base-url", "https://app.example")
PATIENCE = 60


async def ended(program: Program) -> int:
    """Wait for a process to end; return its status."""
    return await asyncio.to_thread(program.process.wait, PATIENCE)


async def test_a_user_logs_in_and_calls_a_service(
    gateway: Callable[..., Program], tenant: LocalTenant, service: Service
) -> None:
    """The call has a token that is bound, and its proof; without a session it has to log in."""
    program = gateway("--upstream", f"/api/={service.url}")
    async with program.browser(tenant) as browser:
        assert (await browser.get("/api/me", JSON)).status == 401
        home = await browser.log_in()
        assert (home.status, home.path, home.title) == (200, "/", "You are signed in")
        answer = await browser.get("/api/me")
        assert (answer.status, answer.json) == (200, {"path": "/me", "scheme": "DPoP", "proof": True})
        assert (await browser.get("/healthz")).status == 200
        ready = await browser.get("/readyz")
        assert (ready.status, ready.text) == (200, "Ready.\n")
        assert (await browser.post("/logout")).path == "/logged-out"
    program.process.send_signal(signal.SIGTERM)
    assert await ended(program) == 0


async def test_calls_in_flight_end_before_the_process_does(
    gateway: Callable[..., Program], tenant: LocalTenant, service: Service
) -> None:
    """SIGTERM closes the socket at once; a call in flight has its whole answer, and then the process ends."""
    program = gateway("--upstream", f"/api/={service.url}")
    async with program.browser(tenant) as browser:
        await browser.log_in()
        call = asyncio.create_task(browser.get("/api/slow"))
        await service.arrived.wait()
        program.process.send_signal(signal.SIGTERM)
        assert program.until("Stopping") == "Stopping: calls in flight have 20 s."
        async with aiohttp.ClientSession() as other:
            with pytest.raises(aiohttp.ClientConnectorError):
                await other.get(f"{program.url}/healthz")
        service.released.set()
        answer = await call
    assert (answer.status, answer.json["path"]) == (200, "/slow")
    assert await ended(program) == 0


async def test_a_call_that_does_not_end_is_ended(
    gateway: Callable[..., Program], tenant: LocalTenant, service: Service
) -> None:
    """After ``--shutdown-seconds`` the process ends all the same."""
    program = gateway("--upstream", f"/api/={service.url}", "--shutdown-seconds", "0.2")
    async with program.browser(tenant) as browser:
        await browser.log_in()
        call = asyncio.create_task(browser.get("/api/slow"))
        await service.arrived.wait()
        program.process.send_signal(signal.SIGTERM)
        assert await ended(program) == 0
        with pytest.raises(aiohttp.ClientError):
            await call


async def test_what_would_never_end_is_ended_at_once(
    gateway: Callable[..., Program], tenant: LocalTenant, service: Service
) -> None:
    """SIGTERM ends WebSockets, at both ends as one that goes away, and streams of events; they use up no patience."""
    program = gateway("--upstream", f"/api/={service.url}", "--shutdown-seconds", "600")
    async with program.browser(tenant) as browser:
        await browser.log_in()
        http = browser._session
        async with (
            http.get(f"{program.url}/api/events") as events,
            http.ws_connect(f"{program.url}/api/socket", origin="http://127.0.0.1") as ws,
        ):
            assert await events.content.readany() == b"data: 1\n\n"
            await ws.send_str("hello")
            assert await ws.receive_str() == "hello"
            program.process.send_signal(signal.SIGTERM)
            assert (await ws.receive(timeout=PATIENCE)).data == WSCloseCode.GOING_AWAY
            with pytest.raises(aiohttp.ClientPayloadError):
                await events.content.read()
        assert await asyncio.wait_for(service.closed.get(), PATIENCE) == WSCloseCode.GOING_AWAY
    assert await ended(program) == 0


def test_ctrl_c(gateway: Callable[..., Program]) -> None:
    """It ends with the status that shells know, without a traceback."""
    program = gateway()
    os.killpg(program.process.pid, signal.SIGINT)
    out, err = program.process.communicate()
    assert (program.process.returncode, out, err.splitlines()[0]) == (130, "", "Stopping: calls in flight have 20 s.")
    assert "Traceback" not in err


async def test_logs(gateway: Callable[..., Program], tenant: LocalTenant, tmp_path: Path) -> None:
    """A line of JSON for each call and each login; no code, cookie, query or address."""
    audit = tmp_path / "audit.jsonl"
    program = gateway("--audit-log", str(audit))
    async with program.browser(tenant) as browser:
        await browser.log_in()
        await browser.get(f"/nowhere/{ADA.address}?code=secret")
        cookie = browser.cookie("session") or "no cookie"
    program.process.send_signal(signal.SIGTERM)
    out, _ = program.process.communicate()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [(line["method"], line["path"], line["status"]) for line in lines] == [
        ("GET", "/login", 200),
        ("POST", "/login", 303),
        ("GET", "/code", 200),
        ("POST", "/code", 303),
        ("GET", "/", 200),
        ("GET", "/nowhere/[e-mail]", 404),
    ]
    assert set(lines[0]) == {"time", "method", "path", "status", "ms", "bytes", "id"}
    events = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [event["kind"] for event in events] == ["started", "logged_in"]
    written = out + audit.read_text()
    assert [
        secret for secret in (cookie, tenant.outbox.code_for(ADA), "secret", ADA.address) if secret in written
    ] == []


async def test_the_store_goes_and_comes_back(
    gateway: Callable[..., Program], redis_server: object, tmp_path: Path
) -> None:
    """``/readyz`` says so in plain words, and the process goes on."""
    server, keys = redis_server, tmp_path / "keys.json"
    assert run(["sessions", "keys", str(keys)]) == 0
    program = gateway("--store", server.url, "--keys", str(keys), "--access-log", "off")  # type: ignore[attr-defined] # a RedisServer
    async with program.browser() as browser:
        assert (await browser.get("/readyz")).status == 200
        await asyncio.to_thread(server.stop)  # type: ignore[attr-defined]
        while (seen := await browser.get("/readyz")).status == 200:
            pass
        assert (seen.status, seen.text) == (
            503,
            "The store is unreachable: no user can log in, and no session can be read.\n",
        )
        assert (await browser.get("/healthz")).status == 200
        await asyncio.to_thread(server.refresh)  # type: ignore[attr-defined]
        while (await browser.get("/readyz")).status != 200:
            pass


def test_check(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows what would run and where each setting came from, and no secret."""
    file, secret = tmp_path / "gateway.toml", tmp_path / "secret"
    file.write_text('brand = "Acme"\n[[upstreams]]\nprefix = "/api/"\nurl = "https://api.example"\n')
    secret.write_text("s3cret")
    monkeypatch.setenv("PASSWORDLESS_ASYNC_TRUSTED_PROXIES", "1")
    assert run(["gateway", *REQUIRED, "--config", str(file), "--client-secret-from", f"file:{secret}", "--check"]) == 0
    shown = capsys.readouterr().out
    for line in (
        "base_url               https://app.example  (--base-url)",
        "trusted_proxies        1  (PASSWORDLESS_ASYNC_TRUSTED_PROXIES)",
        "brand                  Acme  (brand in gateway.toml)",
        "upstreams              /api/ to https://api.example  (upstreams in gateway.toml)",
        "port                   8000  (default)",
    ):
        assert line in shown.splitlines()
    assert "s3cret" not in shown


def test_wrong_settings(capsys: pytest.CaptureFixture[str]) -> None:
    """Each is a sentence with the setting and where it came from; the status is 2."""
    assert run(["gateway", "--domain", "acme.eu.auth0.com", "--port", "many", "--client-secret", "s3cret"]) == 2
    said = capsys.readouterr().err
    assert said.splitlines() == [
        (
            "Error: --client-secret: secrets cannot be flags, because every user of this machine sees the command "
            "line; put it into PASSWORDLESS_ASYNC_CLIENT_SECRET, or into a file that --client-secret-from names."
        ),
        "Error: --port: must be a whole number from 0 to 65535.",
        (
            "Error: client_id is missing: give --client-id, PASSWORDLESS_ASYNC_CLIENT_ID or client_id in the file of "
            "--config."
        ),
        "Error: base_url is missing: give --base-url, PASSWORDLESS_ASYNC_BASE_URL or base_url in the file of --config.",
    ]


def test_the_extra_is_missing(program: Callable[..., CompletedProcess[str]]) -> None:
    """The sentence has the command that installs it."""
    script = "import sys; sys.modules['jinja2'] = None; from passwordless_async.cli import main; sys.exit(main())"
    for flags in (["--demo", "--port", "0"], REQUIRED):
        done = program("gateway", *flags, script=script)
        assert (done.returncode, done.stderr) == (
            1,
            'Error: jinja2 is not installed: pip install "passwordless-async[gateway]".\n',
        )


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """It has examples, line by line, and no flag for a secret."""
    assert run(["gateway", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "\n    passwordless-async gateway --demo\n" in shown
    assert '\n    [[upstreams]]\n    prefix = "/api/"\n' in shown
    assert "--client-secret " not in shown


@pytest.mark.parametrize("flags", [("--brand", "x"), ("--check",), ("--config", "x.toml")])
def test_the_demonstration_takes_no_settings(flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """A setting beside ``--demo`` is refused: it would have no effect."""
    assert run(["gateway", "--demo", *flags]) == 2
    sentence = f"{flags[0]}: cannot be combined with --demo, which has its own settings; only --port can."
    assert capsys.readouterr().err == f"Error: {sentence}\n"
