"""Logout requests of the tenant, without the browser (OpenID Connect Back-Channel Logout 1.0).

Invariants:

- The request is signed. It does not come from a browser, so it needs no cookie and no CSRF token.
- A logout token is accepted once on all machines; if its sessions could not be ended, it is accepted again.
- Every refusal is 400 (§2.8), also if the store or the tenant's keys are unreachable: the tenant sends it again.
- Every refusal is in the audit log.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from passwordless_async._common.secret import Secret
from passwordless_async.errors import InvalidLogoutToken, PasswordlessError
from passwordless_async.gateway.audit import AuditKind
from passwordless_async.gateway.replies import Page, Reply

if TYPE_CHECKING:
    from passwordless_async.gateway.visit import Visit


async def end_sessions(visit: Visit) -> Reply:
    """End the sessions that a logout token names."""
    client = visit.services.client
    try:
        logout = await client.read_logout_token(visit.form.get("logout_token", Secret("")))
        async with visit.services.ledger.once("logout", logout.jti, logout.expires_in) as is_first:
            if not is_first:
                raise InvalidLogoutToken("jti", "was presented before")
            ended = await client.sessions.close_at_provider(user=logout.sub, sid=logout.sid)
    except PasswordlessError as error:
        visit.audit(AuditKind.REFUSED, reason=error.code)
        return _refusal(error)
    for name in ended:
        visit.audit(AuditKind.ENDED, user=logout.sub, session=name, reason="provider")
    return Reply(page=Page.LOGGED_OUT, is_json=True)


def _refusal(error: PasswordlessError) -> Reply:
    # Messages of the store or the network are for the operator, not for the sender.
    is_invalid = isinstance(error, InvalidLogoutToken)
    facts = {
        "error": "invalid_request" if is_invalid else "temporarily_unavailable",
        "error_description": str(error) if is_invalid else "The sessions could not be ended. Send the token again.",
    }
    return Reply(page=Page.FAULT, facts=facts, status=HTTPStatus.BAD_REQUEST, is_json=True)
