"""The settings of the how-to page about Redis: a server takes them, and the library needs no more rights."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from redis.asyncio import Redis

from helpers.pages import DOCS, blocks_of
from helpers.redis_servers import RedisCluster, Refused
from passwordless_async import (
    INTERACTIVE,
    Email,
    InvalidSession,
    KeyRing,
    PasswordlessClient,
    StoredSession,
    StoreUnavailable,
    WrongCode,
    events,
)
from passwordless_async.stores.redis import RedisReplayStore, RedisStore
from passwordless_async.testing import LocalTenant, ThrowAwayCa

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

ADA = Email("ada@example.com")
RING = KeyRing(secrets.token_bytes(32), users=secrets.token_bytes(32))
SETTINGS = next(block.text for block in blocks_of(DOCS / "how-to" / "redis.md") if block.detail == "redis.conf")
USER = next(line.removeprefix("user ") for line in SETTINGS.splitlines() if line.startswith("user app"))


@asynccontextmanager
async def logged_in(url: str) -> AsyncIterator[tuple[PasswordlessClient, RedisStore, StoredSession]]:
    """Log a user in with a store on a server; yield the client, the store and the session."""
    async with (
        LocalTenant() as tenant,
        RedisStore(url, keys=RING) as store,
        PasswordlessClient(tenant.url, tenant.public_client_id, store=store) as client,
    ):
        await client.start(ADA)
        yield client, store, await client.sessions.login(ADA, tenant.outbox.code_for(ADA), scope="openid")


async def use_all(url: str) -> None:
    """Use what a store is for: codes, quota, nonces, sessions, refreshes, used proofs; it is never away."""
    lost: list[events.Event] = []

    def on_event(event: events.Event) -> None:
        if isinstance(event, events.StoreLost):
            lost.append(event)

    profile = attrs.evolve(INTERACTIVE, requests_per_second=100)
    async with (
        LocalTenant() as tenant,
        RedisStore(url, keys=RING) as store,
        PasswordlessClient(
            tenant.url, tenant.public_client_id, store=store, profile=profile, on_event=on_event
        ) as client,
    ):
        await store.ping()
        await client.start(ADA)
        with pytest.raises(WrongCode):
            await client.exchange(ADA, "000000")
        opened = await client.sessions.login(ADA, tenant.outbox.code_for(ADA), scope="openid offline_access")
        refreshed = await client.sessions.refresh(opened.identifier)
        assert (await client.sessions.get(opened.identifier)).tokens == refreshed.tokens
        assert len(await client.sessions.list(opened.user)) == 1
        assert await client.sessions.close_all(opened.user) == 1
    used = RedisReplayStore(url)
    assert await used.add("key proof", used.clock() + 60)
    assert not await used.add("key proof", used.clock() + 60)
    await used.aclose()
    assert lost == []


async def test_the_settings_are_enough_and_not_more(start_redis: Callable[..., Any]) -> None:
    """The user of the page can do all that a store does, and cannot see or delete what is not the store's."""
    server = start_redis(*[line for line in SETTINGS.splitlines() if line != "user default off"])
    assert server.ask("CONFIG", "GET", "maxmemory-policy") == [b"maxmemory-policy", b"noeviction"]
    await use_all(server.url.replace("//", "//app:change-me@"))
    assert server.ask("ACL", "LOG") == []
    for words in (["FLUSHALL"], ["KEYS", "*"], ["CONFIG", "GET", "*"], ["SELECT", 1], ["GET", "of-another"]):
        assert server.ask("ACL", "DRYRUN", "app", *words).decode().startswith("This user has no permissions"), words


@pytest.mark.slow
async def test_the_rights_in_a_cluster(redis_program: Any) -> None:
    """With the two commands that the page names, a cluster is found and used."""
    cluster: RedisCluster
    with redis_program.RedisCluster() as cluster:
        for node in cluster.nodes:
            node.ask("ACL", "SETUSER", *USER.split(), "+cluster|slots", "+command")
        await use_all(f"redis+cluster://app:change-me@127.0.0.1:{cluster.nodes[0].port}")


async def test_a_full_server_refuses_and_deletes_nothing(redis_server: Any) -> None:
    """By noeviction a session that is there stays, and a new one is refused until there is room."""
    async with logged_in(redis_server.url) as (client, store, kept):
        redis_server.ask("CONFIG", "SET", "maxmemory", 1)
        try:
            with pytest.raises(StoreUnavailable):
                await store.ping()
        finally:
            redis_server.ask("CONFIG", "SET", "maxmemory", 0)
        await store.ping()
        assert (await client.sessions.get(kept.identifier)).tokens == kept.tokens


async def test_all_data_lost(redis_server: Any) -> None:
    """After a loss the user logs in again, at once: nothing is left of the cool-down either."""
    async with logged_in(redis_server.url) as (client, _, kept):
        await client.start(ADA)
        redis_server.flush()
        with pytest.raises(InvalidSession):
            await client.sessions.get(kept.identifier)
        await client.start(ADA)


async def test_tls_by_a_private_authority(start_redis: Callable[..., Any], tmp_path: Path) -> None:
    """The URL names the authority; without it the server is not trusted, and nothing is sent."""
    ca = ThrowAwayCa()
    issued = ca.issue("redis.internal")
    for name, content in (("ca.pem", ca.pem), ("cert.pem", issued.pem), ("key.pem", issued.key_pem)):
        (tmp_path / name).write_bytes(content)
    port = start_redis().port - 1
    try:
        start_redis(
            f"tls-port {port}",
            f"tls-cert-file {tmp_path}/cert.pem",
            f"tls-key-file {tmp_path}/key.pem",
            "tls-auth-clients no",
        )
    except (RuntimeError, Refused, subprocess.SubprocessError) as error:
        pytest.skip(f"this server has no TLS: {error}")
    url = f"rediss://127.0.0.1:{port}"
    async with RedisStore(f"{url}?ssl_ca_certs={tmp_path}/ca.pem", keys=RING) as store:
        await store.ping()
    async with RedisStore(url, keys=RING) as store:
        with pytest.raises(StoreUnavailable):
            await store.ping()


async def test_a_store_keeps_one_connection(redis_server: Any) -> None:
    """However many callers there are at once; a client of the caller's own stays open."""
    redis = Redis(port=redis_server.port, protocol=2)
    async with RedisStore(redis, keys=RING) as store:
        await asyncio.gather(*(store.nonce(f"https://{number}.example") for number in range(1000)))
    listed = redis_server.ask("CLIENT", "LIST", "TYPE", "normal").decode().splitlines()
    assert len([line for line in listed if "cmd=client" not in line]) == 1
    await redis.aclose()
