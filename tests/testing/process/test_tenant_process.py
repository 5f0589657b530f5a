"""The tenant as a process of its own, and its calls without a process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from typing import Literal

import aiohttp
import pytest

from helpers.ports import is_open
from passwordless_async.auth0.identity import Email
from passwordless_async.errors import TransportError, UsageError
from passwordless_async.testing import Fault, LocalTenant, TenantProcess, TenantSettings
from passwordless_async.testing.process.tenant_process import calls_of, open_tenant

ADA = Email("ada@example.com")
UNSENT: tuple[Literal["code", "approve", "deny"], ...] = ("code", "approve", "deny")


async def _start(process: TenantProcess, session: aiohttp.ClientSession, who: Email = ADA) -> int:
    body = {"client_id": process.public_client_id, "connection": "email", "email": who.address, "send": "code"}
    async with session.post(process.url + "/passwordless/start", json=body) as response:
        return response.status


async def _key_ids(process: TenantProcess, session: aiohttp.ClientSession) -> set[str]:
    async with session.get(process.url + "/.well-known/jwks.json") as response:
        return {key["kid"] for key in (await response.json())["keys"]}


async def test_control_goes_through_the_pipe() -> None:
    """Codes, statistics, faults, clients, users and the clock are reached by calls, and no call counts as a request."""
    users = [Email(f"user{number}@example.com") for number in range(3)]
    async with TenantProcess(TenantSettings(code_length=8)) as process, aiohttp.ClientSession() as session:
        assert [await _start(process, session, who) for who in users] == [200] * 3
        codes = await process.codes(users)
        assert [len(code) for code in codes] == [8] * 3
        assert await process.code_for(users[0]) == codes[0]
        assert (await process.stats()).wire_requests == 3

        await process.add_fault(Fault.SERVICE_UNAVAILABLE, times=1)
        assert await _start(process, session) == 503
        await process.add_fault(Fault.SERVICE_UNAVAILABLE)
        await process.clear_faults()
        await process.add_fault(Fault.REFUSAL, times=1, status=409, members=("code", "message"))
        assert await _start(process, session) == 409
        await process.advance(1)
        assert await _start(process, session) == 200
        before = await _key_ids(process, session)
        await process.rotate_signing_key(revoke=True)
        assert before.isdisjoint(await _key_ids(process, session))
        ready = await process.client_for("private_key_jwt", "ES256")
        assert ready.private_jwk is not None
        assert ready.private_jwk["kty"] == "EC"
        assert ready.private_pem is not None
        assert ready.private_pem.startswith(b"-----BEGIN")
        await process.add_user(ADA, mfa=["otp", "recovery-code"])
        assert str(await process.mfa("otp", ADA)).isdecimal()
        assert await process.mfa("recovery_code", ADA)
        for what in UNSENT:
            with pytest.raises(LookupError, match="was sent to"):
                await process.mfa(what, ADA)


async def test_a_failed_call_raises_what_the_child_raised() -> None:
    """A call that fails in the child raises the same in the parent, and the next call works."""
    async with TenantProcess() as process:
        with pytest.raises(LookupError, match="no message was sent"):
            await process.code_for(ADA)
        with pytest.raises(ValueError, match="no_such_fault"):
            await process.add_fault("no_such_fault")
        with pytest.raises(ValueError, match="nonsense"):
            await process.add_fault(Fault.SLOW, nonsense=1)
        with pytest.raises(UsageError, match="0 or more"):
            await process.advance(-5)
        assert (await process.stats()).wire_requests == 0


@pytest.mark.slow
async def test_the_answer_to_a_cancelled_call_is_dropped() -> None:
    """A cancelled call's answer is not taken for the next call's."""
    async with TenantProcess() as process:
        for _ in range(20):
            task = asyncio.create_task(process.advance(1))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert (await process.stats()).wire_requests == 0


@pytest.mark.slow
async def test_leaving_ends_the_child() -> None:
    """After the context the child is gone, and closing again does nothing."""
    async with TenantProcess() as process:
        pid = process.pid
    await process.aclose()

    assert pid is not None
    assert process.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(RuntimeError, match="not running"):
        await process.stats()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
async def test_a_signal_ends_the_child_without_a_traceback(number: int, capfd: pytest.CaptureFixture[str]) -> None:
    """After a signal, calls raise ``TransportError``, leaving still works and stderr stays empty."""
    async with TenantProcess() as process:
        assert process.pid is not None
        os.kill(process.pid, number)
        with pytest.raises(TransportError, match="has ended"):
            await _ask_for_ever(process)

    assert capfd.readouterr().err == ""


async def _ask_for_ever(process: TenantProcess) -> None:
    while True:
        await process.stats()


@pytest.mark.parametrize("stdin", ["</dev/null", "<&-"])
def test_the_module_run_by_hand_names_the_command(stdin: str) -> None:
    """Without a parent at the other end of a pipe there is nothing to wait for: one line says what to run instead."""
    ran = subprocess.run(  # noqa: S603 - our own arguments
        ["/bin/sh", "-c", f'exec "$0" -m passwordless_async.testing {stdin}', sys.executable],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "Only TenantProcess runs this module. To run a tenant: passwordless-async tenant\n"


@pytest.mark.slow
async def test_a_taken_port_is_refused() -> None:
    """A child that cannot listen raises ``TransportError`` with the reason."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(TransportError, match="cannot listen"):
        async with TenantProcess(port=taken.getsockname()[1]):
            pass


@pytest.mark.slow
async def test_a_killed_parent_ends_the_child() -> None:
    """A child ends when its standard input closes, so it also ends if the parent is killed."""
    script = (
        "import asyncio\n"
        "from passwordless_async.testing import TenantProcess\n"
        "async def main():\n"
        "    async with TenantProcess() as process:\n"
        "        print(process.url, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    port = int((await parent.stdout.readline()).decode().rpartition(":")[2])
    parent.kill()
    await parent.wait()

    async with asyncio.timeout(10):
        while await is_open(port):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)


async def test_a_tenant_is_made_from_json() -> None:
    """Settings, host and port arrive as JSON, and the calls reach the tenant that listens."""
    setup = {"settings": TenantSettings(captcha="solved").to_json(), "host": "127.0.0.1", "port": 0}

    async with open_tenant(json.loads(json.dumps(setup))) as calls:
        url = calls["url"]()

    assert url.startswith("http://127.0.0.1:")


def test_every_answer_is_json() -> None:
    """Each call's answer can be written as JSON, keys included."""
    calls = calls_of(LocalTenant())
    calls["add_user"](realm=ADA.realm, username=ADA.username, options={"mfa": ["otp"]})

    answers = [
        calls["stats"](),
        calls["client_for"](method="private_key_jwt", alg="ES256"),
        calls["mfa"](what="otp", realm=ADA.realm, username=ADA.username),
        calls["codes"](users=[]),
        calls["add_fault"](fault="slow", times=1),
        calls["clear_faults"](),
        calls["advance"](seconds=1),
    ]

    assert json.loads(json.dumps(answers)) == answers


def test_an_unknown_user_has_no_code() -> None:
    """A code for a user who was sent none raises ``LookupError``."""
    calls = calls_of(LocalTenant())

    with pytest.raises(LookupError, match="no message was sent"):
        calls["codes"](users=[[ADA.realm, ADA.username]])
