"""``login``: one person with a real tenant, what is shown and what never is."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from helpers.people import Person, Typist
from passwordless_async import DPoPKey, Email, Phone
from passwordless_async.cli.app import run
from passwordless_async.testing import BOUND_API, PLAIN_API, STRICT_API, Fault

if TYPE_CHECKING:
    from passwordless_async.testing import LocalTenant

Login = Callable[..., tuple[int, str, str]]
Confidential = Callable[[str], tuple[int, str]]

ADA = Email("ada@example.com")
GRACE = Phone("+4930901820")


@pytest.fixture
def login(tenant: LocalTenant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Login:
    """Return a function that logs a user in at the tenant: the status, and what was printed."""

    def log_in(
        *arguments: str, who: Email | Phone = ADA, change: Callable[[str], str] = str, client_id: str | None = None
    ) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", person := Person(tenant, who, change))
        named = ("--email", who.address) if isinstance(who, Email) else ("--phone", who.number)
        client = client_id or tenant.public_client_id
        status = run(["login", "--domain", tenant.url, "--client-id", client, *named, *arguments])
        out, err = capsys.readouterr()
        assert not person.code or person.code not in out + err.replace(ADA.address, "")
        return status, out, err

    return log_in


def _shown(out: str) -> dict[str, str]:
    return dict(re.findall(r"^ +(\S.*?) {2,}(\S.*?) *$", out, re.MULTILINE))


def test_claims_and_binding(login: Login, tenant: LocalTenant) -> None:
    """The claims and the binding are shown; the code and the tokens are not."""
    status, out, err = login("--scope", "openid email offline_access", "--audience", "https://api.example")
    assert (status, err) == (0, f"A code was sent to {ADA.address}. Code: ")
    shown = _shown(out)
    assert (ADA.address, "true", tenant.issuer) == (shown["email"], shown["email_verified"], shown["iss"])
    assert (
        shown["token type"],
        shown["scope"],
        shown["refresh token"],
    ) == ("DPoP", "openid email offline_access", "yes")
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", shown["bound to key"])
    assert re.fullmatch(r"86,\d{3} seconds, at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", shown["expires in"])
    assert "eyJ" not in out
    assert tenant.requests.to("/oauth/token")[-1].form["audience"] == "https://api.example"


def test_tokens_when_asked_for(login: Login) -> None:
    """``--show-tokens`` prints each token in full on a line of its own."""
    status, out, _ = login("--scope", "openid offline_access", "--show-tokens")
    assert status == 0
    tokens = dict(re.findall(r"^(\w+_token): (\S+)$", out, re.MULTILINE))
    assert list(tokens) == ["access_token", "refresh_token", "id_token"]
    assert re.fullmatch(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", tokens["id_token"])


def test_without_openid(login: Login) -> None:
    """Without an ID token there are no claims, and the binding is shown nevertheless."""
    status, out, _ = login("--scope", "read:things", "--show-tokens", who=GRACE)
    assert status == 0
    assert "Claims" not in out
    assert _shown(out)["token type"] == "DPoP"
    assert re.findall(r"^(\w+_token): ", out, re.MULTILINE) == ["access_token"]


@pytest.mark.parametrize(
    ("dpop", "audience", "is_bound"),
    [
        ("required", BOUND_API, True),
        ("required", STRICT_API, True),
        ("preferred", BOUND_API, True),
        ("preferred", PLAIN_API, False),
        ("off", BOUND_API, False),
        ("off", PLAIN_API, False),
    ],
)
def test_each_mode_shows_the_binding_and_a_call(dpop: str, audience: str, *, is_bound: bool, login: Login) -> None:
    """Whether the tokens are bound, and an example of a call: with a proof, or as Bearer."""
    status, out, _ = login("--dpop", dpop, "--audience", audience)
    assert status == 0
    shown = _shown(out)
    assert shown["token type"] == ("DPoP" if is_bound else "Bearer")
    assert shown["bound to key"].startswith("no:") is not is_bound
    assert (f'curl {audience} -H "Authorization: DPoP $(cat access-token)"' in out) is is_bound
    assert (f'curl {audience} -H "Authorization: Bearer $(cat access-token)"' in out) is not is_bound
    assert ("passwordless-async proof --key key.pem" in out) is is_bound
    assert ("The key of this login was not saved" in out) is is_bound


@pytest.mark.parametrize(("dpop", "audience", "code"), [("required", PLAIN_API, 1), ("off", STRICT_API, 1)])
def test_a_mode_that_does_not_fit_the_api(dpop: str, audience: str, code: int, login: Login) -> None:
    """One line says which option to change."""
    status, out, err = login("--dpop", dpop, "--audience", audience)
    assert (status, out) == (code, "")
    assert "Use --dpop preferred" in err.splitlines()[-1]


def test_a_key_of_ones_own(login: Login, tenant: LocalTenant, tmp_path: Path) -> None:
    """The tokens are bound to the key of a file, so that the call which is shown can be made."""
    key = DPoPKey.generate()
    path = tmp_path / "my key.pem"
    path.write_bytes(key.to_pem(None))
    status, out, _ = login("--key", str(path), "--show-tokens")
    assert (status, _shown(out)["bound to key"]) == (0, key.thumbprint)
    assert "is gone" not in out
    assert f"curl {tenant.url}/userinfo" in out
    assert f"proof --key '{path}' --method GET --url {tenant.url}/userinfo" in out


@pytest.mark.parametrize(
    ("more", "status", "message"),
    [
        (["--key", "FILE", "--dpop", "off"], 2, "--key: with --dpop off no key is used"),
        (["--key", "/nowhere/key.pem"], 1, "Error: /nowhere/key.pem cannot be read: No such file or directory."),
        (["--key", str(Path(__file__).with_name("test_caller.py"))], 2, "--key: is not a private key in PEM form"),
        (["--dpop", "maybe"], 2, "'maybe' is not one of 'required', 'preferred', 'off'"),
    ],
)
def test_a_wrong_key_or_mode(more: list[str], status: int, message: str, login: Login, tenant: LocalTenant) -> None:
    """Each is refused before a code is sent."""
    ended, out, err = login(*more)
    assert (ended, out, tenant.stats.start_requests) == (status, "", 0)
    assert message in err


def other(code: str) -> str:
    """Return a code that is wrong."""
    return str((int(code) + 1) % 10**6).zfill(6)


def test_a_wrong_code_is_asked_for_again(
    tenant: LocalTenant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As long as it has attempts left, which are told; what is no code, and the same again, is not sent."""
    right = partial(tenant.outbox.code_for, ADA)
    answers = ("12é", lambda: other(right()), lambda: other(right()), lambda: other(other(right())), right)
    monkeypatch.setattr(sys, "stdin", typist := Typist(*answers))
    named = ("--domain", tenant.url, "--client-id", tenant.public_client_id, "--email", ADA.address)
    assert run(["login", *named]) == 0
    out, err = capsys.readouterr()
    assert (typist.left, "Binding" in out) == (0, True)
    assert err == (
        f"A code was sent to {ADA.address}. Code: That is not a code: it must be visible ASCII characters, without"
        " spaces. Code: Wrong code. Attempts left: 2. Code: Wrong code. Attempts left: 2. Code: Wrong code."
        " Attempts left: 1. Code: "
    )
    assert len([each for each in tenant.requests.to("/oauth/token") if each.status == 403]) == 2


