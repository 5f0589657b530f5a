"""The ID token: one that is good, and everything that is wrong with others."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from helpers import flows
from helpers.values import present
from passwordless_async import (
    ClientSecretBasic,
    ClientSecretPost,
    InvalidIdToken,
    NoClientAuth,
    NotSent,
    OutcomeUnknown,
    PrivateKeyJwt,
    UsageError,
)
from passwordless_async._common.http import HttpResponse
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.application import Application
from passwordless_async.auth0.clocks import Clocks
from passwordless_async.auth0.id_token import (
    ExpectedIdToken,
    Header,
    check_key,
    client_secret_key,
    read_header,
    validate,
)
from passwordless_async.auth0.jwks import SigningKey
from passwordless_async.auth0.otp import exchange

if TYPE_CHECKING:
    from passwordless_async import TokenSet
    from passwordless_async._common.http import HttpRequest
    from passwordless_async.auth0.tenant import Flow, Tenant

NOW = 1_700_000_000.0
DAY = 86_400.0
FOUND = flows.jwks("k1")  # a fetch that succeeds, without the key
ISSUER = "https://tenant.example/"
HEADER = {"alg": "RS256", "typ": "JWT", "kid": "k1"}
CLAIMS = {"iss": ISSUER, "aud": "client", "sub": "auth0|ada", "iat": int(NOW), "exp": int(NOW) + 36_000}
NOT_SIGNED = ("signature", "is not that of the tenant's key")
NOT_THE_ISSUER = ("iss", f"is not {ISSUER}")
NOT_FOR_US = ("aud", "is not this application")
NO_EXP = ("exp", "is missing, or not a time")
NO_IAT = ("iat", "is missing, or not a time")
NOT_LIVE = ("exp", "is past by this machine's clock")
NOT_YET = ("iat", "is in the future by this machine's clock")
UNREADABLE = ("claims", "are not readable")
NOBODY = ("sub", "is missing")
NOT_TAKEN = ("alg", "is not one of RS256, PS256, ES256")
WRONG_KEY = ("alg", "is not an algorithm of the key")
ANOTHER_KIND = ("typ", "is another kind of token")
NO_KEY = ("kid", "is missing")
SECRET = "a-client-secret-of-32-characters"


def b64(data: bytes) -> str:
    """Encode as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(key: RSAKey, claims: object, header: dict[str, Any] | None = None) -> Secret:
    """Sign whatever is given, by hand: a token that no library would make must be refused too."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    signed = f"{b64(json.dumps(HEADER if header is None else header).encode())}.{b64(payload)}"
    signature = present(key.private_key).sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return Secret(f"{signed}.{b64(signature)}")


def unsigned(alg: str) -> str:
    """Return header and good claims of a token, for a signature to be put behind."""
    return f"{b64(json.dumps({**HEADER, 'alg': alg}).encode())}.{b64(json.dumps(CLAIMS).encode())}"


def claims_with(**changes: Any) -> dict[str, Any]:
    """Return good claims but for some changes; ... leaves a claim out."""
    return {name: value for name, value in {**CLAIMS, **changes}.items() if value is not ...}


def check(token: Secret, key: RSAKey, application: Application, **asked: Any) -> Any:
    """Validate with the tenant's key as it is published without an algorithm."""
    access_token, clocks = asked.pop("access_token", None), asked.pop("clocks", Clocks(NOW))
    signing_key, expected = SigningKey(key, ("RS256", "PS256")), ExpectedIdToken(**asked)
    return validate(token, signing_key, application, clocks, access_token=access_token, expected=expected)


def refusal(call: Any, *arguments: Any, **named: Any) -> tuple[str, str]:
    """Return the claim and the problem of a refusal."""
    with pytest.raises(InvalidIdToken) as refused:
        call(*arguments, **named)
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
def test_good_ones(public: Application, signing_key: RSAKey, changes: dict[str, Any]) -> None:
    """OpenID Connect Core §3.1.3.7: a token that is right comes back as its claims, with a minute's leeway."""
    claims = claims_with(**changes)
    token = sign(signing_key, claims)
    assert read_header(token, public) == Header("RS256", "k1")
    assert claims == dict(check(token, signing_key, public))


def test_joserfc_makes_good_ones(public: Application, signing_key: RSAKey) -> None:
    """A token by a library that is not ours is read."""
    token = Secret(jwt.encode(HEADER, CLAIMS, signing_key, algorithms=["RS256"]))
    assert dict(check(token, signing_key, public)) == CLAIMS


def test_unknown_header_parameters_are_tolerated(public: Application, signing_key: RSAKey) -> None:
    """RFC 7515 §4.3: private header parameters are no reason to refuse."""
    header = {**HEADER, "x-tenant": "acme", "jwk": {}}
    assert dict(check(sign(signing_key, CLAIMS, header), signing_key, public)) == CLAIMS


