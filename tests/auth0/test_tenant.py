"""What the flows of a tenant share, and whether tokens are this tenant's."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from helpers import flows
from passwordless_async import BindingRequired, DPoPKey, KeyMismatch, KeyMissing, TokenSet, UsageError
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.tenant import login_key, own_key, own_refresh_token, own_tokens

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


UNBOUND = attrs.evolve(TOKENS, token_type="Bearer", key=None, jkt=None)


@pytest.mark.parametrize("token_type", ["Bearer", "bearer"])
@pytest.mark.parametrize("mode", ["preferred", "off"])
def test_tokens_without_a_key_are_taken_where_they_may_be(mode: Any, token_type: str) -> None:
    """They have no key; tokens that have one give it in every mode."""
    tenant = flows.new_tenant(mode)
    assert own_key(tenant, attrs.evolve(UNBOUND, token_type=token_type)) is None
    assert own_key(tenant, TOKENS) == flows.KEY


def test_tokens_without_a_key_are_refused_where_all_must_be_bound() -> None:
    """The user must log in again."""
    with pytest.raises(BindingRequired) as refused:
        own_key(TENANT, UNBOUND)
    expected = "they are not bound to a key, and the client accepts only bound tokens: nothing was sent"
    assert str(refused.value) == expected


@pytest.mark.parametrize("mode", ["required", "preferred", "off"])
@pytest.mark.parametrize("changes", [{"jkt": "a-thumbprint"}, {"token_type": "DPoP"}, {"token_type": "dPoP"}])
def test_tokens_that_have_lost_their_key_are_refused_in_every_mode(changes: dict[str, Any], mode: Any) -> None:
    """A thumbprint or the type DPoP says that they are bound: they do not become Bearer tokens."""
    with pytest.raises(KeyMissing):
        own_key(flows.new_tenant(mode), attrs.evolve(UNBOUND, **changes))


@pytest.mark.parametrize("token_type", ["", "MAC", "N_A"])
def test_tokens_of_an_unknown_type_are_refused(token_type: str) -> None:
    """RFC 6749 §7.1: the client does not know how to use them."""
    with pytest.raises(UsageError, match=r"^tokens: are of an unknown type"):
        own_key(flows.new_tenant("preferred"), attrs.evolve(UNBOUND, token_type=token_type))


@pytest.mark.parametrize("mode", ["Required", "bearer", "", None, True, 1, ["off"], b"off"])
def test_a_mode_is_one_of_three_words(mode: Any) -> None:
    """The error names them."""
    with pytest.raises(UsageError, match=r"^dpop: must be 'required', 'preferred' or 'off'$"):
        flows.new_tenant(mode)


def test_a_login_has_its_own_key_or_the_given_one() -> None:
    """Where no proof is sent it has none."""
    first, second = login_key(TENANT, None), login_key(TENANT, None)
    assert isinstance(first, DPoPKey)
    assert (first != second, login_key(TENANT, flows.KEY)) == (True, flows.KEY)
    assert login_key(flows.new_tenant("off"), None) is None


def test_anything_but_tokens_is_named_by_its_type() -> None:
    """The message has the type's name and not the value."""
    with pytest.raises(UsageError, match=r"^tokens: must be a TokenSet, not str$"):
        own_tokens(TENANT, "access")  # type: ignore[arg-type]


def test_tokens_without_a_refresh_token_are_refused() -> None:
    """The message says which scope is missing."""
    with pytest.raises(UsageError, match="offline_access"):
        own_refresh_token(attrs.evolve(TOKENS, refresh_token=None))
