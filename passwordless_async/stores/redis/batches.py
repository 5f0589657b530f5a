"""Commands to a server, those of one moment in one go: with thousands of users a trip each costs more than its work.

One batch is on its way at a time, and what is asked meanwhile goes with the next. The promises: a command is sent once,
after all that were asked before it, and what it answers goes to whoever asked it; whoever asks has an answer or an
error in time, whatever becomes of the server; and whoever stops waiting disturbs nobody else's.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import attrs
from redis.asyncio import RedisCluster
from redis.exceptions import AuthenticationError, ResponseError

from passwordless_async.errors import StoreUnavailable

if TYPE_CHECKING:
    from redis.asyncio import Redis

_AT_MOST = 256  # commands in a batch: their answers come after the last of them
_MILLISECONDS = 1000
_A_MOMENT = 0.01  # seconds
_KEY_OF_SCRIPT = 3  # the place of its first key among the words of a script's command
_CLOSED = "the store was closed"


@attrs.define(eq=False)
class _Asked:
    command: tuple[Any, ...]
    answer: asyncio.Future[Any]

    def fail(self, problem: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(StoreUnavailable(problem))


class Batches:
    """Sends commands; lives as long as its store.

    Args:
        redis: The client.
        timeout: Seconds for one batch.
        replicas: How many replicas must have what was written before it counts.
    """

    def __init__(self, redis: Redis | RedisCluster, *, timeout: float, replicas: int = 0) -> None:
        self._redis: Any = redis
        self._in_cluster = isinstance(redis, RedisCluster)
        self._timeout = timeout
        self._replicas = replicas
        self._waiting: list[_Asked] = []
        self._under_way: asyncio.Task[None] | None = None
        self._alone = False
        self._closed = False

    async def ask(self, *command: str | bytes | float) -> Any:  # noqa: ANN401 - whatever the server says
        """Send a command with what else is asked at this moment.

        Raises:
            StoreUnavailable: The server cannot be reached, does not answer in time, or with an error.
        """
        asked = self._ask(command)
        self._start()
        return await asked.answer

    async def ask_in_time(self, *command: str | bytes | float) -> Any:  # noqa: ANN401 - whatever the server says
        """Send a command that can wait a moment for others to go with, though not for long.

        Raises:
            StoreUnavailable: As :meth:`ask`.
        """
        asked = self._ask(command)
        asyncio.get_running_loop().call_later(_A_MOMENT, self._start)
        return await asked.answer

    def _ask(self, command: tuple[Any, ...]) -> _Asked:
        if self._closed:
            raise StoreUnavailable(_CLOSED)
        asked = _Asked(command, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        return asked

    def _start(self) -> None:
        if self._waiting and self._under_way is None:
            self._under_way = asyncio.create_task(self._go())

    async def ask_at_once(self, *command: str | bytes | float) -> Any:  # noqa: ANN401 - whatever the server says
        """Send a command, in no order with what else is asked: without a batch's task where no other one waits.

        Raises:
            StoreUnavailable: As :meth:`ask`.
        """
        if self._alone or self._waiting or self._under_way is not None:
            return await self.ask(*command)
        if self._closed:
            raise StoreUnavailable(_CLOSED)
        asked = _Asked(command, asyncio.get_running_loop().create_future())
        self._alone = True
        try:
            await self._send([asked])
        finally:
            self._alone = False
            # Of one who was called back nobody asks for the answer.
            asked.answer.exception()
        return asked.answer.result()

    async def _go(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_AT_MOST], self._waiting[_AT_MOST:]
                await self._send(batch)
        finally:
            self._under_way = None
            # Of one that was ended: nobody else would ever answer them.
            for asked in self._waiting:
                asked.fail(_CLOSED)
            self._waiting = []

    async def _send(self, batch: list[_Asked]) -> None:
        problem = _CLOSED
        try:
            async with asyncio.timeout(self._timeout):
                await self._exchange(batch)
        except TimeoutError:
            problem = "the store does not answer in time"
            # They have waited as long, and would for as long again.
            batch, self._waiting = batch + self._waiting, []
        except (ResponseError, AuthenticationError) as error:
            problem = f"the store refuses ({type(error).__name__})"
        except Exception as error:  # noqa: BLE001 - of the client's many kinds; whoever waits must be told
            # Its words may hold what was sent: only the kind of failure goes on.
            problem = f"the store does not answer ({type(error).__name__})"
        finally:
            for asked in batch:
                asked.fail(problem)

    async def _exchange(self, batch: list[_Asked]) -> None:
        commands = [asked.command for asked in batch]
        if self._replicas:
            # The server's own time for it ends before ours, so that there is an answer.
            commands.append(("WAIT", self._replicas, int(self._timeout * _MILLISECONDS / 2)))
        answers = await (_of_cluster if self._in_cluster else _of_server)(self._redis, commands)
        replicated = not self._replicas or _is_enough(answers.pop(), self._replicas)
        for asked, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Exception):
                asked.fail(f"the store refuses ({type(answer).__name__})")
            elif not replicated:
                asked.fail("the store's replicas do not have it in time")
            elif not asked.answer.done():
                asked.answer.set_result(answer)

    async def drain(self) -> None:
        """Take no more questions, and wait for the answers to all that was asked."""
        self._closed = True
        self._start()
        if self._under_way is not None:
            await asyncio.wait([self._under_way])


class ClusterBatches:
    """Sends commands to a cluster, each node's on their own: a node that is away keeps nobody waiting for another.

    Args:
        redis: The client.
        timeout: Seconds for one batch.
    """

    def __init__(self, redis: RedisCluster, *, timeout: float) -> None:
        self._redis = redis
        self._timeout = timeout
        self._lanes: dict[str, Batches] = {}
        self._closed = False

    async def ask(self, *command: str | bytes | float) -> Any:  # noqa: ANN401 - whatever the server says
        """See :meth:`Batches.ask`."""
        return await (await self._lane(command)).ask(*command)

    async def ask_in_time(self, *command: str | bytes | float) -> Any:  # noqa: ANN401 - as above
        """See :meth:`Batches.ask_in_time`."""
        return await (await self._lane(command)).ask_in_time(*command)

    async def ask_at_once(self, *command: str | bytes | float) -> Any:  # noqa: ANN401 - as above
        """See :meth:`Batches.ask_at_once`."""
        return await (await self._lane(command)).ask_at_once(*command)

    async def _lane(self, command: tuple[Any, ...]) -> Batches:
        if self._closed:
            raise StoreUnavailable(_CLOSED)
        key = command[_KEY_OF_SCRIPT if command[0] == "EVAL" else 1]
        try:
            async with asyncio.timeout(self._timeout):
                await self._redis.initialize()
            name = getattr(self._redis.get_node_from_key(key), "name", "")
        except Exception:  # noqa: BLE001 - whatever it is, whoever asks in that lane is told
            name = ""
        if name not in self._lanes:
            self._lanes[name] = Batches(self._redis, timeout=self._timeout)
        return self._lanes[name]

    async def drain(self) -> None:
        """See :meth:`Batches.drain`."""
        self._closed = True
        await asyncio.gather(*(lane.drain() for lane in self._lanes.values()))


async def _of_cluster(redis: RedisCluster, commands: list[tuple[Any, ...]]) -> list[Any]:
    pipeline = redis.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    answers: list[Any] = await pipeline.execute(raise_on_error=False)
    return answers


async def _of_server(redis: Redis, commands: list[tuple[Any, ...]]) -> list[Any]:
    # As the client's own pipeline does, without its tries: half of what a single command takes would be for those.
    connection = await redis.connection_pool.get_connection()  # type: ignore[no-untyped-call]
    answers: list[Any] = []
    try:
        await connection.send_packed_command(connection.pack_commands(commands))
        while len(answers) < len(commands):
            try:
                answers.append(await connection.read_response())
            except ResponseError as error:
                answers.append(error)
    finally:
        if len(answers) < len(commands):
            # What is left in it must not be taken for the answer to something else.
            await connection.disconnect(nowait=True)
        await redis.connection_pool.release(connection)
    return answers


def _is_enough(answer: object, replicas: int) -> bool:
    return isinstance(answer, int) and answer >= replicas
