"""The program as its users meet it: a process with pipes, or one in a terminal."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from helpers.tenant_thread import running
from passwordless_async.testing import LocalTenant, ThrowAwayCa

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAM = [sys.executable, "-m", "passwordless_async.cli"]
PATIENCE = 60  # seconds; nothing waits as long unless it is broken
# A terminal is taken over by the leader of a session: this becomes one, and then the program.
TAKE_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
PLAIN = {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}


PROCESSES = {"faulty", "program", "started", "terminal"}  # fixtures that start processes, which takes a second or more


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the command line that start processes as slow."""
    for item in items:
        here = Path(__file__).parent in item.path.parents
        if here and isinstance(item, pytest.Function) and PROCESSES & set(item.fixturenames):
            item.add_marker(pytest.mark.slow)


def environment(**changes: str) -> dict[str, str]:
    """Return this process's environment without what would colour the output."""
    kept = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "NO_COLOR")}
    return {**kept, **PLAIN, **changes}


@pytest.fixture
def program() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the program to its end.

    Its standard error is inherited by a tenant that it starts: that the pipe is closed when this returns shows that
    no process was left behind.
    """

    def run(
        *arguments: str, stdin: str = "", script: str | None = None, **changes: str
    ) -> subprocess.CompletedProcess[str]:
        program = PROGRAM if script is None else [sys.executable, "-c", script]
        return subprocess.run(  # noqa: S603 - our own program
            [*program, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            env=environment(**changes),
        )

    return run


@contextmanager
def watched(process: subprocess.Popen[Any]) -> Iterator[None]:
    """Kill a process that does not end, so that a reader of its output wakes."""
    dog = threading.Timer(PATIENCE, process.kill)
    dog.start()
    try:
        yield
    finally:
        dog.cancel()
        process.kill()
        process.wait()


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that starts the program with pipes, in a process group of its own."""
    running: list[Any] = []

    def start(*arguments: str, script: str | None = None) -> subprocess.Popen[str]:
        program = PROGRAM if script is None else [sys.executable, "-c", script]
        process = subprocess.Popen(  # noqa: S603 - our own program
            [*program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            start_new_session=True,
        )
        running.append((process, guard := watched(process)))
        guard.__enter__()
        return process

    yield start
    for process, guard in running:
        guard.__exit__(None, None, None)
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()


@attrs.define
class Terminal:
    """A terminal with the program in it, read and typed into by the test."""

    _process: subprocess.Popen[bytes]
    _screen: int
    shown: str = ""

    def until(self, text: str) -> str:
        """Read until a text is shown; return all that was shown so far."""
        while text not in self.shown:
            read = self._read()
            assert read, f"ended without {text!r}: {self.shown}"
        return self.shown

    def type(self, text: str) -> None:
        os.write(self._screen, text.encode())

    def end(self, *, pressing: str = "") -> int:
        """Press a key, read until no process holds the terminal any more, and return the program's status.

        The key is pressed again when nothing happens: a signal that comes between Python's last look for one and
        the system call that waits for input is not seen before the next.
        """
        self.type(pressing)
        while True:
            if not select.select([self._screen], [], [], 2.0)[0]:
                self.type(pressing)
            elif not self._read():
                return self._process.wait(PATIENCE)

    def _read(self) -> str:
        try:
            read = os.read(self._screen, 65536).decode(errors="replace")
        except OSError:  # EIO on Linux; elsewhere the end of a file
            read = ""
        self.shown += read
        return read


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    """Return a function that starts the program in a terminal of 80 columns."""
    guards: list[Any] = []
    screens: list[int] = []

    def start(*arguments: str, **changes: str) -> Terminal:
        screen, keyboard = os.openpty()
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-c", TAKE_TERMINAL, *PROGRAM, *arguments],
            stdin=keyboard,
            stdout=keyboard,
            stderr=keyboard,
            env=environment(**changes),
        )
        os.close(keyboard)
        screens.append(screen)
        guards.append(guard := watched(process))
        guard.__enter__()
        return Terminal(process, screen)

    yield start
    for guard in guards:
        guard.__exit__(None, None, None)
    for screen in screens:
        os.close(screen)


@pytest.fixture
def tenant() -> Iterator[LocalTenant]:
    """Run a tenant."""
    with running(LocalTenant()) as tenant:
        yield tenant


@pytest.fixture
def ca() -> ThrowAwayCa:
    """Return the authority of the tenant with TLS and of its clients."""
    return ThrowAwayCa()


@pytest.fixture
def tls_tenant(ca: ThrowAwayCa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalTenant]:
    """Run a tenant with TLS, trusted by way of the environment."""
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(ca.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with running(LocalTenant(ssl=ca.server_context())) as tenant:
        yield tenant


@pytest.fixture(autouse=True)
def sigint() -> Iterator[None]:
    """Give Ctrl-C its default meaning, here and in child processes; undo it afterwards.

    A shell that runs the tests in its background has it ignored, and every process inherits that.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def ctrl_c() -> Callable[[], None]:
    """Return a function that sends this process the signal of Ctrl-C."""
    return lambda: os.kill(os.getpid(), signal.SIGINT)
