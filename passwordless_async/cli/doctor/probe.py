"""Checks whether the application, its grant and its proofs are accepted, by one login that must fail.

The probe presents a made-up code for an address that cannot exist, so it affects no user. The refusal shows how far the
request got.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from passwordless_async import errors
from passwordless_async._common.http import run_flow
from passwordless_async.auth0.client_auth import ForwardedFor
from passwordless_async.auth0.grant import prove
from passwordless_async.auth0.otp import otp_request
from passwordless_async.auth0.tenant import Tenant
from passwordless_async.auth0.token_answer import read_token
from passwordless_async.cli.doctor.findings import WHERE_DOMAIN, Finding, Status, advice, not_checked
from passwordless_async.dpop import DPoPKey
from passwordless_async.errors import OAuthError, PasswordlessError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from passwordless_async._common.http import HttpRequest, HttpResponse
    from passwordless_async.auth0.application import Application
    from passwordless_async.auth0.identity import Login
    from passwordless_async.auth0.tenant import DPoPMode

    Send = Callable[[HttpRequest], Awaitable[HttpResponse]]

CLIENT, GRANT, PROOF, IP_HEADER = "client authentication", "grant", "proof", "IP header trust"
POLICY = "API policy"
# RFC 2606 §2: no mailbox can have an address under this domain.
PROBE_ADDRESS = "doctor@example.invalid"
PROBE_CODE = "000000"

_WHERE_CLIENT = (
    "Compare the client ID with Applications > (your application) > Settings, and the authentication method and its"
    " secret, key or certificate with its Credentials tab; a public application takes none of them."
)
_WHERE_GRANT = (
    "Turn on Passwordless OTP in Applications > (your application) > Settings > Advanced Settings > Grant Types (it is"
    " not there for a single-page application), and Identifier First in Authentication > Authentication Profile."
)
_WHERE_AUDIENCE = "Take the audience from Applications > APIs > (your API) > Settings > Identifier."
_WHERE_IP_HEADER = (
    "Look at Applications > (your application) > Settings > Advanced Settings > OAuth > Trust Token Endpoint IP Header;"
    " then log in once with forwarded_for and compare the IP address in Monitoring > Logs."
)
_WHERE_MODE = (
    'Use dpop="preferred" or "required", or set the API\'s policy: Applications > APIs > (your API) > Settings > Token'
    " Sender-Constraining."
)
_WHERE_LOGIN = "Add --send-to you@example.com to find out."
_WHICH_API = "Name your API by --audience: this is about the tenant's default audience, or about no API."
_CODE_WAS_SEEN = frozenset({"invalid_grant", "mfa_required", "too_many_attempts"})
_API_FIRST = "the API was refused before"
_ACCEPTED = {CLIENT: "accepted", GRANT: "enabled", PROOF: "accepted"}


async def probe(
    application: Application, login: Login, send: Send, *, is_proven: bool = True
) -> PasswordlessError | None:
    """Log in with a made-up code, with or without a proof; return the error, or None if there were tokens."""
    key = DPoPKey.generate() if is_proven else None
    flow = prove(Tenant(application), key, lambda: otp_request(application, login, {}))
    try:
        read_token(*await run_flow(flow, send), None)
    except PasswordlessError as error:
        return error
    return None


@attrs.frozen
class _Refusal:
    """What a refusal of the probe shows: the status of client authentication, of the grant and of the proof."""

    matches: Callable[[OAuthError], bool]
    client: Status
    grant: Status
    proof: Status
    where: str | None = None  # where to change what failed; the error's own advice unless given
    unseen: str = "an earlier check failed"  # why the rest is not checked

    def findings(self, error: OAuthError) -> tuple[Finding, ...]:
        statuses = {CLIENT: self.client, GRANT: self.grant, PROOF: self.proof}
        return tuple(self._finding(name, status, error) for name, status in statuses.items())

    def _finding(self, name: str, status: Status, error: OAuthError) -> Finding:
        if status is Status.OK:
            return Finding(name, status, _ACCEPTED[name])
        if status is Status.NOT_CHECKED:
            return Finding(name, status, self.unseen)
        return Finding(name, status, str(error), advice(error) if self.where is None else self.where)


_OK, _FAILED, _UNSEEN = Status.OK, Status.FAILED, Status.NOT_CHECKED
_REFUSALS = (  # the first row that matches counts
    _Refusal(lambda error: isinstance(error, errors.InvalidClient), _FAILED, _UNSEEN, _UNSEEN, _WHERE_CLIENT),
    _Refusal(lambda error: isinstance(error, errors.UnauthorizedClient), _OK, _FAILED, _UNSEEN, _WHERE_GRANT),
    _Refusal(
        lambda error: isinstance(error, errors.InvalidDPoPProof | errors.NonceChallengeRepeated),
        _UNSEEN,
        _UNSEEN,
        _FAILED,
    ),
    # The tenant checked the code, so the login passed all three.
    _Refusal(lambda error: error.error in _CODE_WAS_SEEN, _OK, _OK, _OK),
    # The check of the API reports what is wrong with the API.
    _Refusal(lambda error: isinstance(error, errors.DPoPRequired), _UNSEEN, _UNSEEN, _UNSEEN, unseen=_API_FIRST),
    _Refusal(lambda error: isinstance(error, errors.InvalidTarget), _OK, _UNSEEN, _UNSEEN, unseen=_API_FIRST),
)


def judge_probe(error: PasswordlessError | None, *, is_proven: bool = True) -> tuple[Finding, ...]:
    """Judge the result of the probe, which had a proof or not; None: tokens."""
    found = _judged(error)
    if not is_proven and found[-1].status is Status.OK:
        return *found[:-1], Finding(PROOF, Status.NOT_CHECKED, "none is sent: the client's mode is off")
    return found


def _judged(error: PasswordlessError | None) -> tuple[Finding, ...]:
    if error is None:
        detail = "the tenant gave tokens for a made-up code"
        where = "Take the tenant out of service, or check what answers in its place."
        return Finding(CLIENT, Status.FAILED, detail, where), *not_checked(GRANT, PROOF)
    if not isinstance(error, OAuthError):
        where = f"{advice(error)} {WHERE_DOMAIN}"
        return Finding(CLIENT, Status.FAILED, str(error), where), *not_checked(GRANT, PROOF)
    for refusal in _REFUSALS:
        if refusal.matches(error):
            return refusal.findings(error)
    # Auth0 does not document whether it checks the application first.
    detail = f"the response does not show it: {error}"
    return Finding(CLIENT, Status.WARNING, detail, advice(error)), *not_checked(GRANT, PROOF)


def judge_policy(audience: str | None, error: PasswordlessError | None, mode: DPoPMode) -> Finding:
    """Judge a probe without a proof: whether an API takes logins without DPoP, and whether the client's mode fits."""
    return policy(audience, *_judged_policy(error, mode))


