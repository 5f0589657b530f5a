"""A look at a tenant from outside: what is wrong with it, in plain words, and where to change it.

Answers are judged by functions that do no I/O; :func:`examine` fetches them. It reads what is public and asks the token
endpoint once about a code that cannot exist, for an address that cannot exist: the answer shows whether the
application, its grant and the proof are accepted, and no user is touched. What sends a code is apart:
:func:`send_code` and :func:`log_in`.
"""

from __future__ import annotations

import enum
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async import errors
from passwordless_async._common import clock as _clock
from passwordless_async._common.http import HttpRequest
from passwordless_async.auth0 import ForwardedFor, TlsClientAuth
from passwordless_async.auth0.identity import Email, Login
from passwordless_async.auth0.jwks import jwks_request, read_jwks
from passwordless_async.auth0.mfa.required import MfaRequired
from passwordless_async.auth0.otp import otp_request
from passwordless_async.auth0.tenant import Tenant, prove
from passwordless_async.auth0.token_answer import read_token
from passwordless_async.client.client import PasswordlessClient
from passwordless_async.client.traffic.transport import Transport, drive
from passwordless_async.dpop import DPoPKey, ProofGenerator
from passwordless_async.errors import OAuthError, PasswordlessError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async._common.http import HttpResponse
    from passwordless_async.auth0 import Application
    from passwordless_async.auth0.identity import Phone

# RFC 2606 §2: no mailbox can have an address under this domain.
PROBE_ADDRESS = "doctor@example.invalid"
_PROBE_CODE = "000000"

_OK, _UNAUTHORIZED = 200, 401
_WARN_SKEW, _MAX_SKEW = 10.0, 60.0  # seconds
_TIMEOUT = 10.0  # seconds for one transmission
_MAX_TEXT = 200  # characters of the tenant's that are repeated

_REACHABLE, _DISCOVERY, _ISSUER, _DPOP, _KEYS = "reachable", "discovery", "issuer", "DPoP", "signing keys"
_CLOCK, _CLIENT, _GRANT, _PROOF = "clock", "client authentication", "grant", "proof"
_CODE, _LOGIN, _POLICY, _IP_HEADER = "code", "login", "API policy", "IP header trust"

_WHERE_DOMAIN = "Take the domain from Applications > (your application) > Settings > Domain, or your custom domain."
_WHERE_CLIENT = (
    "Compare the client ID with Applications > (your application) > Settings, and the authentication method and its"
    " secret, key or certificate with its Credentials tab; a public application takes none of them."
)
_WHERE_GRANT = (
    "Turn on Passwordless OTP in Applications > (your application) > Settings > Advanced Settings > Grant Types (it is"
    " not there for a single-page application), and Identifier First in Authentication > Authentication Profile."
)
_WHERE_CONNECTION = (
    "Check Authentication > Passwordless: the connection has to be on, and enabled for the application in its"
    " Applications tab."
)
_WHERE_POLICY = (
    "Set the API's policy: Applications > APIs > (your API) > Settings > Token Sender-Constraining, method DPoP."
)
_WHERE_AUDIENCE = "Take the audience from Applications > APIs > (your API) > Settings > Identifier."
_WHERE_CLOCK = "Set the clock of this machine, for example by NTP; the tenant's cannot be set."
_WHERE_IP_HEADER = (
    "Look at Applications > (your application) > Settings > Advanced Settings > OAuth > Trust Token Endpoint IP Header;"
    " then log in once with forwarded_for and compare the IP address in Monitoring > Logs."
)


