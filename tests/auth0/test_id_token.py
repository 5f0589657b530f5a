"""The ID token: one that is good, and everything that is wrong with others."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from passwordless_async import InvalidIdToken
from passwordless_async._secret import Secret
from passwordless_async.auth0.id_token import key_id, validate

if TYPE_CHECKING:
    from passwordless_async.auth0 import Application

NOW = 1_700_000_000.0
ISSUER = "https://tenant.example/"
HEADER = {"alg": "RS256", "typ": "JWT", "kid": "k1"}
CLAIMS = {"iss": ISSUER, "aud": "client", "sub": "auth0|ada", "iat": int(NOW), "exp": int(NOW) + 36_000}
NOT_SIGNED = ("signature", "is not that of the tenant's key")
NOT_THE_ISSUER = ("iss", f"is not {ISSUER}")
NOT_FOR_US = ("aud", "is not this application")
NOT_LIVE = ("exp", "is missing or past")
NOT_YET = ("iat", "is missing or in the future")
NOBODY = ("sub", "is missing")


def b64(data: bytes) -> str:
    """Encode as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(key: RSAKey, claims: object, header: dict[str, Any] | None = None) -> Secret:
    """Sign whatever is given, by hand: a token that no library would make must be refused too."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    signed = f"{b64(json.dumps(HEADER if header is None else header).encode())}.{b64(payload)}"
    signature = key.private_key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return Secret(f"{signed}.{b64(signature)}")


def unsigned(alg: str) -> str:
    """Return header and good claims of a token, for a signature to be put behind."""
    return f"{b64(json.dumps({**HEADER, 'alg': alg}).encode())}.{b64(json.dumps(CLAIMS).encode())}"


def claims_with(**changes: Any) -> dict[str, Any]:
    """Return good claims but for some changes; ... leaves a claim out."""
    return {name: value for name, value in {**CLAIMS, **changes}.items() if value is not ...}


def refusal(call: Any, *arguments: Any) -> tuple[str, str]:
    """Return the claim and the problem of a refusal."""
    with pytest.raises(InvalidIdToken) as refused:
        call(*arguments)
    claim = refused.value.claim
    return claim, str(refused.value).removeprefix(f"ID token, {claim}: ")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aud": ["client"]},
        {"aud": ["client"], "azp": "client"},
        {"aud": "client", "azp": "client"},
        {"aud": ["other", "client"], "azp": "client"},
        {"exp": NOW + 0.5, "iat": NOW - 0.5},
        {"exp": int(NOW) - 59},
        {"iat": int(NOW) + 60},
        {"iat": 0},
        {"exp": 253_402_300_799},
        {"email": "ada@example.com", "nonce": "n", "auth_time": 1, "name": "Ada 🧮"},
    ],
)
def test_good_ones(public: Application, signing_key: RSAKey, changes: dict[str, Any]):
    """OpenID Connect Core §3.1.3.7: a token that is right comes back as its claims, with a minute's leeway."""
    claims = claims_with(**changes)
    token = sign(signing_key, claims)
    assert "k1" == key_id(token)
    assert claims == dict(validate(token, signing_key, public, NOW))


def test_joserfc_makes_good_ones(public: Application, signing_key: RSAKey):
    """A token by a library that is not ours is read."""
    token = Secret(jwt.encode(HEADER, CLAIMS, signing_key, algorithms=["RS256"]))
    assert CLAIMS == dict(validate(token, signing_key, public, NOW))


def test_unknown_header_parameters_are_tolerated(public: Application, signing_key: RSAKey):
    """RFC 7515 §4.3: private header parameters are no reason to refuse."""
    header = {**HEADER, "x-tenant": "acme", "jwk": {}}
    assert CLAIMS == dict(validate(sign(signing_key, CLAIMS, header), signing_key, public, NOW))


