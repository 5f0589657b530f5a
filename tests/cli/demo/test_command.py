"""``demo``: what it prints, what it proves, and what it says when something is wrong."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Self

import pytest

from passwordless_async.cli.app import run
from passwordless_async.cli.demo import command as demo
from passwordless_async.testing import Fault, TenantProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import CompletedProcess

CHECKS = {
    "tokens_belong_to_their_users",
    "tokens_bound_to_their_keys",
    "codes_presented_once",
    "own_key_accepted",
    "wrong_code_refused",
    "replayed_proof_refused",
    "stolen_token_refused",
}


def test_json(program: Callable[..., CompletedProcess[str]]) -> None:
    """The last line of standard output is an object with the figures, as the tenant counted them."""
    ended = program("demo", "--users", "50", "--concurrency", "16", "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    figures = json.loads(ended.stdout.splitlines()[-1])
    assert figures.pop("checks") == dict.fromkeys(CHECKS, True)
    latency = figures.pop("latency_ms")
    assert list(latency) == ["p50", "p95", "p99"]
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"]
    seconds, pace = figures.pop("seconds"), figures.pop("logins_per_second")
    assert latency["p99"] / 1000 <= seconds + 0.001
    assert pytest.approx(50 / seconds, rel=0.02) == pace
    # 50 codes asked for, one set of keys; one challenge teaches the nonce to all.
    assert figures == {
        "logins": 50,
        "failures": 0,
        "wire_requests": 50 + 1 + 51,
        "token_requests": 51,
        "nonce_challenges": 1,
        "distinct_keys": 50,
    }


def test_tables(program: Callable[..., CompletedProcess[str]]) -> None:
    """Without a terminal there are two tables, no colour and no progress."""
    ended = program("demo", "--users", "20", "--concurrency", "4")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "\x1b" not in ended.stdout
    rows = dict(re.findall(r"^ +(\S.*?) {2,}(\S.*?) *$", ended.stdout, re.MULTILINE))
    assert tuple(
        rows[name]
        for name in (
            "logins",
            "failures",
            "wire requests",
            "token requests",
            "nonce challenges answered",
            "distinct keys",
        )
    ) == ("20", "0", "42", "21", "1", "20")
    assert all(re.fullmatch(r"[\d,.]+", rows[name]) for name in ("seconds", "logins/s"))
    assert all(re.fullmatch(r"[\d,.]+ ms", rows[f"latency {name}"]) for name in ("p50", "p95", "p99"))
    assert len(CHECKS) == list(rows.values()).count("yes")


def test_progress(terminal: Callable[..., Any]) -> None:
    """In a terminal a bar shows how many are done, of how many, and how many a second."""
    screen = terminal("demo", "--users", "40")
    assert screen.end() == 0
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.shown)
    assert re.search(r"Sending codes .* 40/40 +[\d,]+ codes/s", shown)
    assert re.search(r"Logging in .* 40/40 +[\d,]+ logins/s", shown)
    assert "40 users, 40 at once" in shown


def test_no_colour(terminal: Callable[..., Any]) -> None:
    """NO_COLOR is heeded."""
    screen = terminal("demo", "--users", "2", NO_COLOR="1")
    assert screen.end() == 0
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", screen.shown)


def test_one_user_and_narrow_screen(program: Callable[..., CompletedProcess[str]]) -> None:
    """One user is a crowd, and nothing is cut off on a narrow screen."""
    ended = program("demo", "--users", "1", COLUMNS="30")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "…" not in ended.stdout
    assert len(CHECKS) == len(re.findall(r" yes *$", ended.stdout, re.MULTILINE))


def test_a_store_in_the_environment_is_ignored(program: Callable[..., CompletedProcess[str]]) -> None:
    """The environment variable of other commands does not concern the demo."""
    ended = program("demo", "--users", "1", PASSWORDLESS_ASYNC_STORE="redis://127.0.0.1:1")
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that gives the demo's tenant a fault."""

    def give(fault: Fault, **where: Any) -> None:
        class Faulty(TenantProcess):
            async def __aenter__(self) -> Self:
                await super().__aenter__()
                await self.add_fault(fault, **where)
                return self

        monkeypatch.setattr(demo, "TenantProcess", Faulty)

    return give


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, list[str]]:
    status = run(["demo", *arguments])
    out, err = capsys.readouterr()
    return status, out, err.splitlines()