def policy(audience: str | None, status: Status, detail: str, where: str = "") -> Finding:
    """Return the finding on an API's policy; unless it is fine, it says how to name the API that was not named."""
    if audience is None and status is not Status.OK:
        where = f"{_WHICH_API} {where}".rstrip()
    return Finding(POLICY, status, detail, where, audience=audience)


def _judged_policy(error: PasswordlessError | None, mode: DPoPMode) -> tuple[Status, str, str]:
    if isinstance(error, errors.DPoPRequired):
        if mode == "off":
            return Status.FAILED, "the API's method is DPoP, required: the mode off cannot work", _WHERE_MODE
        return Status.OK, "the API's method is DPoP, required: the modes required and preferred work, off does not", ""
    if isinstance(error, errors.InvalidTarget):
        return Status.FAILED, "no API has this identifier", _WHERE_AUDIENCE
    if not isinstance(error, OAuthError) or error.error not in _CODE_WAS_SEEN:
        return Status.NOT_CHECKED, "the response to a login without a proof does not show it", ""
    if mode == "required":
        detail = (
            "its Sender Constraining Method is None, or DPoP but optional: with None the tokens are not bound, and "
            "your mode, required, refuses them"
        )
        return Status.NOT_CHECKED, detail, _WHERE_LOGIN
    return Status.OK, f"the API accepts a login without a proof: the mode {mode} works", ""


def ip_header_trust(application: Application) -> Finding:
    """Return the finding on ``auth0-forwarded-for``; whether the tenant uses it cannot be seen from outside."""
    forwarded_for = application.client_auth.forwarded_for
    if forwarded_for is ForwardedFor.IGNORED:
        detail = "auth0-forwarded-for is ignored for a public application: all users share the limits of one address"
        where = "For many users behind one address, use an application that authenticates itself with a secret."
    elif forwarded_for is ForwardedFor.COUNTS:
        detail, where = (
            "cannot be seen from outside; if it is off, all users share the limits of one address",
            _WHERE_IP_HEADER,
        )
    else:
        detail = "Auth0 does not document whether it uses auth0-forwarded-for without a client secret"
        where = _WHERE_IP_HEADER
    return Finding(IP_HEADER, Status.NOT_CHECKED, detail, where)