def test_the_claims_cannot_be_changed(public: Application, signing_key: RSAKey):
    """What was validated stays as it was."""
    claims = validate(sign(signing_key, CLAIMS), signing_key, public, NOW)
    with pytest.raises(TypeError):
        claims["sub"] = "auth0|eve"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        # The issuer, with its trailing slash and nothing else.
        ({"iss": ...}, NOT_THE_ISSUER),
        ({"iss": None}, NOT_THE_ISSUER),
        ({"iss": "https://tenant.example"}, NOT_THE_ISSUER),
        ({"iss": "http://tenant.example/"}, NOT_THE_ISSUER),
        ({"iss": "https://tenant.example//"}, NOT_THE_ISSUER),
        ({"iss": "https://evil.example/"}, NOT_THE_ISSUER),
        ({"iss": "https://tenant.example.evil.example/"}, NOT_THE_ISSUER),
        ({"iss": [ISSUER]}, NOT_THE_ISSUER),
        # The audience.
        ({"aud": ...}, NOT_FOR_US),
        ({"aud": None}, NOT_FOR_US),
        ({"aud": "other"}, NOT_FOR_US),
        ({"aud": "CLIENT"}, NOT_FOR_US),
        ({"aud": "client "}, NOT_FOR_US),
        ({"aud": []}, NOT_FOR_US),
        ({"aud": ["other"]}, NOT_FOR_US),
        ({"aud": [["client"]]}, NOT_FOR_US),
        ({"aud": {"client": 1}}, NOT_FOR_US),
        ({"aud": 5, "azp": "client"}, NOT_FOR_US),
        ({"aud": "xclientx", "azp": "client"}, NOT_FOR_US),
        # The authorized party.
        ({"azp": "other"}, ("azp", "is another application")),
        ({"azp": None}, ("azp", "is another application")),
        ({"aud": ["client"], "azp": "other"}, ("azp", "is another application")),
        (
            {"aud": ["client", "other"]},
            ("azp", "must be this application, where there are several audiences"),
        ),
        (
            {"aud": ["client", "client"], "azp": "other"},
            ("azp", "must be this application, where there are several audiences"),
        ),
        # The times.
        *(({"exp": value}, NOT_LIVE) for value in (..., None, "9999999999", True, [], {}, -1, 0)),
        ({"exp": int(NOW) - 60}, NOT_LIVE),
        ({"exp": int(NOW) - 3600}, NOT_LIVE),
        ({"exp": float("nan")}, NOT_LIVE),
        ({"exp": float("inf")}, NOT_LIVE),
        ({"exp": 10**400}, NOT_LIVE),
        ({"exp": 1e30}, NOT_LIVE),
        *(({"iat": value}, NOT_YET) for value in (..., None, "1700000000", True, False, [], -1)),
        ({"iat": int(NOW) + 61}, NOT_YET),
        ({"iat": float("nan")}, NOT_YET),
        ({"iat": float("-inf")}, NOT_YET),
        ({"iat": -(10**400)}, NOT_YET),
        # The subject.
        *(({"sub": value}, NOBODY) for value in (..., None, "", 5, True, ["auth0|ada"])),
    ],
)
def test_wrong_claims(public: Application, signing_key: RSAKey, changes: dict[str, Any], problem: tuple[str, str]):
    """A well-signed token with a wrong claim is refused by the claim's name."""
    assert problem == refusal(validate, sign(signing_key, claims_with(**changes)), signing_key, public, NOW)


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"null", b"1", b'"x"', b"{", b"\xff", b"[" * 50_000, b'{"exp":' + b"9" * 5000 + b"}"]
)
def test_wrong_payloads(public: Application, signing_key: RSAKey, payload: bytes):
    """A payload that is no JSON object is refused, though it be well signed."""
    assert NOT_SIGNED == refusal(validate, sign(signing_key, payload), signing_key, public, NOW)


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ({"alg": "none", "kid": "k1"}, ("alg", "is not one of RS256")),
        ({"alg": "None", "kid": "k1"}, ("alg", "is not one of RS256")),
        ({"alg": "HS256", "kid": "k1"}, ("alg", "is not one of RS256")),
        ({"alg": "RS384", "kid": "k1"}, ("alg", "is not one of RS256")),
        ({"alg": "PS256", "kid": "k1"}, ("alg", "is not one of RS256")),
        ({"alg": "ES256", "kid": "k1"}, ("alg", "is not one of RS256")),
        ({"alg": "rs256", "kid": "k1"}, ("alg", "is not one of RS256")),
        ({"alg": ["RS256"], "kid": "k1"}, ("alg", "is not one of RS256")),
        ({"alg": None, "kid": "k1"}, ("alg", "is not one of RS256")),
        ({"kid": "k1"}, ("alg", "is not one of RS256")),
        ({"alg": "RS256"}, ("kid", "is missing")),
        ({"alg": "RS256", "kid": ""}, ("kid", "is missing")),
        ({"alg": "RS256", "kid": 5}, ("kid", "is missing")),
        ({"alg": "RS256", "kid": ["k1"]}, ("kid", "is missing")),
        ({**HEADER, "crit": ["exp"], "exp": 1}, ("crit", "is not understood")),
        ({**HEADER, "crit": ["b64"], "b64": False}, ("crit", "is not understood")),
        ({**HEADER, "crit": []}, ("crit", "is not understood")),
        ({**HEADER, "crit": None}, ("crit", "is not understood")),
        ({**HEADER, "x5c": ["M" * 2000]}, ("header", "is not readable")),
        ([HEADER], ("header", "is not readable")),
        (None, ("header", "is not readable")),
        ("header", ("header", "is not readable")),
    ],
)
def test_wrong_headers(header: Any, problem: tuple[str, str]):
    """Algorithm, key and critical parameters are looked at before any key is looked for."""
    assert problem == refusal(key_id, Secret(f"{b64(json.dumps(header).encode())}.e30.c2ln"))