class Status(enum.StrEnum):
    """What came of a check."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


@attrs.frozen
class Finding:
    """What a check found.

    Attributes:
        name: The check.
        status: What came of it.
        detail: What was seen.
        advice: What to do about it, and where; empty where there is nothing to do.
    """

    name: str
    status: Status
    detail: str
    advice: str = ""

    def to_json(self) -> dict[str, str]:
        """Return it as a JSON object."""
        return {"name": self.name, "status": self.status.value, "detail": self.detail, "advice": self.advice}


@attrs.frozen
class Timed:
    """An answer and when it came.

    Attributes:
        response: The answer.
        at: Seconds since the UNIX epoch, half way between the request and the answer.
    """

    response: HttpResponse
    at: float


def failed(findings: tuple[Finding, ...]) -> bool:
    """Return whether a check failed."""
    return any(finding.status is Status.FAILED for finding in findings)


def judge_discovery(application: Application, answer: HttpResponse | PasswordlessError) -> tuple[Finding, ...]:
    """Judge the answer to the request for the tenant's own description (OpenID Connect Discovery §4)."""
    if isinstance(answer, errors.TransportError):
        advice = f"Check the network and the domain. {_WHERE_DOMAIN}"
        return (Finding(_REACHABLE, Status.FAILED, str(answer), advice), *_not_checked(_DISCOVERY, _ISSUER, _DPOP))
    reachable = Finding(_REACHABLE, Status.OK, f"{application.origin} answers")
    document = None if isinstance(answer, PasswordlessError) or answer.status != _OK else answer.json_object()
    if document is None:
        seen = str(answer) if isinstance(answer, PasswordlessError) else f"no JSON object (status {answer.status})"
        found = Finding(_DISCOVERY, Status.FAILED, seen, f"This does not look like a tenant. {_WHERE_DOMAIN}")
        return (reachable, found, *_not_checked(_ISSUER, _DPOP))
    present = Finding(_DISCOVERY, Status.OK, "the document is there")
    return reachable, present, _judge_issuer(application, document), _judge_algorithms(document)


def _judge_issuer(application: Application, document: Mapping[str, Any]) -> Finding:
    issuer = document.get("issuer")
    if issuer == application.issuer:
        return Finding(_ISSUER, Status.OK, application.issuer)
    seen = f"the tenant calls itself {_text(issuer)}, not {application.issuer}"
    return Finding(_ISSUER, Status.FAILED, seen, f"Every ID token would be refused. {_WHERE_DOMAIN}")


def _judge_algorithms(document: Mapping[str, Any]) -> Finding:
    algorithms = document.get("dpop_signing_alg_values_supported")
    if isinstance(algorithms, list) and "ES256" in algorithms:
        return Finding(_DPOP, Status.OK, "ES256 is offered")
    seen = "ES256 is not offered" if algorithms is not None else "DPoP is not offered"
    advice = "Have sender constraining (DPoP) enabled for the tenant: its plan or its version may lack it."
    return Finding(_DPOP, Status.FAILED, f"{seen} in dpop_signing_alg_values_supported", advice)


def judge_keys(answer: HttpResponse | PasswordlessError) -> Finding:
    """Judge the answer to the request for the keys that ID tokens are signed with."""
    try:
        if isinstance(answer, PasswordlessError):
            raise answer
        keys = read_jwks(answer)
    except PasswordlessError as error:
        advice = "ID tokens cannot be checked: see Settings > Signing Keys, and any proxy before the tenant."
        return Finding(_KEYS, Status.FAILED, str(error), advice)
    return Finding(_KEYS, Status.OK, f"{len(keys)} usable")


def judge_clock(answer: Timed | None) -> Finding:
    """Judge the time at the tenant by the ``Date`` of an answer."""
    theirs = None if answer is None else _date(answer.response)
    if answer is None or theirs is None:
        return Finding(_CLOCK, Status.NOT_CHECKED, "no answer says what time it is at the tenant")
    skew = answer.at - theirs
    way = "ahead of" if skew > 0 else "behind"
    seen = f"this machine is {abs(skew):.0f} s {way} the tenant"
    if abs(skew) > _MAX_SKEW:
        return Finding(_CLOCK, Status.FAILED, seen, f"Proofs would be refused. {_WHERE_CLOCK}")
    if abs(skew) > _WARN_SKEW:
        return Finding(_CLOCK, Status.WARNING, seen, f"Proofs may be refused. {_WHERE_CLOCK}")
    return Finding(_CLOCK, Status.OK, f"within {_WARN_SKEW:.0f} s of the tenant's")


