"""Workers of a login gateway: processes of ``passwordless-async gateway`` on one store, and one list of where they are.

The list stands for a load balancer that knows which workers there are and not which have died. Workers are killed, and
replaced one after the other, as a deployment does.
"""

from __future__ import annotations

import asyncio
import random
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import attrs

from passwordless_async import KeyRing
from passwordless_async.stores.key_file import KeyFile

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable, Sequence
    from pathlib import Path

COMMAND = (sys.executable, "-c", "from passwordless_async.cli import main; main()")
_READY = b"Listening on "
_START_SECONDS, _STOP_SECONDS = 60.0, 30.0  # a busy machine is no failure
_MAX_LINE_BYTES = 1 << 20


@attrs.define(eq=False)
class Worker:
    """One process.

    Attributes:
        origin: Where it listens.
    """

    _process: Process
    _drain: asyncio.Task[None]
    origin: str

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @classmethod
    async def start(cls, command: Sequence[str], log: Path) -> Self:
        """Start a process by a command; it appends all that it writes to a file; returns when it serves."""
        with log.open("ab") as file:
            process = await asyncio.create_subprocess_exec(
                *command, stdout=file, stderr=asyncio.subprocess.PIPE, limit=_MAX_LINE_BYTES
            )
        if process.stderr is None:
            raise RuntimeError("the process was started without a pipe")
        ready = asyncio.get_running_loop().create_future()
        drain = asyncio.create_task(_drain(process.stderr, log, ready))
        try:
            async with asyncio.timeout(_START_SECONDS):
                return cls(process, drain, await ready)
        except BaseException:  # also where the benchmark is interrupted: no worker stays behind
            with suppress(ProcessLookupError):
                process.kill()
            raise

    async def stop(self) -> None:
        """Let its requests end, and the process."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._drain
                await self._process.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """End it at once, whatever it does (SIGKILL)."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await self._drain


async def _drain(lines: asyncio.StreamReader, log: Path, ready: asyncio.Future[str]) -> None:
    last = b""
    with log.open("ab", buffering=0) as file:
        while line := await lines.readline():
            file.write(line)
            last = line
            if line.startswith(_READY) and not ready.done():
                ready.set_result(line.removeprefix(_READY).decode().strip())
    if not ready.done():
        shown = last.decode(errors="replace").strip()  # the log is in a temporary directory
        ready.set_exception(RuntimeError(f"a worker has ended; its last line: {shown}"))


@attrs.define(eq=False)
class Workers:
    """All workers.

    Args:
        directory: Where their key ring and their logs are.
        arguments: Those of the command, without the keys.
        command: The program, to which ``gateway`` and the arguments are added.
    """

    _directory: Path
    _arguments: Sequence[str]
    _command: Sequence[str] = COMMAND
    _running: list[Worker] = attrs.field(factory=list, init=False)
    _chance: random.Random = attrs.field(factory=lambda: random.Random(0), init=False)  # noqa: S311 - no secret
    _started: int = attrs.field(default=0, init=False)

    async def open(self, number: int) -> None:
        """Start so many, with a new key ring."""
        self._write(KeyFile.random())
        async with asyncio.TaskGroup() as starting:
            for _ in range(number):
                starting.create_task(self._add())

    async def aclose(self) -> None:
        """Stop all."""
        await asyncio.gather(*(worker.stop() for worker in self._running))
        self._running.clear()

    @property
    def pids(self) -> list[int]:
        """Their process ids."""
        return [worker.pid for worker in self._running]

    def any(self) -> Worker:
        """Return one of them, as a balancer does; it may have died."""
        return self._chance.choice(self._running)

    async def replace(self, worker: Worker) -> None:
        """Put a new worker in another's place on the list."""
        self._running[self._running.index(worker)] = await self._start()

    async def add_key(self) -> None:
        """Put a new key second on the ring, and replace the workers one after the other."""
        await self._roll(KeyFile.add)

    async def promote_key(self) -> None:
        """Put that key first: it seals from now on."""
        await self._roll(KeyFile.promote)

    async def _roll(self, change: Callable[[KeyFile], KeyFile]) -> None:
        self._write(change(KeyFile.from_json(self._keys.read_text(encoding="utf-8"))))
        for worker in tuple(self._running):
            await self.replace(worker)
            await worker.stop()

    @property
    def logs(self) -> bytes:
        """All that workers have written."""
        return b"".join(file.read_bytes() for file in sorted(self._directory.glob("*.log")))

    @property
    def keys(self) -> KeyRing:
        """Their key ring."""
        return KeyRing.from_json(self._keys.read_text(encoding="utf-8"))

    @property
    def _keys(self) -> Path:
        return self._directory / "keys.json"

    def _write(self, keys: KeyFile) -> None:
        self._keys.touch(mode=0o600)
        self._keys.write_text(keys.to_json(), encoding="utf-8")

    async def _add(self) -> None:
        self._running.append(await self._start())

    async def _start(self) -> Worker:
        self._started += 1
        command = (*self._command, "gateway", *self._arguments, "--keys", str(self._keys), "--port", "0")
        return await Worker.start(command, self._directory / f"{self._started:03}.log")
