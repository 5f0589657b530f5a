"""Where a server is: a URL that names one, the sentinels that know it, or nodes of a cluster.

.. code-block:: text

    redis://[user:password@]host:port[/db]                   one server; rediss:// by TLS, unix:// by a socket
    redis+sentinel://[user:password@]host:port,…/name[/db]   the primary of that name, as the sentinels know it
    redis+cluster://[user:password@]host:port,…              a cluster, by some of its nodes
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.sentinel import Sentinel

from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_FORM = "must be redis://, rediss://, unix://, redis+sentinel://hosts/name or redis+cluster://hosts"
_SENTINEL_SECONDS = 1.0  # that a sentinel is given to answer, before the next is asked
_MAX_PORT = 65535


def connect(url: str) -> tuple[Redis | RedisCluster, Sequence[Any]]:
    """Return a client, and all that is to be closed in the end.

    Raises:
        UsageError: The URL is of no such form.
    """
    scheme, _, rest = url.partition("://")
    kind = scheme.removeprefix("rediss").removeprefix("redis")
    tls = scheme.startswith("rediss")
    if kind not in {"+sentinel", "+cluster"}:
        return _one(url)
    credentials, _, place = rest.rpartition("@")
    hosts, _, path = place.partition("/")
    addresses = [_address(host) for host in hosts.split(",")]
    options: dict[str, Any] = {"ssl": True} if tls else {}
    user, _, password = credentials.partition(":")
    options |= {"username": unquote(user) or None, "password": unquote(password) or None}
    if kind == "+cluster":
        return _cluster(addresses, path, options)
    return _watched(addresses, path, options)


def _one(url: str) -> tuple[Redis, Sequence[Any]]:
    try:
        # A command that is repeated might be done twice: what failed is the caller's to repeat.
        client = Redis.from_url(url, retry=None, retry_on_error=[])
    except ValueError:
        client = None
    if client is None:
        raise UsageError("redis", _FORM)
    return client, [client]


def _cluster(
    addresses: list[tuple[str, int]], path: str, options: dict[str, Any]
) -> tuple[RedisCluster, Sequence[Any]]:
    if path:
        raise UsageError("redis", "a cluster has no databases: nothing may follow its hosts")
    client = RedisCluster(startup_nodes=[ClusterNode(*address) for address in addresses], **options)
    return client, [client]


def _watched(addresses: list[tuple[str, int]], path: str, options: dict[str, Any]) -> tuple[Redis, Sequence[Any]]:
    name, _, database = path.partition("/")
    if not name or not (database.isdecimal() or not database):
        raise UsageError("redis", _FORM)
    of_sentinels = {"socket_timeout": _SENTINEL_SECONDS, "socket_connect_timeout": _SENTINEL_SECONDS}
    sentinel = Sentinel(addresses, sentinel_kwargs=of_sentinels)  # type: ignore[no-untyped-call]
    client = sentinel.master_for(unquote(name), db=int(database or 0), retry=None, retry_on_error=[], **options)
    return client, [client, *sentinel.sentinels]


def _address(host: str) -> tuple[str, int]:
    name, _, port = host.rpartition(":")
    if not name or not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) <= _MAX_PORT):
        raise UsageError("redis", "each host must have its port: host:port,host:port")
    return name.removeprefix("[").removesuffix("]"), int(port)