def test_a_code_without_attempts(
    tenant: LocalTenant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the third failure the login ends: one line with the server's words and what to do, and status 1."""
    codes = [str(number) * 6 for number in range(1, 6)]
    monkeypatch.setattr(sys, "stdin", typist := Typist(*codes))
    named = ("--domain", tenant.url, "--client-id", tenant.public_client_id, "--email", ADA.address)
    assert run(["login", *named]) == 1
    out, err = capsys.readouterr()
    assert (typist.left, out) == (2, "")
    assert re.search(
        r"Wrong code. Attempts left: 1. Code: Error: .*maximum number of attempts. .* Start again, or .*\.\n$", err
    )


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        pytest.param(
            Fault.RATE_LIMITED_RETRY_AFTER,
            r"too_many_requests \(429\): .*\. Wait 1 s, then try again\.",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            Fault.RATE_LIMITED_SILENT,
            r"too_many_requests \(429\): .*\. Wait a while, then try again\.",
            marks=pytest.mark.slow,
        ),
        (Fault.VERIFICATION_REQUIRED, r"requires_verification \(401\).*\. The tenant demands a captcha, .*\."),
        (Fault.GARBAGE_JSON, r"the answer is no receipt \(status 200\)\. .+\."),
        (Fault.DROP_BEFORE_READ, r".+ \(.+\)\. .+\."),
    ],
)
def test_a_start_that_fails(fault: Fault, line: str, login: Login, tenant: LocalTenant) -> None:
    """What stops the code from being sent is one line, and no code is asked for."""
    tenant.faults.add(fault, path="/passwordless/start")
    status, out, err = login()
    assert (status, out) == (1, "")
    assert re.fullmatch(f"Error: {line}\n", err)


