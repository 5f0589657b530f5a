"""Redis servers of the tests' own, on loopback: one alone, a cluster of three, and one that three sentinels watch.

What they are asked here goes over plain sockets: no client library is trusted with what is told about it. All calls
block; in a coroutine, those that wait for a server belong into ``asyncio.to_thread``.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

PROGRAM = "redis-server"
HOST = "127.0.0.1"
PATIENCE = 90.0  # seconds; nothing waits as long unless it is broken
SLOTS = 16384  # of a cluster, shared out among its nodes
_GLANCE = 0.02  # seconds between two looks at what is waited for
_ANSWER = 5.0  # seconds that a server is given to answer: one that is paused never does
_TRIES = 20  # ports that are tried before the machine is blamed
# Below the ports that systems give to outgoing connections, one of which could take the port of a server that is
# started again; so are a cluster's second ports, which are higher by 10,000.
_PORTS = range(12000, 22000)
# Ends a server and removes its files when this process is killed: then its end of the pipe is closed.
_GUARD = 'read -r _; kill -9 "$1"; rm -rf "$2"'


class Refused(Exception):
    """A server answered with an error."""


class PortTaken(RuntimeError):
    """A server could not listen on its port."""


def installed() -> bool:
    """Tell whether the servers can be started on this machine."""
    return shutil.which(PROGRAM) is not None


def until(true: Callable[[], bool], what: str) -> None:
    """Wait until something is true; a server that does not answer, or with an error, has it not true yet.

    Raises:
        TimeoutError: It was not within a minute and a half.
    """
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with contextlib.suppress(OSError, Refused):
            if true():
                return
        time.sleep(_GLANCE)
    raise TimeoutError(f"waited in vain: {what}")


class Connection:
    """A connection to a server, in version 2 of its protocol."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((HOST, port), timeout=_ANSWER)
        self._replies = self._socket.makefile("rb")

    def ask(self, *words: str | bytes | int) -> Any:
        """Send a command and return its answer: bytes, an int, None, a list of these, or for a status a str.

        Raises:
            Refused: The answer is an error.
            OSError: There is none.
        """
        raw = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self._socket.sendall(b"*%d\r\n" % len(raw) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in raw))
        return self._reply()

    def _reply(self) -> Any:
        line = self._replies.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server has closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise Refused(rest.decode())
        if kind == b"+":
            return rest.decode()
        number = int(rest)
        if kind == b":":
            return number
        if number < 0:
            return None
        return self._replies.read(number + 2)[:-2] if kind == b"$" else [self._reply() for _ in range(number)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._replies.close()
        self._socket.close()


class RedisServer:
    """A server with a directory and a port of its own, which it keeps when it is started again.

    What it is told is in its append-only file before it answers, so that a kill loses nothing. It ends with the
    ``with``, and when this process dies, however it dies.

    Args:
        settings: Lines of its configuration besides our own.
    """

    def __init__(self, *settings: str) -> None:
        self.settings = settings
        self.port = 0
        self.directory = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._paused = False
        self._flushed: dict[str, int] = {}

    @property
    def url(self) -> str:
        """Where it listens, as clients are told."""
        return f"redis://{HOST}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether there is a process, paused or not."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            RuntimeError: It has ended instead; with what it said about that.
        """
        self.directory = Path(tempfile.mkdtemp(prefix="redis-"))
        for _ in range(_TRIES):
            self.port = _free_port()
            self._configuration.write_text("\n".join([*self._own_settings(), *self.settings, ""]))
            with contextlib.suppress(PortTaken):
                self._spawn()
                return
        raise PortTaken(f"none of {_TRIES} ports is free")

    def ask(self, *words: str | bytes | int) -> Any:
        """Send a command over a connection of its own; see :meth:`Connection.ask`."""
        with Connection(self.port) as connection:
            return connection.ask(*words)

    def info(self, section: str) -> dict[str, str]:
        """Return what the server says about itself."""
        lines = self.ask("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def kill(self) -> None:
        """End the server with no chance to write anything more."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the server as its administrator would."""
        self.resume()
        self._end(signal.SIGTERM)

    def restart(self, *settings: str) -> None:
        """Start the server with the same data on the same port, where it runs after ending it.

        Args:
            settings: More lines for its configuration, which win over the earlier ones.
        """
        self.stop()
        if settings:
            with self._configuration.open("a") as file:
                file.write("\n".join(["", *settings, ""]))
        self._spawn()

    def pause(self) -> None:
        """Have the server do nothing, with its connections open and new ones accepted by the system."""
        if self._process is not None and self.running and not self._paused:
            os.kill(self._process.pid, signal.SIGSTOP)
            os.waitpid(self._process.pid, os.WUNTRACED)
            self._paused = True

    def resume(self) -> None:
        """Have a paused server go on."""
        if self._process is not None and self._paused:
            self._process.send_signal(signal.SIGCONT)
            self._paused = False

    def flush(self) -> None:
        """Delete all keys and scripts; what was written before is no longer reported as written."""
        self.ask("FLUSHALL")
        self.ask("SCRIPT", "FLUSH")
        self.forget_written()

    def refresh(self) -> None:
        """Have the server run, whatever was done to it, and hold nothing."""
        self.resume()
        if not self.running:
            self.restart()
        self.flush()

    def dump(self) -> bytes:
        """Return all keys of all databases with their contents, to be searched for what must not be there."""
        found: list[bytes] = []
        for database in self.info("keyspace"):
            with Connection(self.port) as connection:
                connection.ask("SELECT", database.removeprefix("db"))
                for key in connection.ask("KEYS", "*"):
                    found += [key, *_flat(_content(connection, key))]
        return b"\n".join(found)

    def written(self) -> bytes:
        """Return what was written since the last flush, with what was deleted or overwritten or has expired since."""
        files = self._append_only()
        return b"".join(content[self._flushed.get(name, 0) :] for name, content in files.items())

    def forget_written(self) -> None:
        """Have nothing reported as written that is by now."""
        self._flushed = {name: len(content) for name, content in self._append_only().items()}

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the server and remove its directory."""
        self.kill()
        if self.port:
            shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def _configuration(self) -> Path:
        return self.directory / "server.conf"

    def _own_settings(self) -> list[str]:
        return [
            *_listening(self),
            'save ""',
            "appendonly yes",
            # With `everysec` it answers up to two seconds before it writes, while the disk takes long.
            "appendfsync no",
            # The file holds every command, in the clear, from the first on.
            "aof-use-rdb-preamble no",
            "auto-aof-rewrite-percentage 0",
        ]

    def _command(self) -> list[str]:
        return [PROGRAM, str(self._configuration)]

    def _spawn(self) -> None:
        log = self.directory / "log"
        with log.open("wb") as file:
            # In a session of its own: a Ctrl-C in the terminal is for the tests.
            self._process = subprocess.Popen(  # noqa: S603 - our own arguments
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=self.directory,
                start_new_session=True,
            )
        self._guard = _guarded(self._process.pid, self.directory)
        try:
            until(lambda: not self.running or self._answers(), f"{PROGRAM} answers")
        except BaseException:
            self.kill()
            raise
        if not self.running:
            self.kill()
            said = log.read_text(errors="replace")
            raise (PortTaken if "ddress already in use" in said else RuntimeError)(f"{PROGRAM} has ended: {said}")

    def _answers(self) -> bool:
        # The answer may come from another server, which has the port: this one is about to find that out.
        answers = self.ask("PING") == "PONG"
        return answers and self._process is not None and self.info("server")["process_id"] == str(self._process.pid)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(PATIENCE)
        finally:
            # Killed also after a wait in vain; and the guard after it, when there is nothing left to guard.
            self._process.kill()
            self._process.wait()
            self._process, self._paused = None, False
            if self._guard is not None:
                _dismiss(self._guard)

    def _append_only(self) -> dict[str, bytes]:
        # A replica that is sent everything anew begins files with other names.
        if self.running:
            # A write waits for the disk as long as that is busy with the one before.
            until(lambda: self.info("persistence")["aof_buffer_length"] == "0", "all is written")
        return {path.name: path.read_bytes() for path in sorted(self.directory.rglob("*.aof"))}


class Sentinel(RedisServer):
    """A sentinel: a server that watches others."""

    def _own_settings(self) -> list[str]:
        return _listening(self)

    def _command(self) -> list[str]:
        return [*super()._command(), "--sentinel"]

    def _spawn(self) -> None:
        super()._spawn()
        # Its habits are made for networks: it would look at its servers each 10 seconds. Redis 6 cannot be told.
        with contextlib.suppress(Refused):
            periods = {"info": 300, "publish": 200, "ask": 200, "tilt": 2000}
            self.ask("SENTINEL", "DEBUG", *(word for name, ms in periods.items() for word in (f"{name}-period", ms)))


class RedisCluster:
    """Three servers that share the keys, without replicas: without one of them, all refuse."""

    def __init__(self) -> None:
        self.nodes = tuple(
            RedisServer("cluster-enabled yes", "cluster-config-file nodes.conf", "cluster-node-timeout 3000")
            for _ in range(3)
        )
        self._open = contextlib.ExitStack()

    @property
    def url(self) -> str:
        """Where the first node listens: a client asks it for the others."""
        return self.nodes[0].url

    def node_of(self, key: str | bytes) -> RedisServer:
        """Return the node that holds a key."""
        slot = self.nodes[0].ask("CLUSTER", "KEYSLOT", key)
        return next(node for node, slots in self._shares() if slot in slots)

    def flush(self) -> None:
        """Delete all keys and scripts of all nodes."""
        for node in self.nodes:
            node.flush()

    def refresh(self) -> None:
        """Have all nodes run, whatever was done to them, agree, and hold nothing."""
        _revive(self.nodes)
        self._agree()
        self.flush()

    def dump(self) -> bytes:
        """Return the keys and contents of all nodes."""
        return b"\n".join(node.dump() for node in self.nodes)

    def written(self) -> bytes:
        """Return what was written on all nodes since the last flush."""
        return b"\n".join(node.written() for node in self.nodes)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as opened:
            for number, (node, slots) in enumerate(self._shares(), start=1):
                opened.enter_context(node)
                node.ask("CLUSTER", "ADDSLOTS", *slots)
                # Two nodes with the same one would have to find out about that first.
                node.ask("CLUSTER", "SET-CONFIG-EPOCH", number)
            for node in self.nodes[1:]:
                self.nodes[0].ask("CLUSTER", "MEET", HOST, node.port)
            self._agree()
            self._open = opened.pop_all()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._open.close()

    def _shares(self) -> Iterator[tuple[RedisServer, range]]:
        bounds = [SLOTS * number // len(self.nodes) for number in range(len(self.nodes) + 1)]
        return zip(self.nodes, map(range, bounds, bounds[1:]), strict=True)

    def _agree(self) -> None:
        wanted = {"cluster_state": "ok", "cluster_slots_ok": str(SLOTS), "cluster_known_nodes": str(len(self.nodes))}

        def agreed() -> bool:
            return all(wanted.items() <= _cluster_info(node).items() for node in self.nodes)

        until(agreed, "the nodes form a cluster")


class RedisSentinel:
    """A primary, its replica, and three sentinels, of which two have to agree that the primary is down."""

    name = "main"

    def __init__(self) -> None:
        self.servers: tuple[RedisServer, ...] = ()
        self.sentinels: tuple[Sentinel, ...] = ()
        self._open = contextlib.ExitStack()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where the sentinels listen."""
        return [(HOST, sentinel.port) for sentinel in self.sentinels]

    @property
    def primary(self) -> RedisServer:
        """The server that the sentinels announce as the primary.

        Raises:
            LookupError: They do not agree.
        """
        ports = {self._announced(sentinel) for sentinel in self.sentinels}
        if len(ports) > 1:
            raise LookupError("the sentinels do not agree")
        return next(server for server in self.servers if server.port in ports)

    @property
    def replica(self) -> RedisServer:
        """The other server."""
        primary = self.primary
        return next(server for server in self.servers if server is not primary)

    def fail_over(self) -> RedisServer:
        """Kill the primary, wait until another is announced, and return that."""
        killed = self.primary
        killed.kill()
        return self.successor(killed)

    def successor(self, lost: RedisServer) -> RedisServer:
        """Wait until all sentinels announce another server than a lost one, and return that."""
        (other,) = (server for server in self.servers if server is not lost)

        def announced() -> bool:
            ports = {self._announced(sentinel) for sentinel in self.sentinels}
            return ports == {other.port} and other.info("replication")["role"] == "master"

        until(announced, "the sentinels announce another primary")
        return other

    def flush(self) -> None:
        """Delete all keys and scripts, in the replica as well."""
        primary, replica = self.primary, self.replica
        primary.flush()
        until(lambda: _offset(replica) >= _offset(primary), "the replica has caught up")
        replica.forget_written()

    def refresh(self) -> None:
        """Have all servers run, whatever was done to them, ready for another fail-over, and hold nothing."""
        _revive(self.sentinels)
        for server in self.servers:
            server.resume()
            if not server.running:
                self.bring_back(server)
        until(self._settled, "primary, replica and sentinels know each other")
        self.flush()

    def dump(self) -> bytes:
        """Return the keys and contents of the servers that run."""
        return b"\n".join(server.dump() for server in self.servers if server.running)

    def written(self) -> bytes:
        """Return what was written on both servers since the last flush."""
        return b"\n".join(server.written() for server in self.servers)

    def __enter__(self) -> Self:
        # Without the delay a replica is not kept waiting for others to come.
        prompt = ("repl-diskless-sync yes", "repl-diskless-sync-delay 0")
        with contextlib.ExitStack() as opened:
            primary = opened.enter_context(RedisServer(*prompt))
            replica = opened.enter_context(RedisServer(*prompt, f"replicaof {HOST} {primary.port}"))
            self.servers = (primary, replica)
            # Sentinels look for replicas when they come, and then not for a while.
            until(lambda: replica.info("replication")["master_link_status"] == "up", "the replica is connected")
            watch = (
                f"sentinel monitor {self.name} {HOST} {primary.port} 2",
                f"sentinel down-after-milliseconds {self.name} 1000",
                f"sentinel failover-timeout {self.name} 2000",
            )
            self.sentinels = tuple(opened.enter_context(Sentinel(*watch)) for _ in range(3))
            until(self._settled, "primary, replica and sentinels know each other")
            self._open = opened.pop_all()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._open.close()

    def _announced(self, sentinel: Sentinel) -> int:
        return int(sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)[1])

    def bring_back(self, server: RedisServer) -> None:
        """Start a server again, as a replica where another one is announced by now."""
        others = {port for port in map(self._announced, self.sentinels) if port != server.port}
        server.restart(*(f"replicaof {HOST} {port}" for port in others))

    def _settled(self) -> bool:
        ports = {self._announced(sentinel) for sentinel in self.sentinels}
        roles = {server.info("replication")["role"] for server in self.servers}
        return len(ports) == 1 and roles == {"master", "slave"} and all(map(self._knows_all, self.sentinels))

    def _knows_all(self, sentinel: Sentinel) -> bool:
        primary = _pairs(sentinel.ask("SENTINEL", "MASTER", self.name))
        replicas = [_pairs(replica) for replica in sentinel.ask("SENTINEL", "REPLICAS", self.name)]
        return (
            primary["flags"] == "master"
            and primary["num-other-sentinels"] == str(len(self.sentinels) - 1)
            and [(replica["flags"], replica["master-link-status"]) for replica in replicas] == [("slave", "ok")]
        )


