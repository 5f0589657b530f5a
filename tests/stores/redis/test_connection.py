"""The arguments of a store on a server, and its closing."""

from __future__ import annotations

import asyncio
import secrets
from functools import partial
from typing import Any

import pytest

from helpers.leaks import lines_with, shown
from passwordless_async import (
    KeyRing,
    StoreUnavailable,
    UsageError,
)
from passwordless_async.stores import Place, RefreshEnd
from passwordless_async.stores.redis import RedisReplayStore, RedisStore
from passwordless_async.stores.redis.connection import member, number, several, text

PASSWORD = "pass-word-of-nobody-else"
RING = KeyRing(secrets.token_bytes(32), users=secrets.token_bytes(32))


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        (("redis://127.0.0.1:1", {}), "keys"),
        (("http://127.0.0.1", {"keys": RING}), "redis"),
        ((5, {"keys": RING}), "redis"),
        (("redis://127.0.0.1:1", {"keys": RING, "timeout": 0}), "timeout"),
        (("redis://127.0.0.1:1", {"keys": RING, "prefix": "a b"}), "prefix"),
    ],
)
def test_wrong_arguments_are_named(arguments: Any, argument: str) -> None:
    """Without keys nothing is kept, and the wrong argument is named."""
    with pytest.raises(UsageError) as refused:
        RedisStore(arguments[0], **{"keys": None, **arguments[1]})
    assert argument == refused.value.argument


@pytest.mark.parametrize("wrong", [{"prefix": "two words"}, {"prefix": ""}, {"timeout": 0}, {"replicas": -1}])
def test_other_arguments_are_checked(wrong: dict[str, Any]) -> None:
    """They are named, and the URL is not quoted."""
    with pytest.raises(UsageError) as refused:
        RedisReplayStore(f"redis://:{PASSWORD}@host", **wrong)
    assert next(iter(wrong)) == refused.value.argument
    assert lines_with([PASSWORD], shown(refused.value)) == []


def test_a_cluster_takes_no_replicas() -> None:
    """The server's own settings say how many each node waits for."""
    with pytest.raises(UsageError, match="min-replicas-to-write"):
        RedisStore(f"redis+cluster://:{PASSWORD}@a:1", keys=RING, replicas=1)


async def test_closing_that_is_cancelled_leaves_no_connection_open(redis_server: Any) -> None:
    """The server does not answer, and the caller waits no longer: closing again would do nothing."""
    store = RedisStore(redis_server.url, keys=RING, timeout=30.0)
    await store.nonce("user-of-43-characters")
    pool = store._connected.own[0].connection_pool
    redis_server.pause()
    asking = asyncio.create_task(store.nonce("user-of-43-characters"))
    while not pool._in_use_connections:  # noqa: ASYNC110 - only polling tells
        await asyncio.sleep(0)
    (connection,) = pool._in_use_connections
    closing = asyncio.create_task(store.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert not connection.is_connected
    with pytest.raises(StoreUnavailable):
        await asking


async def test_closing_waits_for_what_was_asked(redis_server: Any) -> None:
    """A command that the store has taken is sent, and its caller has the answer."""
    store = RedisStore(redis_server.url, keys=RING, replicas=1)
    asking = asyncio.create_task(store.put_nonce("o" * 43, "nonce", seconds=60.0))
    await asyncio.sleep(0)
    await store.aclose()
    assert (asking.done(), asking.exception()) == (True, None)


async def test_closing_waits_for_what_must_survive_a_fail_over(redis_server: Any) -> None:
    """No replica confirms it in time, so it fails; but not after the store was closed."""
    store = RedisStore(redis_server.url, keys=RING, replicas=1, timeout=0.2)
    place = Place("u", "s" * 43, "u" * 43)
    opening = asyncio.create_task(store.open(place, "sealed", login="l" * 43, seconds=60.0, user_seconds=60.0))
    await asyncio.sleep(0)
    await store.aclose()
    with pytest.raises(StoreUnavailable):
        opening.result()


@pytest.mark.parametrize("replicas", [-1, True, 1.5, None])
def test_a_wrong_number_of_replicas_is_refused(replicas: Any) -> None:
    """It must be a whole number, 0 or more."""
    with pytest.raises(UsageError, match="whole number, 0 or more"):
        RedisStore("redis://localhost", keys=RING, replicas=replicas)


def test_a_closed_store_opens_in_the_next_event_loop(redis_url: str) -> None:
    """What was kept is there; between closing and opening the store is unavailable."""
    store, user = RedisStore(redis_url, keys=RING), "a" * 32

    async def use() -> str | None:
        async with store:
            await store.put_nonce(user, "nonce", seconds=60.0)
        with pytest.raises(StoreUnavailable, match="closed"):
            await store.nonce(user)
        async with store:
            return await store.nonce(user)

    assert [asyncio.run(use()) for _ in range(2)] == ["nonce", "nonce"]


def test_a_store_in_another_event_loop_says_so(redis_url: str) -> None:
    """A command would never end there; in its own event loop the store goes on."""
    store, user = RedisStore(redis_url, keys=RING), "a" * 32
    with asyncio.Runner() as own:
        own.run(store.put_nonce(user, "nonce", seconds=60.0))

        async def misuse() -> None:
            for call in (store.nonce(user), store.put_nonce(user, "other", seconds=60.0), store.aclose()):
                with pytest.raises(UsageError, match="store: is in use in another event loop"):
                    await call

        asyncio.run(misuse())
        assert own.run(store.nonce(user)) == "nonce"
        own.run(store.aclose())


WRONG: dict[Any, tuple[Any, ...]] = {
    text: (None, 1, [], [b"a"], "é".encode(), b"\xff", True),
    number: (None, b"1", "1", [], [1], b"", 1.5, 2**63, -(2**63) - 1, 10**400),
    several: (None, 1, b"a", "ab", {}, ()),
    partial(several, lengths=(1, 3)): ([], [1, 2]),
    partial(member, RefreshEnd): (b"KEPT", b"", None, 1, [b"kept"]),
}


@pytest.mark.parametrize(("read", "answer"), [(read, answer) for read, answers in WRONG.items() for answer in answers])
def test_what_no_command_answers_is_no_answer(read: Any, answer: Any) -> None:
    """The server is another one, or another program writes to it: that is as if it did not answer."""
    with pytest.raises(StoreUnavailable, match="answers with something else") as refused:
        read(answer)
    assert refused.value.__context__ is None


def test_what_commands_answer() -> None:
    """With a client that decodes answers, and with one that does not."""
    assert (text("a"), text(b"a"), number(-(2**63)), several([]), several([b"a"], (1, 3))) == (
        "a",
        "a",
        -(2**63),
        [],
        [b"a"],
    )
    assert member(RefreshEnd, b"kept") is member(RefreshEnd, "kept") is RefreshEnd.KEPT