def test_the_claims_cannot_be_changed(public: Application, signing_key: RSAKey) -> None:
    """What was validated stays as it was."""
    claims = check(sign(signing_key, CLAIMS), signing_key, public)
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
        *(({"exp": value}, NO_EXP) for value in (..., None, "9999999999", True, [], {}, -1)),  # type: ignore[var-annotated]
        ({"exp": 0}, NOT_LIVE),
        ({"exp": int(NOW) - 60}, NOT_LIVE),
        ({"exp": int(NOW) - 3600}, NOT_LIVE),
        ({"exp": float("nan")}, UNREADABLE),
        ({"exp": float("inf")}, UNREADABLE),
        ({"exp": 10**400}, NO_EXP),
        ({"exp": 1e30}, NO_EXP),
        *(({"iat": value}, NO_IAT) for value in (..., None, "1700000000", True, False, [], -1)),  # type: ignore[var-annotated]
        ({"iat": int(NOW) + 61}, NOT_YET),
        ({"iat": float("nan")}, UNREADABLE),
        ({"iat": float("-inf")}, UNREADABLE),
        ({"iat": -(10**400)}, NO_IAT),
        # The subject.
        *(({"sub": value}, NOBODY) for value in (..., None, "", 5, True, ["auth0|ada"])),
    ],
)
def test_wrong_claims(
    public: Application, signing_key: RSAKey, changes: dict[str, Any], problem: tuple[str, str]
) -> None:
    """A well-signed token with a wrong claim is refused by the claim's name."""
    assert problem == refusal(check, sign(signing_key, claims_with(**changes)), signing_key, public)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"null",
        b"1",
        b'"x"',
        b"{",
        b"\xff",
        b"[" * 50_000,
        b'{"exp":' + b"9" * 5000 + b"}",
        json.dumps(CLAIMS).encode("utf-16"),
        json.dumps(CLAIMS).encode("utf-8-sig"),
        json.dumps(CLAIMS).encode()[:-1] + b',"sub":"auth0|eve"}',
        json.dumps(CLAIMS).encode()[:-1] + b',"x":{"y":1,"y":1}}',
        json.dumps(CLAIMS).encode()[:-1] + b',"x":NaN}',
        json.dumps(CLAIMS).encode()[:-1] + b',"x":"\\ud800"}',
        json.dumps(CLAIMS).encode()[:-1] + b',"\\ud800":1}',
        json.dumps(CLAIMS).encode()[:-1] + b',"x":' + b"[" * 100 + b"]" * 100 + b"}",
    ],
)
def test_wrong_payloads(public: Application, signing_key: RSAKey, payload: bytes) -> None:
    """A payload is one JSON object that every reader reads alike, though it be well signed (RFC 8725 §2.4, §3.7)."""
    assert refusal(check, sign(signing_key, payload), signing_key, public) == UNREADABLE


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ({"alg": "none", "kid": "k1"}, NOT_TAKEN),
        ({"alg": "None", "kid": "k1"}, NOT_TAKEN),
        ({"alg": "HS256", "kid": "k1"}, NOT_TAKEN),
        ({"alg": "RS384", "kid": "k1"}, NOT_TAKEN),
        ({"alg": "NONE", "kid": "k1"}, NOT_TAKEN),
        ({"alg": "", "kid": "k1"}, NOT_TAKEN),
        ({"alg": "HS384", "kid": "k1"}, NOT_TAKEN),
        ({"alg": "ES384", "kid": "k1"}, NOT_TAKEN),
        ({"alg": "EdDSA", "kid": "k1"}, NOT_TAKEN),
        ({"alg": "RS256 ", "kid": "k1"}, NOT_TAKEN),
        ({"alg": "rs256", "kid": "k1"}, NOT_TAKEN),
        ({"alg": ["RS256"], "kid": "k1"}, NOT_TAKEN),
        ({"alg": None, "kid": "k1"}, NOT_TAKEN),
        ({"kid": "k1"}, NOT_TAKEN),
        ({"alg": "RS256"}, NO_KEY),
        ({"alg": "RS256", "kid": ""}, NO_KEY),
        ({"alg": "RS256", "kid": 5}, NO_KEY),
        ({"alg": "RS256", "kid": ["k1"]}, NO_KEY),
        ({"alg": "PS256", "kid": {}}, NO_KEY),
        ({"alg": "ES256", "kid": True}, NO_KEY),
        ({**HEADER, "typ": "at+jwt"}, ANOTHER_KIND),
        ({**HEADER, "typ": "logout+jwt"}, ANOTHER_KIND),
        ({**HEADER, "typ": "dpop+jwt"}, ANOTHER_KIND),
        ({**HEADER, "typ": ["JWT"]}, ANOTHER_KIND),
        ({**HEADER, "typ": None}, ANOTHER_KIND),
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
def test_wrong_headers(public: Application, header: Any, problem: tuple[str, str]) -> None:
    """Algorithm, key and critical parameters are looked at before any key is looked for."""
    assert problem == refusal(read_header, Secret(f"{b64(json.dumps(header).encode())}.e30.c2ln"), public)


@pytest.mark.parametrize(
    "token", ["", ".", "..", "a", "a.b.c", "e30", "é.é.é", "\ud800.a.b", "=.=.=", "W10.e30.e30", "[" * 2000]
)
def test_junk(public: Application, signing_key: RSAKey, token: str) -> None:
    """What is no JWT at all is refused by either of the two steps."""
    assert refusal(read_header, Secret(token), public)[0] in {"header", "alg"}
    assert refusal(check, Secret(token), signing_key, public) == NOT_SIGNED


