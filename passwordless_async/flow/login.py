"""Start and exchange: a code is asked for, typed, and becomes tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from passwordless_async import _clock
from passwordless_async._secret import conceal
from passwordless_async.auth0.request import forwarded_for_header
from passwordless_async.auth0.start import read_start, start_request
from passwordless_async.auth0.token import otp_request
from passwordless_async.dpop import DPoPKey, ProofGenerator
from passwordless_async.flow.grant import grant
from passwordless_async.flow.tenant import fetch_keys_before

if TYPE_CHECKING:
    from passwordless_async.auth0 import IpAddress
    from passwordless_async.flow.tenant import Flow, Tenant
    from passwordless_async.identity import Email, Login, Phone
    from passwordless_async.tokens import StartReceipt, TokenSet


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
    return read_start(request, response, who, sent_at)


def exchange(tenant: Tenant, login: Login, *, forwarded_for: IpAddress | None = None) -> Flow[TokenSet]:
    """Exchange a code for tokens."""
    proofs = ProofGenerator(DPoPKey.generate() if login.key is None else login.key)
    headers = forwarded_for_header(tenant.application, forwarded_for)
    if tenant.keys.empty and "openid" in (login.scope or "").split():
        # A code is spent once sent: what the answer will be checked with is fetched before.
        yield from fetch_keys_before(tenant)
    return (
        yield from grant(
            tenant,
            proofs,
            lambda: otp_request(tenant.application, login, headers),
            scope=login.scope,
            audience=login.audience,
        )
    )
