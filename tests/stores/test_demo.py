"""``demo --processes``: gateways on one store, what they prove, and what is said where there is no store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from passwordless_async.cli.demo.crowd import CHECKS


def demo(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "passwordless_async.cli", "demo", *arguments]
    return subprocess.run(  # noqa: S603 - our own code
        command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **environment}
    )


def test_four_processes_share_a_store(redis_server: Any):
    """Everything is proven, the figures are those of all processes, and all that is left in the store ends."""
    ended = demo("--users", "60", "--processes", "4", "--json", PASSWORDLESS_ASYNC_STORE=redis_server.url)
    assert (0, "") == (ended.returncode, ended.stderr)
    figures = json.loads(ended.stdout.splitlines()[-1])
    assert {check.name: True for check in CHECKS} == figures.pop("checks")
    assert (4, 60, 0, 0, 1) == tuple(
        figures[name] for name in ("processes", "logins", "failures", "answered_429", "nonce_challenges")
    )
    names = redis_server.ask("KEYS", "*")
    assert names
    assert all(name.startswith(b"pa-demo-") and redis_server.ask("PTTL", name) > 0 for name in names)


def test_tables(redis_url: str):
    """A person is shown two tables."""
    ended = demo("--users", "5", "--processes", "1", "--store", redis_url)
    assert (0, "") == (ended.returncode, ended.stderr)
    assert "5 users, 1 processes" in ended.stdout
    assert len(CHECKS) == ended.stdout.count(" yes")


@pytest.mark.parametrize(
    ("store", "status", "said"),
    [
        ("redis://:geheim@127.0.0.1:1/", 1, "does not answer"),
        ("http://geheim", 2, "Invalid value for --store"),
        ("", 2, "Invalid value for --store"),
    ],
)
def test_a_store_that_is_none(store: str, status: int, said: str):
    """What is wrong is said in one place, without the URL."""
    ended = demo("--users", "5", "--processes", "2", "--store", store)
    assert status == ended.returncode
    assert said in ended.stderr
    assert "geheim" not in ended.stdout + ended.stderr


def test_processes_without_a_store():
    """They would share nothing."""
    ended = demo("--processes", "2", PASSWORDLESS_ASYNC_STORE="")
    assert (2, "") == (ended.returncode, ended.stdout)
    assert "--processes needs a --store" in ended.stderr
