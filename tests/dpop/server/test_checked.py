"""A checked proof, what it is bound to, and a failed check."""

from __future__ import annotations

import hashlib
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from passwordless_async.dpop.server.checked import FailedCheck, PresentedToken, digest_of
from passwordless_async.errors import InvalidDPoPProof, PasswordlessError


async def test_returns_what_it_checked(server: Any) -> None:
    """Rule 30: a verifying call returns the checked value, frozen, its claims read-only."""
    claims = server.claims(foo=[1])
    checked = await server.get(server.prover.proof({}, claims))
    assert checked.thumbprint == server.prover.thumbprint
    assert (checked.jti, checked.htm, checked.htu) == (claims["jti"], "GET", f"{server.base}/me")
    assert (checked.iat, checked.ath, checked.nonce) == (claims["iat"], claims["ath"], None)
    assert dict(checked.claims) == claims
    assert checked.next_nonce is None
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        checked.jti = "another"
    with pytest.raises(TypeError):
        checked.claims["jti"] = "another"


async def test_ath_is_right(server: Any) -> None:
    """Rule 27: on a resource request ath is required and is the hash of the token that came with it."""
    wrong = server.claims()["ath"]
    for ath in (server.absent, "", wrong[:-1], wrong + "=", wrong.swapcase(), "é"):
        assert await server.refusal(server.proof(ath=ath)) == "ath is not the hash of the access token"
    assert await server.refusal(server.proof(), access_token="another") == "ath is not the hash of the access token"


ADVICES: dict[str, tuple[int, dict[str, Any], dict[str, Any], str]] = {  # DPoP headers, claims, changes, advice
    "a header is missing": (0, {}, {}, "The client must send a proof with each request: client.request and "),
    "a header too many": (2, {}, {}, "Check the client, and each proxy in between: the request must have one "),
    "too long": (1, {"long": "x" * 4096}, {}, "The client must send at most 4096 characters."),
    "malformed": (1, {"jti": 1}, {}, "Check the code that signs the client's proofs (RFC 9449 §4.2); "),
    "method": (1, {"htm": "POST"}, {}, "The client must sign the method that it sends; "),
    "time": (1, {"iat": 1}, {}, "Set the clocks of the client's machine and of this one; "),
    "expired": (1, {"exp": 1}, {}, "Set the clocks of the client's machine and of this one; "),
    "another token": (1, {"ath": "x"}, {}, "The client must sign each proof for the access token that it sends "),
    "no binding": (1, {}, {"confirmation": {}}, "Set the API's policy at the tenant to DPoP, and log in with "),
    "another key": (1, {}, {"confirmation": {"jkt": "x"}}, "The client must sign with the key of the login that "),
}


@pytest.mark.parametrize("reason", ADVICES)
async def test_the_advice_fits_the_reason(reason: str, server: Any) -> None:
    """It says what the client or the operator of the API does about it, and is for the API's log only."""
    number, claims, changes, advice = ADVICES[reason]
    with pytest.raises(InvalidDPoPProof) as caught:
        await server.get([("DPoP", server.proof(**claims))] * number, **changes)
    assert caught.value.advice.startswith(advice)
    assert caught.value.advice not in f"{caught.value.headers} {caught.value.body} {caught.value}"


@pytest.mark.parametrize("token", ["", "é", "\udcff"])
async def test_access_token_is_ascii(token: str, server: Any) -> None:
    """Rule 27: an access token that could not have come by the grammar is refused, not an error."""
    assert await server.refusal(server.proof(), access_token=token) == "the access token is not ASCII"


@given(text=st.text(st.characters(exclude_categories=[])))
def test_a_presented_token_is_hashed_once(text: str) -> None:
    """The hash is that of the text, whatever holds it; a presented token keeps it, and still prints redacted."""
    token = PresentedToken(text)
    expected = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    assert expected == digest_of(text) == digest_of(token)
    assert digest_of(token) is token.digest
    assert digest_of(PresentedToken(f"{text}.")) != expected
    assert (text, repr(token)) == (token, "<redacted>")


@pytest.mark.parametrize("confirmation", [None, {}, {"jkt": None}, {"jkt": 1}, {"x5t#S256": "x"}, "x", ["jkt"]])
async def test_unbound_token_is_refused(confirmation: Any, server: Any) -> None:
    """Rule 27: a token that is bound to no key is refused however right the proof is."""
    assert await server.refusal(server.proof(), confirmation=confirmation) == "the access token is not bound to a key"


async def test_key_is_the_tokens(server: Any) -> None:
    """Rule 27: the proof's thumbprint is the token's cnf.jkt; the code is the one of RFC 9449's example."""
    for jkt in (server.Prover().thumbprint, "", server.prover.thumbprint + "=", "é", "\ud800"):
        with pytest.raises(InvalidDPoPProof) as caught:
            await server.get(server.proof(), confirmation={"jkt": jkt})
        assert caught.value.error == "invalid_token"


def test_failed_check_names_the_error_of_rfc_9449_by_default() -> None:
    """Most checks concern the proof, and so does the code (RFC 9449 §7.1)."""
    failed = FailedCheck("typ is not dpop+jwt")
    assert (str(failed), failed.description, failed.error) == (
        "typ is not dpop+jwt",
        "typ is not dpop+jwt",
        "invalid_dpop_proof",
    )
    assert FailedCheck("the access token is not ASCII", "invalid_token").error == "invalid_token"


def test_failed_check_is_no_error_of_the_public_tree() -> None:
    """A handler of PasswordlessError never sees it: the verifier turns it into an error with a status."""
    assert not issubclass(FailedCheck, PasswordlessError)