def test_a_login_that_fails(faulty: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    """A login that fails is counted, named and a reason for status 1, and so is what it leaves unproven."""
    faulty(Fault.SERVICE_UNAVAILABLE, path="/oauth/token", times=1, after=3)
    status, out, err = _run(capsys, "--users", "10", "--concurrency", "1", "--json")
    figures = json.loads(out)
    assert (status, figures["logins"], figures["failures"], figures["distinct_keys"]) == (1, 9, 1, 9)
    wrong = {name for name, holds in figures["checks"].items() if not holds}
    assert wrong == {"tokens_belong_to_their_users", "codes_presented_once"}
    assert err == [
        "Error: 1 login failed, outcome_unknown: the service failed (503) and may have spent the code.",
        "Error: tokens_belong_to_their_users: 1 of 10 users have no tokens.",
        "Error: codes_presented_once: the tenant was presented 9 codes by 10 users.",
    ]


def test_without_logins_there_is_no_latency(faulty: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    """If no login succeeds there is no latency and no traceback."""
    faulty(Fault.ACCESS_DENIED, path="/oauth/token")
    status, out, err = _run(capsys, "--users", "5")
    assert status == 1
    assert len(re.findall(r"latency p\d+ +- *$", out, re.MULTILINE)) == 3
    assert err[0].startswith("Error: 5 logins failed, access_denied: ")
    assert "Error: own_key_accepted: no user is logged in." in err


@pytest.mark.parametrize(
    ("fault", "check", "finding"),
    [
        (Fault.ID_TOKEN_OF_OTHER_USER, "tokens_belong_to_their_users", "names another address"),
        (Fault.TOKEN_OF_OTHER_KEY, "tokens_bound_to_their_keys", "the tenant saw 3 keys for 2 logins"),
    ],
)
def test_one_wrong_token_is_found(
    fault: Fault, check: str, finding: str, faulty: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """One wrong token among many is found."""
    faulty(fault, path="/oauth/token", times=1, after=1)
    status, out, err = _run(capsys, "--users", "3", "--concurrency", "1", "--json")
    assert (status, json.loads(out)["checks"][check]) == (1, False)
    assert any(line.startswith(f"Error: {check}: ") and finding in line for line in err)


def test_an_unavailable_resource_proves_nothing(
    faulty: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """A refusal for another reason than the proof proves nothing."""
    faulty(Fault.SERVICE_UNAVAILABLE, path="/userinfo")
    status, out, err = _run(capsys, "--users", "3")
    assert status == 1
    assert len(re.findall(r" NO *$", out, re.MULTILINE)) == 3
    assert "Error: own_key_accepted: userinfo answered 503 to a token with its own key." in err
    assert "Error: stolen_token_refused: userinfo answered 503 to a token with another key." in err


def test_codes_that_cannot_be_sent(faulty: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    """What stops the demo before a login is one line with its advice."""
    faulty(Fault.RATE_LIMITED_RETRY_AFTER, path="/passwordless/start", after=2, retry_after=7)
    status, out, err = _run(capsys, "--users", "5")
    assert (status, out, len(err)) == (1, "", 1)
    assert re.fullmatch(r"Error: too_many_requests \(429\): .*\. Wait 7 s, then try again\.", err[0])


def test_more_sockets_than_allowed(program: Callable[..., CompletedProcess[str]]) -> None:
    """A concurrency that the machine does not allow is refused before anything is started."""
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256));"
        "from passwordless_async.cli.app import run; sys.exit(run(sys.argv[1:]))"
    )
    ended = program("demo", "--users", "900", "--concurrency", "900", script=script)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "900 sockets are more than this machine allows" in ended.stderr
