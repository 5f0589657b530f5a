"""The stub server in a process of its own, each side on a processor of its own where the system lets us say so."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator


@attrs.frozen
class Processors:
    """Who runs where.

    Attributes:
        server: The processor of the server; None: wherever the system puts it.
        how: What to say of it.
    """

    server: int | None
    how: str


@contextmanager
def pinned() -> Iterator[Processors]:
    """Keep this process, and what it starts, on one processor; the server gets another."""
    if not hasattr(os, "sched_setaffinity"):
        yield Processors(None, "client and server not pinned: the system cannot")
        return
    mine = os.sched_getaffinity(0)
    if len(mine) == 1:
        yield Processors(None, "client and server share one processor")
        return
    client, server = sorted(mine)[:2]
    os.sched_setaffinity(0, {client})
    try:
        yield Processors(server, "client and server pinned to a processor each")
    finally:
        os.sched_setaffinity(0, mine)


class Server:
    """The stub server (:mod:`benchmarks.stub`), which lives as long as the ``with``.

    Args:
        cpu: The processor to run on; None: any.
        tls: Whether it speaks TLS.

    Attributes:
        origin: Where it listens.
        ca: The certificate of its authority, in PEM.
    """

    def __init__(self, cpu: int | None = None, *, tls: bool = False) -> None:
        self._options = json.dumps({"cpu": cpu, "tls": tls})
        self.origin = self.ca = ""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "benchmarks.stub", self._options]
        self._process = subprocess.Popen(  # noqa: S603 - a command of our own
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )
        told = json.loads(self._process.stdout.readline() or "{}")
        if not told:
            raise RuntimeError("the stub server did not start")
        self.origin, self.ca = told["origin"], told["ca"]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    @property
    def token_url(self) -> str:
        """The token endpoint."""
        return f"{self.origin}/oauth/token"

    def tell(self, **settings: Any) -> dict[str, int]:  # noqa: ANN401 - the attributes of the service
        """Set ``delay``, ``rotation`` or ``previous``; with ``reset`` forget what was counted.

        Returns:
            What it counted since then.
        """
        self._process.stdin.write(json.dumps(settings) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def trusted(server: Server, authorities: str) -> Iterator[None]:
    """Let libraries that read the usual variables trust the server beside the usual authorities.

    Args:
        server: The server.
        authorities: The file with the usual ones, which is as long as these libraries are used to.
    """
    names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
    before = {name: os.environ.get(name) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle.pem"
        bundle.write_text(Path(authorities).read_text(encoding="utf-8") + server.ca, encoding="utf-8")
        os.environ.update(dict.fromkeys(names, str(bundle)))
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


def allow_connections(number: int) -> None:
    """Raise this process's limit of open files, which children inherit, as far as the system lets us."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415 - POSIX alone has it

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = number if hard == resource.RLIM_INFINITY else min(number, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
