"""Where the gateway listens: ports and sockets in the file system, and why it cannot."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

from passwordless_async.cli.gateway.listening import listening, url_of
from passwordless_async.cli.gateway.reading import Values, WrongSettings, read

if TYPE_CHECKING:
    from pathlib import Path


def values(**flags: Any) -> Values:
    """Return what is set."""
    required = {"domain": "acme.eu.auth0.com", "client_id": "app", "base_url": "https://app.example"}
    return read({**required, **flags}, {}, None)


def problem(**flags: Any) -> str:
    """Return why it cannot listen."""
    with pytest.raises(WrongSettings) as raised, listening(values(**flags)):
        pass
    return raised.value.message


def test_a_port() -> None:
    """It takes connections within the context alone."""
    with listening(values(port="0")) as bound:
        host, port = bound.getsockname()
        assert url_of(bound) == f"http://127.0.0.1:{port}"
        socket.create_connection((host, port)).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, port))


@pytest.mark.skipif(not socket.has_ipv6, reason="the machine has no IPv6")
def test_ipv6() -> None:
    """The URL has brackets."""
    with listening(values(host="::1", port="0")) as bound:
        assert url_of(bound) == f"http://[::1]:{bound.getsockname()[1]}"


def test_a_port_that_is_taken() -> None:
    """The sentence names host and port."""
    with listening(values(port="0")) as bound:
        port = bound.getsockname()[1]
        assert problem(port=str(port)) == f"--port: cannot listen on 127.0.0.1, port {port}: Address already in use."


@pytest.mark.parametrize("host", ["nowhere.invalid", "a..b", f"{'a' * 64}.example"])
def test_an_unknown_host(host: str) -> None:
    """The sentence names the host, also where no DNS name can be made of it."""
    assert problem(host=host) == f"--host: cannot listen on {host}: the host is unknown."


def test_an_address_of_another_machine() -> None:
    """The sentence is about the host, not the port."""
    expected = f"--host: cannot listen on 203.0.113.1: {os.strerror(99)}."
    assert problem(host="203.0.113.1", port="0") == expected


def test_a_file(tmp_path: Path) -> None:
    """It is a socket within the context, and gone after it; one of a process that was killed is replaced."""
    file = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(file))
    with listening(values(unix_socket=str(file))) as bound:
        assert url_of(bound) == f"unix:{file}"
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(file))
        taken = f"--unix-socket: cannot listen on {file}: {os.strerror(98)}."
        assert problem(unix_socket=str(file)) == taken
    assert not file.exists()


def test_a_file_that_is_no_socket(tmp_path: Path) -> None:
    """It stays as it is."""
    file = tmp_path / "s"
    file.write_text("mine")
    reason = "there is a file that is no socket"
    assert problem(unix_socket=str(file)) == f"--unix-socket: cannot listen on {file}: {reason}."
    assert file.read_text() == "mine"


def test_a_path_that_is_too_long_for_a_socket(tmp_path: Path) -> None:
    """The sentence says so: the system's error has no number."""
    file = tmp_path / ("s" * 200)
    assert problem(unix_socket=str(file)) == f"--unix-socket: cannot listen on {file}: AF_UNIX path too long."
