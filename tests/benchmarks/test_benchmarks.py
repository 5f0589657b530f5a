"""Each benchmark runs and reports its figures and bars; no test asks how fast anything is."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import proof
from benchmarks.__main__ import main
from benchmarks.gateway_browsers import Again, Browser
from benchmarks.gateways import EXPECTED as GATEWAYS
from benchmarks.growth import told
from benchmarks.measure import Series
from benchmarks.moved_clock import MovedClock
from benchmarks.report import Bar, Report, Row, print_table
from benchmarks.soak import BARS as SOAK
from benchmarks.soak_gateway import BARS as SOAK_GATEWAY
from passwordless_async import NotSent
from passwordless_async._common import clock

REPOSITORY = Path(__file__).parent.parent.parent
SMALL = {
    "proof": ["--rounds", "5", "--calls", "2"],
    "verify": ["--rounds", "5", "--calls", "2"],
    "protected": ["--rounds", "3", "--calls", "2"],
    "memory": ["--rounds", "1", "--calls", "20"],
    "exchange": ["--rounds", "5", "--calls", "2"],
    "alone": ["--rounds", "5", "--calls", "2"],
    "api-call": ["--rounds", "5", "--calls", "2"],
    "peers": ["--rounds", "3", "--calls", "2"],
    "scale": ["--rounds", "1", "--calls", "20"],
    "quota": ["--rounds", "1", "--calls", "10"],
    "import": ["--rounds", "1", "--calls", "1"],
    "sessions": ["--rounds", "1", "--calls", "10"],
    "store": ["--rounds", "1", "--calls", "10"],
    "processes": ["--rounds", "1", "--calls", "10"],
    "gateways": ["--rounds", "1", "--calls", "10"],
    "gateway-login": ["--rounds", "1", "--calls", "10"],
    "gateway-proxy": ["--rounds", "1", "--calls", "200"],
    "capacity": ["--rounds", "1", "--calls", "200"],
    "soak": ["--rounds", "1", "--calls", "130"],
    "soak-gateway": ["--rounds", "1", "--calls", "20"],
}
ALWAYS_THERE = {
    "proof": {
        "passwordless-async",
        "passwordless-async, new key",
        "bare signature",
        "joserfc jwt.encode",
    },
    "verify": {
        "passwordless-async",
        "passwordless-async, new key",
        "bare verification",
        "joserfc jwt.decode, rest by hand",
    },
    "protected": {"ES256", "RS256"}
    | {
        f"{adapter}, {what}"
        for adapter in ("aiohttp.web", "ASGI")
        for what in (
            "bare handler",
            "bound, floor",
            "bound",
            "Bearer, floor",
            "Bearer",
            "bound, new token",
            "Bearer, new token",
            "proof, floor",
            "proof",
        )
    },
    "memory": {
        f"{kind}, {meter}"
        for kind in ("idle, from a store", "idle, used before", "live, generated", "live, used")
        for meter in ("resident", "traced by Python")
    }
    | {f"login{which}, resident" for which in (" in flight", " in flight, TLS", "s gone by, all of them")}
    | {
        f"{what} in flight, counted, {meter}"
        for what in ("login", "bare post")
        for meter in ("objects", "bytes", "frames")
    },
    "exchange": {
        name + suffix
        for suffix in ("", ", TLS")
        for name in (
            "passwordless-async",
            "passwordless-async, no ID token",
            "bare aiohttp",
            "bare aiohttp, cryptography",
        )
    },
    "alone": {"passwordless-async", "bare aiohttp, cryptography"},
    "api-call": {"DPoPMiddleware", "bare GET, signature", "bare GET"},
    "peers": {"passwordless-async", "bare aiohttp", "asyncio streams"},
    "scale": {
        "cold: requests",
        "changing: requests for one",
        "changing, the one before passes: requests for one",
        "late: seconds",
        "late: CPU seconds",
        "late, fixed limit: seconds",
        "late, fixed limit: CPU seconds",
        "late, floor: seconds",
        "late, floor: CPU seconds",
    },
    "quota": {
        name + suffix
        for name in ("% of the quota", "% answered 429", "failed", "seconds")
        for suffix in ("", ", an outage")
    },
    "import": {
        "import aiohttp",
        "import passwordless_async",
        "from passwordless_async import PasswordlessClient",
    },
    "sessions": {
        "alone",
        "bare, alone",
        "64 at once",
        "bare, 64 at once",
        "round trips, alone",
        "round trips, 64 at once",
        "read first, alone",
        "read, alone",
        "bare GET, alone",
        "read, 64 at once",
        "bare GET, 64 at once",
        "bytes",
        "MB of a million",
    },
    "store": {
        "bytes of a code under way",
        "bytes of a session and its code",
        *(
            f"{operation}, {meter}"
            for operation in ("start", "log in", "read", "API call", "refresh", "close")
            for meter in ("round trips", "commands", "server µs", "own µs")
        ),
        *(f"login through a gateway, {meter}" for meter in ("round trips", "commands", "server µs")),
    },
    "processes": {"one process", "two processes"},
    "gateways": {*GATEWAYS, "seconds", "requests a second"},
    "gateway-login": {
        f"{name}, {store}"
        for name in ("gateway", "bare client", "constant pages")
        for store in ("in memory", "on Redis")
    },
    "gateway-proxy": {
        "gateway",
        "bare aiohttp proxy",
        "bare proxy that signs",
        "bare signature",
        "bare proxy + signature",
        "p99, gateway",
        "p99, bare aiohttp proxy",
    },
    "capacity": {"Redis, MB", "Redis by the plan, MB", "Redis for a read, µs", "own memory, MB more"},
    "soak": {*SOAK, "logins", "refreshes", "handed over", "tasks, at most", "sockets, at most", "timers, at most"},
    "soak-gateway": {"errors", "logins", "refreshes", "memory at the end, MB", "bytes in Redis for each login"},
}
BARS: dict[str, list[tuple[str, float, float]]] = {
    "proof": [("proof ÷ bare signature", 1.18, 1.15), ("joserfc jwt.encode ÷ proof", 1.5, 1.8)],
    "verify": [("verify ÷ bare verification", 1.6, 1.3)],
    "protected": [
        bar
        for adapter, must, goal in (("aiohttp.web", 1.35, 1.2), ("ASGI", 1.45, 1.25))
        for bar in (
            *(
                (f"{adapter}, {kind} ÷ handler {floor}", 1.5, 1.25)
                for kind in ("bound", "Bearer", "bound, new token", "Bearer, new token")
                for floor in ("and cryptography, added up", "with cryptography")
            ),
            (f"{adapter}, proof ÷ handler with cryptography", must, goal),
        )
    ],
    "memory": [
        ("bytes of an idle session's key, resident", 600, 300),
        ("bytes of a login in flight, plain HTTP", 24_576, 16_384),
        ("bytes of a login in flight, TLS", 204_800, 122_880),
        ("bytes of 200 logins gone by", 50_000_000, 10_000_000),
        ("objects of a login in flight ÷ a bare post's", 1.8, 1.5),
        ("bytes of a login in flight ÷ a bare post's", 1.7, 1.4),
        ("frames of a login in flight ÷ a bare post's", 1.5, 1.3),
    ],
    "exchange": [("exchange ÷ floor", 1.2, 1.1), ("exchange ÷ floor, TLS", 1.2, 1.1)],
    "alone": [("one exchange, p50 ÷ the floor's p50", 1.25, 1.15)],
    "api-call": [("call ÷ (bare GET and bare signature)", 1.2, 1.08)],
    "peers": [],
    "scale": [
        ("token requests for 20 cold logins", 22, 21),
        ("requests for a login, nonces changing", 1.35, 1.05),
        *(
            bar
            for limit in ("adaptive", "fixed limit")
            for bar in (
                (f"late answers, {limit}: time ÷ the ideal 0.01 s", 1.4, 1.2),
                (f"late answers, {limit}: CPU ÷ floor", 1.2, 1.1),
            )
        ),
    ],
    "quota": [
        (name + suffix, must, goal)
        for suffix in ("", ", an outage")
        for name, must, goal in (
            ("% of the quota used", 95, 97),
            ("% of requests answered 429", 1, 0),
            ("logins that failed", 0, 0),
        )
    ],
    "import": [("importing PasswordlessClient ÷ import aiohttp", 1.4, 1.25)],
    "sessions": [
        ("sessions.get, alone, ÷ GET", 1.6, 1.3),
        ("sessions.get, 64 at once, ÷ GET", 1.35, 1.15),
        ("CPU, 64 at once, ÷ SET and GET", 1.6, 1.25),
        ("CPU, one at a time, ÷ SET and GET", 1.6, 1.25),
        ("round trips of a login, one at a time", 4, 3),
        ("round trips of a login, 64 at once", 4, 3),
        ("bytes of a session with 2048 of tokens", 2048 * 1.6 + 400, 2048 * 1.4 + 300),
    ],
    "store": [
        ("round trips of start", 2.5, 2.1),
        ("round trips of log in", 2.5, 2.1),
        ("round trips of API call", 1.5, 1.1),
        ("round trips of refresh", 3.5, 3.1),
    ],
    "processes": [("two processes ÷ one", 1.7, 1.9)],
    "gateways": [(name, value, value) for name, value in GATEWAYS.items()],
    "gateway-login": [(f"CPU of a login ÷ bare client, {store}", 2.0, 1.5) for store in ("in memory", "on Redis")],
    "gateway-proxy": [("CPU of a call ÷ (bare proxy + bare signature)", 1.6, 1.3)],
    "capacity": [
        ("memory of Redis ÷ plan", 1.1, 1.0),
        ("time of Redis ÷ plan", 1.1, 1.0),
        ("memory of the process, MB more", 60, 30),
    ],
    "soak": [(name, *bars) for name, bars in SOAK.items()],
    "soak-gateway": [(name, *bars) for name, bars in SOAK_GATEWAY.items()],
}
NEED_REDIS = {"sessions", "store", "processes", "gateways", "gateway-login", "soak-gateway", "capacity"}
# The bars of contenders that are measured where their library is installed.
MORE_BARS: dict[str, dict[str, tuple[str, float, float]]] = {
    "exchange": {"uvloop": ("exchange ÷ floor, uvloop", 1.2, 1.1)},
    "memory": {"uvloop": ("bytes of a login in flight, TLS, uvloop", 204_800, 122_880)},
    "peers": {
        "auth0-server-python": ("auth0-server-python ÷ ours", 50, 80),
        "auth0-python": ("auth0-python ÷ ours", 9, 13),
        "requests_oauth2client": ("requests_oauth2client ÷ ours", 5, 8),
    },
}


def benchmark(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, encoding="utf-8", check=False)  # noqa: S603


# All but one are left out of the edit loop: each starts processes.
PARAMETERS = [pytest.param(name, marks=pytest.mark.slow) for name in SMALL]


@pytest.fixture(scope="module", params=PARAMETERS)
def found(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Run a benchmark at a tiny size."""
    if request.param in NEED_REDIS:
        request.getfixturevalue("redis_program")
    ended = benchmark(request.param, *SMALL[request.param], "--json")
    assert ended.returncode == 0, ended.stderr
    report: dict[str, Any] = json.loads(ended.stdout)
    return report


