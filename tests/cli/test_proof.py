"""``keygen`` and ``proof``: files closed to others, proofs that pass, and clear words where something is wrong."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

import pytest

from passwordless_async import DPoPKey, DPoPVerifier, MemoryReplayStore

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "an-access-token"


def thumbprint_of(path: Path) -> str:
    return DPoPKey.from_pem(path.read_bytes()).thumbprint


@pytest.fixture
def key_file(program: Any, tmp_path: Path) -> Path:
    """Make a key by the program."""
    path = tmp_path / "k.pem"
    assert program("keygen", "--out", str(path)).returncode == 0
    return path


def test_a_key_file_is_its_owners_alone(program: Any, tmp_path: Path) -> None:
    """It is made with mode 0600 and holds a key whose thumbprint is printed, and nothing else is."""
    path = tmp_path / "k.pem"
    done = program("keygen", "--out", str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (done.stdout, done.stderr, done.returncode) == (f"{thumbprint_of(path)}\n", "", 0)


def test_a_file_is_never_overwritten(program: Any, key_file: Path) -> None:
    """Another key in the same place would be the end of all sessions of the first."""
    before = key_file.read_bytes()
    done = program("keygen", "--out", str(key_file))
    assert (done.returncode, key_file.read_bytes()) == (1, before)
    assert "File exists" in done.stderr


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """Write an access token as an editor does, with a line break."""
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


async def test_a_proof_passes(program: Any, key_file: Path, token_file: Path) -> None:
    """What the program prints is accepted by the verifier, with token and nonce, once."""
    url = "https://api.example/me?page=2"
    arguments = ["--key", str(key_file), "--method", "GET", "--url", url, "--access-token-file", str(token_file)]
    done = program("proof", *arguments, "--nonce", "n-1")
    assert (done.returncode, done.stderr) == (0, "")
    verifier = DPoPVerifier(replay=MemoryReplayStore(), base_url="https://api.example")
    jkt = thumbprint_of(key_file)
    fields = {"DPoP": done.stdout.strip()}
    proof = await verifier.verify("GET", url, fields, confirmation={"jkt": jkt}, access_token=TOKEN)
    assert (proof.thumbprint, proof.nonce) == (jkt, "n-1")


def test_an_encrypted_key(program: Any, tmp_path: Path) -> None:
    """The password comes from the environment, and without the right one the key does not open."""
    path, name = tmp_path / "k.pem", "PASSWORDLESS_ASYNC_KEY_PASSWORD"
    assert program("keygen", "--out", str(path), "--encrypt", **{name: "correct"}).returncode == 0
    assert b"ENCRYPTED" in path.read_bytes()
    arguments = ["proof", "--key", str(path), "--method", "GET", "--url", "https://api.example/"]
    assert program(*arguments, **{name: "correct"}).returncode == 0
    refused = program(*arguments, **{name: "incorrect"})
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
def test_what_is_wrong_is_said_in_a_line(
    program: Any, key_file: Path, changes: dict[str, str], status: int, words: str
) -> None:
    """The option is named, the status is click's, and there is no traceback."""
    options = {"--key": str(key_file), "--method": "GET", "--url": "https://api.example/", **changes}
    done = program("proof", *(part for pair in options.items() for part in pair))
    assert (done.returncode, done.stdout) == (status, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "PRIVATE" not in done.stderr
