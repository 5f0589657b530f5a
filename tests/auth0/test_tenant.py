"""What the flows of a tenant share, and whether tokens are this tenant's."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from helpers import flows
from passwordless_async import DPoPKey, KeyMismatch, KeyMissing, TokenSet, UsageError
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.tenant import own_key, own_refresh_token, own_tokens

TENANT = flows.new_tenant()
TOKENS = TokenSet(
    Secret("access"),
    "DPoP",
    None,
    "",
    Secret("refresh"),
    None,
    None,
    flows.KEY,
    jkt=flows.KEY.thumbprint,
    issuer="https://tenant.example/",
    client_id="client",
)


def test_own_tokens_pass() -> None:
    """Tokens of this tenant and application give their key and their refresh token."""
    own_tokens(TENANT, TOKENS)
    assert (own_key(TENANT, TOKENS), own_refresh_token(TOKENS)) == (flows.KEY, "refresh")


def test_tokens_that_do_not_say_where_they_are_from_pass() -> None:
    """Issuer, application and thumbprint are compared only if they are known."""
    assert own_key(TENANT, attrs.evolve(TOKENS, jkt=None, issuer=None, client_id=None)) == flows.KEY


@pytest.mark.parametrize(
    ("changes", "kind", "problem"),
    [
        ({"issuer": "https://other.example/"}, UsageError, "tokens: must be this tenant's, not another's"),
        ({"client_id": "other"}, UsageError, "tokens: must be this application's, not another's"),
        ({"key": None}, KeyMissing, "the tokens have no key: nothing was sent"),
        ({"key": DPoPKey.generate()}, KeyMismatch, "the key is not the one that the tokens are bound to"),
    ],
)
def test_foreign_tokens_are_refused(changes: dict[str, Any], kind: type[Exception], problem: str) -> None:
    """Another tenant's or application's tokens, and those with another key or none, are refused."""
    with pytest.raises(kind) as refused:
        own_key(TENANT, attrs.evolve(TOKENS, **changes))
    assert str(refused.value).startswith(problem)


def test_anything_but_tokens_is_named_by_its_type() -> None:
    """The message has the type's name and not the value."""
    with pytest.raises(UsageError, match=r"^tokens: must be a TokenSet, not str$"):
        own_tokens(TENANT, "access")  # type: ignore[arg-type]


def test_tokens_without_a_refresh_token_are_refused() -> None:
    """The message says which scope is missing."""
    with pytest.raises(UsageError, match="offline_access"):
        own_refresh_token(attrs.evolve(TOKENS, refresh_token=None))
