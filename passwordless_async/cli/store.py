"""The store that a command works on: where its URL comes from, and the library that it needs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

STORE = "PASSWORDLESS_ASYNC_STORE"  # the environment's name for it: a URL may hold a password


@contextmanager
def library() -> Iterator[None]:
    """Say what to install where the client of the store is not: it is an extra of its own."""
    try:
        yield
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "redis":
            raise
    else:
        return
    raise click.ClickException("The store needs its library: pip install 'passwordless-async[redis]'.")
