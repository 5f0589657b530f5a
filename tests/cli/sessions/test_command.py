"""``sessions list`` and ``close``: what is shown, what is closed, and that no secret is printed."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from click.testing import CliRunner

from helpers.leaks import lines_with
from helpers.stored_sessions import (
    ADA,
    APPLICATION,
    BOB,
    CLIENT,
    PASSWORD,
    TENANT,
    Shown,
    Store,
    ring_of,
    secrets_of,
    tokens,
)
from passwordless_async import PasswordlessClient
from passwordless_async._common import clock as _clock
from passwordless_async.cli.app import app
from passwordless_async.stores.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_list_shows_the_names(store: Store, called: Callable[..., Shown]) -> None:
    """A user's sessions are shown by the library's names for them, and no other user's."""
    store.open(ADA, BOB, ADA)
    status, out, err = called(store.arguments("list"))
    assert (status, err) == (0, "")
    assert all(name in out for name in store.names(ADA))
    assert store.names(BOB)[0] not in out
    assert "email|ada has 2 sessions.\n" in out


def test_a_list_shows_times_in_utc(store: Store, called: Callable[..., Shown], monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening, idle end and end are shown in UTC, and as JSON as ISO 8601."""
    monkeypatch.setattr(_clock, "now", lambda: 1_800_000_000.0)
    store.open(ADA)
    out = " ".join(called(store.arguments("list"))[1].split())
    assert "opened 2027-01-15 08:00:00 UTC ends unused 2027-01-22 0" in out
    assert " UTC ends 2027-02-14 08:00:00 UTC email|ada has 1 session." in out
    (info,) = json.loads(called(store.arguments("list", ADA, "--json"))[1])["sessions"]
    assert (info["opened_at"], info["ends_at"]) == ("2027-01-15T08:00:00Z", "2027-02-14T08:00:00Z")
    assert re.fullmatch(r"2027-01-22T0[78]:\d\d:\d\dZ", info["idle_ends_at"])


def test_a_session_that_does_not_open_is_listed(store: Store, called: Callable[..., Shown]) -> None:
    """One that the key ring does not open is shown by its name, and closed by it."""
    store.open(ADA)
    members = json.loads(store.keys.read_text())
    store.keys.write_text(json.dumps({**members, "keys": [members["users"]]}))
    (name,) = store.names(ADA)
    out = called(store.arguments("list"))[1]
    assert name in out
    assert out.count("unknown: these keys do not open it") == 2
    (info,) = json.loads(called(store.arguments("list", ADA, "--json"))[1])["sessions"]
    assert (info["name"], info["opened_at"], info["ends_at"]) == (name, None, None)
    assert "Closed 1 session" in called(store.arguments("close", ADA, "--yes", "--session", name))[1]


def test_with_another_key_ring_no_session_is_found(store: Store, called: Callable[..., Shown], tmp_path: Path) -> None:
    """It names users differently; the hint and the help say so."""
    store.open(ADA)
    assert called(["sessions", "keys", str(tmp_path / "other.json")])[0] == 0
    store.keys.write_text((tmp_path / "other.json").read_text())
    status, out, err = called(store.arguments("list"))
    assert (status, out) == (0, "email|ada has no sessions.\n")
    assert "key ring must be the application's" in err
    assert "With the key ring of another application no session is found" in " ".join(
        called(["sessions", "list", "--help"])[1].split()
    )


def test_one_is_closed_by_its_name(store: Store, called: Callable[..., Shown]) -> None:
    """The one that is named is closed, of that user alone, and a name of none closes none."""
    store.open(ADA, ADA, BOB)
    name, other = store.names(ADA)
    closing = store.arguments("close", ADA, "--yes", "--session", name)
    assert called([*closing[:-1], BOB])[:2] == (0, "email|bob has no session of that name.\n")
    assert called(closing) == (0, "Closed 1 session of email|ada.\n", "")
    assert json.loads(called([*closing, "--json"])[1]) == {"user": ADA, "closed": 0}
    assert (store.names(ADA), len(store.names(BOB))) == ([other], 1)


@pytest.mark.parametrize("exists", [True, False])
def test_a_named_session_is_asked_about(*, exists: bool, store: Store, terminal: Callable[..., Any]) -> None:
    """A person is asked about the session that they named, if it exists."""
    store.open(ADA, ADA)
    name = store.names(ADA)[0] if exists else "none"
    screen = terminal(*store.arguments("close", ADA, "--session", name))
    if exists:
        screen.until("[y/N]: ")
        screen.type("y\n")
    assert screen.end() == 0
    shown = "".join(screen.shown.split("\r\n"))
    assert (f"Close session {name} of email|ada?" in shown) is exists
    assert len(store.names(ADA)) == (1 if exists else 2)


def store_of(kind: str, request: pytest.FixtureRequest) -> str:
    """Return the URL of a cluster, or of a primary by its sentinels."""
    if kind == "cluster":
        nodes = request.getfixturevalue("redis_cluster").nodes
        return "redis+cluster://" + ",".join(node.url.removeprefix("redis://").partition("/")[0] for node in nodes)
    sentinel = request.getfixturevalue("redis_sentinel")
    return "redis+sentinel://" + ",".join(f"{host}:{port}" for host, port in sentinel.addresses) + f"/{sentinel.name}"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cluster", "sentinel"])
def test_cluster_and_sentinels_are_stores(
    kind: str, request: pytest.FixtureRequest, keys: Path, called: Callable[..., Shown]
) -> None:
    """A cluster is reached by its nodes, and a primary by its sentinels."""
    url = store_of(kind, request)

    async def opened() -> None:
        async with (
            RedisStore(url, keys=ring_of(keys)) as store,
            PasswordlessClient(TENANT, CLIENT, store=store) as client,
        ):
            await client.sessions.open(tokens(), user=ADA)

    asyncio.run(opened())
    arguments = ["--store", url, "--keys", str(keys), *APPLICATION, ADA]
    assert "email|ada has 1 session.\n" in called(["sessions", "list", *arguments])[1]
    assert called(["sessions", "close", "--yes", *arguments]) == (0, "Closed 1 session of email|ada.\n", "")


def test_a_list_as_json_is_one_object(store: Store, called: Callable[..., Shown]) -> None:
    """The list as JSON is one object with user and names, on a line."""
    store.open(ADA, ADA)
    status, out, err = called(store.arguments("list", ADA, "--json"))
    assert (status, err) == (0, "")
    listed = json.loads(out)
    assert (ADA, store.names(ADA)) == (listed["user"], [info["name"] for info in listed["sessions"]])


def test_listing_does_not_renew_idle_time(store: Store, called: Callable[..., Shown]) -> None:
    """A list changes nothing in the store: the idle time of a session goes on running."""
    store.open(ADA)
    (session,) = store.server.ask("KEYS", "*:session:*")
    store.server.ask("PEXPIRE", session, 60_000)
    before = store.server.dump()
    assert called(store.arguments("list"))[0] == 0
    assert store.server.dump() == before
    assert 0 < store.server.ask("PTTL", session) <= 60_000


@pytest.mark.parametrize("command", [["list"], ["close", ADA, "--yes"]])
def test_no_sessions_is_no_failure(command: list[str], store: Store, called: Callable[..., Shown]) -> None:
    """No sessions is no failure; a hint names what else looks like it."""
    status, out, err = called(store.arguments(*command))
    assert (status, out) == (0, "email|ada has no sessions.\n")
    assert "domain, client ID, prefix and key ring must be the application's" in err


def test_the_prefix_is_heeded(store: Store, called: Callable[..., Shown]) -> None:
    """Sessions are looked for under the prefix that is given."""
    store.open(ADA, prefix="other")
    assert "no sessions" in called(store.arguments("list"))[1]
    assert "has 1 session." in called(store.arguments("list", ADA, "--prefix", "other"))[1]


def test_another_key_ring_finds_nothing(store: Store, tmp_path: Path, called: Callable[..., Shown]) -> None:
    """With another key ring than the application's no sessions are found, and none is closed."""
    (identifier,) = store.open(ADA)
    other = attrs.evolve(store, keys=tmp_path / "other.json")
    assert called(["sessions", "keys", str(other.keys)])[0] == 0
    status, out, _ = called(other.arguments("close", ADA, "--yes"))
    assert (status, out) == (0, "email|ada has no sessions.\n")
    assert store.is_open(identifier)


def test_all_are_closed(store: Store, called: Callable[..., Shown]) -> None:
    """All sessions of the user are closed and counted, and no other user's."""
    first, others, second = store.open(ADA, BOB, ADA)
    assert called(store.arguments("close", ADA, "--yes")) == (0, "Closed 2 sessions of email|ada.\n", "")
    assert [store.is_open(identifier) for identifier in (first, second, others)] == [False, False, True]


def test_the_number_closed_as_json(store: Store, called: Callable[..., Shown]) -> None:
    """The number of closed sessions is a member of one object."""
    store.open(ADA)
    _, out, _ = called(store.arguments("close", ADA, "--yes", "--json"))
    assert json.loads(out) == {"user": ADA, "closed": 1}


def test_without_a_terminal_yes_is_needed(store: Store, program: Callable[..., Any]) -> None:
    """Without a terminal nothing is closed unless ``--yes`` is given."""
    (identifier,) = store.open(ADA)
    ended = program(*store.arguments("close"), stdin="y\n")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "give --yes" in ended.stderr
    assert store.is_open(identifier)


@pytest.mark.parametrize(("typed", "status", "closed"), [("y\n", 0, True), ("\n", 1, False), ("no\n", 1, False)])
def test_only_a_yes_closes(
    *, typed: str, status: int, closed: bool, store: Store, terminal: Callable[..., Any]
) -> None:
    """A person is asked, and only a yes closes."""
    (identifier,) = store.open(ADA)
    screen = terminal(*store.arguments("close"))
    screen.until("Close all sessions of email|ada, 1 at most? [y/N]: ")
    screen.type(typed)
    assert screen.end() == status
    assert closed is not store.is_open(identifier)
    assert ("Closed 1 session of" if closed else "Nothing was closed.") in screen.shown


def test_no_answer_closes_nothing(store: Store, terminal: Callable[..., Any]) -> None:
    """If the input ends without an answer nothing is closed; the error stands on its own line."""
    (identifier,) = store.open(ADA)
    screen = terminal(*store.arguments("close"))
    screen.until("[y/N]: ")
    screen.type("\x04")
    assert screen.end() == 1
    assert store.is_open(identifier)
    assert "Error: Nothing was closed." in screen.shown.splitlines()


def test_without_sessions_no_question_is_asked(store: Store, terminal: Callable[..., Any]) -> None:
    """Without sessions no question is asked."""
    screen = terminal(*store.arguments("close"))
    assert screen.end() == 0
    assert "has no sessions" in screen.shown
    assert "[y/N]" not in screen.shown


WRONG_STORES = [
    f"http://:{PASSWORD}@127.0.0.1",
    f":{PASSWORD}@127.0.0.1",
    f"redis://:{PASSWORD}@127.0.0.1:port",
    f"redis://:{PASSWORD}@[::1",
    f"redis+sentinel://:{PASSWORD}@127.0.0.1:1",
    f"redis+sentinel://:{PASSWORD}@127.0.0.1/name",
    f"redis+cluster://:{PASSWORD}@127.0.0.1:1/0",
    f"redis+other://:{PASSWORD}@127.0.0.1:1",
]


@pytest.mark.parametrize("url", WRONG_STORES)
def test_a_url_of_another_kind_is_refused(url: str, keys: Path, called: Callable[..., Shown]) -> None:
    """A URL that is not one of Redis is wrong usage, and is not repeated."""
    arguments = ["sessions", "list", "--store", url, "--keys", str(keys), *APPLICATION, ADA]
    status, _, err = called(arguments)
    assert status == 2
    assert "--store: " in err
    assert PASSWORD not in err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--domain", "acme.eu.auth0.com/path", ADA], "--domain: must be a host name"),
        (["--client-id", "", ADA], "--client-id: must not be empty"),
        ([""], "USER: must not be empty"),
        (["\udcff"], "USER: must be text"),
        ([ADA, "--prefix", "p a"], "--prefix: must be visible ASCII"),
        ([], "Missing argument 'USER'"),
        ([TENANT, CLIENT, ADA], "Too many arguments: give USER, and the rest as options"),
        ([ADA, f"redis://:{PASSWORD}@127.0.0.1"], "Too many arguments: give USER"),
        ([ADA, "--domain", f"redis://:{PASSWORD}@127.0.0.1"], "--domain: must be"),
    ],
)
def test_wrong_usage_names_the_argument(
    arguments: list[str], problem: str, keys: Path, called: Callable[..., Shown]
) -> None:
    """Wrong usage names the argument, and does not repeat what may be the store's URL."""
    status, _, err = called(
        ["sessions", "list", "--store", "redis://127.0.0.1:1", "--keys", str(keys), *APPLICATION, *arguments]
    )
    assert status == 2
    assert problem in err
    assert PASSWORD not in err


