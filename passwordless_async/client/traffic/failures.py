"""Why a request failed: ``NotSent`` or ``OutcomeUnknown``, with the reason and what to change.

Invariants:

- aiohttp's errors show the request with its header fields: only the kind of a failure is kept. Host names and messages
  of TLS and DNS are not secret.
- A failure is not retryable only if the same call would certainly fail again.
"""

from __future__ import annotations

import asyncio
import socket
from http import HTTPStatus

import aiohttp

from passwordless_async._common.origin import is_loopback
from passwordless_async.client.traffic.connections import BrokenConnection
from passwordless_async.errors import NotSent, OutcomeUnknown

# The name does not exist in DNS. Other failures to resolve a name are temporary failures of the name server.
_UNKNOWN_NAME = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"})  # how versions of OpenSSL report plain http


def failure_of(error: BaseException, *, was_sent: bool) -> NotSent | OutcomeUnknown:
    """Return the error for what aiohttp, a hook or a cancellation raised; ``was_sent``: perhaps only in part."""
    kind = str(error) if isinstance(error, BrokenConnection) else type(error).__name__
    kind = "time-out" if isinstance(error, TimeoutError) else kind
    kind = "the client was closed" if isinstance(error, asyncio.CancelledError) else kind
    if was_sent:
        return OutcomeUnknown(f"the request was sent and no answer came ({kind})")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return _refused_by_proxy(error.status)
    if isinstance(error, aiohttp.ClientConnectorError):
        return _unconnected(error)
    return NotSent(f"nothing was sent ({kind})")


def _refused_by_proxy(status: int) -> NotSent:
    error = NotSent(f"nothing was sent: the proxy refused the connection (status {status})")
    may_pass = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS
    return error if may_pass else _final(error, "Check the proxy, its credentials, and whether it allows the domain.")


def _unconnected(error: aiohttp.ClientConnectorError) -> NotSent:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        words = getattr(error.certificate_error, "verify_message", "") or "it cannot be verified"
        return _final(
            NotSent(f"nothing was sent: the certificate of {error.host} was refused: {words}"),
            "Check the certificate: trust the authority that issued it if it is yours, or correct the domain.",
        )
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return _unnamed(error)
    return _unreached(error)


def _unreached(error: aiohttp.ClientConnectorError) -> NotSent:
    reason = getattr(error.os_error, "reason", None) or error.os_error.strerror or type(error).__name__
    which = "proxy" if isinstance(error, aiohttp.ClientProxyConnectionError) else "server"
    problem = NotSent(f"nothing was sent: no connection to the {which} {error.host} ({type(error).__name__}: {reason})")
    if reason not in _NO_TLS or which == "proxy":
        return problem
    return problem.with_facts(advice=f"The server does not seem to speak TLS. {_instead(error.host, error.port)}")


def _unnamed(error: aiohttp.ClientConnectorDNSError) -> NotSent:
    problem = NotSent(f"nothing was sent: the name {error.host} was not found ({error.os_error.strerror})")
    if error.os_error.errno in _UNKNOWN_NAME:
        return _final(problem, "Check the domain: DNS knows no such name here.")
    return problem.with_facts(advice="Check the domain, and whether this machine reaches its name server.")


def _instead(host: str, port: int | None) -> str:
    """Return advice for a server without TLS."""
    shown = f"[{host}]" if ":" in host else host
    return f"Write http://{shown}:{port}." if is_loopback(host) else "Correct the domain or its port."


def _final(error: NotSent, advice: str) -> NotSent:
    """Return an error after which the same call would fail again."""
    return error.with_facts(retryable=False, advice=advice)