def _free_port() -> int:
    while True:
        port = _PORTS[secrets.randbelow(len(_PORTS))]
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port


def _listening(server: RedisServer) -> list[str]:
    return [
        f"port {server.port}",
        f"bind {HOST}",
        "protected-mode yes",
        f"dir {server.directory}",
        "loglevel warning",
    ]


def _guarded(pid: int, directory: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own arguments
        ["/bin/sh", "-c", _GUARD, "guard", str(pid), str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _dismiss(guard: subprocess.Popen[bytes]) -> None:
    # Killed before its pipe is closed: it would take that for the end of this process.
    guard.kill()
    guard.wait()
    if guard.stdin is not None:
        guard.stdin.close()


def _revive(servers: Iterable[RedisServer]) -> None:
    for server in servers:
        server.resume()
        if not server.running:
            server.restart()


def _content(connection: Connection, key: bytes) -> Any:
    kind = connection.ask("TYPE", key)
    reading: dict[str, tuple[str | bytes | int, ...]] = {
        "string": ("GET", key),
        "hash": ("HGETALL", key),
        "set": ("SMEMBERS", key),
        "zset": ("ZRANGE", key, 0, -1, "WITHSCORES"),
        "list": ("LRANGE", key, 0, -1),
        "stream": ("XRANGE", key, "-", "+"),
    }
    # It may have expired since it was listed.
    return [] if kind == "none" else connection.ask(*reading[kind])


def _flat(value: Any) -> list[bytes]:
    if isinstance(value, list):
        return [part for item in value for part in _flat(item)]
    return [] if value is None else [value]


def _pairs(flat: list[bytes]) -> dict[str, str]:
    words = [word.decode() for word in flat]
    return dict(zip(words[::2], words[1::2], strict=True))


def _cluster_info(node: RedisServer) -> dict[str, str]:
    return dict(line.split(":", 1) for line in node.ask("CLUSTER", "INFO").decode().splitlines())


def _offset(server: RedisServer) -> int:
    replication = server.info("replication")
    return int(replication["slave_repl_offset" if replication["role"] == "slave" else "master_repl_offset"])
