"""``POST /oauth/revoke``: what is sent, and what the response means."""

from __future__ import annotations

import pytest

from helpers import flows
from passwordless_async import OAuthError, TemporarilyUnavailable, TokenSet, UsageError
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.revocation import revoke

TOKENS = TokenSet(Secret("access"), "DPoP", None, "", Secret("refresh"), None, None, flows.KEY)


def test_the_refresh_token_is_sent_without_a_proof() -> None:
    """RFC 7009 §2.1: a form with the token; a proof is not asked for."""
    flow = revoke(flows.new_tenant(), TOKENS)
    request = next(flow)
    assert (request.method, request.url.path, "DPoP" in request.headers) == ("POST", "/oauth/revoke", False)
    assert flows.form(request) == {"client_id": "client", "token": "refresh"}
    assert flows.end(flow, flows.answer(200)) is None


@pytest.mark.parametrize(
    ("status", "body", "kind"), [(401, {"error": "invalid_client"}, OAuthError), (503, None, TemporarilyUnavailable)]
)
def test_anything_but_200_is_an_error(status: int, body: object, kind: type[Exception]) -> None:
    """The service answers 200 for an unknown token too, so another status is a failure (RFC 7009 §2.2)."""
    flow = revoke(flows.new_tenant(), TOKENS)
    next(flow)
    with pytest.raises(kind):
        flow.send(flows.answer(status, body))


def test_foreign_tokens_are_not_sent() -> None:
    """Tokens of another tenant are refused before there is a request."""
    foreign = TokenSet(Secret("a"), "DPoP", None, "", Secret("r"), None, None, flows.KEY, issuer="https://other/")
    with pytest.raises(UsageError):
        next(revoke(flows.new_tenant(), foreign))
