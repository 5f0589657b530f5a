"""The keys on a server: they reveal nothing, and none stays for ever."""

from __future__ import annotations

import functools
import ipaddress
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from passwordless_async import INTERACTIVE, CodeSpent, Email, KeyRing
from passwordless_async.client.codes import Codes
from passwordless_async.client.events import Emitter
from passwordless_async.client.shared.availability import Availability
from passwordless_async.stores import Place
from passwordless_async.stores.redis import RedisStore, keys

if TYPE_CHECKING:
    from collections.abc import Callable

    Stores = Callable[[], Any]


HOUR = 3600.0


USER, ADDRESS = "user-of-43-characters", "address-of-43-characters"


async def begin(store: Any, token: str, *, seconds: float = 60.0) -> Any:
    return await store.begin_start(USER, token=token, seconds=seconds, remember=HOUR)


def test_the_table_has_each_key_and_no_other() -> None:
    """The table in the docstring is a page of the reference: its rows are the keys that the package can write."""
    table = re.findall(r"^``(pa:\S+)``", str(keys.__doc__), re.MULTILINE)
    of, place = keys.Keys("pa"), Place("shard", "SESSION", "USER")
    group = "shard" + "-" * 38
    sources = [path.read_text("utf-8") for path in Path(keys.__file__).parent.glob("*.py")]
    named = {kind for source in sources for kind in re.findall(r'\.named\("(\w+)"', source)}
    built = [
        of.session(place),
        of.sessions("shard", "USER"),
        of.login(place, "LOGIN"),
        of.lock(place, "LOGIN"),
        of.ping,
    ]
    built += [of.counter(group, "KIND", "NAME"), of.counted(group, "TOKEN")]
    built += [of.named(kind, group).removesuffix(group) + "*" for kind in named]
    shards = {"{shard}", f"{{{KeyRing.shard(group)}}}"}
    rows = {re.sub(rf":({'|'.join(named)}):[A-Z]+$", r":\1:*", row) for row in table}
    assert len(table) == len(rows)
    assert rows == {functools.reduce(lambda key, shard: key.replace(shard, "{shard}"), shards, key) for key in built}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["redis_server", "redis_cluster"])
async def test_keys_reveal_nothing_and_expire(request: pytest.FixtureRequest, kind: str) -> None:
    """After all kinds of outcomes no address, code or user is in the store, and each key has a lifetime."""
    server = request.getfixturevalue(kind)
    url = server.url.replace("redis://", "redis+cluster://") if kind == "redis_cluster" else server.url
    who, here, codes = Email("ada@example.com"), ipaddress.ip_address("192.0.2.77"), ["493817", "258146", "730952"]
    profile = attrs.evolve(INTERACTIVE, cool_down=30.0, starts_per_hour=50)
    async with AsyncExitStack() as stack:
        ring = KeyRing(b"k" * 32, users=b"u" * 32)
        store = await stack.enter_async_context(RedisStore(url, keys=ring))
        availability = Availability(store, Emitter(None))
        shared = Codes(availability, issuer="https://tenant.example/", client_id="client", profile=profile)
        ticket = await shared.begin_start(who, here, patience=10.0)
        await shared.end_start(ticket, sent=True, counted=True)
        for code in codes:
            claim = shared.name(who, code)
            await shared.claim(claim)
            await shared.accepted(claim)
            with pytest.raises(CodeSpent):
                await shared.claim(shared.name(who, code))
        await shared.block(here, 60.0)
        await availability.aclose(grace=5.0)
        await begin(store, "of one who does nothing more")
        await store.begin_attempt("another", "code", token="mine", max_attempts=3, max_codes=10, remember=HOUR)
        await store.reserve("quota", requests=3, interval=1.0)
        await store.pause("held", 5.0)
        await store.nonce_or_turn("origin", token="token", seconds=5.0)
        await store.put_nonce("another", "nonce", seconds=5.0)
    nodes = server.nodes if kind == "redis_cluster" else [server]
    names = [(node, name) for node in nodes for name in node.ask("KEYS", "*")]
    assert {b"code", b"starts", b"blocked", b"quota", b"turn", b"nonce"} <= {name.split(b":")[2] for _, name in names}
    assert [name for node, name in names if node.ask("PTTL", name) < 0] == []
    for word in ("ada", "example", "192.0.2.77", "tenant", *codes):
        assert word.encode() not in server.dump()
        assert word.encode() not in server.written()