def test_a_report_has_its_members(found: dict[str, Any]) -> None:
    """A program finds in the JSON object what the documentation of reports promises."""
    expected = {
        "benchmark", "summary", "how", "unit", "rounds", "calls", "environment", "results", "bars", "absent",
    }  # fmt: skip
    assert found.keys() == expected
    rounds, calls = (int(SMALL[found["benchmark"]][index]) for index in (1, 3))
    assert (found["rounds"], found["calls"]) == (rounds, calls)
    expected = {"python", "system", "machine", "cpus", "load", "openssl", "packages"}
    assert found["environment"].keys() == expected


def test_contenders_are_measured_or_absent(found: dict[str, Any]) -> None:
    """Ours and the dependencies' are always measured; any other is measured, or named as absent."""
    names = [result["name"] for result in found["results"]]
    assert len(names) == len(set(names))
    assert ALWAYS_THERE[found["benchmark"]] <= set(names)
    assert set(names).isdisjoint(found["absent"])
    for result in found["results"]:
        assert result.keys() == {"name", "median", "q1", "q3", "min", "max", "ratios", "notes"}
        assert result["min"] <= result["q1"] <= result["median"] <= result["q3"] <= result["max"]
        for ratio in result["ratios"].values():
            assert ratio.keys() == {"median", "q1", "q3"}
            assert 0 < ratio["q1"] <= ratio["median"] <= ratio["q3"]