def _date(response: HttpResponse) -> float | None:
    try:
        date = parsedate_to_datetime(response.headers.get("Date", ""))
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    age = response.headers.get("Age", "")  # RFC 9111 §5.1: for so long a cache has kept it
    kept = int(age) if age.isascii() and age.isdigit() and len(age) < len("1000000") else 0
    # The date has whole seconds, cut off: on the average it is half a second later.
    return date.timestamp() + kept + 0.5


def judge_probe(error: PasswordlessError | None) -> tuple[Finding, ...]:
    """Judge what came of the probe: the application, its grant and the proof.

    Args:
        error: What the answer means; None: tokens.
    """
    if error is None:
        seen = "the tenant gave tokens for a code that was made up"
        advice = "Take the tenant out of service, or check what answers in its place."
        return Finding(_CLIENT, Status.FAILED, seen, advice), *_not_checked(_GRANT, _PROOF)
    if isinstance(error, OAuthError):
        return _judge_refusal(error)
    return Finding(_CLIENT, Status.FAILED, str(error), f"{_advice(error)} {_WHERE_DOMAIN}"), *_not_checked(
        _GRANT, _PROOF
    )


def _judge_refusal(error: OAuthError) -> tuple[Finding, ...]:
    accepted, said = Finding(_CLIENT, Status.OK, "accepted"), str(error)
    # A wrong secret is access_denied at some endpoints: a user who is not let in has status 403.
    if isinstance(error, errors.InvalidClient) or (error.status, error.error) == (_UNAUTHORIZED, "access_denied"):
        return Finding(_CLIENT, Status.FAILED, said, _WHERE_CLIENT), *_not_checked(_GRANT, _PROOF)
    if isinstance(error, errors.UnauthorizedClient):
        return accepted, Finding(_GRANT, Status.FAILED, said, _WHERE_GRANT), *_not_checked(_PROOF)
    if isinstance(error, errors.InvalidDPoPProof | errors.NonceChallengeRepeated):
        return *_not_checked(_CLIENT, _GRANT), Finding(_PROOF, Status.FAILED, said, _advice(error))
    if error.error in {"invalid_grant", "mfa_required", "too_many_attempts"}:
        return accepted, Finding(_GRANT, Status.OK, "enabled"), Finding(_PROOF, Status.OK, "accepted")
    if error.error_description.startswith("Service not found"):
        return accepted, Finding(_GRANT, Status.FAILED, said, _WHERE_AUDIENCE), *_not_checked(_PROOF)
    # Whether the application was looked at first is not documented.
    seen = f"the answer does not tell: {said}"
    return Finding(_CLIENT, Status.WARNING, seen, _advice(error)), *_not_checked(_GRANT, _PROOF)


def judge_code(error: PasswordlessError | None) -> Finding:
    """Judge what came of asking for a code; None: one was sent."""
    if error is None:
        return Finding(_CODE, Status.OK, "sent")
    return Finding(_CODE, Status.FAILED, str(error), f"{_advice(error)} {_WHERE_CONNECTION}")


def judge_login(error: PasswordlessError | None, audience: str | None) -> tuple[Finding, ...]:
    """Judge what came of a login; None: tokens that are bound and were checked."""
    of = "the default API" if audience is None else _text(audience)
    if error is None:
        bound = Finding(_POLICY, Status.OK, f"the access token of {of} is bound to the key")
        return Finding(_LOGIN, Status.OK, "tokens were given"), bound
    if isinstance(error, errors.NotSenderConstrained):
        seen = f"the access token of {of} is not bound: {error}"
        return Finding(_LOGIN, Status.OK, "tokens were given"), Finding(_POLICY, Status.FAILED, seen, _WHERE_POLICY)
    status = Status.WARNING if isinstance(error, MfaRequired) else Status.FAILED
    return Finding(_LOGIN, status, str(error), _advice(error)), *_not_checked(_POLICY)


def login_not_tried(reason: str) -> tuple[Finding, ...]:
    """Return that a code was sent and nothing came back that could be one, so that nobody was logged in."""
    advice = "Run it again and type the code that was sent; a newer one replaces it."
    return Finding(_LOGIN, Status.FAILED, reason, advice), *_not_checked(_POLICY)


