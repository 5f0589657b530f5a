"""``doctor``: what is printed, the status, and that nothing is sent unless it says to whom."""

from __future__ import annotations

import io
import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from helpers.findings import application, of, statuses
from helpers.people import Person, Typist
from passwordless_async import Email, Phone
from passwordless_async.auth0.identity import Login
from passwordless_async.cli.app import run
from passwordless_async.cli.doctor.command import log_in, login_not_tried, send_code
from passwordless_async.cli.doctor.findings import Status, titled
from passwordless_async.testing import BOUND_API, PLAIN_API, STRICT_API, Fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import CompletedProcess

    from passwordless_async.testing import LocalTenant


ADA = Email("ada@example.com")
GRACE = Phone("+4930901820")


def _arguments(tenant: LocalTenant, *more: str) -> list[str]:
    return ["doctor", "--domain", tenant.url, "--client-id", tenant.public_client_id, *more]


def _checks(out: str) -> dict[str, dict[str, str]]:
    checks = json.loads(out.splitlines()[-1])["checks"]
    return {" of ".join(filter(None, (check["check"], check["audience"]))): check for check in checks}


def test_the_program(program: Callable[..., CompletedProcess[str]], tenant: LocalTenant) -> None:
    """A healthy tenant is a table and status 0; no message is sent."""
    ended = program(*_arguments(tenant))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "client authentication" in ended.stdout
    assert "failed" not in ended.stdout
    assert (tenant.stats.start_requests, list(tenant.outbox.messages)) == (0, [])


def test_the_program_with_a_secret(program: Callable[..., CompletedProcess[str]], tenant: LocalTenant) -> None:
    """A wrong secret is status 1, one JSON object with the advice, and is not printed."""
    client_id, right = tenant.confidential_client
    named = ["doctor", "--domain", tenant.url, "--client-id", client_id, "--client-secret-from", "env:IT", "--json"]
    wrong = program(*named, IT="hunter2-and-more")
    assert (wrong.returncode, wrong.stderr) == (1, "")
    assert _checks(wrong.stdout)["client_authentication"]["status"] == "failed"
    assert set(_checks(wrong.stdout)["grant"]) == {"check", "audience", "status", "detail", "advice"}
    accepted = program(*named, IT=right)
    assert (accepted.returncode, _checks(accepted.stdout)["client_authentication"]["status"]) == (0, "ok")
    assert not any(secret in wrong.stdout + accepted.stdout for secret in ("hunter2", right))


