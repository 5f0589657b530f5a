"""A store on a Redis server of its own, a key ring, and the program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from passwordless_async.cli.app import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

from helpers.stored_sessions import PASSWORD, Shown, Store


@pytest.fixture
def server(redis_server: Any) -> Any:
    """Return a server, running and empty, with a user who has a password."""
    redis_server.ask("ACL", "SETUSER", "operator", "on", f">{PASSWORD}", "~*", "+@all")
    return redis_server


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Make a key ring by the command."""
    file = tmp_path / "ring.json"
    assert run(["sessions", "keys", str(file)]) == 0
    return file


@pytest.fixture
def store(server: Any, keys: Path, capsys: pytest.CaptureFixture[str]) -> Store:
    """Return an empty store."""
    capsys.readouterr()
    return Store(server, keys)


@pytest.fixture
def called(capsys: pytest.CaptureFixture[str]) -> Callable[..., Shown]:
    """Return what calls the program, and returns its status and what it wrote on output and error."""

    def call(arguments: list[str]) -> Shown:
        return (run(arguments), *capsys.readouterr())

    return call
