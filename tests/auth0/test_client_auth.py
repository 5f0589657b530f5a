"""How an application authenticates itself."""

from __future__ import annotations

import base64
import ssl
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import attrs
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from passwordless_async import (
    ClientAuth,
    ClientSecretBasic,
    ClientSecretPost,
    NoClientAuth,
    PrivateKeyJwt,
    TlsClientAuth,
    UsageError,
)
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.application import Application
from passwordless_async.auth0.client_auth import Credentials, ForwardedFor
from passwordless_async.auth0.requests import form_request

ISSUER = "https://tenant.example/"


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


RSA_KEY, EC_KEY = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())
RSA_PEM, EC_PEM = pem(RSA_KEY), pem(EC_KEY)


def test_a_public_client_sends_nothing() -> None:
    """RFC 6749 §2.1: a public client has no secret to send."""
    auth = NoClientAuth()
    assert (auth.confidential, auth.credentials("client", ISSUER, "form")) == (False, Credentials())


def test_a_secret_goes_in_the_body() -> None:
    """RFC 6749 §2.3.1: client_secret_post sends the secret as a parameter, and it prints redacted."""
    auth = ClientSecretPost("s3cret~!")
    for body in ("form", "json"):
        assert auth.credentials("client", ISSUER, body) == Credentials({"client_secret": Secret("s3cret~!")})
    assert repr(auth) == "ClientSecretPost(secret=<redacted>)"
    assert isinstance(auth.credentials("client", ISSUER, "form").parameters["client_secret"], Secret)


def test_a_secret_goes_by_basic() -> None:
    """RFC 6749 §2.3.1: both halves are form-encoded before base64, and the body has nothing of them."""
    auth = ClientSecretBasic("s:3c+r%t")
    credentials = auth.credentials("cli:ent", ISSUER, "form")
    scheme, _, pair = credentials.headers["Authorization"].partition(" ")
    assert (scheme, base64.b64decode(pair), credentials.parameters) == ("Basic", b"cli%3Aent:s%3A3c%2Br%25t", {})
    assert "s:3c" not in repr(auth) + repr(credentials)


def test_basic_at_endpoints_with_json() -> None:
    """It is not documented there: the secret goes in the body, unless the caller knows better."""
    assert ClientSecretBasic("s").credentials("client", ISSUER, "json") == Credentials({"client_secret": Secret("s")})
    known = ClientSecretBasic("s", json_endpoints=True)
    assert list(known.credentials("client", ISSUER, "json").headers) == ["Authorization"]


