"""Signatures of ID tokens: the same verdict as joserfc's, whatever is done to a token."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, RSAKey
from joserfc.jws import JWSRegistry

from passwordless_async._common.secret import Secret
from passwordless_async.auth0.jws import signed_payload

RSA, EC, OCT = (
    RSAKey.generate_key(2048),
    ECKey.generate_key("P-256"),
    OctKey.import_key("a secret of 32 characters, or so"),
)
KEYS: dict[str, Any] = {"RS256": RSA, "PS256": RSA, "ES256": EC, "HS256": OCT}


def signed(alg: str, payload: bytes = b'{"sub":"ada"}') -> str:
    registry = JWSRegistry(algorithms=[alg])
    return jws.serialize_compact({"alg": alg, "kid": "k"}, payload, KEYS[alg], registry=registry)


TOKENS = {alg: signed(alg) for alg in KEYS}


def ours(alg: str, token: str) -> bytes | None:
    return signed_payload(Secret(token), alg, KEYS[alg])


def theirs(alg: str, token: str) -> bytes | None:
    try:
        return jws.deserialize_compact(token, KEYS[alg], registry=JWSRegistry(algorithms=[alg])).payload
    except (JoseError, ValueError, TypeError, KeyError):
        return None


@pytest.mark.parametrize("alg", KEYS)
@given(payload=st.binary(min_size=1, max_size=300))
def test_what_is_signed_is_read(alg: str, payload: bytes) -> None:
    """Whatever the payload, a good signature gives it back."""
    assert payload == ours(alg, signed(alg, payload))


@pytest.mark.parametrize("alg", KEYS)
@given(place=st.floats(0, 1), put=st.characters(max_codepoint=127), instead=st.booleans())
def test_the_same_verdict_as_joserfc(alg: str, place: float, put: str, *, instead: bool) -> None:
    """A character changed or added anywhere: what joserfc refuses is refused, and nothing else is read."""
    token = TOKENS[alg]
    at = int(place * (len(token) - 1))
    changed = token[:at] + put + token[at + instead :]
    found = ours(alg, changed)
    assert found in {None, theirs(alg, changed)}
    # joserfc tolerates base64url whose unused bits are not zero; there is one spelling here.
    if changed == token:
        assert json.loads(found or b"null") == {"sub": "ada"}


@pytest.mark.parametrize("alg", KEYS)
@pytest.mark.parametrize("token", ["", ".", "..", "...", "a.b", "a.b.c.d", "e30.e30.", "é.é.é", "a" * 140_000])
def test_what_is_no_token(alg: str, token: str) -> None:
    """Anything else than three segments with a signature is not signed."""
    assert ours(alg, token) is None


@pytest.mark.parametrize("alg", KEYS)
def test_a_signature_by_another_algorithm(alg: str) -> None:
    """A token that another kind of key has signed is not signed by this one."""
    for other, token in TOKENS.items():
        if other != alg:
            assert ours(alg, token) is None
