"""The vectors of the RFCs, which say where they are from."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import ECKey, RSAKey
from multidict import CIMultiDict

from passwordless_async import DPoPKey
from passwordless_async._common.base64url import encode_text
from passwordless_async._common.http import HttpResponse
from passwordless_async.dpop import htu, nonce_of, token_hash

VECTORS: dict[str, dict[str, Any]] = json.loads((Path(__file__).parents[1] / "vectors" / "rfc.json").read_text())
RFC9449, RFC6979 = VECTORS["rfc9449"], VECTORS["rfc6979"]
PROOFS = ["token_proof", "refresh_proof", "resource_proof"]
DETERMINISTIC = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)


@pytest.fixture
def golden_key() -> DPoPKey:
    """Import the key of RFC 6979 from its private scalar, by way of a JWK."""
    public = ec.derive_private_key(int(RFC6979["d"], 16), ec.SECP256R1()).public_key().public_numbers()
    coordinates = {"x": public.x, "y": public.y, "d": int(RFC6979["d"], 16)}
    return DPoPKey.from_jwk(
        {"kty": "EC", "crv": "P-256"} | {name: encode_text(value.to_bytes(32)) for name, value in coordinates.items()}
    )


def test_every_vector_says_where_it_is_from() -> None:
    """Vectors are data with provenance."""
    assert all(vectors["source"].startswith("RFC ") for vectors in VECTORS.values())


@pytest.mark.parametrize("name", PROOFS)
def test_the_proofs_of_rfc_9449_verify(name: str) -> None:
    """RFC 9449 §4.1, §5, §7.1: each proof verifies with the key in its header and says what is printed beside it."""
    vector = RFC9449[name]
    proof = jwt.decode(vector["proof"], ECKey.import_key(RFC9449["jwk"]), algorithms=["ES256"])
    assert dict(proof.header) == {"typ": "dpop+jwt", "alg": "ES256", "jwk": RFC9449["jwk"]}
    expected = {claim: vector[claim] for claim in ("htm", "htu", "iat", "jti", "ath") if claim in vector}
    assert proof.claims == expected
    assert vector["htu"] == htu(vector["htu"])


@pytest.mark.parametrize("name", PROOFS)
def test_a_proof_that_was_touched_does_not_verify(name: str) -> None:
    """One bit of the signature tells."""
    signed, _, signature = RFC9449[name]["proof"].rpartition(".")
    touched = ("A" if signature[0] != "A" else "B") + signature[1:]
    with pytest.raises(BadSignatureError):
        jwt.decode(f"{signed}.{touched}", ECKey.import_key(RFC9449["jwk"]), algorithms=["ES256"])


def test_the_thumbprint_of_rfc_9449() -> None:
    """RFC 9449 §6.1: the jkt of the example's key, by joserfc and by our own canonical form."""
    assert ECKey.import_key(RFC9449["jwk"]).thumbprint() == RFC9449["thumbprint"]
    key = DPoPKey.generate()
    x, y = (base64.urlsafe_b64decode(RFC9449["jwk"][name] + "=") for name in "xy")
    key._point = b"\x04" + x + y
    assert key.to_jwk() == RFC9449["jwk"]
    assert key.thumbprint == RFC9449["thumbprint"]


def test_the_ath_of_rfc_9449() -> None:
    """RFC 9449 §7.1: ath of the example's access token."""
    vector = RFC9449["resource_proof"]
    assert vector["ath"] == token_hash(vector["access_token"])


@pytest.mark.parametrize("nonce", RFC9449["nonces"])
def test_the_nonces_of_rfc_9449(nonce: str) -> None:
    """RFC 9449 §8: the nonces of the examples are taken."""
    assert nonce == nonce_of(HttpResponse(200, CIMultiDict({"DPoP-Nonce": nonce})))


def test_the_thumbprint_of_rfc_7638_is_of_an_rsa_key() -> None:
    """RFC 7638 §3.1 is for RSA: its thumbprint has the form of ours, 43 characters for 32 bytes."""
    expected = VECTORS["rfc7638"]["thumbprint_of_the_example_rsa_key"]
    assert (len(expected), len(base64.urlsafe_b64decode(expected + "="))) == (43, 32)
    assert len(RSAKey.generate_key(2048).thumbprint()) == len(DPoPKey.generate().thumbprint) == 43


def test_the_golden_signature_of_rfc_6979(golden_key: DPoPKey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 6, RFC 6979 A.2.5: with deterministic signing the key signs r and s of the vector, in 64 bytes."""
    message = RFC6979["message"].encode()
    r, s = decode_dss_signature(golden_key._private.sign(message, DETERMINISTIC))
    assert (int(RFC6979["r"], 16), int(RFC6979["s"], 16)) == (r, s)
    deterministic = ec.ECDSA(Prehashed(hashes.SHA256()), deterministic_signing=True)
    monkeypatch.setattr("passwordless_async.dpop.key._ES256", deterministic)
    assert bytes.fromhex(RFC6979["r"] + RFC6979["s"]) == golden_key.sign(message)


def test_the_public_key_of_rfc_6979(golden_key: DPoPKey) -> None:
    """RFC 6979 A.2.5: the JWK that comes out is that of the private scalar."""
    exported = golden_key.to_jwk(private=True)
    assert bytes.fromhex(RFC6979["d"]) == base64.urlsafe_b64decode(exported["d"] + "=")
    assert golden_key.thumbprint == ECKey.import_key({**exported}).thumbprint()
