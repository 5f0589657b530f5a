"""``tenant``: what it says, the codes that it prints, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import ssl
from typing import TYPE_CHECKING

import aiohttp
import pytest

from helpers.pipes import piped
from passwordless_async import TESTING, Email, MfaRequired, OAuthError, PasswordlessClient, Phone
from passwordless_async.cli.app import run
from passwordless_async.client.polling import PollTimes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from subprocess import Popen

ADA = Email("ada@example.com")


def _introduced(process: Popen[str]) -> dict[str, str]:
    """Read the introduction; return what it names."""
    lines: list[str] = []
    while not lines or "otp=THE-CODE" not in lines[-1]:
        lines.append(piped(process.stdout).readline())
        assert lines[-1], piped(process.stderr).read()
    assert piped(process.stdout).readline() == "\n"
    return dict(re.findall(r"^ *(\S.*?) {2,}(\S+)$", "".join(lines), re.MULTILINE))


async def _start(url: str, client_id: str, *people: Email | Phone) -> None:
    async with PasswordlessClient(url, client_id, profile=TESTING) as client:
        for who in people:
            await client.start(who)


async def _exchange(url: str, client_id: str, code: str) -> str:
    async with PasswordlessClient(url, client_id, profile=TESTING) as client:
        tokens = await client.exchange(ADA, code, scope="openid")
        return str((tokens.claims or {})["email"])


def test_codes(started: Callable[..., Popen[str]]) -> None:
    """Each code is a line as soon as it is sent, and it is the right one; Ctrl-C ends it without a word."""
    process = started("tenant", "--port", "0")
    named = _introduced(process)
    url, client_id = named["Tenant"], named["Public client"]
    assert {client_id, named["Confidential client"]} == {"public-client", "confidential-client"}
    assert len(named["its secret"]) >= 32
    assert named["API, DPoP optional"] == "https://api.example"
    asyncio.run(_start(url, client_id, ADA, Phone("+4930901820")))
    _, who, code = piped(process.stdout).readline().split()
    assert who == ADA.address
    assert re.fullmatch(r"\d\d:\d\d:\d\d  \+4930901820  \d{6}\n", piped(process.stdout).readline())
    assert asyncio.run(_exchange(url, client_id, code)) == ADA.address
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out, err.strip()) == (130, "", "")


def test_a_link(started: Callable[..., Popen[str]]) -> None:
    """A message without a code says so."""
    process = started("tenant", "--port", "0")
    named = _introduced(process)

    async def ask_for_link() -> None:
        async with PasswordlessClient(named["Tenant"], named["Public client"], profile=TESTING) as client:
            await client.start(ADA, send="link")

    asyncio.run(ask_for_link())
    assert re.search(r"  link: http://\S+\?ticket=\S+$", piped(process.stdout).readline())


def test_a_closed_pipe_ends_the_tenant(started: Callable[..., Popen[str]]) -> None:
    """A tenant that cannot write its output ends without a message."""
    process = started("tenant", "--port", "0")
    named = _introduced(process)
    piped(process.stdout).close()
    asyncio.run(_start(named["Tenant"], named["Public client"], ADA))
    assert piped(process.stderr).read() == ""
    assert process.wait() == 1


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    """A port that cannot be had is one line and status 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status = run(["tenant", "--port", str(port)])
    out, err = capsys.readouterr()
    assert (status, out) == (1, "")
    assert err == f"Error: The tenant cannot listen on port {port}: Address already in use. Choose another --port.\n"


def test_messages_as_json_over_tls(started: Callable[..., Popen[str]], tmp_path: Path) -> None:
    """With --json standard output has one line for each message. A second factor's code is one as well."""
    ca, config = tmp_path / "ca.pem", tmp_path / "tenant.toml"
    config.write_text('[[users]]\nemail = "ada@example.com"\nmfa = ["sms"]\n', encoding="utf-8")
    process = started("tenant", "--port", "0", "--json", "--tls", str(ca), "--config", str(config))
    said = ""
    while "otp=THE-CODE" not in said:
        said += piped(process.stderr).readline()
    (url,) = re.findall(r"^Tenant +(https://\S+)$", said, re.MULTILINE)
    assert f"curl --cacert {ca} {url}/passwordless/start" in said

    async def log_in() -> None:
        context = ssl.create_default_context(cafile=ca)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
            start = {"client_id": "public-client", "connection": "email", "email": ADA.address, "send": "code"}
            await session.post(f"{url}/passwordless/start", json=start)
            sent = json.loads(piped(process.stdout).readline())
            assert (sent["realm"], sent["username"], sent["factor"]) == ("email", ADA.address, None)
            form = {"grant_type": "http://auth0.com/oauth/grant-type/passwordless/otp", "client_id": "public-client"}
            form |= {"realm": "email", "username": ADA.address, "otp": sent["code"]}
            refused = await (await session.post(f"{url}/oauth/token", data=form)).json()
            challenge = {"client_id": "public-client", "mfa_token": refused["mfa_token"], "challenge_type": "oob"}
            await session.post(f"{url}/mfa/challenge", json=challenge)
            assert json.loads(piped(process.stdout).readline())["factor"] == "sms"

    asyncio.run(log_in())


