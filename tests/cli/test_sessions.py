"""``sessions``: what operators are shown, what is closed, the key ring's file, and that no secret is printed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import stat
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from click.testing import CliRunner

from helpers.leaks import lines_with
from passwordless_async import DPoPKey, InvalidSession, KeyRing, PasswordlessClient, TokenSet
from passwordless_async._common import base64url as _base64url
from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import Secret
from passwordless_async.cli.app import app, run
from passwordless_async.stores.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TENANT, CLIENT, ADA, BOB = "acme.eu.auth0.com", "app", "email|ada", "email|bob"
PASSWORD = "hunter2-the-password"


@pytest.fixture
def server(redis_server: Any) -> Any:
    """Return a server, running and empty, with a user who has a password."""
    redis_server.ask("ACL", "SETUSER", "operator", "on", f">{PASSWORD}", "~*", "+@all")
    return redis_server


def ring_of(file: Path) -> KeyRing:
    return KeyRing.from_json(file.read_text())


def secrets_of(file: Path) -> list[str]:
    members = json.loads(file.read_text())
    return [*members["keys"], members["users"]]


@attrs.frozen
class Store:
    """A store as the application has it, and an operator's options for it."""

    server: Any
    keys: Path

    @property
    def url(self) -> str:
        return self.server.url.replace("//", f"//operator:{PASSWORD}@")

    def arguments(self, command: str, user: str = ADA, *more: str, url: str = "") -> list[str]:
        named = ["--store", url or self.url, "--keys", str(self.keys)]
        return ["sessions", command, *named, *more, TENANT, CLIENT, user]

    def open(self, *users: str, prefix: str = "pa") -> list[str]:
        """Open a session for each; return what opens them."""

        async def opened(sessions: Any) -> list[str]:
            return [str(await sessions.open(tokens(), user=user)) for user in users]

        return self._ask(opened, prefix=prefix)

    def is_open(self, identifier: str, *, ring: KeyRing | None = None) -> bool:
        async def read(sessions: Any) -> bool:
            try:
                return bool(await sessions.get(identifier))
            except InvalidSession:
                return False

        return self._ask(read, ring=ring)

    def names(self, user: str) -> list[str]:
        return [info.name for info in self._ask(lambda sessions: sessions.list(user))]

    def _ask(self, question: Callable[[Any], Any], *, prefix: str = "pa", ring: KeyRing | None = None) -> Any:
        async def asked() -> Any:
            async with (
                RedisStore(self.url, keys=ring or ring_of(self.keys), prefix=prefix) as store,
                PasswordlessClient(TENANT, CLIENT, store=store) as client,
            ):
                return await question(client.sessions)

        return asyncio.run(asked())