def test_no_algorithm_is_no_signature(public: Application, signing_key: RSAKey) -> None:
    """The oldest attack: alg none, with and without something in the place of the signature."""
    for tail in ("", "c2ln"):
        token = Secret(f"{unsigned('none')}.{tail}")
        assert refusal(read_header, token, public) == NOT_TAKEN
        assert refusal(check, token, signing_key, public) == NOT_SIGNED


def test_the_public_key_is_no_secret(public: Application, signing_key: RSAKey) -> None:
    """Key confusion: HS256 with the tenant's public key as the secret, in each form that it is published in."""
    signed = unsigned("HS256")
    jwk = json.dumps(signing_key.as_dict(private=False)).encode()
    for secret in (signing_key.as_pem(private=False), signing_key.as_der(private=False), jwk):
        token = Secret(f"{signed}.{b64(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}")
        assert refusal(read_header, token, public) == NOT_TAKEN
        assert refusal(check, token, signing_key, public) == NOT_SIGNED


def test_other_keys_and_algorithms(public: Application, signing_key: RSAKey) -> None:
    """A token by another key of the same name, or by another algorithm of the same key, is refused."""
    by_another = sign(RSAKey.generate_key(2048, {"kid": "k1"}), CLAIMS)
    assert refusal(check, by_another, signing_key, public) == NOT_SIGNED
    others = (("RS512", signing_key), ("PS512", signing_key), ("ES384", ECKey.generate_key("P-384")))
    for alg, key in others:
        token = Secret(jwt.encode({"alg": alg, "kid": "k1"}, CLAIMS, key, algorithms=[alg]))
        assert refusal(read_header, token, public) == NOT_TAKEN
        assert refusal(check, token, signing_key, public) == NOT_SIGNED


def test_each_algorithm_by_its_own_kind_of_key(public: Application, signing_key: RSAKey) -> None:
    """RFC 7518 §3.1: what is signed with one algorithm passes with a key that is for it, and with no other."""
    curve = ECKey.generate_key("P-256")
    keys = {
        "RS256": SigningKey(signing_key, ("RS256",)),
        "PS256": SigningKey(signing_key, ("PS256",)),
        "ES256": SigningKey(curve, ("ES256",)),
    }
    for alg, own in keys.items():
        token = Secret(jwt.encode({"alg": alg, "kid": "k1"}, CLAIMS, own.key, algorithms=[alg]))
        header = read_header(token, public)
        check_key(header, own)
        assert dict(validate(token, own, public, Clocks(NOW))) == CLAIMS
        for other in (key for name, key in keys.items() if name != alg):
            assert refusal(check_key, header, other) == WRONG_KEY
            assert refusal(validate, token, other, public, Clocks(NOW)) == NOT_SIGNED


def test_an_algorithm_that_the_application_does_not_take(signing_key: RSAKey) -> None:
    """An application that names one algorithm takes no other, and a key for none of them checks nothing."""
    application = Application("tenant.example", "client", NoClientAuth(), ("PS256",))
    token = sign(signing_key, CLAIMS)
    assert refusal(read_header, token, application) == ("alg", "is not one of PS256")
    assert refusal(check, token, signing_key, application) == NOT_SIGNED
    assert refusal(validate, token, SigningKey(signing_key, ("RS256",)), application, Clocks(NOW)) == WRONG_KEY


@pytest.mark.parametrize(
    "algorithms", [(), "RS256", ("none",), ("RS256", "none"), ("RS384",), None, 5, (None,), (["RS256"],)]
)
def test_algorithms_are_checked(algorithms: Any) -> None:
    """Only what is safe can be taken, and none is no choice."""
    with pytest.raises(UsageError, match="must be some of RS256, PS256, ES256, HS256, in a list") as refused:
        Application("tenant.example", "client", NoClientAuth(), algorithms)
    assert refused.value.argument == "id_token_algorithms"


@pytest.mark.parametrize(
    ("auth", "message"),
    [
        (NoClientAuth(), "HS256 needs client_auth with a client secret, which is its key"),
        (
            PrivateKeyJwt(RSAKey.generate_key(2048).as_pem(private=True)),
            "HS256 needs client_auth with a client secret, which is its key",
        ),
        (ClientSecretPost(SECRET[:-1]), "HS256 needs a client secret of 32 characters or more"),
    ],
)
def test_hs256_needs_a_secret(auth: Any, message: str) -> None:
    """RFC 7518 §3.2, OpenID Connect Core §10.1: a symmetric signature needs a secret of some length."""
    with pytest.raises(UsageError, match=message):
        Application("tenant.example", "client", auth, ("HS256",))