def test_each_bar_has_a_value(found: dict[str, Any]) -> None:
    """The bound to be reached stands beside the value."""
    more = MORE_BARS.get(found["benchmark"], {})
    names = ", ".join(result["name"] for result in found["results"])
    expected = BARS[found["benchmark"]] + [bar for name, bar in more.items() if name in names]
    assert [(bar["measure"], bar["must"], bar["goal"]) for bar in found["bars"]] == expected
    for bar in found["bars"]:
        assert bar.keys() == {"measure", "value", "must", "goal", "reached"}
        better = -1 if bar["must"] > bar["goal"] else 1
        passed = [name for name in ("goal", "must") if better * bar["value"] >= better * bar[name]]
        assert (passed or ["nothing"])[0] == bar["reached"]


@pytest.mark.slow
@pytest.mark.parametrize("found", ["peers"], indirect=True)
def test_each_contender_has_a_note(found: dict[str, Any]) -> None:
    """The note of a contender says what of a login it does, and how many requests it takes."""
    for result in found["results"]:
        assert "DPoP" in result["notes"] or "nothing read" in result["notes"]
        assert float(result["notes"].rpartition("requests: ")[2]) >= 1
    ours = next(result for result in found["results"] if result["name"] == "passwordless-async")
    assert ours["notes"].endswith("requests: 1.00")


