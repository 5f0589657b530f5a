"""A child process of a benchmark, spoken to by lines of JSON: one request, one answer."""

from __future__ import annotations

import json
import subprocess
from typing import IO, TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Child:
    """A child process; use it as ``with``. Closing its standard input ends it.

    Args:
        command: What to run.
        environment: Its environment; that of this process unless given.

    Attributes:
        ready: The line that the child sends first.
    """

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> None:
        self._command = command
        self._environment = environment
        self.ready: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: S603 - a command of our own
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=self._environment,
            process_group=0,  # Ctrl-C is for the parent, which then closes the input
        )
        self.ready = self._receive()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def ask(self, **message: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Send a line and return the answer.

        Raises:
            RuntimeError: The child has ended; it says why on standard error.
        """
        _piped(self._process.stdin).write(json.dumps(message) + "\n")
        _piped(self._process.stdin).flush()
        return self._receive()

    def _receive(self) -> dict[str, Any]:
        received = _piped(self._process.stdout).readline()
        if not received:
            raise RuntimeError(f"{' '.join(self._command)} has ended with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(received)
        return answer


def _piped(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise RuntimeError("the child was started without a pipe")
    return stream