@pytest.mark.parametrize("auth", [ClientSecretPost(SECRET), ClientSecretBasic(SECRET)])
def test_hs256_is_signed_with_the_client_secret(auth: Any, signing_key: RSAKey) -> None:
    """Who asks for HS256 gets it with the client secret as the key, with or without a kid, and with no other key."""
    application = Application("tenant.example", "client", auth, ("HS256", "RS256"))
    key = client_secret_key(application)
    assert repr(key) == "SigningKey(key=<redacted>, algorithms=('HS256',))"
    for header in ({"alg": "HS256"}, {"alg": "HS256", "kid": "k1"}):
        token = Secret(jwt.encode(header, CLAIMS, OctKey.import_key(SECRET), algorithms=["HS256"]))
        assert read_header(token, application) == Header("HS256", "")
        assert dict(validate(token, key, application, Clocks(NOW))) == CLAIMS
        assert refusal(check, token, signing_key, application) == NOT_SIGNED
    forged = unsigned("HS256")
    for secret in (b"", b"another-secret", signing_key.as_pem(private=False), signing_key.as_der(private=False)):
        token = Secret(f"{forged}.{b64(hmac.new(secret, forged.encode(), hashlib.sha256).digest())}")
        assert refusal(validate, token, key, application, Clocks(NOW)) == NOT_SIGNED
        assert refusal(check, token, signing_key, application) == NOT_SIGNED


def test_hs256_is_taken_from_nobody_who_did_not_ask() -> None:
    """A client secret alone does not make a symmetric signature good."""
    application = Application("tenant.example", "client", ClientSecretPost(SECRET))
    token = Secret(jwt.encode({"alg": "HS256"}, CLAIMS, OctKey.import_key(SECRET), algorithms=["HS256"]))
    assert refusal(read_header, token, application) == NOT_TAKEN
    assert refusal(validate, token, client_secret_key(application), application, Clocks(NOW)) == WRONG_KEY
    public = Application("tenant.example", "client", NoClientAuth())
    with pytest.raises(UsageError):
        client_secret_key(public)


@pytest.mark.parametrize("name", ["jwk", "jku", "x5c", "x5u", "x5t"])
def test_keys_of_the_token_itself_are_not_looked_at(public: Application, signing_key: RSAKey, name: str) -> None:
    """RFC 8725 §3.10: a token that brings its own key, or says where to get it, is checked with the tenant's."""
    own = RSAKey.generate_key(2048, {"kid": "k1"})
    embedded = {"jwk": {"kty": "oct", "k": "AA", "kid": "k1"}, "x5c": ["MII="]}.get(name, "https://evil.example/keys")
    header = {**HEADER, name: embedded}
    assert refusal(check, sign(own, CLAIMS, header), signing_key, public) == NOT_SIGNED
    assert dict(check(sign(signing_key, CLAIMS, header), signing_key, public)) == CLAIMS


@pytest.mark.parametrize(
    "kid", ["../../../dev/null", "/dev/null", "k1\0", "' OR 1=1 --", "K1", " k1", "https://evil.example/jwks", "💥"]
)
def test_a_kid_is_a_name_and_nothing_else(public: Application, signing_key: RSAKey, kid: str) -> None:
    """Whatever a kid looks like, it is looked up and not opened: it comes back as it is."""
    assert Header("RS256", kid) == read_header(sign(signing_key, CLAIMS, {**HEADER, "kid": kid}), public)


def test_huge_tokens(public: Application, signing_key: RSAKey) -> None:
    """A header or a payload beyond all measure is refused, though it be well signed."""
    header = {**HEADER, "x": "x" * 70_000}
    assert refusal(read_header, sign(signing_key, CLAIMS, header), public) == ("header", "is not readable")
    assert refusal(check, sign(signing_key, CLAIMS, header), signing_key, public) == NOT_SIGNED
    assert refusal(check, sign(signing_key, {**CLAIMS, "x": "x" * 200_000}), signing_key, public) == NOT_SIGNED
    # What fits into the bound and goes on behind it, too.
    padded = b64(json.dumps(HEADER).encode() + b" " * 2000)
    assert refusal(read_header, Secret(f"{padded}.e30.c2ln"), public) == ("header", "is not readable")


@pytest.mark.parametrize(
    ("nbf", "problem"),
    [
        (int(NOW) + 60, None),
        (int(NOW) + 61, ("nbf", "is in the future by this machine's clock")),
        ("soon", ("nbf", "is missing, or not a time")),
        (None, ("nbf", "is missing, or not a time")),
    ],
)
def test_no_token_is_valid_before_its_time(
    public: Application, signing_key: RSAKey, nbf: object, problem: tuple[str, str] | None
) -> None:
    """RFC 7519 §4.1.5: ``nbf`` is heeded where it is."""
    token = sign(signing_key, claims_with(nbf=nbf))
    if problem is None:
        check(token, signing_key, public)
    else:
        assert refusal(check, token, signing_key, public) == problem


