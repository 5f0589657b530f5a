"""The store that a command works on: where its URL comes from, and the library that it needs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from passwordless_async._common.secret import conceal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from passwordless_async.stores import KeyRing
    from passwordless_async.stores.redis import RedisStore

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


def redis_store(url: str, *, keys: KeyRing, prefix: str) -> RedisStore:
    """Return a store; the arguments are its own."""
    url = conceal(url)
    with library():
        # Here and not at the top: its library is an extra of its own.
        from passwordless_async.stores.redis import RedisStore  # noqa: PLC0415

        return RedisStore(url, keys=keys, prefix=prefix)