@pytest.mark.parametrize("command", [[], ["list"], ["close"], ["keys"]])
def test_each_command_has_help(command: list[str]) -> None:
    """Each command explains itself."""
    assert CliRunner().invoke(app, ["sessions", *command, "--help"]).output.startswith("Usage: ")


@pytest.mark.parametrize(("name", "status", "problem"), [("missing", 2, "does not exist"), (".", 2, "is a directory")])
def test_a_missing_key_ring_is_wrong_usage(
    name: str, status: int, problem: str, tmp_path: Path, called: Callable[..., Shown]
) -> None:
    """A key ring that is not there is wrong usage."""
    named = ["--store", "redis://127.0.0.1:1", "--keys", str(tmp_path / name)]
    ended = called(["sessions", "list", *named, *APPLICATION, ADA])
    assert ended[:2] == (status, "")
    assert problem in ended[2]


def test_no_secret_is_printed(store: Store, called: Callable[..., Shown]) -> None:
    """No key, token, identifier or password is printed by any command or error."""
    identifiers = store.open(ADA, ADA, BOB)
    keys = str(store.keys)
    refused = store.url.replace(PASSWORD, f"{PASSWORD}-wrong")
    commands = [
        store.arguments("list"),
        store.arguments("list", BOB, "--json"),
        store.arguments("list", ADA, url=refused),
        store.arguments("list", ADA, url=f"{store.url}/?timeout=soon&no={PASSWORD}"),
        *(store.arguments("list", ADA, url=url) for url in WRONG_STORES),
        [*store.arguments("list"), store.url],
        ["sessions", "keys", keys],
        *(["sessions", "keys", f"--{step}", keys] for step in ("promote", "add", "add", "promote")),
        ["sessions", "keys", "--add", "--drop", keys],
        store.arguments("close"),
        store.arguments("close", ADA, "--yes"),
        store.arguments("close", BOB, "--yes", "--json"),
        store.arguments("close", "unknown", "--yes"),
    ]
    shown = "\n".join("\n".join(map(str, called(command))) for command in commands)
    store.server.kill()
    shown += "\n".join(map(str, called(store.arguments("list"))))
    kept = [*secrets_of(store.keys), *identifiers, PASSWORD, "the-access-token", "the-refresh-token"]
    assert "2 sessions" in shown
    assert "AuthenticationError" in shown
    assert lines_with(kept, shown) == []
    assert lines_with([identifier[:43] for identifier in identifiers], shown) == []


def test_the_url_comes_from_the_environment(store: Store, program: Callable[..., Any]) -> None:
    """The URL comes from the environment if no option gives it; process lists do not show it there."""
    store.open(ADA)
    arguments = store.arguments("list", ADA, "--json")
    del arguments[2:4]
    ended = program(*arguments, PASSWORDLESS_ASYNC_STORE=store.url)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert store.names(ADA) == [info["name"] for info in json.loads(ended.stdout)["sessions"]]


def test_an_unreachable_store_is_one_line(store: Store, called: Callable[..., Shown]) -> None:
    """An unreachable store is one line and status 1."""
    store.server.kill()
    status, out, err = called(store.arguments("close", ADA, "--yes"))
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("Error: the store does not answer")


def test_a_missing_library_is_a_hint(store: Store, program: Callable[..., Any]) -> None:
    """Without the library for Redis there is a hint, and the other commands work."""
    script = "import sys; sys.modules['redis'] = None; from passwordless_async.cli import main; sys.exit(main())"
    ended = program(*store.arguments("list"), script=script)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "Error: The store needs its library: pip install 'passwordless-async[redis]'.\n"
    assert program("sessions", "keys", str(store.keys.with_name("more.json")), script=script).returncode == 0