AT_HASH = ("at_hash", "is not that of the access token")
NONCE = ("nonce", "is not the one that was sent")
NO_LOGIN_TIME = ("auth_time", "is missing, or not a time")
TIMES = "Check the clock of this machine and the tenant's; the tokens were discarded."


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({"nonce": "n"}, {"nonce": "n"}),
        ({"auth_time": int(NOW)}, {"max_age": 1}),
        ({"auth_time": int(NOW) + 60}, {"max_age": 1}),
        ({"auth_time": int(NOW) - 360}, {"max_age": 300}),
        ({"auth_time": 0}, {"max_age": 10**400}),
        ({}, {"access_token": Secret("opaque")}),
        # OpenID Connect Core, appendix A.3.
        (
            {"at_hash": "77QmUPtjPfzWtF2AnpK9RQ"},
            {"access_token": Secret("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y")},
        ),
    ],
)
def test_what_was_asked_for(
    public: Application, signing_key: RSAKey, changes: dict[str, Any], asked: dict[str, Any]
) -> None:
    """OpenID Connect Core §3.1.3.7, 3.1.3.8: nonce, auth_time and at_hash, where there is something to compare with."""
    claims = claims_with(**changes)
    assert claims == dict(check(sign(signing_key, claims), signing_key, public, **asked))


@pytest.mark.parametrize(
    ("changes", "asked", "problem"),
    [
        *(({"nonce": value}, {"nonce": "n"}, NONCE) for value in (..., None, "", "N", "n ", ["n"], 5)),
        ({"nonce": ...}, {"nonce": ""}, NONCE),
        *(  # type: ignore[var-annotated]
            ({"auth_time": value}, {"max_age": 300}, NO_LOGIN_TIME)
            for value in (..., None, str(int(NOW)), True, [], -1)
        ),
        *(({"auth_time": value}, {"max_age": 300}, UNREADABLE) for value in (float("nan"), float("inf"))),
        (
            {"auth_time": int(NOW) + 61},
            {"max_age": 300},
            ("auth_time", "is in the future by this machine's clock"),
        ),
        (
            {"auth_time": int(NOW) - 361},
            {"max_age": 300},
            ("auth_time", "is longer ago than max_age by this machine's clock"),
        ),
        ({"auth_time": 0}, {"max_age": 1}, ("auth_time", "is longer ago than max_age by this machine's clock")),
        *(  # type: ignore[var-annotated]
            ({"at_hash": value}, {"access_token": Secret("opaque")}, AT_HASH)
            for value in (None, "", 5, [], "77QmUPtjPfzWtF2AnpK9RQ")
        ),
    ],
)
def test_what_was_asked_for_and_is_not_so(
    public: Application,
    signing_key: RSAKey,
    changes: dict[str, Any],
    asked: dict[str, Any],
    problem: tuple[str, str],
) -> None:
    """What was asked for is refused by the claim's name where it is missing, of the wrong type or another."""
    assert problem == refusal(check, sign(signing_key, claims_with(**changes)), signing_key, public, **asked)


@pytest.mark.parametrize(
    ("expected", "claim"), [(ExpectedIdToken(nonce="n"), "nonce"), (ExpectedIdToken(max_age=5), "auth_time")]
)
def test_no_token_shows_nothing(expected: ExpectedIdToken, claim: str) -> None:
    """Where something was asked for, there must be an ID token."""
    assert refusal(expected.require_no_token) == (claim, "is missing: there is no ID token")
    ExpectedIdToken().require_no_token()


@pytest.mark.parametrize(
    "segment",
    [
        b64(json.dumps(HEADER).encode()) + "=",
        b64(json.dumps(HEADER).encode()) + "\n",
        " " + b64(json.dumps(HEADER).encode()),
        b64(json.dumps(HEADER).encode())[:10] + " " + b64(json.dumps(HEADER).encode())[10:],
        base64.b64encode(json.dumps({**HEADER, "x": "~~~???"}).encode()).decode().rstrip("="),
        b64(json.dumps(HEADER).encode("utf-16")),
        b64(json.dumps(HEADER).encode("utf-8-sig")),
        b64(json.dumps(HEADER).encode()[:-1] + b',"alg":"RS256"}'),
        b64(json.dumps(HEADER).encode()[:-1] + b',"x":NaN}'),
        b64(json.dumps(HEADER).encode()[:-1] + b',"x":"\\udc00"}'),
    ],
)
def test_a_header_is_decoded_strictly(public: Application, segment: str) -> None:
    """RFC 7515 §2, §4: base64url without padding and blanks, UTF-8, no member twice: readers cannot disagree."""
    assert refusal(read_header, Secret(f"{segment}.e30.c2ln"), public) == ("header", "is not readable")


ORIGINAL = {"iss": ISSUER, "sub": "auth0|ada", "aud": "client", "auth_time": 1, "azp": "client", "nonce": "n"}


@pytest.mark.parametrize(
    ("changes", "before"),
    [
        ({"azp": "client"}, {}),
        ({"azp": "client", "auth_time": 1, "nonce": "n"}, {}),
        ({"azp": "client", "aud": ["client"]}, {}),
        ({"azp": "client", "aud": ["b", "client", "a"]}, {"aud": ["client", "a", "b"]}),
        ({}, {"azp": ...}),
    ],
)
def test_a_refreshed_token_that_continues(
    public: Application, signing_key: RSAKey, changes: dict[str, Any], before: dict[str, Any]
) -> None:
    """OpenID Connect Core §12.2: what the first token said stays; auth_time and nonce may be left out."""
    original = {name: value for name, value in {**ORIGINAL, **before}.items() if value is not ...}
    token = sign(signing_key, claims_with(**changes))
    expected = ExpectedIdToken.after_refresh(original)
    assert check(token, signing_key, public, original=expected.original)["sub"] == "auth0|ada"