@pytest.mark.parametrize(
    "token", ["", ".", "..", "a", "a.b.c", "e30", "é.é.é", "\ud800.a.b", "=.=.=", "W10.e30.e30", "[" * 2000]
)
def test_junk(public: Application, signing_key: RSAKey, token: str):
    """What is no JWT at all is refused by either of the two steps."""
    assert refusal(key_id, Secret(token))[0] in {"header", "alg"}
    assert NOT_SIGNED == refusal(validate, Secret(token), signing_key, public, NOW)


def test_no_algorithm_is_no_signature(public: Application, signing_key: RSAKey):
    """The oldest attack: alg none, with and without something in the place of the signature."""
    for tail in ("", "c2ln"):
        token = Secret(f"{unsigned('none')}.{tail}")
        assert ("alg", "is not one of RS256") == refusal(key_id, token)
        assert NOT_SIGNED == refusal(validate, token, signing_key, public, NOW)


def test_the_public_key_is_no_secret(public: Application, signing_key: RSAKey):
    """Key confusion: HS256 with the tenant's public key as the secret, in each form that it is published in."""
    signed = unsigned("HS256")
    jwk = json.dumps(signing_key.as_dict(private=False)).encode()
    for secret in (signing_key.as_pem(private=False), signing_key.as_der(private=False), jwk):
        token = Secret(f"{signed}.{b64(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}")
        assert ("alg", "is not one of RS256") == refusal(key_id, token)
        assert NOT_SIGNED == refusal(validate, token, signing_key, public, NOW)


def test_other_keys_and_algorithms(public: Application, signing_key: RSAKey):
    """A token by another key of the same name, or by another algorithm of the same key, is refused."""
    by_another = sign(RSAKey.generate_key(2048, {"kid": "k1"}), CLAIMS)
    assert NOT_SIGNED == refusal(validate, by_another, signing_key, public, NOW)
    for alg, key in (("PS256", signing_key), ("RS512", signing_key), ("ES256", ECKey.generate_key("P-256"))):
        token = Secret(jwt.encode({"alg": alg, "kid": "k1"}, CLAIMS, key, algorithms=[alg]))
        assert ("alg", "is not one of RS256") == refusal(key_id, token)
        assert NOT_SIGNED == refusal(validate, token, signing_key, public, NOW)


def test_every_part_is_signed(public: Application, signing_key: RSAKey):
    """A change in the header, the claims or the signature is seen."""
    header, payload, signature = sign(signing_key, CLAIMS).split(".")
    other = b64(json.dumps({**CLAIMS, "sub": "auth0|eve"}).encode())
    spaced = b64(json.dumps(HEADER, indent=1).encode())
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    for parts in (
        (header, other, signature),
        (spaced, payload, signature),
        (header, payload, flipped),
        (header, payload, signature[:-4]),
        (header, payload, ""),
        (header, payload),
        (header, payload, signature, ""),
        (header, payload, signature, signature),
    ):
        assert NOT_SIGNED == refusal(validate, Secret(".".join(parts)), signing_key, public, NOW)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.lists(st.binary(max_size=40).map(b64), min_size=1, max_size=5).map(".".join))
def test_no_token_raises_anything_else(public: Application, signing_key: RSAKey, token: str):
    """Whatever is in the place of the token, the refusal is ours."""
    refusal(key_id, Secret(token))
    refusal(validate, Secret(token), signing_key, public, NOW)


@settings(max_examples=200, deadline=None)
@given(
    claims=st.dictionaries(
        st.sampled_from(list(CLAIMS)) | st.just("azp"),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text(), max_size=2),
        min_size=1,
    )
)
def test_no_claims_raise_anything_else(public: Application, signing_key: RSAKey, claims: dict[str, Any]):
    """Whatever a tenant signs, it is validated or refused by a claim's name."""
    try:
        validated = validate(sign(signing_key, {**CLAIMS, **claims}), signing_key, public, NOW)
    except InvalidIdToken as refused:
        assert refused.claim in {"iss", "aud", "azp", "exp", "iat", "sub"}  # noqa: PT017 - either is right
    else:
        assert (ISSUER, "client") == (validated["iss"], claims.get("azp", "client"))
