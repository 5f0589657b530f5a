"""The sockets of a tenant: on loopback, at each of its addresses."""

from __future__ import annotations

import errno
import ipaddress
import socket

_LOOPBACK, _LOOPBACK_6 = "127.0.0.1", "::1"
_NO_IPV6 = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_MAX_TRIES = 10  # to find a port that is free at both addresses


def listen(host: str | None, port: int) -> list[socket.socket]:
    """Return listening sockets, all on one port.

    Args:
        host: The address; None: 127.0.0.1 and, where this machine has it, ::1, which ``localhost`` may mean as well.
        port: The port; 0 takes a free one.

    Raises:
        OSError: The port is taken, or the address is not this machine's.
    """
    if host is not None:
        return [_listen(host, port)]
    for _ in range(_MAX_TRIES - 1 if port == 0 else 0):
        try:
            return _listen_on_loopback(port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    return _listen_on_loopback(port)


def url_of(host: str | None, port: int, *, tls: bool) -> str:
    """Return the URL of a tenant that listens there; an unspecified address becomes loopback."""
    if host is None or _is_unspecified(host):
        host = _LOOPBACK if host is None or ":" not in host else _LOOPBACK_6
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def _is_unspecified(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _listen(host: str, port: int) -> socket.socket:
    # The family by the address: create_server() takes that of IPv4 unless told.
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    except UnicodeError:  # a label that is empty or too long
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None
    both = host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server((host, port), family=family, dualstack_ipv6=both)


def _listen_on_loopback(port: int) -> list[socket.socket]:
    first = _listen(_LOOPBACK, port)
    try:
        return [first, _listen(_LOOPBACK_6, first.getsockname()[1])]
    except OSError as error:
        if error.errno in _NO_IPV6 or isinstance(error, socket.gaierror):
            return [first]
        first.close()
        raise