@pytest.mark.parametrize(("decision", "answer"), [("approve", None), ("deny", "invalid_grant")])
def test_a_push_message(started: Callable[..., Popen[str]], tmp_path: Path, decision: str, answer: str | None) -> None:
    """Its line has two links, one of which approves it and the other denies it; the application has neither."""
    config = tmp_path / "tenant.toml"
    config.write_text('[[users]]\nemail = "ada@example.com"\nmfa = ["push"]\n', encoding="utf-8")
    process = started("tenant", "--port", "0", "--config", str(config))
    url = _introduced(process)["Tenant"]

    async def log_in() -> None:
        async with PasswordlessClient(url, "public-client") as client, aiohttp.ClientSession() as browser:
            await client.start(ADA)
            code = piped(process.stdout).readline().split()[-1]
            with pytest.raises(MfaRequired) as needed:
                await client.exchange(ADA, code)
            state = needed.value.state
            assert state is not None
            challenge = await client.mfa.challenge(state)
            links = dict(re.findall(r"(approve|deny): (\S+)", piped(process.stdout).readline()))
            assert (await browser.get(f"{url}/mfa/push?ticket={challenge.oob_code}")).status == 400
            assert (await browser.get(f"{links['approve']}x")).status == 400
            assert (await browser.get(links[decision])).status == 200
            client.mfa._poll_times = PollTimes(sleep=lambda _: asyncio.sleep(0))
            polled = client.mfa.poll_oob(state, challenge)
            if answer is None:
                assert (await polled).access_token
            else:
                with pytest.raises(OAuthError) as denied:
                    await polled
                assert denied.value.error == answer

    asyncio.run(log_in())


@pytest.mark.parametrize(
    ("settings", "audience", "mode"),
    [
        ("", "https://plain.example", ""),
        ('[settings.apis]\n"https://a.example" = "required"\n', "", ""),
        ('userinfo_policy = "none"\n[settings.apis]\n"https://a.example" = "optional"\n', "", " --dpop preferred"),
        (
            'userinfo_policy = "required"\n[settings.apis]\n"https://a.example" = "optional"\n',
            "https://a.example",
            "",
        ),
        ('userinfo_policy = "required"\n[settings.apis]\n"https://a.example" = "required"\n', None, ""),
    ],
)
def test_the_printed_recipes_fit_the_apis(
    started: Callable[..., Popen[str]], tmp_path: Path, settings: str, audience: str | None, mode: str
) -> None:
    """What is printed for curl gets a Bearer token, from an API without DPoP if there is one; or says that none can."""
    config = tmp_path / "tenant.toml"
    section = settings if settings.startswith("[") else f"[settings]\n{settings}"
    config.write_text(section, encoding="utf-8")
    process = started("tenant", "--port", "0", "--config", str(config))
    said = ""
    while "otp=THE-CODE" not in said and "Every API here requires a proof" not in said:
        line = piped(process.stdout).readline()
        assert line, said  # the program has ended, or it says something else
        said += line
    assert f"--email {ADA.address}{mode}\n" in said
    if audience is None:
        assert "curl http" not in said
        return
    (url,) = re.findall(r"^Tenant +(\S+)$", said, re.MULTILINE)
    asyncio.run(_start(url, "public-client", ADA))
    while not (code := re.search(r"  (\d{6})$", piped(process.stdout).readline())):
        pass
    fields = dict(re.findall(r"--data-urlencode (\w+)=(\S+)", said)) | {"otp": code[1]}
    assert fields.get("audience", "") == audience

    async def exchange() -> str:
        async with aiohttp.ClientSession() as session, session.post(f"{url}/oauth/token", data=fields) as response:
            return str((await response.json())["token_type"])

    assert asyncio.run(exchange()) == "Bearer"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "203.0.113.7"], "cannot listen on 203.0.113.7, port 8080: "),
        (["--host", "a..b"], "cannot listen on a..b, port 8080: the host is unknown"),
        (["--host", ""], "--host: must not be empty"),
        (["--public-url", "tenant"], "--public-url"),
        (["--tls", __file__], "--tls: the file exists and is not a certificate"),
        (["--config", __file__], "--config: is not TOML"),
        (["--config", "/dev/zero"], "--config: is over 1,048,576 bytes"),
    ],
)
def test_wrong_options(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    """Each is one line that names the option; no file of the user's is overwritten."""
    assert run(["tenant", *arguments]) in (1, 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """The example of a file is shown line by line."""
    assert run(["tenant", "--help"]) == 0
    assert "\n    [settings]\n    requests_per_second = 25\n" in capsys.readouterr().out
