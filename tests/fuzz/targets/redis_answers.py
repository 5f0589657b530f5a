"""A server that answers the stores with nonsense: well-formed replies of any type, and bytes that are none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import attrs

from fuzz.engine import Target
from passwordless_async import KeyRing
from passwordless_async.errors import StoreError
from passwordless_async.stores import Counter, Place
from passwordless_async.stores.redis import RedisReplayStore, RedisStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fuzz.mutator import Mutator

PLACE = Place("shardabc", "s" * 43, "u" * 43)
COUNTERS = [Counter("starts", "u", 5, 60.0), Counter("codes", "a", 5, 60.0)]
CALLS: dict[str, Callable[[Any, Any], Awaitable[Any]]] = {
    "ping": lambda store, _: store.ping(),
    "open": lambda store, _: store.open(PLACE, "t", login="l", seconds=1.0, user_seconds=1.0),
    "read": lambda store, _: store.read(PLACE, seconds=1.0),
    "peek": lambda store, _: store.peek(PLACE),
    "reseal": lambda store, _: store.reseal(PLACE, "a", "b"),
    "close": lambda store, _: store.close(PLACE),
    "sessions_of": lambda store, _: store.sessions_of("u" * 43),
    "begin_refresh": lambda store, _: store.begin_refresh(
        PLACE, login="l", sealed="t", spends="s", token="t", seconds=1.0, overlap=1.0, remember=1.0
    ),
    "hold_refresh": lambda store, _: store.hold_refresh(PLACE, login="l", token="t", seconds=1.0),
    "release_refresh": lambda store, _: store.release_refresh(PLACE, login="l", token="t", refused=True),
    "end_refresh": lambda store, _: store.end_refresh(
        PLACE, login="l", token="t", texts=("a", "b"), replacement="r", tokens="k", seconds=1.0, remember=1.0
    ),
    "begin_start": lambda store, _: store.begin_start("u", token="t", seconds=1.0, remember=1.0),
    "end_start": lambda store, _: store.end_start("u", token="t", seconds=1.0, mark=1, remember=1.0),
    "begin_address_start": lambda store, _: store.begin_address_start("a", token="t", max_starts=1, window=1.0),
    "end_address_start": lambda store, _: store.end_address_start("a", token="t", blocked=1.0),
    "begin_attempt": lambda store, _: store.begin_attempt(
        "u", "c", token="t", max_attempts=3, max_codes=10, remember=1.0
    ),
    "undo_attempt": lambda store, _: store.undo_attempt("u", "c", token="t"),
    "refuse_code": lambda store, _: store.refuse_code("u", "c", token="t", is_last=True),
    "retire_code": lambda store, _: store.retire_code("u", "c", token="t", correct=True),
    "reserve": lambda store, _: store.reserve("q", requests=1, interval=0.1),
    "pause": lambda store, _: store.pause("q", 1.0),
    "nonce": lambda store, _: store.nonce("o"),
    "nonce_or_turn": lambda store, _: store.nonce_or_turn("o", token="t", seconds=1.0),
    "release_turn": lambda store, _: store.release_turn("o", token="t"),
    "put_nonce": lambda store, _: store.put_nonce("o", "n", seconds=1.0),
    "count": lambda store, _: store.count("g" * 43, COUNTERS, token="t", remember=1.0),
    "undo_count": lambda store, _: store.undo_count("g" * 43, COUNTERS, token="t"),
    "add": lambda _, replay: replay.add("key jti", replay.clock() + 1.0),
}
"""Each call of a store, on the store or on the replay store."""
RIGHT: tuple[Any, ...] = (
    0,
    1,
    -1,
    5,
    1500,
    b"text",
    None,
    [],
    [b"granted"],
    [b"granted", 5],
    [b"replaced", None, b"k"],
)
SIMPLE = (
    b"+OK\r\n",
    b"-ERR no\r\n",
    b"-NOSCRIPT no\r\n",
    b"-MOVED 1 127.0.0.1:1\r\n",
    b"-LOADING x\r\n",
    b"-\r\n",
    b"+\r\n",
)
BROKEN = (
    *(b"", b"\r\n", b":x\r\n", b":\r\n", b"$5\r\nab\r\n", b"$-2\r\n", b"$99999999999\r\n", b"*-2\r\n", b"*2\r\n:1\r\n"),
    *(
        b"*1000000000\r\n",
        b"%1\r\n",
        b"_\r\n",
        b"#t\r\n",
        b",1.5\r\n",
        b"(1" + b"0" * 400 + b"\r\n",
        b"HTTP/1.1 400\r\n\r\n",
    ),
    *(b":1", b"\x00" * 50, b"*1\r\n" * 500 + b":1\r\n", b":" + b"1" * 5000 + b"\r\n", b"$3\r\n\xff\xfe\xfd\r\n"),
)


@attrs.frozen
class Given:
    """A call, the bytes that answer it, and whether they are one whole reply: the connection stays then."""

    call: str
    answer: bytes
    whole: bool


class RedisAnswers:
    """A server on loopback, and stores that ask it."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._answer, self._whole = b"", True
        self._runner.run(self._open())

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        url = f"redis://127.0.0.1:{port}"
        self._store = RedisStore(url, keys=KeyRing(b"k" * 32, users=b"u" * 32), timeout=2.0)
        self._replay = RedisReplayStore(url, timeout=2.0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The client names itself when it connects; that is answered as it must be.
        buffered = b""
        while data := await reader.read(65536):
            buffered += data
            while (command := _command(buffered)) is not None:
                words, buffered = command
                is_call = words[0] not in {b"CLIENT", b"SELECT", b"HELLO", b"AUTH"}
                writer.write(self._answer if is_call else b"+OK\r\n")
                if is_call and not self._whole:
                    writer.close()
                    return
        writer.close()

    def draw(self, mutator: Mutator) -> Given:
        kind = mutator.random.randrange(10)
        if kind < 6:
            answer = _encoded(
                mutator.value(mutator.choice(RIGHT), RIGHT) if mutator.often(0.7) else mutator.choice(RIGHT)
            )
        else:
            answer = mutator.choice(SIMPLE if kind < 7 else BROKEN)
        whole = kind < 7
        return Given(mutator.choice(tuple(CALLS)), mutator.raw(answer, b":1\r\n") if kind == 9 else answer, whole)

    def check(self, given: Given) -> str:
        self._answer, self._whole = given.answer, given.whole
        return self._runner.run(self._call(given.call))

    async def _call(self, name: str) -> str:
        try:
            async with asyncio.timeout(60):
                answer = await CALLS[name](self._store, self._replay)
        except StoreError as error:
            return f"{name}: {type(error).__name__}"
        return f"{name}: {type(answer).__name__}"

    def close(self) -> None:
        self._runner.run(self._close())
        self._runner.close()

    async def _close(self) -> None:
        await self._store.aclose()
        await self._replay.aclose()
        self._server.close()


def _command(data: bytes) -> tuple[list[bytes], bytes] | None:
    """Return the first command and what follows it; None if it has not come whole."""
    if not data.startswith(b"*") or b"\r\n" not in data:
        return None
    count, _, rest = data[1:].partition(b"\r\n")
    words = []
    for _ in range(int(count)):
        size, end, rest = rest[1:].partition(b"\r\n")
        if not end or len(rest) < int(size) + 2:
            return None
        words.append(rest[: int(size)])
        rest = rest[int(size) + 2 :]
    return words, rest


def _encoded(value: Any) -> bytes:
    """Encode a reply in version 2 of the protocol."""
    if value is None:
        return b"$-1\r\n"
    if isinstance(value, bool | int):
        return b":%d\r\n" % value if abs(int(value)) < 10**300 else b":" + b"9" * 300 + b"\r\n"
    if isinstance(value, list):
        return b"*%d\r\n" % len(value) + b"".join(map(_encoded, value))
    raw = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
    return b"$%d\r\n%b\r\n" % (len(raw), raw)


def make() -> Target:
    """Return the target."""
    answers = RedisAnswers()
    return Target(answers.draw, answers.check, answers.close)
