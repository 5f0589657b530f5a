"""The destination of log lines: a file, or standard output.

Invariants:

- Lines of several processes do not mix: each line is written at once, in one system call.
- If a log cannot be written, calls still succeed. If the reader of the access log stops reading, no call waits: lines
  are kept up to a bound, and only counted beyond it. The audit log drops no line that can be written; its writer waits.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections import deque
from contextlib import contextmanager, suppress
from logging.handlers import WatchedFileHandler
from typing import TYPE_CHECKING

from passwordless_async.cli.gateway.reading import Values, WrongSettings
from passwordless_async.cli.gateway.settings import OFF, STANDARD_OUTPUT
from passwordless_async.cli.terminal.show import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGS = ("access_log", "audit_log")
_MAX_WAITING = 10_000  # lines
_LAST_SECONDS = 1.0  # for waiting lines, when the process ends


class _Output(logging.Handler):
    """Writes to standard output."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; if its reader has gone, the calls go on."""
        line = f"{record.getMessage()}\n".encode()
        with suppress(OSError):
            # Not by sys.stdout: if this is stuck, the interpreter could not get its lock at exit.
            while line:
                line = line[os.write(sys.stdout.fileno(), line) :]


class _File(WatchedFileHandler):
    """Appends to a file, which may be renamed and created again."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; if that fails, the calls go on."""
        with suppress(OSError):
            self.reopenIfNeeded()
            if self.stream is not None:
                self.stream.write(f"{record.getMessage()}\n")
                self.stream.flush()

    def close(self) -> None:
        """Close the file; what could not be written is lost."""
        with suppress(OSError):
            super().close()


class InBackground(logging.Handler):
    """Writes by another handler, in its own thread."""

    def __init__(self, target: logging.Handler, *, at_most: int = _MAX_WAITING) -> None:
        super().__init__()
        self._target = target
        self._at_most = at_most
        self._waiting: deque[logging.LogRecord] = deque()
        self._dropped = 0
        self._wake = threading.Event()
        self._is_closing = False
        # A daemon: a process does not wait for a log that is stuck.
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line."""
        if len(self._waiting) >= self._at_most:
            self._dropped += 1
            return
        self._waiting.append(record)
        self._wake.set()

    def close(self) -> None:
        """Write the waiting lines, for a second at most."""
        self._is_closing = True
        self._wake.set()
        self._thread.join(_LAST_SECONDS)
        super().close()

    def _write(self) -> None:
        while not self._is_closing or self._waiting:
            self._wake.wait()
            self._wake.clear()
            while self._waiting:
                self._target.emit(self._waiting.popleft())
            if self._dropped:
                number, self._dropped = self._dropped, 0
                self._target.emit(logging.makeLogRecord({"msg": json.dumps({"dropped": number})}))


@contextmanager
def log_file(values: Values, name: str) -> Iterator[logging.Logger | None]:
    """Open the log that a setting names, within the context; None if there is to be none.

    Raises:
        WrongSettings: The file cannot be opened.
    """
    where = values.of[name]
    if where == OFF:
        yield None
        return
    handler = _handler(values, name)
    logger = logging.getLogger(f"passwordless_async.cli.{name}")
    logger.handlers = [InBackground(handler) if name == "access_log" else handler]
    logger.propagate = False
    logger.setLevel(logging.INFO)
    try:
        yield logger
    finally:
        for each in (*logger.handlers, handler):
            each.close()
        logger.handlers = []


def _handler(values: Values, name: str) -> logging.Handler:
    where = values.of[name]
    try:
        return _Output() if where == STANDARD_OUTPUT else _File(where, encoding="utf-8")
    except OSError as error:
        problem = f"{values.sources[name]}: {plain(where)} cannot be written: {error.strerror}."
    raise WrongSettings(problem)


class LogStream:
    """A logger as a stream, for writers of lines."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def write(self, text: str) -> int:
        """Write a line."""
        self._logger.info("%s", text.rstrip("\n"))
        return len(text)

    def flush(self) -> None:
        """Do nothing: every line is written at once."""
