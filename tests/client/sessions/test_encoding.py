"""A token set as bytes: it comes back as it was, takes little room, and no other bytes are taken for one."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.values import present
from passwordless_async import KeyMissing, TokenSet
from passwordless_async._common import base64url
from passwordless_async._common.secret import Secret, SecretBytes
from passwordless_async.client.sessions.encoding import decode, encode
from passwordless_async.dpop import DPoPKey

KEY = DPoPKey.generate()
KNOWN = {"issuer": "https://tenant.example/", "client_id": "client", "token_type": "DPoP", "jkt": KEY.thumbprint}


def jwt(**claims: object) -> Secret:
    parts = json.dumps({"alg": "RS256"}).encode(), json.dumps(claims).encode(), b"s" * 256
    return Secret(".".join(map(base64url.encode_text, parts)))


ID_TOKEN = jwt(sub="ada")
TOKENS = TokenSet(
    access_token=jwt(scope="openid"),
    refresh_token=Secret("v1.opaque-refresh_token"),
    id_token=ID_TOKEN,
    token_type="DPoP",
    expires_at=1_700_000_000,
    scope="openid",
    claims=MappingProxyType({"sub": "ada"}),
    key=KEY,
    jkt=KEY.thumbprint,
    issuer=KNOWN["issuer"],
    client_id=KNOWN["client_id"],
)


UNBOUND = attrs.evolve(TOKENS, token_type="Bearer", key=None, jkt=None)
KNOWN_OF_UNBOUND = {name: value for name, value in KNOWN.items() if name != "jkt"}


def back(tokens: TokenSet, known: dict[str, str] = KNOWN) -> tuple[TokenSet, dict[str, object]]:
    decoded = decode(encode(tokens, known, user="ada", opened_at=1.5), known)
    assert decoded is not None
    return decoded


@given(
    access_token=st.text(min_size=1),
    refresh_token=st.none() | st.text(min_size=1) | st.just("a.b.c") | st.just("..") | st.just("AA"),
    scope=st.text(),
    expires_at=st.none() | st.integers(0, 10**10),
    with_id_token=st.booleans(),
)
def test_any_token_set_comes_back(
    access_token: str,
    refresh_token: str | None,
    scope: str,
    expires_at: int | None,
    with_id_token: bool,  # noqa: FBT001 - a parameter
) -> None:
    """JWTs, opaque tokens and texts that look like base64url, with the members beside them."""
    tokens = attrs.evolve(
        TOKENS,
        access_token=Secret(access_token),
        refresh_token=None if refresh_token is None else Secret(refresh_token),
        scope=scope,
        expires_at=expires_at,
        id_token=ID_TOKEN if with_id_token else None,
    )
    again, members = back(tokens)
    assert again == tokens
    assert members == {"user": "ada", "opened_at": 1.5}
    assert present(again.key).thumbprint == KEY.thumbprint


@pytest.mark.parametrize("refresh_key", [None, KEY], ids=["no proof", "a proof"])
def test_tokens_without_a_key_come_back(refresh_key: DPoPKey | None) -> None:
    """They stay unbound, and keep the key that a refresh proves."""
    tokens = attrs.evolve(UNBOUND, refresh_key=refresh_key)
    again, members = back(tokens, KNOWN_OF_UNBOUND)
    assert (again, again.bound, again.refresh_key) == (tokens, False, refresh_key)
    assert members == {"user": "ada", "opened_at": 1.5}


@pytest.mark.parametrize("changes", [{"key": None}, {"key": None, "jkt": None}, {"key": None, "token_type": "Bearer"}])
def test_bound_tokens_without_their_key_are_not_kept(changes: dict[str, Any]) -> None:
    """They would come back as tokens of no use."""
    with pytest.raises(KeyMissing):
        encode(attrs.evolve(TOKENS, **changes), KNOWN)


def test_bytes_of_bound_tokens_without_a_key_are_no_token_set() -> None:
    """A key that is missing does not make them Bearer tokens."""
    kept = bytes(encode(UNBOUND, KNOWN_OF_UNBOUND))
    assert decode(SecretBytes(kept), KNOWN_OF_UNBOUND) is not None
    assert decode(SecretBytes(kept), KNOWN) is None
    assert decode(SecretBytes(kept.replace(b'"Bearer"', b'"DPoP"')), KNOWN_OF_UNBOUND) is None


def test_claims_that_the_id_token_has_are_not_kept() -> None:
    """They are read from it again; others are kept, as after a refresh without an ID token."""
    other = MappingProxyType({"sub": "ada", "name": "Ada Lovelace"})
    assert b"Lovelace" not in bytes(encode(TOKENS, KNOWN))
    assert b"Lovelace" in bytes(encode(attrs.evolve(TOKENS, claims=other), KNOWN))
    assert [dict(back(attrs.evolve(TOKENS, claims=claims))[0].claims or {}) for claims in (TOKENS.claims, other)] == [
        {"sub": "ada"},
        dict(other),
    ]


def test_a_jwt_takes_a_quarter_less_than_its_text() -> None:
    """Its segments are kept as the bytes that they encode."""
    longer = attrs.evolve(TOKENS, access_token=jwt(scope="x" * 3000))
    grown = len(encode(longer, KNOWN)) - len(encode(TOKENS, KNOWN))
    assert grown < (len(longer.access_token) - len(TOKENS.access_token)) * 0.76


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"{}\0",
        b"[]\0",
        b'{"sizes":{}}\0',
        b'{"sizes":{"key":97}}\0' + b"x" * 97,
        b"\xff\0",
        b"[" * 50_000 + b"\0",
    ],
)
def test_other_bytes_are_no_token_set(content: bytes) -> None:
    """None is returned, and nothing raised."""
    assert decode(SecretBytes(content), KNOWN) is None