def tokens() -> TokenSet:
    given = {"access_token": Secret("the-access-token"), "refresh_token": Secret("the-refresh-token")}
    key = DPoPKey.generate()
    return TokenSet(**given, token_type="DPoP", expires_at=None, scope="", id_token=None, claims=None, key=key)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Make a key ring by the command."""
    file = tmp_path / "ring.json"
    assert 0 == run(["sessions", "keys", str(file)])
    return file


@pytest.fixture
def store(server: Any, keys: Path, capsys: pytest.CaptureFixture[str]) -> Store:
    """Return an empty store."""
    capsys.readouterr()
    return Store(server, keys)


Shown = tuple[int, str, str]


@pytest.fixture
def called(capsys: pytest.CaptureFixture[str]) -> Callable[..., Shown]:
    """Return what calls the program, and returns its status and what it wrote on output and error."""

    def call(arguments: list[str]) -> Shown:
        return (run(arguments), *capsys.readouterr())

    return call


def test_a_list(store: Store, called: Callable[..., Shown]):
    """A user's sessions are shown by the names that the library has for them, and nobody else's are."""
    store.open(ADA, BOB, ADA)
    status, out, err = called(store.arguments("list"))
    assert (0, "") == (status, err)
    assert all(name in out for name in store.names(ADA))
    assert store.names(BOB)[0] not in out
    assert "email|ada has 2 sessions.\n" in out


def test_times_in_a_list(store: Store, called: Callable[..., Shown], monkeypatch: pytest.MonkeyPatch):
    """Opening, idle end and end are shown in UTC, and as JSON as ISO 8601."""
    monkeypatch.setattr(_clock, "now", lambda: 1_800_000_000.0)
    store.open(ADA)
    out = " ".join(called(store.arguments("list"))[1].split())
    assert "opened 2027-01-15 08:00:00 UTC ends unused 2027-01-22 0" in out
    assert " UTC ends 2027-02-14 08:00:00 UTC email|ada has 1 session." in out
    (info,) = json.loads(called(store.arguments("list", ADA, "--json"))[1])["sessions"]
    assert ("2027-01-15T08:00:00Z", "2027-02-14T08:00:00Z") == (info["opened_at"], info["ends_at"])
    assert re.fullmatch(r"2027-01-22T0[78]:\d\d:\d\dZ", info["idle_ends_at"])


def test_a_session_that_does_not_open(store: Store, called: Callable[..., Shown]):
    """One that the key ring does not open is shown by its name, and closed by it."""
    store.open(ADA)
    members = json.loads(store.keys.read_text())
    store.keys.write_text(json.dumps({**members, "keys": [members["users"]]}))
    (name,) = store.names(ADA)
    out = called(store.arguments("list"))[1]
    assert name in out
    assert 2 == out.count("unknown: these keys do not open it")
    (info,) = json.loads(called(store.arguments("list", ADA, "--json"))[1])["sessions"]
    assert (name, None, None) == (info["name"], info["opened_at"], info["ends_at"])
    assert "Closed 1 session" in called(store.arguments("close", ADA, "--yes", "--session", name))[1]


def test_one_is_closed_by_its_name(store: Store, called: Callable[..., Shown]):
    """The one that is named is closed, of that user alone, and a name of none closes none."""
    store.open(ADA, ADA, BOB)
    name, other = store.names(ADA)
    closing = store.arguments("close", ADA, "--yes", "--session", name)
    assert (0, "email|bob has no session of that name.\n") == called([*closing[:-1], BOB])[:2]
    assert (0, "Closed 1 session of email|ada.\n", "") == called(closing)
    assert {"user": ADA, "closed": 0} == json.loads(called([*closing, "--json"])[1])
    assert ([other], 1) == (store.names(ADA), len(store.names(BOB)))


@pytest.mark.parametrize(("named", "asked"), [(True, True), (False, False)])
def test_one_in_a_terminal(named: bool, asked: bool, store: Store, terminal: Callable[..., Any]):  # noqa: FBT001
    """A person is asked about the one that they named, where there is one."""
    store.open(ADA, ADA)
    name = store.names(ADA)[0] if named else "none"
    screen = terminal(*store.arguments("close", ADA, "--session", name))
    if asked:
        screen.until("[y/N]: ")
        screen.type("y\n")
    assert 0 == screen.end()
    assert asked is (f"Close session {name} of email|ada?" in "".join(screen.shown.split("\r\n")))
    assert (1 if named else 2) == len(store.names(ADA))


def store_of(kind: str, request: pytest.FixtureRequest) -> str:
    """Return the URL of a cluster, or of a primary by its sentinels."""
    if kind == "cluster":
        nodes = request.getfixturevalue("redis_cluster").nodes
        return "redis+cluster://" + ",".join(node.url.removeprefix("redis://").partition("/")[0] for node in nodes)
    sentinel = request.getfixturevalue("redis_sentinel")
    return "redis+sentinel://" + ",".join(f"{host}:{port}" for host, port in sentinel.addresses) + f"/{sentinel.name}"


@pytest.mark.parametrize("kind", ["cluster", "sentinel"])
def test_other_stores(kind: str, request: pytest.FixtureRequest, keys: Path, called: Callable[..., Shown]):
    """A cluster is reached by its nodes, and a primary by its sentinels."""
    url = store_of(kind, request)

    async def opened() -> None:
        async with (
            RedisStore(url, keys=ring_of(keys)) as store,
            PasswordlessClient(TENANT, CLIENT, store=store) as client,
        ):
            await client.sessions.open(tokens(), user=ADA)

    asyncio.run(opened())
    arguments = ["--store", url, "--keys", str(keys), TENANT, CLIENT, ADA]
    assert "email|ada has 1 session.\n" in called(["sessions", "list", *arguments])[1]
    assert (0, "Closed 1 session of email|ada.\n", "") == called(["sessions", "close", "--yes", *arguments])


def test_a_list_as_json(store: Store, called: Callable[..., Shown]):
    """The list as JSON is one object with user and names, on a line."""
    store.open(ADA, ADA)
    status, out, err = called(store.arguments("list", ADA, "--json"))
    assert (0, "") == (status, err)
    listed = json.loads(out)
    assert (ADA, store.names(ADA)) == (listed["user"], [info["name"] for info in listed["sessions"]])


def test_looking_is_no_use(store: Store, called: Callable[..., Shown]):
    """A list leaves what is in the store as it was, and what is left of a session's time: that does not begin anew."""
    store.open(ADA)
    (session,) = store.server.ask("KEYS", "*:session:*")
    store.server.ask("PEXPIRE", session, 60_000)
    before = store.server.dump()
    assert 0 == called(store.arguments("list"))[0]
    assert before == store.server.dump()
    assert 0 < store.server.ask("PTTL", session) <= 60_000


