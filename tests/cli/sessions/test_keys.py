"""``sessions keys``: the key ring's file and its rotation."""

from __future__ import annotations

import json
import os
import secrets
import stat
from typing import TYPE_CHECKING

import pytest

from helpers.leaks import lines_with
from passwordless_async._common import base64url as _base64url

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

from helpers.stored_sessions import ADA, APPLICATION, Shown, Store, ring_of, secrets_of


def test_a_new_key_ring_is_private(tmp_path: Path, called: Callable[..., Shown]) -> None:
    """Only its owner can read the file, its keys are new each time, and none of them is printed."""
    files = [tmp_path / "one.json", tmp_path / "two.json"]
    shown = [called(["sessions", "keys", str(file)]) for file in files]
    assert all(
        (status, out.startswith(f"{file}: 1 key, the first is new\nNext: "), err) == (0, True, "")
        for file, (status, out, err) in zip(files, shown, strict=True)
    )
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert len({key for file in files for key in secrets_of(file)}) == 4
    assert repr(ring_of(files[0])) == "<KeyRing of 1 keys>"


def test_a_key_ring_is_never_overwritten(keys: Path, called: Callable[..., Shown]) -> None:
    """An existing key ring stays: overwriting it would end all sessions that it sealed."""
    before = keys.read_bytes()
    status, _, err = called(["sessions", "keys", str(keys)])
    assert (status, keys.read_bytes()) == (1, before)
    assert f"{keys} exists and is unchanged" in err
    assert "--add" in err


def test_a_rotation_in_three_steps(store: Store, called: Callable[..., Shown]) -> None:
    """After three steps a new key seals and the old one is gone; machines a step apart read each other's sessions."""
    store.keys.chmod(0o640)
    (old, users), rings, sealed = secrets_of(store.keys), [ring_of(store.keys)], [store.open(ADA)[0]]
    expected = {
        "add": (2, "the second is new"),
        "promote": (2, "the added key is now the first"),
        "drop": (1, "the oldest was removed"),
    }
    for step, (number, done) in expected.items():
        status, out, err = called(["sessions", "keys", f"--{step}", str(store.keys)])
        assert (0, "", number + 1) == (status, err, len(secrets_of(store.keys)))
        assert out.startswith(f"{store.keys}: {number} key")
        assert done in out
        assert "\nNext: Copy the file to all machines" in out
        assert (old == secrets_of(store.keys)[0]) is (step == "add")
        # What was sealed by the step before is read, and what is sealed now was read by it.
        assert store.is_open(sealed[-1])
        sealed += store.open(ADA)
        assert store.is_open(sealed[-1], ring=rings[-1])
        assert all(store.is_open(identifier) for identifier in sealed)
        rings.append(ring_of(store.keys))
    (new, still) = secrets_of(store.keys)
    assert (still, new not in (old, users)) == (users, True)
    assert stat.S_IMODE(store.keys.stat().st_mode) == 0o640
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
def test_steps_out_of_order_are_refused(
    steps: list[str], problem: str, keys: Path, called: Callable[..., Shown]
) -> None:
    """A step that would end sessions, or undo another, is refused, and the file stays what it was."""
    *right, wrong = [["sessions", "keys", f"--{step}", str(keys)] for step in steps]
    assert all(called(step)[0] == 0 for step in right)
    before = keys.read_bytes()
    status, out, err = called(wrong)
    assert (status, out, keys.read_bytes(), list(keys.parent.iterdir())) == (1, "", before, [keys])
    assert f"ring.json is unchanged: {problem}" in err


def test_one_step_at_a_time(keys: Path, called: Callable[..., Shown]) -> None:
    """Two steps at once are refused: all machines need the file between them."""
    status, _, err = called(["sessions", "keys", "--add", "--promote", str(keys)])
    assert (status, "One step at a time" in err) == (2, True)


def test_a_link_stays_a_link(keys: Path, called: Callable[..., Shown]) -> None:
    """If the name is a symbolic link, its target is rotated."""
    link = keys.with_name("link.json")
    link.symlink_to(keys)
    assert called(["sessions", "keys", "--add", str(link)])[0] == 0
    assert link.is_symlink()
    assert len(secrets_of(keys)) == 3


def test_one_rotation_at_a_time(keys: Path, called: Callable[..., Shown]) -> None:
    """While a key ring is being rotated another rotation is refused: one would undo the other."""
    before = keys.read_bytes()
    other = keys.with_name("ring.json.new")
    other.touch()
    status, _, err = called(["sessions", "keys", "--add", str(keys)])
    assert (status, keys.read_bytes(), other.exists()) == (1, before, True)
    assert "ring.json.new exists" in err


def test_a_failed_rotation_changes_nothing(
    keys: Path, called: Callable[..., Shown], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed write, as on a full disk, the key ring is unchanged and no other file is left."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    before = keys.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    status, _, err = called(["sessions", "keys", "--add", str(keys)])
    assert (status, keys.read_bytes(), list(keys.parent.iterdir())) == (1, before, [keys])
    assert "No space left on device" in err


def test_a_missing_key_ring_is_not_made(tmp_path: Path, called: Callable[..., Shown]) -> None:
    """A rotation of a missing file makes none."""
    status, _, err = called(["sessions", "keys", "--add", str(tmp_path / "missing.json")])
    assert (status, list(tmp_path.iterdir())) == (1, [])
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
def test_another_file_is_refused(
    command: str, content: str, problem: str, tmp_path: Path, called: Callable[..., Shown]
) -> None:
    """The error names the file and its defect, and nothing of its content; the file is unchanged."""
    file = tmp_path / "ring.json"
    file.write_text(content)
    reading = ["list", "--store", "redis://127.0.0.1:1", "--keys", str(file), *APPLICATION, ADA]
    status, out, err = called(["sessions", *(reading if command == "list" else ["keys", "--add", str(file)])])
    assert (status, out, file.read_text()) == (1, "", content)
    assert f"ring.json is not a key ring: {problem}" in err
    assert lines_with([GOOD, GOOD[1:], SHORT], err) == []


def test_a_binary_file_is_refused(tmp_path: Path, called: Callable[..., Shown]) -> None:
    """A key ring is text."""
    file = tmp_path / "ring.json"
    file.write_bytes(b"\xff" * 64)
    status, _, err = called(["sessions", "keys", "--add", str(file)])
    assert status == 1
    assert "ring.json: it is not text" in err