def test_an_exchange_that_fails(login: Login, tenant: LocalTenant) -> None:
    """An answer that must not be trusted is one line."""
    tenant.faults.add(Fault.BEARER_TOKEN)
    status, out, err = login()
    assert (status, out) == (1, "")
    assert re.search(r"Error: a proof was sent, but .*; the tokens were discarded\.\n$", err)


@pytest.mark.parametrize("typed", ["\n", "  \n", ""])
def test_no_code(typed: str, login: Login, monkeypatch: pytest.MonkeyPatch, tenant: LocalTenant) -> None:
    """Nothing typed is one line, and nothing is exchanged."""
    monkeypatch.setattr(Person, "readline", lambda _person: typed)
    status, _, err = login()
    assert status == 1
    assert err.endswith("Error: No code was given.\n")
    assert tenant.requests.to("/oauth/token") == []


@pytest.mark.parametrize("stdin", ["123456\n", ""])
def test_without_a_terminal(stdin: str, program: Callable[..., Any], tenant: LocalTenant) -> None:
    """Where standard input is no terminal, no code is sent: nothing could be typed."""
    named = ("--domain", tenant.url, "--client-id", tenant.public_client_id, "--email", ADA.address)
    ended = program("login", *named, "--json", stdin=stdin)
    assert (ended.returncode, ended.stdout, tenant.stats.wire_requests) == (2, "", 0)
    assert ended.stderr.splitlines()[-1] == "Error: There is no terminal to type the code on."


@pytest.mark.parametrize("more", [(), ("--show-tokens",)])
def test_as_json(more: tuple[str, ...], login: Login, tenant: LocalTenant) -> None:
    """One object on a line, with tokens only if they are asked for; the question is not in it."""
    status, out, err = login("--json", "--scope", "openid offline_access", "--audience", BOUND_API, *more)
    assert (status, err, out.count("\n")) == (0, f"A code was sent to {ADA.address}. Code: ", 1)
    shown = json.loads(out)
    tokens = shown.pop("tokens", None)
    assert shown.pop("claims")["iss"] == tenant.issuer
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", shown.pop("jkt"))
    assert isinstance(shown.pop("expires_at"), int)
    assert shown == {
        "issuer": tenant.issuer,
        "token_type": "DPoP",
        "scope": "openid offline_access",
        "audience": BOUND_API,
        "has_refresh_token": True,
    }
    assert ("eyJ" in out) is bool(more)
    assert (tokens is None) is not bool(more)
    assert tokens is None or (list(tokens) == ["access_token", "refresh_token", "id_token"] and all(tokens.values()))


def test_as_json_without_a_key(login: Login) -> None:
    """Tokens that are not bound have no thumbprint."""
    shown = json.loads(login("--json", "--dpop", "off", "--scope", "read:things", "--audience", PLAIN_API)[1])
    assert (shown["token_type"], shown["jkt"], shown["claims"]) == ("Bearer", None, None)


def test_a_failure_as_json(login: Login, tenant: LocalTenant) -> None:
    """A failure is one line on standard error, and nothing on standard output."""
    tenant.faults.add(Fault.BEARER_TOKEN)
    assert login("--json")[:2] == (1, "")


def test_spaces_around_the_code(login: Login) -> None:
    """Spaces that a code was copied with do not count."""
    assert login(change=lambda code: f"  {code} ")[0] == 0


