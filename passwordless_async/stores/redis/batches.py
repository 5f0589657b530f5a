"""Commands to a server, those of one moment in one go: with thousands of users a trip each costs more than its work.

The promises: a command is sent once, and what it answers goes to whoever asked it; whoever asks has an answer or an
error in time, whatever becomes of the server; and whoever stops waiting disturbs nobody else's.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any

import attrs
from redis.asyncio import RedisCluster
from redis.exceptions import NoScriptError

from passwordless_async.errors import StoreUnavailable

if TYPE_CHECKING:
    from redis.asyncio import Redis

_AT_ONCE = 4  # batches on their way; what is asked meanwhile waits for one of them to end, and goes together
_AT_MOST = 256  # commands in a batch: their answers come after the last of them
_MILLISECONDS = 1000


class Script:
    """A script that the server runs in one step; it is sent by its digest, and whole where the server has it not."""

    __slots__ = ("digest", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()  # the server's own name for it

    def __repr__(self) -> str:
        return f"<Script {self.digest[:8]}>"


@attrs.define(eq=False)
class _Asked:
    command: tuple[Any, ...]
    script: Script | None
    durable: bool
    answer: asyncio.Future[Any]

    def words(self, *, whole: bool) -> tuple[Any, ...]:
        if self.script is None:
            return self.command
        return ("EVAL", self.script.text, *self.command) if whole else ("EVALSHA", self.script.digest, *self.command)

    def fail(self, problem: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(StoreUnavailable(problem))


class Batches:
    """Sends commands; lives as long as its store.

    Args:
        redis: The client.
        timeout: Seconds for one batch.
        replicas: How many replicas must have what is durable before it counts.
    """

    def __init__(self, redis: Redis | RedisCluster, *, timeout: float, replicas: int) -> None:
        self._redis: Any = redis
        self._of_cluster = isinstance(redis, RedisCluster)
        self._timeout = timeout
        self._replicas = replicas
        self._waiting: list[_Asked] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._alarm: asyncio.Handle | None = None

    async def ask(self, *command: str | bytes | float, script: Script | None = None, durable: bool = False) -> Any:  # noqa: ANN401 - whatever the server says
        """Send a command, or a script's keys and arguments, with what else is asked at this moment.

        Args:
            *command: The command; of a script, the number of its keys, the keys and its arguments.
            script: The script.
            durable: Whether it counts only when the replicas have it.

        Raises:
            StoreUnavailable: The server cannot be reached, does not answer in time, or with an error.
        """
        loop = asyncio.get_running_loop()
        asked = _Asked(command, script, durable, loop.create_future())
        self._waiting.append(asked)
        if self._alarm is None and len(self._under_way) < _AT_ONCE:
            self._alarm = loop.call_soon(self._go)
        return await asked.answer

    def _go(self) -> None:
        self._alarm = None
        while self._waiting and len(self._under_way) < _AT_ONCE:
            batch, self._waiting = self._waiting[:_AT_MOST], self._waiting[_AT_MOST:]
            task = asyncio.create_task(self._send(batch))
            self._under_way.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._go()

    async def _send(self, batch: list[_Asked]) -> None:
        problem = "the store was closed"
        try:
            async with asyncio.timeout(self._timeout):
                missing = await self._exchange(batch, whole=False)
                if missing:
                    await self._exchange(missing, whole=True)
        except TimeoutError:
            problem = "the store does not answer in time"
        except Exception as error:  # noqa: BLE001 - of the client's many kinds; whoever waits must be told
            # Its words may hold what was sent: only the kind of failure goes on.
            problem = f"the store does not answer ({type(error).__name__})"
        finally:
            for asked in batch:
                asked.fail(problem)

    async def _exchange(self, batch: list[_Asked], *, whole: bool) -> list[_Asked]:
        """Send a batch and give the answers; returns those whose scripts the server did not have."""
        pipeline = self._redis.pipeline(transaction=False)
        for asked in batch:
            pipeline.execute_command(*asked.words(whole=whole))
        durable = bool(self._replicas) and any(asked.durable for asked in batch)
        if durable:
            # The server's own time for it ends before ours, so that there is an answer.
            pipeline.execute_command("WAIT", self._replicas, int(self._timeout * _MILLISECONDS / 2))
        answers = await pipeline.execute(raise_on_error=False)
        replicated = not durable or _is_enough(answers.pop(), self._replicas)
        missing = []
        for asked, answer in zip(batch, answers, strict=True):
            if isinstance(answer, NoScriptError) and not whole:
                missing.append(asked)
            elif isinstance(answer, Exception):
                asked.fail(f"the store refuses ({type(answer).__name__})")
            elif asked.durable and not replicated:
                asked.fail("the store's replicas do not have it in time")
            elif not asked.answer.done():
                asked.answer.set_result(answer)
        return missing

    async def drain(self) -> None:
        """Wait for the answers to all that was asked."""
        while self._waiting or self._under_way:
            await asyncio.wait([*self._under_way, asyncio.ensure_future(asyncio.sleep(0))])


def _is_enough(answer: object, replicas: int) -> bool:
    return isinstance(answer, int) and answer >= replicas
