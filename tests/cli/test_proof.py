"""``keygen`` and ``proof``: private files, proofs that pass, and clear errors."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import attrs
import pytest

from passwordless_async import DPoPKey, DPoPVerifier, MemoryReplayStore
from passwordless_async.cli.app import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOKEN = "an-access-token"


def thumbprint_of(path: Path) -> str:
    return DPoPKey.from_pem(path.read_bytes()).thumbprint


@attrs.frozen
class Ended:
    """The end of a command."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def called(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Return a function that runs a command in this process, with more in its environment."""

    def call(*arguments: str, **environment: str) -> Ended:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return Ended(run(list(arguments)), *capsys.readouterr())

    return call


@pytest.fixture
def key_file(called: Callable[..., Ended], tmp_path: Path) -> Path:
    """Make a key with the command."""
    path = tmp_path / "k.pem"
    assert called("keygen", "--out", str(path)).returncode == 0
    return path


def test_a_key_file_is_private(called: Callable[..., Ended], tmp_path: Path) -> None:
    """The file has mode 0600; the thumbprint of its key is printed, and nothing else."""
    path = tmp_path / "k.pem"
    done = called("keygen", "--out", str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (done.stdout, done.stderr, done.returncode) == (f"{thumbprint_of(path)}\n", "", 0)


def test_a_file_is_never_overwritten(called: Callable[..., Ended], key_file: Path) -> None:
    """An existing key stays: overwriting it would end all sessions that are bound to it."""
    before = key_file.read_bytes()
    done = called("keygen", "--out", str(key_file))
    assert (done.returncode, key_file.read_bytes()) == (1, before)
    assert "File exists" in done.stderr


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """Write an access token as an editor does, with a line break."""
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


async def test_a_proof_passes(called: Callable[..., Ended], key_file: Path, token_file: Path) -> None:
    """The verifier accepts the printed proof, with token and nonce."""
    url = "https://api.example/me?page=2"
    arguments = ["--key", str(key_file), "--method", "GET", "--url", url, "--access-token-file", str(token_file)]
    done = called("proof", *arguments, "--nonce", "n-1")
    assert (done.returncode, done.stderr) == (0, "")
    verifier = DPoPVerifier(replay=MemoryReplayStore(), base_url="https://api.example")
    jkt = thumbprint_of(key_file)
    fields = {"DPoP": done.stdout.strip()}
    proof = await verifier.verify("GET", url, fields, confirmation={"jkt": jkt}, access_token=TOKEN)
    assert (proof.thumbprint, proof.nonce) == (jkt, "n-1")


def test_an_encrypted_key_needs_its_password(called: Callable[..., Ended], tmp_path: Path) -> None:
    """The password comes from the environment; a wrong one does not open the key."""
    path, name = tmp_path / "k.pem", "PASSWORDLESS_ASYNC_KEY_PASSWORD"
    assert called("keygen", "--out", str(path), "--encrypt", **{name: "correct"}).returncode == 0
    assert b"ENCRYPTED" in path.read_bytes()
    arguments = ["proof", "--key", str(path), "--method", "GET", "--url", "https://api.example/"]
    assert called(*arguments, **{name: "correct"}).returncode == 0
    refused = called(*arguments, **{name: "incorrect"})
    assert refused.returncode == 2
    assert "the password does not open it" in refused.stderr
    assert "incorrect" not in refused.stderr


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"--key": "missing.pem"}, 1, "No such file"),
        ({"--key": "/dev/null"}, 2, "--key"),
        ({"--method": "G E T"}, 2, "--method"),
        ({"--url": "api.example/me"}, 2, "--url"),
        ({"--url": "ftp://api.example/"}, 2, "--url"),
        ({"--access-token-file": "missing"}, 1, "No such file"),
        ({"--access-token-file": "/dev/null"}, 2, "--access-token-file"),
        ({"--access-token-file": "/dev/zero"}, 1, "it is the wrong file"),
    ],
)
def test_an_error_names_the_option(
    called: Callable[..., Ended], key_file: Path, changes: dict[str, str], status: int, words: str
) -> None:
    """The error names the option, and shows no traceback and no key."""
    options = {"--key": str(key_file), "--method": "GET", "--url": "https://api.example/", **changes}
    done = called("proof", *(part for pair in options.items() for part in pair))
    assert (done.returncode, done.stdout) == (status, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "PRIVATE" not in done.stderr