@pytest.mark.parametrize(
    ("changes", "before", "problem"),
    [
        ({"azp": "client", "sub": "auth0|eve"}, {}, ("sub", "is another user than before the refresh")),
        ({"azp": "client"}, {"sub": ...}, ("sub", "is another user than before the refresh")),
        ({"azp": "client"}, {"iss": "https://evil.example/"}, ("iss", "is not as before the refresh")),
        ({"azp": "client", "aud": ["client", "a"]}, {}, ("aud", "is not as before the refresh")),
        ({"azp": "client"}, {"aud": ["client", "a"]}, ("aud", "is not as before the refresh")),
        ({}, {}, ("azp", "is not as before the refresh")),
        ({"azp": "client"}, {"azp": ...}, ("azp", "is not as before the refresh")),
        ({"azp": "client", "auth_time": 2}, {}, ("auth_time", "is not as before the refresh")),
        ({"azp": "client", "auth_time": 2}, {"auth_time": ...}, ("auth_time", "is not as before the refresh")),
        ({"azp": "client", "nonce": "other"}, {}, ("nonce", "is not as before the refresh")),
        ({"azp": "client", "nonce": "n"}, {"nonce": ...}, ("nonce", "is not as before the refresh")),
    ],
)
def test_a_refreshed_token_that_is_another_logins(
    public: Application, signing_key: RSAKey, changes: dict[str, Any], before: dict[str, Any], problem: tuple[str, str]
) -> None:
    """OpenID Connect Core §12.2: iss, sub, aud, azp, auth_time and nonce are those of the login."""
    original = {name: value for name, value in {**ORIGINAL, **before}.items() if value is not ...}
    token = sign(signing_key, claims_with(**changes))
    expected = ExpectedIdToken.after_refresh(original)
    assert problem == refusal(check, token, signing_key, public, original=expected.original)


def test_without_claims_before_nothing_has_to_continue() -> None:
    """A login without an ID token has none to compare with; of other claims none is kept."""
    assert ExpectedIdToken.after_refresh(None) == ExpectedIdToken()
    assert ExpectedIdToken.after_refresh({**ORIGINAL, "email": "ada@example.com"}) == ExpectedIdToken(original=ORIGINAL)
    assert "ada" not in repr(ExpectedIdToken.after_refresh(ORIGINAL))


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (None, ("this machine's clock", None, TIMES)),
        (NOW + 1, ("this machine's clock, which agrees with the server's", -1.0, TIMES)),
        (
            NOW + 90,
            (
                "this machine's clock, which is 90 s behind the server's",
                -90.0,
                "Set the clock of this machine: it is 90 s behind the server's.",
            ),
        ),
        (
            NOW - 3600,
            (
                "this machine's clock, which is 3600 s ahead of the server's",
                3600.0,
                "Set the clock of this machine: it is 3600 s ahead of the server's.",
            ),
        ),
    ],
)
@pytest.mark.parametrize(
    ("changes", "asked", "problem"),
    [
        ({"iat": int(NOW) + 90}, {}, "is in the future by"),
        ({"exp": int(NOW) - 90}, {}, "is past by"),
        ({"auth_time": int(NOW) + 90}, {"max_age": 5}, "is in the future by"),
        ({"auth_time": int(NOW) - 90}, {"max_age": 5}, "is longer ago than max_age by"),
    ],
)
def test_a_time_that_does_not_fit_speaks_of_the_clocks(
    public: Application,
    signing_key: RSAKey,
    changes: dict[str, Any],
    asked: dict[str, Any],
    problem: str,
    server: float | None,
    said: tuple[str, float | None, str],
) -> None:
    """The error says by how much the clocks differ, by the Date of the answer, and advises to set this one."""
    with pytest.raises(InvalidIdToken) as refused:
        check(sign(signing_key, claims_with(**changes)), signing_key, public, clocks=Clocks(NOW, server), **asked)
    error = refused.value
    assert error.claim in changes
    assert (str(error), error.clock_difference, error.advice) == (
        f"ID token, {error.claim}: {problem} {said[0]}",
        *said[1:],
    )


@pytest.mark.parametrize("changes", [{"iat": int(NOW) + 90}, {"exp": int(NOW) - 89}])
def test_the_skew_is_a_setting(public: Application, signing_key: RSAKey, changes: dict[str, Any]) -> None:
    """Clocks that may differ by more forgive more, and those that must agree forgive nothing."""
    token = sign(signing_key, claims_with(**changes))
    assert check(token, signing_key, public, clocks=Clocks(NOW, skew=90.0))["sub"] == "auth0|ada"
    for skew in (0.0, 60.0, 88.0):
        assert refusal(check, token, signing_key, public, clocks=Clocks(NOW, skew=skew))[0] in changes


