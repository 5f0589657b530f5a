"""Whatever comes in, a checked proof or one of two errors comes out."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passwordless_async.dpop.server.checked import CheckedProof
from passwordless_async.dpop.server.nonce_issuer import NonceIssuer
from passwordless_async.dpop.server.refusal import refusal_headers

# RFC 6750 §3: what error and error_description are made of.
DESCRIPTION = re.compile(r"[\x20-\x21\x23-\x5B\x5D-\x7E]+")
HEADER = ("typ", "alg", "jwk", "crit", "b64", "kid", "x5c", "")
KEY = ("kty", "crv", "x", "y", "d", "p", "q", "dp", "dq", "qi", "oth", "k", "use", "")
CLAIMS = ("jti", "htm", "htu", "iat", "exp", "nbf", "ath", "nonce", "aud", "")

texts = st.text(st.characters()) | st.text(st.characters(categories=["Cs"]), max_size=3)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.just(10**1000) | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))


def check(server: Any, proof: Any, url: str = "/me", **changes: Any) -> None:
    """Check that the verifier returns a proof or raises one of its two errors, fit for a header."""
    verdict = server.verdict(proof, url, **changes)
    if not isinstance(verdict, CheckedProof):
        assert verdict.status == 401
        assert DESCRIPTION.fullmatch(verdict.error)
        assert DESCRIPTION.fullmatch(verdict.error_description)
        assert all(value.isprintable() for value in refusal_headers(verdict).values())


@pytest.mark.slow
@settings(max_examples=300)
@given(name=st.sampled_from(HEADER), value=values)
def test_header_members(server_with: Any, name: str, value: Any) -> None:
    """Rule 24: every member of the header, with a value of every JSON type."""
    server = server_with()
    check(server, server.proof({name: value}))


@pytest.mark.slow
@settings(max_examples=300)
@given(name=st.sampled_from(KEY), value=values | st.text("AQgw_-=", min_size=43, max_size=43))
def test_key_members(server_with: Any, name: str, value: Any) -> None:
    """Rule 24: every member of the key, with a value of every JSON type."""
    server = server_with()
    check(server, server.proof({"jwk": {**server.prover.jwk, name: value}}))


@pytest.mark.slow
@settings(max_examples=300)
@given(name=st.sampled_from(CLAIMS), value=values, nonces=st.booleans(), nonce_time=st.booleans())
def test_claims(server_with: Any, name: str, value: Any, nonces: bool, nonce_time: bool) -> None:  # noqa: FBT001 - drawn
    """Rule 24: every claim, with a value of every JSON type, with and without server nonces."""
    server = server_with()
    issuer = NonceIssuer(clock=server.clock)
    if nonces:
        server = server_with(clock=server.clock, options={"nonces": issuer, "nonce_time": nonce_time})
    check(server, server.proof(**{"nonce": issuer.issue(), name: value}))


@pytest.mark.slow
@settings(max_examples=200)
@given(header=values, claims=values)
def test_whole_values(server_with: Any, header: Any, claims: Any) -> None:
    """Rule 24: any JSON value for the header and for the claims."""
    server = server_with()
    for pair in ((header, server.claims()), (server.prover.header, claims), (header, claims)):
        check(server, server.compact(*(json.dumps(part).encode() for part in pair), server.prover.sign))


@settings(max_examples=300)
@given(header=st.binary(), claims=st.binary())
def test_raw_bytes(server_with: Any, header: bytes, claims: bytes) -> None:
    """Rule 24: any bytes for the header and for the claims."""
    server = server_with()
    for pair in ((header, server.claims()), (server.prover.header, claims)):
        check(server, server.compact(*pair, server.prover.sign))


@settings(max_examples=300)
@given(value=st.text() | st.text("AQ.-_=, \r\n") | st.binary(), copies=st.integers(0, 2))
def test_raw_headers(server_with: Any, value: str | bytes, copies: int) -> None:
    """Rule 24: any text or bytes for the header field, any number of times."""
    server = server_with()
    check(server, [(b"dpop" if isinstance(value, bytes) else "DPoP", value)] * copies)


@pytest.mark.slow
@settings(max_examples=300)
@given(
    headers=st.lists(st.tuples(st.sampled_from(["DPoP", "dpop", "DPOP", "dpop ", "Authorization", ""]), st.text())),
    right=st.integers(0, 2),
)
def test_combinations_of_headers(server_with: Any, headers: list[tuple[str, str]], right: int) -> None:
    """Rule 21: any header fields around none, one or two right proofs."""
    server = server_with()
    check(server, [*headers, *[("DPoP", server.proof()) for _ in range(right)]])


@pytest.mark.slow
@settings(max_examples=300)
@given(htu=texts, target=texts, method=texts)
def test_requests(server_with: Any, htu: str, target: str, method: str) -> None:
    """Rule 25: any htu for any request target and any method."""
    server = server_with()
    check(server, server.proof(htu=htu, htm=method), target, method=method)
    check(server, server.proof(htu=f"https://api.example/{htu}"), f"/{target}")


@given(confirmation=values | st.dictionaries(st.just("jkt"), values), token=texts)
def test_tokens(server_with: Any, confirmation: Any, token: str) -> None:
    """Rule 27: any confirmation and any token."""
    server = server_with()
    check(server, server.proof(), confirmation=confirmation, access_token=token)