@pytest.mark.parametrize(
    ("who", "audience", "status", "policy"),
    [(ADA, BOUND_API, 0, "ok"), (GRACE, BOUND_API, 0, "ok"), (ADA, PLAIN_API, 1, "failed")],
)
def test_a_login(
    who: Any,
    audience: str,
    status: int,
    policy: str,
    tenant: LocalTenant,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """``--send-to`` asks for the code that was sent and shows the API's policy; the code is not printed."""
    monkeypatch.setattr(sys, "stdin", Person(tenant, who))
    assert run(_arguments(tenant, "--send-to", who.username, "--audience", audience, "--json")) == status
    out, err = capsys.readouterr()
    assert err == f"A code was sent to {who.username}. Code: "
    found = [_checks(out)[name]["status"] for name in (f"api_policy of {audience}", "login", "code")]
    assert found == [policy, "ok", "ok"]
    assert json.loads(out)["verdict"] == policy
    assert str(tenant.outbox.messages[0].code) not in out


def test_without_anything_to_read_a_code_from(program: Callable[..., Any], tenant: LocalTenant) -> None:
    """Wrong usage, before anything is sent."""
    ended = program(*_arguments(tenant, "--send-to", ADA.address), stdin="")
    assert (ended.returncode, ended.stdout, tenant.stats.wire_requests) == (2, "", 0)
    problem = "Error: There is no terminal to type the code on, and standard input is empty."
    assert ended.stderr.splitlines()[-1] == problem


APIS = (BOUND_API, PLAIN_API, STRICT_API)


@pytest.mark.parametrize(
    ("answers", "logins"),
    [
        ((None, None, None), ["ok", "ok", "ok"]),
        (("000000", "12é", None), ["failed", "failed", "ok"]),
        ((None, ""), ["ok", "failed", "not_checked"]),
    ],
)
def test_a_login_for_each_api(
    answers: tuple[str | None, ...],
    logins: list[str],
    tenant: LocalTenant,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each with a code of its own, until the person gives up; a wrong code says nothing of the next API."""
    right = partial(tenant.outbox.code_for, ADA)
    monkeypatch.setattr(sys, "stdin", typist := Typist(*(right if each is None else each for each in answers)))
    named = [word for audience in (*APIS, APIS[0]) for word in ("--audience", audience)]
    assert run(_arguments(tenant, "--send-to", ADA.address, *named, "--json")) == 1
    out, err = capsys.readouterr()
    found = _checks(out)
    assert [found[f"login of {audience}"]["status"] for audience in APIS] == logins
    assert (typist.left, len(tenant.outbox.messages)) == (0, len(answers))
    assert [f"to {ADA.address} for {audience}. Code: " in err for audience in APIS] == [True, True, len(answers) > 2]
    policies = [found[f"api_policy of {audience}"]["status"] for audience in APIS]
    assert policies[0] == ("ok" if logins[0] == "ok" else "not_checked")
    assert policies[2] == "ok"


@pytest.mark.parametrize(("more", "status"), [((), 0), (("--strict",), 1)])
def test_the_status_is_that_of_the_verdict(
    more: tuple[str, ...],
    status: int,
    tenant: LocalTenant,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A warning, such as a second factor, fails only a strict look."""
    tenant.users.add(ADA, mfa=["otp"])
    for as_json in ((), ("--json",)):
        monkeypatch.setattr(sys, "stdin", Person(tenant, ADA))
        assert run(_arguments(tenant, "--send-to", ADA.address, *more, *as_json)) == status
    out = capsys.readouterr().out
    assert json.loads(out.splitlines()[-1])["verdict"] == "warnings"


@pytest.mark.parametrize(
    ("typed", "seen"),
    [
        (b"", "no code was given"),
        (b"  \n", "no code was given"),
        ("12 3é\n".encode(), "not a code: must be visible ASCII"),
        (b"\xff\n", "what was typed is not text"),
    ],
)
def test_no_code_is_typed(
    typed: bytes,
    seen: str,
    tenant: LocalTenant,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without a usable code the findings are printed, no user is logged in, and the status is 1."""
    for as_json in (False, True):
        stdin = io.TextIOWrapper(io.BytesIO(typed), encoding="utf-8")
        monkeypatch.setattr(sys, "stdin", stdin)
        arguments = _arguments(tenant, "--send-to", ADA.address, *(["--json"] if as_json else []))
        assert run(arguments) == 1
        out, err = capsys.readouterr()
        assert err.rstrip("\n") == f"A code was sent to {ADA.address}. Code: "
        names = ("signing_keys", "ip_header_trust", "api_policy") if as_json else ("signing keys", "IP header trust")
        assert all(name in out for name in names)
    found = _checks(out)
    assert tuple(found[name]["status"] for name in ("code", "login", "api_policy")) == ("ok", "failed", "not_checked")
    assert found["login"]["detail"].startswith(seen)
    assert "type the code" in found["login"]["advice"]
    assert {request.form["username"] for request in tenant.requests.to("/oauth/token")} == {"doctor@example.invalid"}


@pytest.mark.parametrize(
    ("fault", "path", "starts"),
    [(Fault.UNAUTHORIZED_CLIENT, "/oauth/token", 0), (Fault.SMS_PROVIDER_ERROR, "/passwordless/start", 1)],
)
def test_no_code_in_vain(
    fault: Fault,
    path: str,
    starts: int,
    tenant: LocalTenant,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """While a check fails no code is sent, and a code that was not sent is not asked for."""
    tenant.faults.add(fault, path=path)
    assert run(_arguments(tenant, "--send-to", GRACE.number, "--json")) == 1
    out, err = capsys.readouterr()
    assert (err, _checks(out)["api_policy"]["status"]) == ("", "not_checked")
    assert (tenant.stats.start_requests, len(tenant.outbox.messages)) == (starts, 0)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (["--send-to", "ada"], "--send-to: must be of the form name@domain"),
        (["--send-to", "+0"], "--send-to: must be E.164"),
        (["--audience", "a\nb"], "--audience: must not contain spaces"),
        (["--client-secret-from", "hunter2"], "must be env:NAME, file:PATH or prompt"),
    ],
)
def test_wrong_usage(more: list[str], problem: str, tenant: LocalTenant, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage is status 2 and names the option; nothing is sent."""
    assert run(_arguments(tenant, *more)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert problem in err
    assert tenant.stats.wire_requests == 0


OK = Status.OK.value
WARNING = Status.WARNING.value
FAILED = Status.FAILED.value
UNSEEN = Status.NOT_CHECKED.value


@pytest.mark.parametrize(
    ("audience", "policy"), [(None, Status.OK), (BOUND_API, Status.OK), (PLAIN_API, Status.FAILED)]
)
@pytest.mark.parametrize("who", [ADA, GRACE])
async def test_a_real_login(audience: str | None, policy: Status, who: Email | Phone, tenant: LocalTenant) -> None:
    """A real login shows an API whose policy is None, and says where to set it."""
    subject = application(tenant)
    assert (await send_code(subject, who)).status is Status.OK
    login = Login(who, tenant.outbox.code_for(who), scope="openid", audience=audience)
    found = await log_in(subject, login)
    name = titled("API policy", audience)
    assert {"login": OK, name: policy.value} == statuses(found)
    assert ("Token Sender-Constraining" in of(found, name).advice) == (policy is Status.FAILED)


@pytest.mark.parametrize(
    ("dpop", "audience", "policy", "words"),
    [
        ("preferred", PLAIN_API, Status.OK, "not bound"),
        ("preferred", BOUND_API, Status.OK, "bound to the key"),
        ("off", PLAIN_API, Status.OK, "off works"),
    ],
)
async def test_a_real_login_in_another_mode(
    dpop: Any, audience: str, policy: Status, words: str, tenant: LocalTenant
) -> None:
    """The tokens show what the API makes of a proof."""
    subject = application(tenant)
    await send_code(subject, ADA)
    login = Login(ADA, tenant.outbox.code_for(ADA), scope="openid", audience=audience)
    found = await log_in(subject, login, dpop)
    name = titled("API policy", audience)
    assert {"login": OK, name: policy.value} == statuses(found)
    assert words in of(found, name).detail


@pytest.mark.parametrize(("fault", "status"), [(Fault.ACCESS_DENIED, FAILED), (Fault.MFA_REQUIRED, WARNING)])
async def test_a_login_that_is_refused(fault: Fault, status: str, tenant: LocalTenant) -> None:
    """A login that gives no tokens says nothing of the API; a second factor is no defect."""
    subject = application(tenant)
    await send_code(subject, ADA)
    tenant.faults.add(fault, path="/oauth/token")
    found = await log_in(subject, Login(ADA, tenant.outbox.code_for(ADA), scope="openid"))
    assert statuses(found) == {"login": status}


async def test_a_code_that_is_not_sent(tenant: LocalTenant) -> None:
    """A start that is refused says where the connection is set up."""
    tenant.faults.add(Fault.SERVICE_UNAVAILABLE, path="/passwordless/start")
    found = await send_code(application(tenant), ADA)
    assert found.status is Status.FAILED
    assert "Authentication > Passwordless" in found.advice


def test_a_login_that_is_not_tried() -> None:
    """A code that was sent and not typed is a failed login with the reason, and says nothing of the API."""
    found = login_not_tried("no code was given")
    assert (found.name, found.status, found.detail) == ("login", Status.FAILED, "no code was given")
    assert found.advice