def test_every_part_is_signed(public: Application, signing_key: RSAKey) -> None:
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
        assert refusal(check, Secret(".".join(parts)), signing_key, public) == NOT_SIGNED


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.lists(st.binary(max_size=40).map(b64), min_size=1, max_size=5).map(".".join))
def test_no_token_raises_anything_else(public: Application, signing_key: RSAKey, token: str) -> None:
    """Whatever is in the place of the token, the refusal is ours."""
    refusal(read_header, Secret(token), public)
    refusal(check, Secret(token), signing_key, public)


@settings(max_examples=200, deadline=None)
@given(
    claims=st.dictionaries(
        st.sampled_from(list(CLAIMS)) | st.just("azp"),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text(), max_size=2),
        min_size=1,
    )
)
def test_no_claims_raise_anything_else(public: Application, signing_key: RSAKey, claims: dict[str, Any]) -> None:
    """Whatever a tenant signs, it is validated or refused by a claim's name."""
    try:
        validated = check(sign(signing_key, {**CLAIMS, **claims}), signing_key, public)
    except InvalidIdToken as refused:
        assert refused.claim in {"iss", "aud", "azp", "exp", "iat", "sub", "claims"}  # noqa: PT017 - either is right
    else:
        assert (validated["iss"], claims.get("azp", "client")) == (ISSUER, "client")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> flows.Clock:
    """Stop the clocks."""
    return flows.stop_clocks(monkeypatch)


@pytest.fixture
def tenant() -> Tenant:
    """Return a tenant that knows neither nonce nor key."""
    return flows.new_tenant()


@pytest.mark.usefixtures("clock")
def test_keys_are_fetched_once(tenant: Tenant) -> None:
    """The second login finds the keys and goes straight to the code."""
    flow = exchange(tenant, flows.login("openid"))
    next(flow)
    flow.send(flows.jwks("k1"))
    flows.end(flow, flows.answer(200, flows.TOKENS | {"id_token": flows.id_token()}))
    flow = exchange(tenant, flows.login("openid"))
    assert str(next(flow).url) == flows.TOKEN_URL
    assert flows.end(flow, flows.answer(200, flows.TOKENS | {"id_token": flows.id_token()})).claims["sub"] == "ada"


@pytest.mark.parametrize("scope", [None, "profile", "openids", "xopenid openid2"])
def test_keys_are_not_fetched_for_nothing(tenant: Tenant, scope: str | None) -> None:
    """Where no ID token was asked for, the code goes at once."""
    assert str(next(exchange(tenant, flows.login(scope))).url) == flows.TOKEN_URL


@pytest.mark.usefixtures("clock")
def test_a_new_key_is_fetched(tenant: Tenant) -> None:
    """A kid that is not known has the key set fetched again, however young the set is."""
    tenant.keys.learn(flows.jwks("k1"))
    flow = exchange(tenant, flows.login("openid"))
    next(flow)
    request = flow.send(flows.answer(200, flows.TOKENS | {"id_token": flows.id_token("k2")}))
    assert (str(request.url), request.shareable) == (flows.JWKS_URL, True)
    assert flows.end(flow, flows.jwks("k1", "k2")).claims["sub"] == "ada"


@pytest.mark.parametrize("outcome", [FOUND, flows.answer(503), NotSent("no route"), OutcomeUnknown("time-out")])
def test_a_flood_of_unknown_keys_costs_three_fetches(tenant: Tenant, clock: flows.Clock, outcome: Any) -> None:
    """A search makes three fetches past any cache, half a second and a second apart; the next may begin in ten."""
    tenant.keys.learn(flows.jwks("k1"))
    expected = InvalidIdToken if outcome is FOUND else OutcomeUnknown
    fetches = [searching(tenant, "k2")]
    fetches += [fetches[0].answered(outcome), fetches[0].answered(outcome)]
    with pytest.raises(expected):
        fetches[0].answered(outcome)
    assert [fetch.sent.delay for fetch in fetches] == [0.0, 0.5, 1.0]
    assert all(fetch.sent.headers == {"Cache-Control": "no-cache"} for fetch in fetches)
    clock.time += 9.9
    for kid in ("k2", "k3"):
        flow = exchange(tenant, flows.login("openid"))
        next(flow)
        with pytest.raises(expected):
            flow.send(flows.answer(200, flows.TOKENS | {"id_token": flows.id_token(kid)}))
    clock.time += 0.1
    searching(tenant, "k2")


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("first", [FOUND, flows.answer(503), flows.answer(200, b"junk"), NotSent("no route")])
def test_a_search_goes_on_while_a_cache_serves_the_old_key_set(tenant: Tenant, first: Any) -> None:
    """One old answer, or one moment without any, does not cost a login whose code is spent."""
    tenant.keys.learn(flows.jwks("k1"))
    second = searching(tenant, "k2").answered(first)
    assert flows.end(second.flow, flows.jwks("k1", "k2")).claims["sub"] == "ada"