@pytest.mark.parametrize(
    ("key", "algorithm"), [(RSA_PEM, "RS256"), (RSA_PEM, "RS384"), (RSA_PEM, "PS256"), (EC_PEM, "ES256")]
)
def test_an_assertion_is_signed(key: bytes, algorithm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 7523 §3: issuer and subject are the application, the audience the tenant, and it lives for a minute."""
    monkeypatch.setattr("passwordless_async._common.clock.now", lambda: 1_700_000_000.9)
    auth = PrivateKeyJwt(key, algorithm=algorithm, key_id="key-1")
    parameters = auth.credentials("client", ISSUER, "form").parameters
    assert parameters["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    verifying = (ECKey if algorithm == "ES256" else RSAKey).import_key(key)
    token = jwt.decode(parameters["client_assertion"], verifying, algorithms=[algorithm])
    jti = token.claims.pop("jti")
    times = {"iat": 1_700_000_000, "exp": 1_700_000_060}
    assert token.claims == {"iss": "client", "sub": "client", "aud": ISSUER, **times}
    assert token.header == {"alg": algorithm, "typ": "JWT", "kid": "key-1"}
    assert 16 <= len(jti) <= 64


def test_no_assertion_goes_twice() -> None:
    """Each transmission has a jti of its own: the service takes each once."""
    auth = PrivateKeyJwt(RSA_PEM)
    made = {auth.credentials("client", ISSUER, "form").parameters["client_assertion"] for _ in range(20)}
    assert len(made) == 20


@pytest.mark.parametrize(
    ("key", "algorithm", "argument"),
    [
        (RSA_PEM, "HS256", "algorithm"),
        (RSA_PEM, "none", "algorithm"),
        (RSA_PEM, "ES256", "key"),
        (EC_PEM, "RS256", "key"),
        (pem(ec.generate_private_key(ec.SECP384R1())), "ES256", "key"),
        (RSAKey.import_key(RSA_PEM).as_pem(private=False), "RS256", "key"),
        (b"junk", "RS256", "key"),
        (None, "RS256", "key"),
    ],
)
def test_keys_refused(key: Any, algorithm: Any, argument: str) -> None:
    """A key that does not fit the algorithm, or is public, is refused at once, without showing it."""
    with pytest.raises(UsageError) as refused:
        PrivateKeyJwt(key, algorithm=algorithm)
    assert argument == refused.value.argument
    assert "BEGIN" not in str(refused.value)


def test_an_assertion_that_is_too_long() -> None:
    """The service takes 2048 bytes: a longer one is refused before it is sent."""
    auth = PrivateKeyJwt(RSA_PEM)
    with pytest.raises(UsageError, match="over 2048 bytes"):
        auth.credentials("client", ISSUER * 60, "form")


def test_a_certificate_speaks_for_itself() -> None:
    """RFC 8705 §2: nothing is added to the request; the context must check the other side."""
    auth = TlsClientAuth(ssl.create_default_context())
    assert auth.credentials("client", ISSUER, "form") == Credentials()
    unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unchecked.check_hostname = False
    for context in ("context", None, unchecked):
        with pytest.raises(UsageError, match="context: must"):
            TlsClientAuth(context)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("auth", "forwarded_for"),
    [
        (NoClientAuth(), ForwardedFor.IGNORED),
        (ClientSecretPost("s"), ForwardedFor.COUNTS),
        (ClientSecretBasic("s"), ForwardedFor.COUNTS),
        (PrivateKeyJwt(RSA_PEM), ForwardedFor.UNDOCUMENTED),
        (TlsClientAuth(ssl.create_default_context()), ForwardedFor.UNDOCUMENTED),
    ],
)
def test_each_is_a_way_to_authenticate(auth: ClientAuth, forwarded_for: ForwardedFor) -> None:
    """Each way is a ClientAuth and says what becomes of the end user's address."""
    assert isinstance(auth, ClientAuth)
    assert forwarded_for is auth.forwarded_for
    assert (forwarded_for is not ForwardedFor.IGNORED) == auth.confidential
    assert "PRIVATE" not in repr(auth)


@pytest.mark.parametrize("auth", [NoClientAuth(), ClientSecretPost("s")])
def test_both_are_ways_to_authenticate(auth: ClientAuth) -> None:
    """Each way is a ClientAuth, frozen and equal by value."""
    assert isinstance(auth, ClientAuth)
    assert attrs.evolve(auth) == auth  # type: ignore[misc]
    with pytest.raises(AttributeError):
        auth.confidential = True  # type: ignore[misc]


EVERY_CHARACTER = "".join(map(chr, range(0x20, 0x7F)))


@pytest.mark.parametrize("secret", [" ", "a b", EVERY_CHARACTER])
def test_a_secret_of_any_printable_characters(secret: str) -> None:
    """RFC 6749 appendix A.2: blanks, quotes and all; HTTP Basic has it form-encoded (§2.3.1)."""
    assert ClientSecretPost(secret).credentials("client", "iss", "form").parameters == {"client_secret": secret}
    field = ClientSecretBasic(secret).credentials("client", "iss", "form").headers["Authorization"]
    encoded = base64.b64decode(field.removeprefix("Basic ")).decode().partition(":")[2]
    assert unquote_plus(encoded) == secret
    application = Application("tenant.example", "client", ClientSecretPost(secret))
    request = form_request(application, application.token_url, {})
    assert dict(parse_qsl(request.body.decode(), strict_parsing=True))["client_secret"] == secret


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        ("", "must not be empty"),
        (None, "must be a str, not NoneType"),
        (b"secret", "must be a str, not bytes"),
        (12345, "must be a str, not int"),
        ("secret\n", "must be printable ASCII characters"),
        ("secret\x7f", "must be printable ASCII characters"),
        ("sécret", "must be printable ASCII characters"),
        ("s" * 4097, "must be at most 4096 characters long, not 4097"),
    ],
)
@pytest.mark.parametrize("kind", [ClientSecretPost, ClientSecretBasic])
def test_secrets_refused(kind: type, secret: Any, problem: str) -> None:
    """What no client secret can be, such as one read from a file with its line's end, is refused."""
    with pytest.raises(UsageError) as refused:
        kind(secret)
    assert (refused.value.argument, str(refused.value)) == ("client_secret", f"client_secret: {problem}")