@pytest.mark.parametrize("command", [["list"], ["close", ADA, "--yes"]])
def test_nobody_known(command: list[str], store: Store, called: Callable[..., Shown]):
    """No sessions is no failure, and it is said what else looks like it."""
    status, out, err = called(store.arguments(*command))
    assert (0, "email|ada has no sessions.\n") == (status, out)
    assert "another tenant, client id, prefix or key ring" in err


def test_another_prefix(store: Store, called: Callable[..., Shown]):
    """Sessions are looked for under the prefix that is given."""
    store.open(ADA, prefix="other")
    assert "no sessions" in called(store.arguments("list"))[1]
    assert "has 1 session." in called(store.arguments("list", ADA, "--prefix", "other"))[1]


def test_another_key_ring(store: Store, tmp_path: Path, called: Callable[..., Shown]):
    """With a key ring that is not the application's nobody's sessions are found, and none is closed."""
    (identifier,) = store.open(ADA)
    other = attrs.evolve(store, keys=tmp_path / "other.json")
    assert 0 == called(["sessions", "keys", str(other.keys)])[0]
    status, out, _ = called(other.arguments("close", ADA, "--yes"))
    assert (0, "email|ada has no sessions.\n") == (status, out)
    assert store.is_open(identifier)


def test_all_are_closed(store: Store, called: Callable[..., Shown]):
    """All sessions of the user are closed and counted, and nobody else's."""
    first, others, second = store.open(ADA, BOB, ADA)
    assert (0, "Closed 2 sessions of email|ada.\n", "") == called(store.arguments("close", ADA, "--yes"))
    assert [False, False, True] == [store.is_open(identifier) for identifier in (first, second, others)]


def test_closed_as_json(store: Store, called: Callable[..., Shown]):
    """How many were closed is a number in one object."""
    store.open(ADA)
    _, out, _ = called(store.arguments("close", ADA, "--yes", "--json"))
    assert {"user": ADA, "closed": 1} == json.loads(out)


def test_nobody_to_ask(store: Store, program: Callable[..., Any]):
    """Where nobody can be asked nothing is closed without ``--yes``."""
    (identifier,) = store.open(ADA)
    ended = program(*store.arguments("close"), stdin="y\n")
    assert (2, "") == (ended.returncode, ended.stdout)
    assert "give --yes" in ended.stderr
    assert store.is_open(identifier)


@pytest.mark.parametrize(("typed", "status", "closed"), [("y\n", 0, True), ("\n", 1, False), ("no\n", 1, False)])
def test_in_a_terminal(typed: str, status: int, closed: bool, store: Store, terminal: Callable[..., Any]):  # noqa: FBT001
    """A person is asked, and only a yes closes."""
    (identifier,) = store.open(ADA)
    screen = terminal(*store.arguments("close"))
    screen.until("Close all sessions of email|ada, 1 at the most? [y/N]: ")
    screen.type(typed)
    assert status == screen.end()
    assert closed is not store.is_open(identifier)
    assert ("Closed 1 session of" if closed else "Nothing was closed.") in screen.shown


def test_no_answer_in_a_terminal(store: Store, terminal: Callable[..., Any]):
    """Where what is typed ends without an answer nothing is closed, and that stands on a line of its own."""
    (identifier,) = store.open(ADA)
    screen = terminal(*store.arguments("close"))
    screen.until("[y/N]: ")
    screen.type("\x04")
    assert 1 == screen.end()
    assert store.is_open(identifier)
    assert "Error: Nothing was closed." in screen.shown.splitlines()


