"""Start and exchange: a code is asked for, typed, and becomes tokens."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import conceal
from passwordless_async.auth0.database import database_request, read_database, refuses_code
from passwordless_async.auth0.flows.grant import Asked, grant
from passwordless_async.auth0.id_token import Expected
from passwordless_async.auth0.identity import AuthSession
from passwordless_async.auth0.requests import forwarded_for_header
from passwordless_async.auth0.start import read_start, start_request
from passwordless_async.auth0.token import otp_request
from passwordless_async.dpop import DPoPKey, ProofGenerator
from passwordless_async.errors import OAuthError, WrongCode

if TYPE_CHECKING:
    from passwordless_async.auth0 import IpAddress
    from passwordless_async.auth0.flows.tenant import Flow, Tenant
    from passwordless_async.auth0.identity import Email, Login, Phone
    from passwordless_async.auth0.tokens import StartReceipt, TokenSet


def start(
    tenant: Tenant,
    who: Email | Phone,
    *,
    captcha: str | None = None,
    **parameters: Any,  # noqa: ANN401 - as start_request
) -> Flow[StartReceipt]:
    """Ask for a code; the parameters are those of :func:`~passwordless_async.auth0.start.start_request`."""
    captcha = conceal(captcha)
    request = start_request(tenant.application, who, captcha=captcha, **parameters)
    sent_at = _clock.now()
    response = yield request
    receipt = read_start(request, response, who, sent_at)
    tenant.attempts.renew(who)
    return receipt


def start_database(tenant: Tenant, who: Email | Phone, **parameters: Any) -> Flow[AuthSession]:  # noqa: ANN401 - as below
    """Ask for a code; the parameters are those of :func:`~passwordless_async.auth0.database.database_request`."""
    request = database_request(tenant.application, who, **parameters)
    response = yield request
    return read_database(request, response, who)


def exchange(tenant: Tenant, login: Login, *, forwarded_for: IpAddress | None = None) -> Flow[TokenSet]:
    """Exchange a code for tokens."""
    proofs = ProofGenerator(DPoPKey.generate() if login.key is None else login.key)
    headers = forwarded_for_header(tenant.application, forwarded_for)
    try:
        tokens = yield from grant(
            tenant,
            proofs,
            partial(otp_request, tenant.application, login, headers),
            Asked(scope=login.scope, audience=login.audience, who=login.who, expected=Expected(max_age=login.max_age)),
        )
    except OAuthError as error:
        refused = _judged(tenant, login, error)
    else:
        tenant.attempts.renew(login.who)
        return tokens
    raise refused


def _judged(tenant: Tenant, login: Login, error: OAuthError) -> OAuthError:
    """Return what a refusal means for this login, with the attempts that are left."""
    if isinstance(login.who, AuthSession) and refuses_code(error, login.otp):
        error = WrongCode(status=error.status, error=error.error, error_description=error.error_description)
    if isinstance(error, WrongCode):
        error.attempts_left = tenant.attempts.fail(login.who)
    return error
