"""An nginx of a benchmark's own, on loopback: ``proxy_pass`` with kept connections, one process, no log."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from benchmarks.redis_server import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROGRAM = "nginx"
_ELSEWHERE = ("/usr/sbin", "/usr/local/sbin")  # where systems install it, which are not on every user's path
_HOST = "127.0.0.1"
_CPU = "/proc/{}/schedstat"  # of Linux: nanoseconds on a processor come first
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_SETTINGS = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  {temporary}
  upstream service {{ server {service}; keepalive 256; }}
  server {{
    listen {host}:{port} backlog=512;
    keepalive_requests 1000000000;
    location / {{
      proxy_pass http://service;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }}
  }}
}}
"""


@attrs.frozen
class Nginx:
    """A running nginx.

    Attributes:
        origin: Where it listens.
    """

    origin: str
    _pid: int

    def cpu(self) -> float:
        """Return the seconds of CPU that it took until now."""
        return int(Path(_CPU.format(self._pid)).read_text(encoding="ascii").split()[0]) / 1e9


@contextmanager
def nginx_proxy(service: str) -> Iterator[Nginx]:
    """Run a proxy for a service, by its origin.

    Raises:
        ModuleNotFoundError: The program is not installed, or the system does not say how much CPU it takes.
    """
    program = shutil.which(_PROGRAM) or shutil.which(_PROGRAM, path=":".join(_ELSEWHERE))
    if program is None or not Path(_CPU.format("self")).exists():
        raise ModuleNotFoundError(f"there is no {_PROGRAM} on Linux; Debian: apt-get install nginx", name=_PROGRAM)
    with socket.create_server((_HOST, 0)) as listener:
        port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        temporary = " ".join(f"{name}_temp_path {name};" for name in _TEMPORARY)
        settings = Path(directory, "nginx.conf")
        settings.write_text(
            _SETTINGS.format(service=service.partition("://")[2], host=_HOST, port=port, temporary=temporary),
            encoding="utf-8",
        )
        command = [program, "-e", "stderr", "-p", directory, "-c", str(settings)]
        server = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: S603 - the server
        try:
            wait_for(port)
            yield Nginx(f"http://{_HOST}:{port}", server.pid)
        finally:
            server.kill()
            server.wait()