def test_nothing_to_ask_about(store: Store, terminal: Callable[..., Any]):
    """Where there are no sessions nobody is asked."""
    screen = terminal(*store.arguments("close"))
    assert 0 == screen.end()
    assert "has no sessions" in screen.shown
    assert "[y/N]" not in screen.shown


def test_the_store_from_the_environment(store: Store, program: Callable[..., Any]):
    """The URL comes from the environment where no option gives it, and stands in no list of processes then."""
    store.open(ADA)
    arguments = store.arguments("list", ADA, "--json")
    del arguments[2:4]
    ended = program(*arguments, PASSWORDLESS_ASYNC_STORE=store.url)
    assert (0, "") == (ended.returncode, ended.stderr)
    assert store.names(ADA) == [info["name"] for info in json.loads(ended.stdout)["sessions"]]


def test_a_store_that_is_down(store: Store, called: Callable[..., Shown]):
    """A store that cannot be reached is one line and status 1."""
    store.server.kill()
    status, out, err = called(store.arguments("close", ADA, "--yes"))
    assert (1, "", 1) == (status, out, err.count("\n"))
    assert err.startswith("Error: the store does not answer")


def test_the_library_is_missing(store: Store, program: Callable[..., Any]):
    """Without the library for Redis there is a hint, and the other commands work."""
    script = "import sys; sys.modules['redis'] = None; from passwordless_async.cli import main; sys.exit(main())"
    ended = program(*store.arguments("list"), script=script)
    assert (1, "") == (ended.returncode, ended.stdout)
    assert "Error: The store needs its library: pip install 'passwordless-async[redis]'.\n" == ended.stderr
    assert 0 == program("sessions", "keys", str(store.keys.with_name("more.json")), script=script).returncode


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
def test_a_url_that_is_none(url: str, keys: Path, called: Callable[..., Shown]):
    """A URL that is none of Redis is wrong usage, and is not repeated."""
    arguments = ["sessions", "list", "--store", url, "--keys", str(keys), TENANT, CLIENT, ADA]
    status, _, err = called(arguments)
    assert 2 == status
    assert "--store: " in err
    assert PASSWORD not in err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["acme.eu.auth0.com/path", CLIENT, ADA], "TENANT: must be a host name"),
        ([TENANT, "", ADA], "CLIENT_ID: must not be empty"),
        ([TENANT, CLIENT, ""], "USER: must not be empty"),
        ([TENANT, CLIENT, "\udcff"], "USER: must be text"),
        ([TENANT, CLIENT, ADA, "--prefix", "p a"], "--prefix: must be visible ASCII"),
        ([TENANT, CLIENT], "Missing argument 'USER'"),
        ([TENANT, CLIENT, ADA, f"redis://:{PASSWORD}@127.0.0.1"], "more arguments than TENANT CLIENT_ID USER"),
        ([f"redis://:{PASSWORD}@127.0.0.1", CLIENT, ADA], "TENANT: must be a host name"),
    ],
)
def test_wrong_usage(arguments: list[str], problem: str, keys: Path, called: Callable[..., Shown]):
    """Wrong usage names the argument, and does not repeat what may be the store's URL."""
    status, _, err = called(["sessions", "list", "--store", "redis://127.0.0.1:1", "--keys", str(keys), *arguments])
    assert 2 == status
    assert problem in err
    assert PASSWORD not in err


@pytest.mark.parametrize("command", [[], ["list"], ["close"], ["keys"]])
def test_help(command: list[str]):
    """Each command explains itself."""
    assert CliRunner().invoke(app, ["sessions", *command, "--help"]).output.startswith("Usage: ")


def test_a_new_key_ring(tmp_path: Path, called: Callable[..., Shown]):
    """The file is its owner's alone, holds fresh keys each time, and none of them is printed."""
    files = [tmp_path / "one.json", tmp_path / "two.json"]
    shown = [called(["sessions", "keys", str(file)]) for file in files]
    assert all(
        (0, True, "") == (status, out.startswith(f"{file}: 1 key, the first is new\nNext: "), err)
        for file, (status, out, err) in zip(files, shown, strict=True)
    )
    assert {0o600} == {stat.S_IMODE(file.stat().st_mode) for file in files}
    assert 4 == len({key for file in files for key in secrets_of(file)})
    assert "<KeyRing of 1 keys>" == repr(ring_of(files[0]))