@pytest.mark.slow
@pytest.mark.parametrize("found", ["scale"], indirect=True)
def test_cold_logins_are_challenged_once(found: dict[str, Any]) -> None:
    """The server counts one challenge for all that begin at once, and each nonce that changes costs something."""
    figures = {result["name"]: result["median"] for result in found["results"]}
    assert figures["cold: requests"] == 21
    assert figures["changing, the one before passes: requests for one"] >= 1


@pytest.mark.slow
@pytest.mark.parametrize("found", ["soak"], indirect=True)
def test_a_client_leaves_nothing(found: dict[str, Any]) -> None:
    """However few log in: no call fails, and nothing of the client is left when it is closed."""
    figures = {result["name"]: result["median"] for result in found["results"]}
    names = ("errors", "tasks left", "sockets left", "timers left")
    assert {name: figures[name] for name in names} == dict.fromkeys(names, 0)
    # Of ten: one refreshes its session, two refresh twice, the second time handed over.
    assert (figures["refreshes"], figures["handed over"]) == (130 / 10 + 2 * 130 / 5, 130 / 5)


@pytest.mark.slow
@pytest.mark.parametrize("found", ["soak-gateway"], indirect=True)
def test_browsers_at_a_soaked_gateway_meet_no_error(found: dict[str, Any]) -> None:
    """Each logs in, is answered by the API as itself, and half of them log out."""
    assert {result["name"]: result["median"] for result in found["results"]}["errors"] == 0