class TestClientSecret:
    """Where the secret of a confidential application comes from."""

    @pytest.fixture
    def confidential(self, tenant: LocalTenant, login: Login) -> Confidential:
        client_id, secret = tenant.confidential_client

        def log_in(source: str) -> tuple[int, str]:
            status, out, err = login("--client-secret-from", source, client_id=client_id)
            assert secret not in out + err
            return status, err

        return log_in

    def test_environment(
        self, confidential: Confidential, tenant: LocalTenant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """``env:NAME`` reads the variable."""
        monkeypatch.setenv("THE_SECRET", tenant.confidential_client.secret)
        assert confidential("env:THE_SECRET")[0] == 0

    @pytest.mark.parametrize("end", ["", "\n", "\r\n"])
    def test_file(self, end: str, confidential: Confidential, tenant: LocalTenant, tmp_path: Path) -> None:
        """``file:PATH`` reads the file; a line break at its end is not part of the secret."""
        path = tmp_path / "secret"
        path.write_bytes((tenant.confidential_client.secret + end).encode())
        assert confidential(f"file:{path}")[0] == 0

    def test_wrong_secret(self, confidential: Confidential, monkeypatch: pytest.MonkeyPatch) -> None:
        """A secret that is refused is not repeated."""
        monkeypatch.setenv("THE_SECRET", "not-the-secret")
        status, err = confidential("env:THE_SECRET")
        assert status == 1
        assert re.fullmatch(r"Error: invalid_client \(401\): .* Check --client-id, and --client-auth with .*\.\n", err)
        assert "not-the-secret" not in err

    @pytest.mark.parametrize(
        ("content", "line"),
        [
            (None, "cannot be read from .*: No such file or directory."),
            (b"\xff\xfe", "cannot be read from .*: it is not text."),
            (b"", None),
            (b"x" * 10_000, None),
        ],
    )
    def test_bad_files(
        self,
        content: bytes | None,
        line: str | None,
        confidential: Confidential,
        tmp_path: Path,
        tenant: LocalTenant,
    ) -> None:
        """A file that holds no secret is named, and nothing is sent."""
        path = tmp_path / "secret"
        if content is not None:
            path.write_bytes(content)
        status, err = confidential(f"file:{path}")
        if line is None:
            assert status == 2
            assert "Invalid value for the client secret: must " in err
        else:
            assert status == 1
            assert re.search(line, err.replace("\n", " "))
        assert tenant.stats.wire_requests == 0

    def test_unset_variable(self, confidential: Confidential, monkeypatch: pytest.MonkeyPatch) -> None:
        """A variable that is not set is named."""
        monkeypatch.delenv("THE_SECRET", raising=False)
        assert confidential("env:THE_SECRET") == (1, "Error: The environment variable THE_SECRET is not set.\n")


def test_in_a_terminal(terminal: Callable[..., Any], tenant: LocalTenant) -> None:
    """A person types the client secret unseen and the code in the open."""
    client_id, secret = tenant.confidential_client
    screen = terminal(
        *("login", "--domain", tenant.url, "--client-id", client_id),
        *("--email", ADA.address, "--client-secret-from", "prompt"),
    )
    screen.until("Client secret: ")
    screen.type(f"{secret}\n")
    screen.until("Code: ")
    screen.type(f"{tenant.outbox.code_for(ADA)}\n")
    assert screen.end() == 0
    assert "Binding" in screen.shown
    assert secret not in screen.shown


@pytest.mark.parametrize("question", ["Client secret: ", "Code: "])
def test_ctrl_c_at_a_prompt(question: str, terminal: Callable[..., Any], tenant: LocalTenant) -> None:
    """Ctrl-C at a prompt ends it with status 130 and no traceback."""
    client_id, secret = tenant.confidential_client
    screen = terminal(
        *("login", "--domain", tenant.url, "--client-id", client_id),
        *("--email", ADA.address, "--client-secret-from", "prompt"),
    )
    screen.until("Client secret: ")
    if question == "Code: ":
        screen.type(f"{secret}\n")
        screen.until(question)
    assert screen.end(pressing="\x03") == 130
    assert "Traceback" not in screen.shown
    assert "Error" not in screen.shown


def test_end_of_input_at_the_secret(terminal: Callable[..., Any], tenant: LocalTenant) -> None:
    """Ctrl-D at the prompt for the secret ends it, too."""
    screen = terminal(
        *("login", "--domain", tenant.url, "--client-id", "x"),
        *("--email", ADA.address, "--client-secret-from", "prompt"),
    )
    screen.until("Client secret: ")
    assert screen.end(pressing="\x04") != 0
    assert "Traceback" not in screen.shown
