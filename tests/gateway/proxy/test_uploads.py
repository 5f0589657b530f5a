"""A body on its way to an upstream, without a network."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from passwordless_async.gateway import Upstream
from passwordless_async.gateway.proxy import uploads
from passwordless_async.gateway.proxy.admission import Refusal
from passwordless_async.gateway.proxy.messages import BrowserGone
from passwordless_async.gateway.proxy.uploads import KEPT_BYTES, Deadline, Upload

if TYPE_CHECKING:
    from collections.abc import Iterable

UPSTREAM = Upstream("/api/", "https://api.example", max_request_bytes=1_000_000, upload_timeout=0.05)


@attrs.define
class Source:
    """A body; None: the browser goes, or is slow for ever."""

    pieces: list[bytes | None]
    is_slow: bool = False

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        piece = self.pieces.pop(0) if self.pieces else b""
        if piece is None and self.is_slow:
            await asyncio.Event().wait()
        if piece is None:
            raise BrowserGone
        return piece


@attrs.define
class Writer:
    """What was written."""

    sent: bytearray = attrs.field(factory=bytearray)

    async def write(self, piece: bytes) -> None:
        await asyncio.sleep(0)
        self.sent += piece


async def upload_of(pieces: Iterable[bytes | None], *, is_trusted: bool = True, is_slow: bool = False) -> Upload:
    timeout = asyncio.timeout(None)
    deadline = Deadline(timeout, 10)
    async with timeout:
        deadline.end()
        await asyncio.sleep(0)
    return Upload(Source(list(pieces), is_slow), None, UPSTREAM, deadline, is_trusted=is_trusted)


async def sent(upload: Upload) -> bytes:
    writer: Any = Writer()
    await upload.write(writer)
    return bytes(writer.sent)


@pytest.mark.parametrize("sizes", [[], [1], [100, 200], [KEPT_BYTES], [KEPT_BYTES - 1, 1]])
async def test_a_body_up_to_the_bound_is_sent_as_often_as_it_must(sizes: list[int]) -> None:
    """Whole, each time."""
    pieces = [bytes([index]) * size for index, size in enumerate(sizes)]
    upload = await upload_of(pieces)
    for _ in range(3):
        assert (await sent(upload), upload.consumed) == (b"".join(pieces), False)


async def test_a_longer_body_is_sent_once() -> None:
    """A second transmission fails before its first byte."""
    upload = await upload_of([b"a" * KEPT_BYTES, b"b"])
    assert await sent(upload) == b"a" * KEPT_BYTES + b"b"
    assert upload.consumed is True
    writer: Any = Writer()
    with pytest.raises(ConnectionAbortedError):
        await upload.write(writer)
    assert writer.sent == b""


@pytest.mark.parametrize("size", [KEPT_BYTES + 1, 3 * KEPT_BYTES])
async def test_a_challenge_in_the_pause(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """The beginning was sent, the rest was not lost: the next transmission has all of it."""
    monkeypatch.setattr(uploads, "_PAUSE_SECONDS", 3600)
    body = bytes(index % 251 for index in range(size))
    upload = await upload_of([body], is_trusted=False)
    writer: Any = Writer()
    first = asyncio.create_task(upload.write(writer))
    async with asyncio.timeout(10):
        while len(writer.sent) < KEPT_BYTES:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert (writer.sent, upload.consumed) == (body[:KEPT_BYTES], False)
    monkeypatch.setattr(uploads, "_PAUSE_SECONDS", 0)
    assert await sent(upload) == body


@pytest.mark.parametrize(
    ("pieces", "is_slow", "failure"),
    [
        ([b"x" * 600_000, b"x" * 600_000], False, ("too_large", 413)),
        ([b"x", None], True, ("too_slow", 408)),
        ([b"x", None], False, None),
    ],
)
async def test_bodies_that_end_badly(pieces: list[bytes | None], failure: Any, *, is_slow: bool) -> None:
    """Too large, too slow, cut off: the reason is kept, for aiohttp wraps it."""
    upload = await upload_of(pieces, is_slow=is_slow)
    with pytest.raises((Refusal, BrowserGone)) as raised:
        await sent(upload)
    assert raised.value is upload.failure
    if failure is not None:
        assert isinstance(upload.failure, Refusal)
        assert (upload.failure.key, upload.failure.status) == failure


async def test_the_upstream_has_its_own_time() -> None:
    """The deadline stands still while the browser has its turn, and ends the call of an upstream that does nothing."""
    timeout = asyncio.timeout(None)
    deadline = Deadline(timeout, 0.01)

    async def call() -> None:
        async with timeout:
            deadline.start()
            assert timeout.when() is not None
            deadline.stop()
            assert timeout.when() is None
            deadline.start()
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await call()
    deadline.start()
    assert timeout.expired() is True


def test_a_stream_has_no_text() -> None:
    """None of our calls needs it."""
    with pytest.raises(TypeError):
        Upload.decode(None)  # type: ignore[arg-type]
