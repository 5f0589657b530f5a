"""The store of a command: its URL, its library, and a store that is unreachable."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

from helpers.stored_sessions import ADA, Shown, Store


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