def test_a_key_ring_is_never_overwritten(keys: Path, called: Callable[..., Shown]):
    """Another key ring in the same place would be the end of all sessions that the first sealed."""
    before = keys.read_bytes()
    status, _, err = called(["sessions", "keys", str(keys)])
    assert (1, before) == (status, keys.read_bytes())
    assert f"{keys} exists and stays as it is" in err
    assert "--add" in err


def test_a_rotation(store: Store, called: Callable[..., Shown]):
    """By three steps a new key seals and the old one goes; machines a step apart read each other's sessions."""
    store.keys.chmod(0o640)
    (old, users), rings, sealed = secrets_of(store.keys), [ring_of(store.keys)], [store.open(ADA)[0]]
    expected = {"add": (2, "the second is new"), "promote": (2, "the first is the one"), "drop": (1, "the oldest is")}
    for step, (number, done) in expected.items():
        status, out, err = called(["sessions", "keys", f"--{step}", str(store.keys)])
        assert (0, "", number + 1) == (status, err, len(secrets_of(store.keys)))
        assert out.startswith(f"{store.keys}: {number} key")
        assert done in out
        assert "\nNext: Give it to all machines" in out
        assert (old == secrets_of(store.keys)[0]) is (step == "add")
        # What was sealed by the step before is read, and what is sealed now was read by it.
        assert store.is_open(sealed[-1])
        sealed += store.open(ADA)
        assert store.is_open(sealed[-1], ring=rings[-1])
        assert all(store.is_open(identifier) for identifier in sealed)
        rings.append(ring_of(store.keys))
    (new, still) = secrets_of(store.keys)
    assert (users, True) == (still, new not in (old, users))
    assert 0o640 == stat.S_IMODE(store.keys.stat().st_mode)
    assert [store.keys] == list(store.keys.parent.iterdir())


OUT_OF_ORDER = [
    (["promote"], "there is no key to promote"),
    (["drop"], "there is one key, which seals"),
    (["add", "add"], "a key was added and does not seal yet"),
    (["add", "drop"], "a key was added and does not seal yet"),
    (["add", "promote", "promote"], "there is no key to promote"),
    (["add", "promote", "drop", "drop"], "there is one key, which seals"),
]


@pytest.mark.parametrize(("steps", "problem"), OUT_OF_ORDER, ids=["-".join(steps) for steps, _ in OUT_OF_ORDER])
def test_steps_out_of_order(steps: list[str], problem: str, keys: Path, called: Callable[..., Shown]):
    """A step that would end sessions, or undo another, is refused, and the file stays what it was."""
    *right, wrong = [["sessions", "keys", f"--{step}", str(keys)] for step in steps]
    assert all(0 == called(step)[0] for step in right)
    before = keys.read_bytes()
    status, out, err = called(wrong)
    assert (1, "", before, [keys]) == (status, out, keys.read_bytes(), list(keys.parent.iterdir()))
    assert f"ring.json stays as it is: {problem}" in err


def test_one_step_at_a_time(keys: Path, called: Callable[..., Shown]):
    """Between two steps all machines have to have the file."""
    status, _, err = called(["sessions", "keys", "--add", "--promote", str(keys)])
    assert (2, True) == (status, "One step at a time" in err)


def test_a_link_stays_one(keys: Path, called: Callable[..., Shown]):
    """Where the name is a link, what it leads to is rotated."""
    link = keys.with_name("link.json")
    link.symlink_to(keys)
    assert 0 == called(["sessions", "keys", "--add", str(link)])[0]
    assert link.is_symlink()
    assert 3 == len(secrets_of(keys))


def test_one_rotation_at_a_time(keys: Path, called: Callable[..., Shown]):
    """While a key ring is being rotated another rotation is refused: one would undo the other."""
    before = keys.read_bytes()
    other = keys.with_name("ring.json.new")
    other.touch()
    status, _, err = called(["sessions", "keys", "--add", str(keys)])
    assert (1, before, True) == (status, keys.read_bytes(), other.exists())
    assert "ring.json.new exists" in err


