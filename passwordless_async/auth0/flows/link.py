"""A login by link: an e-mail with a link, and the callback that it leads to in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from passwordless_async._common import arguments as _check
from passwordless_async.auth0.flows.grant import Asked, grant
from passwordless_async.auth0.flows.login import start
from passwordless_async.auth0.id_token import Expected
from passwordless_async.auth0.identity import Email
from passwordless_async.auth0.link import PendingLink, checked_redirect_uri, code_request, read_callback
from passwordless_async.dpop import DPoPKey, ProofGenerator
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from passwordless_async.auth0.flows.tenant import Flow, Tenant
    from passwordless_async.auth0.tokens import TokenSet


def start_link(
    tenant: Tenant,
    who: Email,
    *,
    redirect_uri: str,
    scope: str | None,
    audience: str | None,
    key: DPoPKey | None,
    **parameters: Any,  # noqa: ANN401 - as start_request
) -> Flow[PendingLink]:
    """Ask for an e-mail with a link; gives what the callback must be checked with."""
    if not isinstance(who, Email):
        raise UsageError("who", "must be an Email: only an e-mail can carry a link")
    proofs = ProofGenerator(DPoPKey.generate() if key is None else key)
    pending = PendingLink(
        who=who,
        redirect_uri=checked_redirect_uri(redirect_uri),
        scope=_check.scope(scope),
        audience=_check.optional("audience", audience),
        key=proofs.key,
    )
    yield from start(tenant, who, send="link", auth_params=pending.auth_params, **parameters)
    return pending


def exchange_link(tenant: Tenant, pending: PendingLink, callback_url: str) -> Flow[TokenSet]:
    """Exchange the code of a callback for tokens, by the key that the link was made with (RFC 9449 §10)."""
    if not isinstance(pending, PendingLink):
        raise UsageError("pending", f"must be a PendingLink, not {type(pending).__name__}")
    code = read_callback(callback_url, pending, tenant.application.issuer)
    wants_id_token = "openid" in (pending.scope or "").split()
    return (
        yield from grant(
            tenant,
            ProofGenerator(pending.key),
            lambda: code_request(tenant.application, pending, code),
            Asked(
                scope=pending.scope,
                audience=pending.audience,
                who=pending.who,
                expected=Expected(nonce=pending.nonce) if wants_id_token else Expected(),
            ),
        )
    )