async def test_a_soak_tells_what_failed_why_and_at_which_step() -> None:
    """A run of hours may end with one error: its row says enough to find it."""

    async def step(_code: str) -> None:
        raise NotSent("nothing was sent") from ConnectionResetError("reset by peer")

    async def life() -> None:
        code = "123456"
        await step(code)

    failure = (await asyncio.gather(life(), return_exceptions=True))[0]
    assert isinstance(failure, NotSent)
    assert told(failure) == ("NotSent: nothing was sent <- ConnectionResetError: reset by peer (at await step(code))")
    assert told(RuntimeError()) == "RuntimeError"


def test_a_soak_tells_no_error_that_another_replaced() -> None:
    """What is raised ``from None`` has no cause; without that, the cause is what was being handled."""
    replaced = [ValueError("new"), ValueError("new")]
    for error in replaced:
        error.__context__ = LookupError()
    replaced[0].__suppress_context__ = True
    assert [told(error) for error in replaced] == ["ValueError: new", "ValueError: new <- LookupError"]


async def test_the_failures_of_a_soaks_browsers_name_no_user() -> None:
    """Each would be a kind of its own: there are as many as there are users."""
    crowd: Any = SimpleNamespace(secrets=set(), counts=Counter())
    connector: Any = None
    browsers = [Browser(crowd, number, connector) for number in (1, 2)]

    async def again(*_arguments: object, **_named: object) -> None:
        raise Again("POST /login: 503")

    failures: list[BaseException | None] = []
    for browser in browsers:
        browser._try_login = again  # type: ignore[method-assign]
        failures += await asyncio.gather(browser.log_in(), return_exceptions=True)
    assert [str(failure) for failure in failures] == ["no login"] * 2
    assert len({told(failure) for failure in failures if failure}) == 1


def test_a_moved_clock_is_the_librarys_within_its_context() -> None:
    """The library reads the clock that was moved on, and afterwards the stock one."""
    stock, moved, began = clock.monotonic, MovedClock(), time.monotonic()
    with moved.set():
        moved.move(3600.0)
        assert clock.monotonic() >= began + 3600.0
    assert clock.monotonic is stock


@pytest.mark.slow
def test_people_get_a_table_and_a_plot(tmp_path: Path) -> None:
    """A table with the bars below is printed; the plot goes to the file, in the format of its suffix."""
    file = tmp_path / "proof.svg"
    ended = benchmark("proof", *SMALL["proof"], "--plot", str(file))
    assert ended.returncode == 0, ended.stderr
    assert "passwordless-async, new key" in ended.stdout
    assert "proof ÷ bare signature: " in ended.stdout
    assert "<svg" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "the following arguments are required: BENCHMARK"),
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["proof", "--rounds", "4"], "--rounds: must be at least 5"),
        (["proof", "--calls", "10000001"], "--calls: must be at most 10000000"),
        (["proof", "--plot", "no-such-directory/proof.svg"], "--plot: there is no directory no-such-directory"),
        (["proof", "--plot", "proof.txt"], "--plot: proof.txt must end with one of .svg, .png, .pdf"),
        (
            ["exchange", "--against", str(REPOSITORY.parent)],
            f"--against: {REPOSITORY.parent} has no passwordless_async",
        ),
    ],
)
def test_wrong_usage_is_named(arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong with an argument is said before anything is measured."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert problem in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ModuleNotFoundError("there is no redis-server"), 2, "there is no redis-server"),
        (subprocess.CalledProcessError(1, "pip"), 2, "Command 'pip' returned non-zero exit status 1."),
        (KeyboardInterrupt(), 130, "interrupted: nothing is reported"),
    ],
)
def test_what_ends_a_benchmark_is_one_line(
    error: BaseException, status: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A program that is absent or fails, and Ctrl-C, show no traceback; the status differs from a missed bar's."""

    def run(_rounds: int, _calls: int) -> Report:
        raise error

    monkeypatch.setattr(proof, "run", run)
    with pytest.raises(SystemExit) as ended:
        main(["proof"])
    assert (ended.value.code, capsys.readouterr().err) == (status, f"{line}\n")


def test_the_page_of_measurements_has_the_bars_of_the_commands() -> None:
    """Each row has a bar of its command, bytes as KB, and says which is met by the figure beside it."""
    page = (REPOSITORY / "docs" / "explanation" / "measured.md").read_text(encoding="utf-8")
    table = page.partition("## Each bar, met or missed")[2].partition("\n## ")[0]
    row = r"^\| (.+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| (no|must|goal) \| `([\w-]+)` \|$"
    rows = re.findall(row, table, re.MULTILINE)
    assert len(rows) >= 20
    for name, *figures, met, command in rows:
        figure, must, goal = map(float, figures)
        bars = [*BARS[command], *MORE_BARS.get(command, {}).values()]
        if command == "protected":  # its bars differ by what protects
            bars = [bar for bar in bars if ("proof" in bar[0]) == ("on a verifier" in name)]
        shown = {(f"{must / unit:.3g}", f"{goal / unit:.3g}") for _, must, goal in bars for unit in (1, 1000)}
        assert (f"{must:.3g}", f"{goal:.3g}") in shown
        better = -1 if must > goal else 1
        reached = [name for name, bar in (("goal", goal), ("must", must)) if better * figure >= better * bar]
        assert (reached or ["no"])[0] == met


def test_an_absent_library_is_one_line() -> None:
    """Without the extra ``bench`` the command says what to install."""
    code = "import runpy, sys; sys.modules['redis'] = None; runpy.run_module('benchmarks', run_name='__main__')"
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, encoding="utf-8", check=False)  # noqa: S603
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == 'redis is not installed: pip install -e ".[bench]"\n'