def test_a_rotation_that_fails(keys: Path, called: Callable[..., Shown], monkeypatch: pytest.MonkeyPatch):
    """A key ring that cannot be written, as on a full disk, stays what it was, and nothing is left beside it."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    before = keys.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    status, _, err = called(["sessions", "keys", "--add", str(keys)])
    assert (1, before, [keys]) == (status, keys.read_bytes(), list(keys.parent.iterdir()))
    assert "No space left on device" in err


def test_no_key_ring_to_rotate(tmp_path: Path, called: Callable[..., Shown]):
    """Where there is nothing to rotate nothing is made."""
    status, _, err = called(["sessions", "keys", "--add", str(tmp_path / "missing.json")])
    assert (1, []) == (status, list(tmp_path.iterdir()))
    assert "missing.json: No such file" in err


GOOD, SHORT = (_base64url.encode_text(secrets.token_bytes(size)) for size in (32, 31))
NO_RINGS = [
    ("", "it must be one JSON object"),
    (f"{GOOD}\n", "it must be one JSON object"),
    (f'["{GOOD}"]', "it must be one JSON object"),
    ("[" * 5000, "it must be one JSON object"),
    (json.dumps({"keys": [GOOD]}), "users is missing"),
    (json.dumps({"key": [GOOD], "users": GOOD}), "keys is missing"),
    (json.dumps({"keys": [GOOD], "users": GOOD, GOOD: 1}), "there is more in it"),
    (json.dumps({"keys": GOOD, "users": GOOD}), "keys must be a list"),
    (json.dumps({"keys": [], "users": GOOD}), "keys must be a list"),
    (json.dumps({"keys": [GOOD, SHORT], "users": GOOD}), "number 2 of keys must be 32 bytes"),
    (json.dumps({"keys": [GOOD, 7], "users": GOOD}), "number 2 of keys must be 32 bytes"),
    (json.dumps({"keys": [GOOD], "users": f"{GOOD}="}), "users must be 32 bytes in base64url without padding"),
    (json.dumps({"keys": [GOOD], "users": f"+{GOOD[1:]}"}), "users must be 32 bytes"),
]


@pytest.mark.parametrize(("content", "problem"), NO_RINGS, ids=range(len(NO_RINGS)))
@pytest.mark.parametrize("command", ["list", "keys"])
def test_a_file_that_is_no_key_ring(
    command: str, content: str, problem: str, tmp_path: Path, called: Callable[..., Shown]
):
    """What is wrong with a file is said, its name is, and nothing of its content; it is left as it is."""
    file = tmp_path / "ring.json"
    file.write_text(content)
    reading = ["list", "--store", "redis://127.0.0.1:1", "--keys", str(file), TENANT, CLIENT, ADA]
    status, out, err = called(["sessions", *(reading if command == "list" else ["keys", "--add", str(file)])])
    assert (1, "", content) == (status, out, file.read_text())
    assert f"ring.json is no key ring: {problem}" in err
    assert [] == lines_with([GOOD, GOOD[1:], SHORT], err)


@pytest.mark.parametrize(("name", "status", "problem"), [("missing", 2, "does not exist"), (".", 2, "is a directory")])
def test_no_file(name: str, status: int, problem: str, tmp_path: Path, called: Callable[..., Shown]):
    """A key ring that is not there is wrong usage."""
    named = ["--store", "redis://127.0.0.1:1", "--keys", str(tmp_path / name)]
    ended = called(["sessions", "list", *named, TENANT, CLIENT, ADA])
    assert (status, "") == ended[:2]
    assert problem in ended[2]


def test_a_file_that_is_no_text(tmp_path: Path, called: Callable[..., Shown]):
    """Bytes that are no text are said to be none."""
    file = tmp_path / "ring.json"
    file.write_bytes(b"\xff" * 64)
    status, _, err = called(["sessions", "keys", "--add", str(file)])
    assert 1 == status
    assert "ring.json: it is not text" in err


def test_no_secret_is_printed(store: Store, called: Callable[..., Shown]):
    """Whatever is done, and whatever goes wrong, no key, token, identifier or password is on the screen."""
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
        store.arguments("close", "nobody", "--yes"),
    ]
    shown = "\n".join("\n".join(map(str, called(command))) for command in commands)
    store.server.kill()
    shown += "\n".join(map(str, called(store.arguments("list"))))
    kept = [*secrets_of(store.keys), *identifiers, PASSWORD, "the-access-token", "the-refresh-token"]
    assert "2 sessions" in shown
    assert "AuthenticationError" in shown
    assert [] == lines_with(kept, shown)
    assert [] == lines_with([identifier[:43] for identifier in identifiers], shown)
