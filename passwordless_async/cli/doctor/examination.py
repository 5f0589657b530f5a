"""The checks of a tenant that send no code: their order, and the earlier results that each needs.

The functions that judge do no I/O. :func:`examine` reads what the tenant publishes, then makes the probe.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async._common.http import HttpRequest
from passwordless_async.auth0.client_auth import TlsClientAuth
from passwordless_async.auth0.identity import Email, Login
from passwordless_async.auth0.jwks import jwks_request, read_jwks
from passwordless_async.cli.doctor import probe
from passwordless_async.cli.doctor.findings import (
    WHERE_DOMAIN,
    Finding,
    Status,
    failed,
    not_checked,
    shortened,
)
from passwordless_async.cli.terminal.failure import is_particular
from passwordless_async.client.traffic.transport import Transport
from passwordless_async.errors import PasswordlessError, TransportError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from passwordless_async._common.http import HttpResponse
    from passwordless_async.auth0.application import Application
    from passwordless_async.auth0.tenant import DPoPMode

REACHABLE, DISCOVERY, ISSUER, DPOP, KEYS = "reachable", "discovery", "issuer", "DPoP", "signing keys"
CLOCK = "clock"
_WARNING_ABOVE, _FAILED_ABOVE = 10.0, 60.0  # seconds of skew
_MAX_AGE_DIGITS = 6
_WHERE = "Set the clock of this machine, for example by NTP; the tenant's cannot be set."
_TIMEOUT = 10.0  # seconds for one transmission


async def examine(
    application: Application,
    *,
    audiences: Sequence[str] = (),
    dpop: DPoPMode = "required",
    probe_code: str = probe.PROBE_CODE,
) -> tuple[Finding, ...]:
    """Examine a tenant without sending anyone a code; the probes present the made-up ``probe_code``.

    The application's credentials are sent only after the discovery document has named the right issuer.
    """
    logins = [Login(Email(probe.PROBE_ADDRESS), probe_code, audience=audience) for audience in audiences or (None,)]
    client_auth = application.client_auth
    context = client_auth.context if isinstance(client_auth, TlsClientAuth) else None
    async with Transport(None, timeout=_TIMEOUT, ssl=context) as transport:
        observer = _Observer(transport)
        url = application.base / ".well-known/openid-configuration"
        described = judge_discovery(application, dpop, await observer.ask(HttpRequest("GET", url, {})))
        keys, probed = not_checked(KEYS), not_checked(probe.CLIENT, probe.GRANT, probe.PROOF)
        if not failed(described[:3]):  # reachable, described, and the right issuer; DPoP may be missing
            keys = (judge_keys(await observer.ask(jwks_request(application))),)
            is_proven = dpop != "off"
            error = await probe.probe(application, logins[0], observer.send, is_proven=is_proven)
            probed = probe.judge_probe(error, is_proven=is_proven)
        is_sound = not failed((*described, *probed))
        policies = await _policies(application, logins, observer.send if is_sound else None, dpop)
    return *described, *keys, judge_clock(observer.last, dpop), *probed, probe.ip_header_trust(application), *policies


async def _policies(
    application: Application, logins: Sequence[Login], send: probe.Send | None, dpop: DPoPMode
) -> tuple[Finding, ...]:
    """Find out the policies of APIs, as far as failing logins reveal them; None: nothing is sent."""
    if send is None:
        return tuple(found for login in logins for found in not_checked(probe.POLICY, audience=login.audience))
    errors = [await probe.probe(application, login, send, is_proven=False) for login in logins]
    return tuple(probe.judge_policy(login.audience, error, dpop) for login, error in zip(logins, errors, strict=True))


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


def judge_discovery(
    application: Application, dpop: DPoPMode, answer: HttpResponse | PasswordlessError
) -> tuple[Finding, ...]:
    """Judge the answer to the request for the discovery document (OpenID Connect Discovery §4)."""
    if isinstance(answer, TransportError):
        where = answer.advice if is_particular(answer) else f"Check the network and the domain. {WHERE_DOMAIN}"
        return (Finding(REACHABLE, Status.FAILED, str(answer), where), *not_checked(DISCOVERY, ISSUER, DPOP))
    reachable = Finding(REACHABLE, Status.OK, f"{application.origin} answers")
    if isinstance(answer, PasswordlessError):
        return reachable, *_no_document(str(answer))
    document = answer.json_object() if answer.status == HTTPStatus.OK else None
    if document is None:
        return reachable, *_no_document(f"no JSON object (status {answer.status})")
    present = Finding(DISCOVERY, Status.OK, "the document is there")
    return reachable, present, _judge_issuer(application, document), _judge_algorithms(document, dpop)


def judge_keys(answer: HttpResponse | PasswordlessError) -> Finding:
    """Judge the answer to the request for the keys that ID tokens are signed with."""
    try:
        if isinstance(answer, PasswordlessError):
            raise answer
        keys = read_jwks(answer)
    except PasswordlessError as error:
        where = "ID tokens cannot be checked. Look at Settings > Signing Keys, and at any proxy before the tenant."
        return Finding(KEYS, Status.FAILED, str(error), where)
    return Finding(KEYS, Status.OK, f"{len(keys)} usable")


def _no_document(detail: str) -> tuple[Finding, ...]:
    where = f"This does not look like a tenant. {WHERE_DOMAIN}"
    return Finding(DISCOVERY, Status.FAILED, detail, where), *not_checked(ISSUER, DPOP)


def _judge_issuer(application: Application, document: Mapping[str, Any]) -> Finding:
    issuer = document.get("issuer")
    if issuer == application.issuer:
        return Finding(ISSUER, Status.OK, application.issuer)
    detail = f"the tenant calls itself {shortened(issuer)}, not {application.issuer}"
    return Finding(ISSUER, Status.FAILED, detail, f"Every ID token would be refused. {WHERE_DOMAIN}")


def _judge_algorithms(document: Mapping[str, Any], dpop: DPoPMode) -> Finding:
    if dpop == "off":
        return Finding(DPOP, Status.OK, "not needed: the client's mode is off")
    algorithms = document.get("dpop_signing_alg_values_supported")
    if isinstance(algorithms, list) and "ES256" in algorithms:
        return Finding(DPOP, Status.OK, "ES256 is offered")
    what = "ES256 is not offered" if algorithms is not None else "DPoP is not offered"
    where = "Have sender constraining (DPoP) enabled for the tenant; its plan or its version may lack it."
    status = Status.FAILED if dpop == "required" else Status.WARNING
    return Finding(DPOP, status, f"{what} in dpop_signing_alg_values_supported", where)


@attrs.frozen
class Timed:
    """A response and its time."""

    response: HttpResponse
    at: float  # seconds since the UNIX epoch by this machine's clock, half-way between request and response


def judge_clock(answer: Timed | None, dpop: DPoPMode = "required") -> Finding:
    """Judge whether this machine's clock and the tenant's agree (RFC 9110 §6.6.1: ``Date``); None: no response came."""
    date = None if answer is None else _date(answer.response)
    if answer is None or date is None:
        return Finding(CLOCK, Status.NOT_CHECKED, "no response tells the tenant's time")
    skew = answer.at - date
    detail = f"this machine is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the tenant"
    return _judge_skew(abs(skew), detail, dpop)


def _judge_skew(seconds: float, detail: str, dpop: DPoPMode) -> Finding:
    if seconds <= _WARNING_ABOVE:
        return Finding(CLOCK, Status.OK, f"within {_WARNING_ABOVE:.0f} s of the tenant's")
    if dpop == "off":
        return Finding(CLOCK, Status.WARNING, detail, f"No proof depends on it: the client's mode is off. {_WHERE}")
    if seconds > _FAILED_ABOVE:
        return Finding(CLOCK, Status.FAILED, detail, f"Proofs would be refused. {_WHERE}")
    return Finding(CLOCK, Status.WARNING, detail, f"Proofs may be refused. {_WHERE}")


def _date(response: HttpResponse) -> float | None:
    """Return the tenant's time, in seconds since the UNIX epoch, when it sent a response."""
    try:
        date = parsedate_to_datetime(response.headers.get("Date", ""))
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    # A date has whole seconds, cut off: on average it is half a second later.
    return date.timestamp() + _age(response) + 0.5


def _age(response: HttpResponse) -> int:
    """Return the seconds that a cache has kept a response (RFC 9111 §5.1)."""
    age = response.headers.get("Age", "")
    return int(age) if age.isascii() and age.isdigit() and len(age) <= _MAX_AGE_DIGITS else 0
