"""Where a tenant listens."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack
from typing import Any

import pytest

from passwordless_async.testing.listening import listen, url_of


def closing(sockets: list[socket.socket]) -> ExitStack:
    """Return a context that closes sockets."""
    stack = ExitStack()
    for each in sockets:
        stack.enter_context(each)
    return stack


def test_by_default_on_each_address_of_loopback() -> None:
    """``localhost`` may mean either, so both have the same port."""
    sockets = listen(None, 0)
    with closing(sockets):
        assert [each.getsockname()[0] for each in sockets] == ["127.0.0.1", "::1"]
        assert len({each.getsockname()[1] for each in sockets}) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "0.0.0.0"])  # noqa: S104 - where it may listen
def test_on_one_address(host: str) -> None:
    """An address that is named is the only one."""
    sockets = listen(host, 0)
    with closing(sockets):
        assert len(sockets) == 1


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_port_that_is_taken_at_either_address(address: str) -> None:
    """Otherwise ``localhost`` would lead to another program; nothing is left open."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            listen(None, port)
    with closing(listen(None, port)):
        pass


def test_any_free_port_is_free_at_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the port that was found is taken at ::1, another one is tried."""
    create, refusals = socket.create_server, iter([errno.EADDRINUSE] * 3)

    def refusing(address: tuple[str, int], **options: Any) -> socket.socket:
        if address[0] == "::1" and (number := next(refusals, None)):
            raise OSError(number, "refused")
        return create(address, **options)

    monkeypatch.setattr(socket, "create_server", refusing)
    sockets = listen(None, 0)
    with closing(sockets):
        assert len(sockets) == 2


@pytest.mark.parametrize("number", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
def test_a_machine_without_ipv6(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Only 127.0.0.1 is listened on."""
    create = socket.create_server

    def refusing(address: tuple[str, int], **options: Any) -> socket.socket:
        if address[0] == "::1":
            raise OSError(number, "refused")
        return create(address, **options)

    monkeypatch.setattr(socket, "create_server", refusing)
    sockets = listen(None, 0)
    with closing(sockets):
        assert [each.getsockname()[0] for each in sockets] == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("host", "url"),
    [
        (None, "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),  # noqa: S104 - where it may listen
        ("::", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
        ("localhost", "http://localhost:80"),
    ],
)
def test_its_url(host: str | None, url: str) -> None:
    """An address is bracketed where it has to be, and everywhere is called loopback."""
    assert url_of(host, 80, tls=False) == url
    assert url_of(host, 80, tls=True) == url.replace("http", "https")
