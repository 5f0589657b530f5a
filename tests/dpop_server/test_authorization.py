"""Which token may come under which scheme, and what a refusal looks like."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passwordless_async.dpop.challenge import parse_www_authenticate
from passwordless_async.dpop.server.authorization import Credentials, confirmation_of, read_authorization
from passwordless_async.dpop.server.refusal import nonce_headers, refusal_body, refusal_headers
from passwordless_async.errors import InvalidDPoPProof, UseDPoPNonce

BOUND = {"cnf": {"jkt": "x" * 43}}


def refusal(*arguments: Any, call: Any = read_authorization) -> InvalidDPoPProof:
    """Return the refusal."""
    with pytest.raises(InvalidDPoPProof) as caught:
        call(*arguments)
    return caught.value


@pytest.mark.parametrize("value", ["DPoP abc.d-e_f~+/==", "dpop abc.d-e_f~+/==", "DPOP   abc.d-e_f~+/=="])
def test_reads_the_token(value: str):
    """Rule 27: the token is what follows the scheme, whose case does not count; it prints redacted."""
    credentials = read_authorization([("authorization", value)])
    assert credentials.scheme == "dpop"
    assert credentials.access_token == "abc.d-e_f~+/=="
    assert "abc" not in repr(credentials)


@pytest.mark.parametrize(
    "values",
    [
        ["DPoP a", "DPoP a"],
        ["DPoP a", "Bearer a"],
        ["DPoP a, Bearer a"],
        ["DPoP"],
        ["DPoP "],
        ["DPoP a b"],
        ["DPoPa"],
        [" DPoP a"],
        ["DPoP a "],
        ["DPoP a\n"],
        ["DPoP\ta"],
        ["DPoP a=b"],
        ["DPoP é"],
        ["Basic YTpi"],
        [""],
    ],
)
def test_refuses_other_forms(values: list[str]):
    """Rule 27: two Authorization headers, a scheme of another kind, or what is no token68: refused."""
    error = refusal([("Authorization", value) for value in values])
    assert (error.status, error.error) == (401, "invalid_token")
    assert error.error_description == "the request must have one Authorization header, of scheme DPoP"


def test_refuses_a_proof_beside_bearer():
    """Rule 27: a DPoP header beside a Bearer token is refused."""
    error = refusal([("Authorization", "Bearer a"), ("DPoP", "x")])
    assert error.error_description == "a DPoP header came with a Bearer token"


@pytest.mark.parametrize("confirmation", [{"jkt": "x"}, {"x5t#S256": "x"}, {}, "x"])
def test_bound_token_is_not_bearer(confirmation: Any):
    """Rule 27: a token that is bound to anything is refused under Bearer."""
    credentials = read_authorization([("Authorization", "Bearer a")])
    error = refusal({"cnf": confirmation}, credentials, call=confirmation_of)
    assert error.error_description == "a bound access token came as a Bearer token"


@pytest.mark.parametrize("token", [{}, {"cnf": None}, {"cnf": "x"}, {"cnf": {}}, {"cnf": {"jkt": 1}}])
def test_unbound_token_is_not_dpop(token: Any):
    """Rule 27: a token that is bound to no key is refused under DPoP."""
    credentials = Credentials("dpop", "a")
    assert (
        refusal(token, credentials, call=confirmation_of).error_description == "the access token is not bound to a key"
    )


def test_tokens_under_their_own_scheme():
    """Rule 27: a bound token under DPoP has a confirmation, an unbound one under Bearer has none."""
    assert confirmation_of(BOUND, Credentials("dpop", "a")) == BOUND["cnf"]
    assert confirmation_of({"sub": "x"}, Credentials("bearer", "a")) is None


def test_invalid_token():
    """RFC 6750 §3.1: a token that the application does not accept is invalid_token."""
    error = refusal(None, Credentials("dpop", "a"), call=confirmation_of)
    assert (error.status, error.error) == (401, "invalid_token")


@given(st.lists(st.tuples(st.sampled_from(["Authorization", "DPoP", "x"]), st.text())))
def test_any_header_is_read_or_refused(headers: list[tuple[str, str]]):
    """Rule 24: whatever the headers say, they are read or refused."""
    with contextlib.suppress(InvalidDPoPProof):
        assert isinstance(read_authorization(headers), Credentials)


async def test_headers_of_a_refused_resource_request(server: Any):
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


async def test_headers_of_a_refused_token_request(server: Any):
    """Rule 29: at a token endpoint it is 400, and the error is in the body, not in a challenge."""
    with pytest.raises(InvalidDPoPProof) as caught:
        await server.post("x")
    assert caught.value.status == 400
    assert sorted(refusal_headers(caught.value)) == ["Access-Control-Expose-Headers", "Cache-Control"]


@pytest.mark.parametrize("status", [400, 401])
def test_headers_of_a_nonce_challenge(status: int):
    """Rule 29: a nonce challenge carries the nonce."""
    headers = refusal_headers(UseDPoPNonce(status=status, error_description="a nonce is required", nonce="n-1"))
    assert headers["DPoP-Nonce"] == "n-1"
    assert ("WWW-Authenticate" in headers) == (status == 401)


def test_no_credentials_no_error():
    """RFC 6750 §3.1: a request without any credentials gets a challenge without an error code."""
    assert refusal_headers(refusal([]))["WWW-Authenticate"] == 'DPoP algs="ES256"'


def test_nothing_is_offered_without_need():
    """Rule 29: an answer carries no nonce where there is no newer one."""
    assert nonce_headers(None) == {}
