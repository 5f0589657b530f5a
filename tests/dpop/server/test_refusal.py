"""The response to a refused request."""

from __future__ import annotations

from typing import Any

import pytest

from passwordless_async.dpop.challenge import parse_www_authenticate
from passwordless_async.dpop.server.checked import CheckedProof
from passwordless_async.dpop.server.refusal import Offer, nonce_headers, refusal_body, refusal_headers
from passwordless_async.errors import InvalidDPoPProof, UseDPoPNonce


async def test_headers_of_a_refused_resource_request(server: Any) -> None:
    """Rule 29: 401 with a challenge that can be parsed, algs in it; not stored; readable by scripts."""
    with pytest.raises(InvalidDPoPProof) as caught:
        await server.get("x")
    headers = refusal_headers(caught.value)
    assert sorted(headers) == ["Access-Control-Expose-Headers", "Cache-Control", "WWW-Authenticate"]
    assert headers["Cache-Control"] == "no-store"
    assert headers["Access-Control-Expose-Headers"] == "DPoP-Nonce, WWW-Authenticate"
    (challenge,) = parse_www_authenticate([headers["WWW-Authenticate"]])
    assert challenge.scheme == "dpop"
    description = "the proof is not a compact JWT signed by ES256"
    assert challenge.parameters == {
        "error": "invalid_dpop_proof",
        "error_description": description,
        "algs": "ES256",
    }
    assert refusal_body(caught.value) == {"error": "invalid_dpop_proof", "error_description": description}


async def test_headers_of_a_refused_token_request(server: Any) -> None:
    """Rule 29: at a token endpoint it is 400, and the error is in the body, not in a challenge."""
    with pytest.raises(InvalidDPoPProof) as caught:
        await server.post("x")
    assert caught.value.status == 400
    assert sorted(refusal_headers(caught.value)) == ["Access-Control-Expose-Headers", "Cache-Control"]


@pytest.mark.parametrize("status", [400, 401])
def test_headers_of_a_nonce_challenge(status: int) -> None:
    """Rule 29: a nonce challenge carries the nonce."""
    headers = refusal_headers(UseDPoPNonce(status=status, error_description="a nonce is required", nonce="n-1"))
    assert headers["DPoP-Nonce"] == "n-1"
    assert ("WWW-Authenticate" in headers) == (status == 401)


def test_a_replay_store_that_fails_is_an_outage() -> None:
    """The proof was right: the client is told when to come back, and no challenge."""
    headers = refusal_headers(InvalidDPoPProof(status=503, error="temporarily_unavailable"))
    assert headers["Retry-After"] == "5"
    assert "WWW-Authenticate" not in headers


def test_what_a_resource_server_answers_is_kept() -> None:
    """Its error has its response already."""
    error = InvalidDPoPProof(status=401, error="invalid_dpop_proof", error_description="x")
    error.headers, error.body = {"WWW-Authenticate": "Bearer"}, {}
    assert (refusal_headers(error), refusal_body(error)) == ({"WWW-Authenticate": "Bearer"}, {})


def test_nothing_is_offered_without_need() -> None:
    """Rule 29: an answer carries no nonce where there is no newer one."""
    assert nonce_headers(None) == {}
    assert nonce_headers(CheckedProof("jkt", "jti", "GET", "https://api.example/", 0.0, None, None, {})) == {}


def test_each_scheme_is_challenged_in_its_own_form() -> None:
    """The error is told in the challenge of the scheme that has failed, and in no other."""
    offer = Offer(("dpop", "bearer"), realm="api")
    error = InvalidDPoPProof(status=401, error="invalid_token", error_description="x")
    told = 'error="invalid_token", error_description="x"'
    assert offer.headers(error, ["bearer"])["WWW-Authenticate"] == f'DPoP algs="ES256", Bearer realm="api", {told}'
