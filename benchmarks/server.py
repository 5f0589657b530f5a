"""The stub server in a process of its own, each side on a processor of its own where the system lets us say so."""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import attrs

from benchmarks.child import Child

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


class Server(Child):
    """The stub server (:mod:`benchmarks.stub`), which lives as long as the ``with``.

    Args:
        cpu: The processor to run on; None: any.
        tls: Whether it speaks TLS.
    """

    def __init__(self, cpu: int | None = None, *, tls: bool = False) -> None:
        options = json.dumps({"cpu": cpu, "tls": tls})
        super().__init__([sys.executable, "-m", "benchmarks.stub", options])

    @property
    def origin(self) -> str:
        """Where it listens."""
        return str(self.ready["origin"])

    @property
    def ca(self) -> str:
        """The certificate of its authority in PEM; empty without TLS."""
        return str(self.ready["ca"])

    @property
    def token_url(self) -> str:
        """The token endpoint."""
        return f"{self.origin}/oauth/token"

    def connector(self) -> aiohttp.TCPConnector:
        """Make aiohttp's connections to it: as many as are needed, which trust its authority."""
        # aiohttp reads the usual authorities once, when it is imported: too early for this server's.
        context = ssl.create_default_context(cadata=self.ca) if self.ca else True
        return aiohttp.TCPConnector(limit=0, ssl=context)

    def tell(self, **settings: Any) -> dict[str, int]:  # noqa: ANN401 - the attributes of the service
        """Set ``delay``, ``rotation`` or ``previous``; with ``reset`` forget what was counted.

        Returns:
            What it counted since then.
        """
        return self.ask(**settings)


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
