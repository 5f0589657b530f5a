"""The checks of a tenant that send no code: in what order they are made, and what each needs of the ones before.

The functions that judge do no I/O. :func:`examine` reads what the tenant publishes, then makes the probe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async._common import clock as _clock
from passwordless_async._common.http import HttpRequest
from passwordless_async.auth0.client_auth import TlsClientAuth
from passwordless_async.auth0.jwks import jwks_request
from passwordless_async.cli.doctor.clock import Timed, judge_clock
from passwordless_async.cli.doctor.discovery import KEYS, judge_discovery, judge_keys
from passwordless_async.cli.doctor.findings import failed, not_checked
from passwordless_async.cli.doctor.probe import (
    CLIENT,
    GRANT,
    PROBE_CODE,
    PROOF,
    ip_header_trust,
    judge_probe,
    probe,
    probe_login,
)
from passwordless_async.client.traffic.transport import Transport
from passwordless_async.errors import PasswordlessError

if TYPE_CHECKING:
    from passwordless_async._common.http import HttpResponse
    from passwordless_async.auth0.application import Application
    from passwordless_async.cli.doctor.findings import Finding

_TIMEOUT = 10.0  # seconds for one transmission


async def examine(
    application: Application, *, audience: str | None = None, probe_code: str = PROBE_CODE
) -> tuple[Finding, ...]:
    """Examine a tenant without sending anyone a code.

    The application's credentials are sent only after the discovery document has named the right issuer.

    Args:
        application: The application and its tenant.
        audience: The API that access tokens are for.
        probe_code: The made-up code.

    Raises:
        UsageError: An argument is not of its form.
    """
    login = probe_login(probe_code, audience)
    client_auth = application.client_auth
    context = client_auth.context if isinstance(client_auth, TlsClientAuth) else None
    async with Transport(None, timeout=_TIMEOUT, ssl=context) as transport:
        observer = _Observer(transport)
        url = application.base / ".well-known/openid-configuration"
        described = judge_discovery(application, await observer.ask(HttpRequest("GET", url, {})))
        keys, probed = not_checked(KEYS), not_checked(CLIENT, GRANT, PROOF)
        if not failed(described[:3]):  # reachable, described, and the right issuer; DPoP may be missing
            keys = (judge_keys(await observer.ask(jwks_request(application))),)
            probed = judge_probe(await probe(application, login, observer.send))
    return *described, *keys, judge_clock(observer.last), *probed, ip_header_trust(application)


class _Observer:
    """Sends requests, and keeps the last response with its time: that of a POST, if there was one, is from no cache."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.last: Timed | None = None

    async def send(self, request: HttpRequest) -> HttpResponse:
        before = _clock.now()
        response = await self._transport.send(request)
        self.last = Timed(response, (before + _clock.now()) / 2)
        return response

    async def ask(self, request: HttpRequest) -> HttpResponse | PasswordlessError:
        try:
            return await self.send(request)
        except PasswordlessError as error:
            return error
