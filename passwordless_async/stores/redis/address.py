"""The address of a server: a URL with its host, with its sentinels, or with nodes of a cluster.

.. code-block:: text

    redis://[user:password@]host:port[/db]                   one server; rediss:// by TLS, unix:// by a socket
    redis+sentinel://[user:password@]host:port,…/name[/db]   the primary of that name, as the sentinels know it
    redis+cluster://[user:password@]host:port,…              a cluster, by some of its nodes
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.sentinel import Sentinel

from passwordless_async._common.secret import Secret, conceal
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


_Addresses: TypeAlias = list[tuple[str, int]]

_FORM = "must be redis://, rediss://, unix://, redis+sentinel://hosts/name or redis+cluster://hosts"
_SENTINEL_SECONDS = 1.0  # for a sentinel to answer, before the next is asked
# With version 3 the client does not look whether the server has closed a connection that was idle (redis-py 8.1): the
# next call, such as the first of the morning, would fail.
_PROTOCOL = 2
_MAX_PORT = 65535
_PORT = re.compile("[0-9]{1,5}")
_DATABASE = re.compile("[0-9]{0,9}")


def connect(url: Secret) -> tuple[Redis | RedisCluster, Sequence[Any]]:
    """Return a client for a URL of one of the forms above, and all that must be closed in the end."""
    scheme, rest = _split(url, "://")
    server, kind = _split(scheme, "+")
    if server not in {"redis", "rediss"} or kind not in {"sentinel", "cluster"}:
        return _one(url)
    # In a malformed URL the password may be in any part: each is a secret.
    credentials, place = _split(rest, "@", last=True)
    hosts, path = _split(place, "/")
    addresses = [_address(host) for host in map(conceal, hosts.split(","))]
    options = _options(credentials, tls=server == "rediss")
    if kind == "cluster":
        return _cluster(addresses, path, options)
    return _by_sentinels(addresses, path, options)


def _options(credentials: Secret, *, tls: bool) -> dict[str, Any]:
    user, password = _split(credentials, ":")
    options = {"username": conceal(unquote(user)) or None, "password": conceal(unquote(password)) or None}
    return {**options, "protocol": _PROTOCOL, **({"ssl": True} if tls else {})}


def _split(text: Secret, separator: str, *, last: bool = False) -> tuple[Secret, Secret]:
    before, _, after = text.rpartition(separator) if last else text.partition(separator)
    return conceal(before), conceal(after)


def _one(url: Secret) -> tuple[Redis, Sequence[Any]]:
    client: Redis | None
    try:
        # No retries: a command that is sent again may be done twice. A failure is the caller's to repeat.
        client = Redis.from_url(url, protocol=_PROTOCOL, retry=None, retry_on_error=[])
        # Otherwise an unknown option in the URL would fail later, as if the server did not answer.
        client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    except Exception:  # noqa: BLE001 - the client's messages, of any type, may hold the password
        client = None
    if client is None:
        raise UsageError("redis", _FORM)
    return client, [client]


def _cluster(addresses: _Addresses, path: Secret, options: dict[str, Any]) -> tuple[RedisCluster, Sequence[Any]]:
    if path:
        raise UsageError("redis", "a cluster has no databases: nothing may follow its hosts")
    client = RedisCluster(startup_nodes=[ClusterNode(*address) for address in addresses], **options)
    return client, [client]


def _by_sentinels(addresses: _Addresses, path: Secret, options: dict[str, Any]) -> tuple[Redis, Sequence[Any]]:
    name, database = _split(path, "/")
    if not name or "?" in name or not _DATABASE.fullmatch(database):
        raise UsageError("redis", _FORM)
    sentinel_options: dict[str, Any] = {
        "socket_timeout": _SENTINEL_SECONDS,
        "socket_connect_timeout": _SENTINEL_SECONDS,
        # Without TLS to the sentinels an attacker could name another primary.
        **({"ssl": True} if "ssl" in options else {}),
    }
    sentinel = Sentinel(addresses, sentinel_kwargs=sentinel_options)  # type: ignore[no-untyped-call]
    client = sentinel.master_for(unquote(name), db=int(database or 0), retry=None, retry_on_error=[], **options)
    return client, [client, *sentinel.sentinels]


def _address(host: Secret) -> tuple[str, int]:
    name, port = _split(host, ":", last=True)
    if not name or not _PORT.fullmatch(port) or not 0 < int(port) <= _MAX_PORT:
        raise UsageError("redis", "each host must have its port: host:port,host:port")
    return conceal(name.removeprefix("[").removesuffix("]")), int(port)