def test_no_figure_is_cut_in_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names are wrapped. A bar that was missed is told, also where two decimals would show its own value."""
    figures = Series((1_234.5, 1_234.5, 6_789.0))
    row = Row("a contender with a long name, and another library", figures, {"floor": Series((1.5, 1.5, 1.5))})
    bars = [Bar("measure", Series((value,)), must=1.5, goal=1.25) for value in (1.504, 1.5, 1.0)]
    found = Report("proof", "summary", "how", "µs", (), [row], bars).as_json(1, 2)
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in a terminal
    monkeypatch.setenv("COLUMNS", "60")
    print_table(found)
    shown = capsys.readouterr().out
    assert "1,234.5-4,011.8" in shown
    assert "…" not in shown
    assert [line for line in shown.splitlines() if line.startswith("measure")] == [
        "measure: 1.504 (must 1.5, goal 1.25): not reached",
        "measure: 1.500 (must 1.5, goal 1.25): must",
        "measure: 1.000 (must 1.5, goal 1.25): goal",
    ]
    assert "1 round of 2: how. " in shown


@pytest.mark.parametrize(("value", "status"), [(1.0, 0), (3.0, 1)])
def test_strict_fails_for_a_missed_bar(monkeypatch: pytest.MonkeyPatch, value: float, status: int) -> None:
    """With ``--strict`` a program sees by the exit status whether each bar was reached."""
    series = Series((value,))
    bars = [Bar("measure", series, must=2.0, goal=0.5)]
    report = Report("proof", "summary", "how", "µs", (), [Row("row", series)], bars)
    monkeypatch.setattr(proof, "run", lambda _rounds, _calls: report)
    with ExitStack() as stack:
        if status:
            ended = stack.enter_context(pytest.raises(SystemExit))
        main(["proof", "--json", "--strict"])
    assert not status or ended.value.code == 1


@pytest.mark.slow
def test_two_checkouts_are_compared() -> None:
    """``exchange --against`` measures this checkout and another one."""
    ended = benchmark("exchange", "--against", str(REPOSITORY), "--rounds", "5", "--calls", "2", "--json")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert [bar["measure"] for bar in found["bars"]] == ["exchange, this ÷ other", "API call, this ÷ other"]
    assert [result["name"] for result in found["results"]] == [
        "exchange, this",
        "exchange, other",
        "API call, this",
        "API call, other",
    ]