@pytest.mark.usefixtures("clock")
def test_those_who_come_during_a_fetch_share_it(tenant: Tenant) -> None:
    """Rotation under load: a login with the new key joins the fetch in flight, which is one of the three."""
    tenant.keys.learn(flows.jwks("k1"))
    waiting = [searching(tenant, "k2") for _ in range(3)]
    shared = flows.jwks("k1", "k2")
    for search in waiting:
        assert flows.end(search.flow, shared).claims["sub"] == "ada"


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("outcome", [flows.jwks("k1", "k2"), NotSent("no route"), flows.answer(200, b"junk"), None])
def test_what_a_fetch_brings_is_known_before_its_waiters_resume(tenant: Tenant, outcome: Any) -> None:
    """A login that comes between the end of a fetch and its waiters finds the key, or goes on searching."""
    tenant.keys.learn(flows.jwks("k1"))
    first = searching(tenant, "k2")
    tenant.keys.fetched(outcome)  # as the client does in the flight
    flow = exchange(tenant, flows.login("openid"))
    next(flow)
    tokens = flows.answer(200, flows.TOKENS | {"id_token": flows.id_token("k2")})
    if tenant.keys.get("k2", "RS256") is not None:
        assert flows.end(flow, tokens).claims["sub"] == "ada"
    else:
        assert flow.send(tokens).delay == 0.5
    assert first.sent.delay == 0.0


@attrs.frozen
class Search:
    """A login whose ID token is by an unknown key, at the point where the key set is fetched."""

    flow: Flow[TokenSet]
    sent: HttpRequest

    def answered(self, outcome: HttpResponse | Exception) -> Search:
        """Answer the fetch; return the login at its next one."""
        request = self.flow.send(outcome) if isinstance(outcome, HttpResponse) else self.flow.throw(outcome)
        assert str(request.url) == flows.JWKS_URL
        return Search(self.flow, request)


def searching(tenant: Tenant, kid: str) -> Search:
    """Return a login that has just come with an unknown key."""
    flow = exchange(tenant, flows.login("openid"))
    next(flow)
    request = flow.send(flows.answer(200, flows.TOKENS | {"id_token": flows.id_token(kid)}))
    assert str(request.url) == flows.JWKS_URL
    return Search(flow, request)


def test_keys_are_renewed_before_the_code_when_they_are_a_day_old(tenant: Tenant, clock: flows.Clock) -> None:
    """A key that was withdrawn is trusted for a day at most, and the code waits for the new ones."""
    tenant.keys.learn(flows.jwks("k1"))
    clock.time += DAY - 1
    assert str(next(exchange(tenant, flows.login("openid"))).url) == flows.TOKEN_URL
    clock.time += 1
    flow = exchange(tenant, flows.login("openid"))
    assert str(next(flow).url) == flows.JWKS_URL
    assert str(flow.send(flows.jwks("k2")).url) == flows.TOKEN_URL
    assert (tenant.keys.get("k1", "RS256"), tenant.keys.due) == (None, False)


@pytest.mark.parametrize(
    "failure", [flows.answer(503), flows.answer(200, b"junk"), NotSent("no route"), OutcomeUnknown("time-out")]
)
def test_an_outage_is_survived_for_three_days(tenant: Tenant, clock: flows.Clock, failure: Any) -> None:
    """While the endpoint fails the keys serve on, and one login a minute asks; then no code is sent."""
    tenant.keys.learn(flows.jwks("k1"))
    clock.time += 3 * DAY - 61

    def fail(flow: Flow[TokenSet]) -> HttpRequest:
        return flow.send(failure) if isinstance(failure, HttpResponse) else flow.throw(failure)

    flow = exchange(tenant, flows.login("openid"))
    assert str(next(flow).url) == flows.JWKS_URL
    assert str(next(exchange(tenant, flows.login("openid"))).url) == flows.TOKEN_URL
    assert str(fail(flow).url) == flows.TOKEN_URL
    signed = flows.id_token(exp=int(clock.time) + 60, iat=int(clock.time))
    assert flows.end(flow, flows.answer(200, flows.TOKENS | {"id_token": signed})).claims["sub"] == "ada"
    clock.time += 61
    for _ in range(2):
        flow = exchange(tenant, flows.login("openid"))
        next(flow)
        with pytest.raises(NotSent):
            fail(flow)
    assert tenant.keys.get("k1", "RS256") is None


def test_the_key_is_for_its_algorithm(tenant: Tenant) -> None:
    """RFC 7517 §4.4: a key that is for PS256 has not signed RS256."""
    tenant.keys.learn(flows.answer(200, {"keys": [{**flows.SIGNING_KEY.as_dict(private=False), "alg": "PS256"}]}))
    flow = exchange(tenant, flows.login("openid"))
    next(flow)
    with pytest.raises(InvalidIdToken) as refused:
        flow.send(flows.answer(200, flows.TOKENS | {"id_token": flows.id_token()}))
    assert str(refused.value) == "ID token, alg: is not an algorithm of the key"


def test_a_key_that_is_still_unknown_is_refused(tenant: Tenant) -> None:
    """A kid that the fetched set has not is refused."""
    flow = exchange(tenant, flows.login())
    next(flow)
    flow.send(flows.answer(200, flows.TOKENS | {"id_token": flows.id_token("k2")}))
    flow.send(flows.jwks("k1"))
    flow.send(flows.jwks("k1"))
    with pytest.raises(InvalidIdToken) as refused:
        flow.send(flows.jwks("k1"))
    assert refused.value.claim == "kid"