def policy_unseen(reason: str, advice: str) -> Finding:
    """Return that the API's policy was not looked at: nothing but a login shows it."""
    return Finding(_POLICY, Status.NOT_CHECKED, reason, advice)


def ip_header_trust(application: Application) -> Finding:
    """Return what is known of ``auth0-forwarded-for``: whether it counts cannot be seen from outside."""
    heeded = application.client_auth.forwarded_for
    if heeded is ForwardedFor.IGNORED:
        seen = "auth0-forwarded-for is ignored for a public application: all users share the limits of one address"
        advice = "For many users behind one address, use an application that authenticates itself with a secret."
    elif heeded is ForwardedFor.COUNTS:
        seen, advice = "cannot be seen from outside; off, all users share the limits of one address", _WHERE_IP_HEADER
    else:
        seen = "whether auth0-forwarded-for counts without a client secret is not documented"
        advice = _WHERE_IP_HEADER
    return Finding(_IP_HEADER, Status.NOT_CHECKED, seen, advice)


async def examine(application: Application, *, audience: str | None = None) -> tuple[Finding, ...]:
    """Examine a tenant without sending a code to anybody.

    The application's credentials are sent when the tenant's description is the right one, not before.

    Args:
        application: The application and its tenant.
        audience: The API that is asked for.

    Raises:
        UsageError: An argument is not of its form.
    """
    login = Login(Email(PROBE_ADDRESS), _PROBE_CODE, audience=audience)
    client_auth = application.client_auth
    context = client_auth.context if isinstance(client_auth, TlsClientAuth) else None
    async with Transport(None, timeout=_TIMEOUT, ssl=context) as transport:
        observer = _Observer(transport)
        url = application.base / ".well-known/openid-configuration"
        described = judge_discovery(application, await observer.ask(HttpRequest("GET", url, {})))
        keys, probed = _not_checked(_KEYS), _not_checked(_CLIENT, _GRANT, _PROOF)
        if not failed(described[:3]):
            keys = (judge_keys(await observer.ask(jwks_request(application))),)
            probed = judge_probe(await _probe(application, login, observer))
    return *described, *keys, judge_clock(observer.last), *probed, ip_header_trust(application)


async def send_code(application: Application, who: Email | Phone) -> Finding:
    """Have a code sent."""
    error = None
    async with _client(application) as client:
        try:
            await client.start(who)
        except PasswordlessError as refused:
            error = refused
    return judge_code(error)


async def log_in(application: Application, login: Login) -> tuple[Finding, ...]:
    """Log in with a code, and throw the tokens away."""
    error = None
    async with _client(application) as client:
        try:
            await client.exchange(login.who, login.otp, scope=login.scope, audience=login.audience)
        except PasswordlessError as refused:
            error = refused
    return judge_login(error, login.audience)


class _Observer:
    """Sends, and keeps the last answer with its time: that of a POST, where there was one, is from no cache."""

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


async def _probe(application: Application, login: Login, observer: _Observer) -> PasswordlessError | None:
    proofs = ProofGenerator(DPoPKey.generate())
    probing = prove(Tenant(application), proofs, lambda: otp_request(application, login, {}))
    try:
        read_token(*await drive(probing, observer.send), None)
    except PasswordlessError as error:
        return error
    return None


def _client(application: Application) -> PasswordlessClient:
    return PasswordlessClient(str(application.base), application.client_id, client_auth=application.client_auth)


def _not_checked(*names: str) -> tuple[Finding, ...]:
    return tuple(Finding(name, Status.NOT_CHECKED, "something before it is wrong") for name in names)


def _advice(error: PasswordlessError) -> str:
    if isinstance(error, errors.RateLimited):
        return "Wait a while, then try again."
    if isinstance(error, errors.OutcomeUnknown | errors.NotSent):
        return "Try again later, and check the network."
    return error.advice


def _text(value: object) -> str:
    text = repr(value) if not isinstance(value, str) else value
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"
