"""A real login, for ``--send-to``: only that shows whether the API's access tokens are bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async.auth0.mfa.state import MfaRequired
from passwordless_async.cli.doctor.findings import Finding, Status, advice, not_checked, shortened
from passwordless_async.client.client import PasswordlessClient
from passwordless_async.errors import NotSenderConstrained, PasswordlessError

if TYPE_CHECKING:
    from passwordless_async.auth0.application import Application
    from passwordless_async.auth0.identity import Email, Login, Phone

CODE, LOGIN, POLICY = "code", "login", "API policy"

_WHERE_CONNECTION = (
    "Check Authentication > Passwordless: the connection has to be on, and enabled for the application in its"
    " Applications tab."
)
_WHERE_POLICY = (
    "Set the API's policy: Applications > APIs > (your API) > Settings > Token Sender-Constraining, method DPoP."
)


async def send_code(application: Application, who: Email | Phone) -> Finding:
    """Send a user a code."""
    async with _client(application) as client:
        try:
            await client.start(who)
        except PasswordlessError as error:
            return Finding(CODE, Status.FAILED, str(error), f"{advice(error)} {_WHERE_CONNECTION}")
    return Finding(CODE, Status.OK, "sent")


async def log_in(application: Application, login: Login) -> tuple[Finding, ...]:
    """Log a user in with a code, and discard the tokens."""
    async with _client(application) as client:
        try:
            await client.exchange(login.who, login.otp, scope=login.scope, audience=login.audience)
        except PasswordlessError as error:
            return _judge_failure(error, _api(login))
    bound = f"the access token of {_api(login)} is bound to the key"
    return Finding(LOGIN, Status.OK, "tokens were given"), Finding(POLICY, Status.OK, bound)


def login_not_tried(reason: str) -> tuple[Finding, ...]:
    """Return the findings for a code that was sent and not typed."""
    where = "Run it again and type the code that was sent; a newer one replaces it."
    return Finding(LOGIN, Status.FAILED, reason, where), *not_checked(POLICY)


def policy_not_checked(reason: str, advice: str) -> Finding:
    """Return the finding for an API's policy without a login."""
    return Finding(POLICY, Status.NOT_CHECKED, reason, advice)


def _judge_failure(error: PasswordlessError, api: str) -> tuple[Finding, ...]:
    if isinstance(error, NotSenderConstrained):
        detail = f"the access token of {api} is not bound: {error}"
        return Finding(LOGIN, Status.OK, "tokens were given"), Finding(POLICY, Status.FAILED, detail, _WHERE_POLICY)
    # A second factor is no defect.
    status = Status.WARNING if isinstance(error, MfaRequired) else Status.FAILED
    return Finding(LOGIN, status, str(error), advice(error)), *not_checked(POLICY)


def _api(login: Login) -> str:
    return "the default API" if login.audience is None else shortened(login.audience)


def _client(application: Application) -> PasswordlessClient:
    return PasswordlessClient(str(application.base), application.client_id, client_auth=application.client_auth)
