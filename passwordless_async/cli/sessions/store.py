"""The store of a command: its URL's environment variable, and the library that it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from passwordless_async._common.secret import conceal

if TYPE_CHECKING:
    from passwordless_async.stores import KeyRing
    from passwordless_async.stores.redis import RedisStore

STORE = "PASSWORDLESS_ASYNC_STORE"  # environment variable: a URL with a password does not belong on a command line


def redis_store(url: str, *, keys: KeyRing, prefix: str) -> RedisStore:
    """Return a store; the arguments are those of ``RedisStore``.

    Raises:
        click.ClickException: The Redis client, an extra of its own, is not installed.
    """
    url = conceal(url)
    try:
        from passwordless_async.stores.redis import RedisStore  # noqa: PLC0415 - only this command needs the extra
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "redis":
            raise
    else:
        return RedisStore(url, keys=keys, prefix=prefix)
    raise click.ClickException("The store needs its library: pip install 'passwordless-async[redis]'.")
