"""Which token may come under which scheme, and what a refusal looks like."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passwordless_async._common.secret import Secret
from passwordless_async.dpop.server.authorization import PresentedToken, confirmation_of, read_authorization
from passwordless_async.errors import InvalidDPoPProof

BOUND = {"cnf": {"jkt": "x" * 43}}


def refusal(*arguments: Any, call: Any = read_authorization) -> InvalidDPoPProof:
    """Return the refusal."""
    with pytest.raises(InvalidDPoPProof) as caught:
        call(*arguments)
    return caught.value


@pytest.mark.parametrize("value", ["DPoP abc.d-e_f~+/==", "dpop abc.d-e_f~+/==", "DPOP   abc.d-e_f~+/=="])
def test_reads_the_token(value: str) -> None:
    """Rule 27: the token follows the scheme, in any case of the scheme; it prints redacted."""
    presented = read_authorization([("authorization", value)])
    assert presented.scheme == "dpop"
    assert presented.access_token == "abc.d-e_f~+/=="
    assert "abc" not in repr(presented)


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
def test_refuses_other_forms(values: list[str]) -> None:
    """Rule 27: two Authorization headers, a scheme of another kind, or what is no token68: refused."""
    error = refusal([("Authorization", value) for value in values])
    assert (error.status, error.error) == (401, "invalid_token")
    assert error.error_description == "the request must have one Authorization header, of scheme DPoP"


def test_refuses_a_proof_beside_bearer() -> None:
    """Rule 27: a DPoP header beside a Bearer token is refused."""
    error = refusal([("Authorization", "Bearer a"), ("DPoP", "x")])
    assert error.error_description == "a DPoP header came with a Bearer token"


@pytest.mark.parametrize("confirmation", [{"jkt": "x"}, {"x5t#S256": "x"}, {}, "x"])
def test_bound_token_is_not_bearer(confirmation: Any) -> None:
    """Rule 27: a token that is bound to anything is refused under Bearer."""
    presented = read_authorization([("Authorization", "Bearer a")])
    error = refusal({"cnf": confirmation}, presented, call=confirmation_of)
    assert error.error_description == "a bound access token came as a Bearer token"


@pytest.mark.parametrize("token", [{}, {"cnf": None}, {"cnf": "x"}, {"cnf": {}}, {"cnf": {"jkt": 1}}])
def test_unbound_token_is_not_dpop(token: Any) -> None:
    """Rule 27: a token that is bound to no key is refused under DPoP."""
    presented = PresentedToken("dpop", Secret("a"))
    assert refusal(token, presented, call=confirmation_of).error_description == "the access token is not bound to a key"


def test_tokens_under_their_own_scheme() -> None:
    """Rule 27: a bound token under DPoP has a confirmation, an unbound one under Bearer has none."""
    assert confirmation_of(BOUND, PresentedToken("dpop", Secret("a"))) == BOUND["cnf"]
    assert confirmation_of({"sub": "x"}, PresentedToken("bearer", Secret("a"))) is None


def test_invalid_token() -> None:
    """RFC 6750 §3.1: a token that the application does not accept is invalid_token."""
    error = refusal(None, PresentedToken("dpop", Secret("a")), call=confirmation_of)
    assert (error.status, error.error) == (401, "invalid_token")


@given(st.lists(st.tuples(st.sampled_from(["Authorization", "DPoP", "x"]), st.text())))
def test_any_header_is_read_or_refused(headers: list[tuple[str, str]]) -> None:
    """Rule 24: whatever the headers say, they are read or refused."""
    with contextlib.suppress(InvalidDPoPProof):
        assert isinstance(read_authorization(headers), PresentedToken)
