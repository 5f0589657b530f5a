"""Secrets print as ``<redacted>``: all values and all errors of the package are walked, with a marker inside."""

from __future__ import annotations

import base64
import copy
import json
import os
import pickle
from collections import UserDict, UserString
from http.cookies import SimpleCookie
from importlib import import_module
from pkgutil import walk_packages
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt
from joserfc.jwk import RSAKey
from multidict import CIMultiDict
from yarl import URL

import passwordless_async
from helpers.leaks import PACKAGE, in_shapes, lines_with, shown
from passwordless_async import (
    TESTING,
    ClientSecretPost,
    DPoPKey,
    Email,
    KeyRing,
    Login,
    MemoryStore,
    MfaRequired,
    NoClientAuth,
    NonceCache,
    NotSent,
    Outcome,
    OutcomeUnknown,
    PasswordlessClient,
    PasswordlessError,
    PendingLink,
    Phone,
    ProofGenerator,
    TokenSet,
    UsageError,
)
from passwordless_async._common.http import HttpRequest, HttpResponse
from passwordless_async._common.secret import (
    REDACTED,
    Secret,
    SecretBytes,
    SecretDict,
    SecretList,
    conceal,
    conceal_bytes,
    conceal_mapping,
    hide,
    redacted,
    type_name,
)
from passwordless_async.auth0.application import Application
from passwordless_async.auth0.clocks import Clocks
from passwordless_async.auth0.id_token import validate
from passwordless_async.auth0.jwks import SigningKey, SigningKeys
from passwordless_async.auth0.otp import exchange, otp_request
from passwordless_async.auth0.refusals import refusal
from passwordless_async.auth0.requests import forwarded_for_header
from passwordless_async.auth0.start import read_start, start, start_request
from passwordless_async.auth0.tenant import Tenant
from passwordless_async.auth0.token_answer import TokenAnswer, checked_binding, read_token
from passwordless_async.dpop import NonceIssuer, token_hash
from passwordless_async.gateway import Upstream
from passwordless_async.stores.redis import RedisReplayStore, RedisStore

if TYPE_CHECKING:
    from collections.abc import Callable

MARKER = "M4rk3rOfASecret"
NUMBER = 918273645546372819
ADA = Email("ada@example.com")
PUBLIC = Application("tenant.example", "client", NoClientAuth())
CONFIDENTIAL = Application("tenant.example", "client", ClientSecretPost(f"{MARKER}-client"))
LOGIN = Login(ADA, f"{MARKER}-otp")
# A key whose private scalar is the marker itself.
KEY = DPoPKey(ec.derive_private_key(int.from_bytes(MARKER.encode()), ec.SECP256R1()))
SCALAR = KEY.to_jwk(private=True)["d"]
PEM = KEY.to_pem(None)
SIGNING_KEY = RSAKey.generate_key(2048, {"kid": "k1"})
# How a secret looks in print: itself, its bytes, and the private scalar as a JWK, a PEM or a number have it.
TRACES = [
    MARKER,
    str(NUMBER),
    str(SCALAR),
    MARKER.encode().hex(),
    str(int.from_bytes(MARKER.encode())),
    PEM.decode().split("\n")[1],
]


def answer(status: int, body: Any = None, nonce: str | None = None) -> HttpResponse:
    """Return an answer."""
    headers = CIMultiDict({"Content-Type": "application/json"})
    if nonce is not None:
        headers["DPoP-Nonce"] = nonce
    return HttpResponse(status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


def jwt_of(claims: dict[str, Any]) -> str:
    """Return a signed token with the marker in its claims and in its signature's place."""
    payload = base64.urlsafe_b64encode(json.dumps({**claims, "m": MARKER}).encode()).rstrip(b"=").decode()
    return f"e30.{payload}.{MARKER}"


def id_token(**claims: Any) -> Secret:
    """Return an ID token, well signed."""
    return Secret(jwt.encode({"alg": "RS256", "kid": "k1"}, claims, SIGNING_KEY, algorithms=["RS256"]))


def leaks(text: str) -> list[str]:
    """Return the lines of a text that a secret shows in."""
    return lines_with(TRACES, text)


def drive(*answers: HttpResponse | Exception, login: Login = LOGIN, application: Application = CONFIDENTIAL) -> Any:
    """Run an exchange with these answers, or failures of the network, to its end."""
    flow = exchange(Tenant(application), login)
    next(flow)
    for given in answers:
        flow.throw(given) if isinstance(given, Exception) else flow.send(given)


# Values.

TOKENS = TokenSet(MARKER, "DPoP", 1, "", MARKER, MARKER, {"m": MARKER}, KEY)  # type: ignore[arg-type]
LINK = PendingLink(ADA, "https://app.example/", None, None, KEY, issuer="https://tenant.example/", client_id="client")

VALUES = {
    "a secret": [Secret(MARKER)],
    "secret bytes": [SecretBytes(MARKER.encode())],
    "a secret mapping": SecretDict(a=MARKER),
    "a hidden number": hide(NUMBER),
    "a login": LOGIN,
    "a login with a key": Login(ADA, MARKER, key=KEY),
    "an outcome": Outcome(LOGIN),
    "an outcome with an error": Outcome(LOGIN, error=MfaRequired(status=403, error="e", mfa_token=Secret(MARKER))),
    "client authentication": ClientSecretPost(MARKER),
    "its parameters": ClientSecretPost(MARKER).credentials("client", "https://tenant.example/", "form"),
    "an application": CONFIDENTIAL,
    "a tenant": Tenant(CONFIDENTIAL),
    "a request for a code": start_request(CONFIDENTIAL, ADA, captcha=MARKER),
    "its secrets": start_request(CONFIDENTIAL, ADA, captcha=MARKER).secrets,
    "a request for tokens": otp_request(CONFIDENTIAL, LOGIN, None),
    "its body and secrets": (
        otp_request(CONFIDENTIAL, LOGIN, None).body,
        otp_request(CONFIDENTIAL, LOGIN, None).secrets,
    ),
    "a request with a query": HttpRequest(
        "GET", URL(f"https://a.example/?{MARKER}#{MARKER}"), {"Authorization": MARKER}
    ),
    "an answer": answer(200, {"access_token": MARKER}),
    "its members": answer(200, {"access_token": MARKER}).json_object(),
    "a read answer": TokenAnswer(Secret(MARKER), "DPoP", 1, "", Secret(MARKER), Secret(MARKER)),
    "tokens": TOKENS,
    "a key": KEY,
    "a key's private export": KEY.to_jwk(private=True),
    "a key's PEM": PEM,
    "a proof generator": ProofGenerator(KEY),
    "a nonce cache": NonceCache(),
    "signing keys": SigningKeys(),
    "a flow": exchange(Tenant(CONFIDENTIAL), LOGIN),
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_no_value_shows_its_secret(value: object) -> None:
    """Neither the value nor a container, a format or a dataclass-like listing of it shows a secret."""
    listing = attrs.asdict(value, recurse=False) if attrs.has(type(value)) and not isinstance(value, Tenant) else {}  # type: ignore[arg-type]
    listing = {k: v for k, v in listing.items() if k in {"otp", "secret", "body", "secrets", "key"}}
    text = "\n".join([repr(value), str(value), f"{value}", "%r %s" % (value, [value]), repr(listing)])  # noqa: UP031
    assert leaks(text) == []


def test_a_proof_generator_hides_the_token_that_it_hashed() -> None:
    """The token whose hash is kept prints redacted wherever it is looked at."""
    proofs = ProofGenerator(KEY)
    proofs.proof("GET", "https://api.example/", access_token=MARKER)
    assert leaks(f"{proofs!r} {proofs._ath!r}") == []


def test_a_secret_is_a_text_to_whoever_uses_it() -> None:
    """A secret is the text in every respect but its repr."""
    secret = Secret("s3cret")
    assert (secret, f"{secret}", str(secret), len(secret), hash(secret)) == (
        "s3cret",
        "s3cret",
        "s3cret",
        6,
        hash("s3cret"),
    )
    assert json.dumps({"a": secret}) == '{"a": "s3cret"}'
    assert (repr(secret), f"{secret!r}", "%r" % secret, f"{[secret]}") == (REDACTED, REDACTED, REDACTED, "[<redacted>]")  # noqa: UP031
    assert (SecretBytes(b"x"), repr(SecretBytes(b"x"))) == (b"x", REDACTED)
    assert (SecretDict(a=1), repr(SecretDict(a=1))) == ({"a": 1}, REDACTED)


@pytest.mark.parametrize("value", [Secret("x"), SecretBytes(b"x"), SecretDict(a="x")])
def test_a_secret_stays_one(value: Any) -> None:
    """Copies, and what another process unpickles, print redacted too."""
    for again in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):  # noqa: S301
        assert (type(value), value, REDACTED) == (type(again), again, repr(again))


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (NUMBER, "int"),
        (b"x", "bytes"),
        ([MARKER], "list"),
        ({"d": MARKER}, "dict"),
        (True, "bool"),
        ((MARKER,), "tuple"),
        (SimpleCookie(f"session={MARKER}")["session"], "Morsel"),
        (UserString(MARKER), "UserString"),
        (UserDict(access_token=MARKER), "UserDict"),
        (URL(f"http://user:{MARKER}@proxy.example/"), "URL"),
    ],
)
def test_a_secret_of_another_type_is_hidden(value: object, name: str) -> None:
    """What Python prints with its contents is replaced by a stand-in that keeps the name of its type."""
    for hidden in (conceal(value), hide(value)):
        assert (repr(hidden), type_name(hidden)) == (REDACTED, name)
        assert hidden is hide(hidden)
        assert hidden is conceal(hidden)


def test_what_hides_itself_is_left_alone() -> None:
    """None says nothing, an object of ours keeps its own secrets, a cryptography key has no repr of its own."""
    secret, private_key = Secret("x"), ec.generate_private_key(ec.SECP256R1())
    assert conceal_bytes(private_key) is private_key
    assert conceal(secret) is secret
    assert [conceal(None), hide(KEY), conceal(ADA)] == [None, KEY, ADA]
    assert (type(conceal("x")), conceal("x")) == (Secret, "x")
    assert (repr(hide("x")), type_name(hide("x"))) == (REDACTED, "str")
    assert (type(conceal_bytes(b"x")), conceal_bytes(b"x"), conceal_bytes(None)) == (SecretBytes, b"x", None)
    assert (type(conceal_bytes("x")), repr(conceal_bytes(5))) == (Secret, REDACTED)


def test_a_part_of_a_secret_is_a_secret() -> None:
    """A printer shortens a long text before it prints it."""
    text, octets = Secret("s3cret"), SecretBytes(b"s3cret")
    assert [(type(part), part) for part in (text[0], text[:2])] == [(Secret, "s"), (Secret, "s3")]
    assert (type(octets[:2]), octets[:2], octets[0]) == (SecretBytes, b"s3", ord("s"))


def test_members_are_secrets() -> None:
    """Those of a mapping that was given; what is no mapping is hidden."""
    members = conceal_mapping({"state": "s3cret", "many": 5})
    assert members is not None
    assert (type(members), members["state"], type_name(members["many"])) == (SecretDict, "s3cret", "int")
    assert (type(members["state"]), type_name(conceal_mapping([MARKER]))) == (Secret, "list")


def test_printers_that_walk_a_container_print_it_as_one_secret() -> None:
    """Sentry and rich have a hook each, which they ask before they look at the members."""
    for secrets in (SecretDict(a=MARKER), SecretList([MARKER])):
        assert (secrets.__sentry_repr__(), list(secrets.__rich_repr__())) == (REDACTED, [REDACTED])


def test_a_field_tells_missing_from_hidden() -> None:
    """The repr of a field says None where there is nothing to hide."""
    assert (redacted(None), redacted("x"), redacted("")) == ("None", REDACTED, REDACTED)


def classes_that_refuse() -> list[type]:
    """Return the classes whose constructor may refuse an argument before every field that the repr shows is set.

    Those are the public ones whose repr is written by hand, and those that attrs writes and that convert an argument.
    """
    found = walk_packages(passwordless_async.__path__, "passwordless_async.")
    modules = [passwordless_async, *(import_module(module.name) for module in found if "__main__" not in module.name)]
    public = {getattr(module, name) for module in modules for name in getattr(module, "__all__", ())}
    classes = {value for module in modules for value in vars(module).values() if isinstance(value, type)}
    return sorted((cls for cls in classes if (cls in public and _has_own_repr(cls)) or _converts(cls)), key=str)


def _has_own_repr(cls: type) -> bool:
    written = getattr(cls.__repr__, "__code__", None)
    # What is a built-in value is whole once it is made.
    is_built_in = issubclass(cls, BaseException | str | bytes | dict | list)
    return written is not None and written.co_filename.startswith(PACKAGE) and not is_built_in


def _converts(cls: type) -> bool:
    # conceal() never raises.
    is_ours = cls.__module__.startswith("passwordless_async") and attrs.has(cls)
    return is_ours and any(field.converter not in {None, conceal} for field in attrs.fields(cls))


@pytest.mark.parametrize("cls", [Application, *classes_that_refuse()])
def test_a_value_half_built_prints_its_name(cls: type) -> None:
    """A constructor that refuses leaves such a value in its frame, and a traceback's locals have it printed."""
    assert repr(cls.__new__(cls)) == f"<{cls.__name__}>"  # type: ignore[call-overload]


def test_the_classes_that_refuse_are_found() -> None:
    """The test above has the classes of every part of the package."""
    expected = {"ClientSecretPost", "DPoPAuth", "DPoPKey", "Email", "Gateway", "LocalTenant", "Login", "MemoryStore"}
    expected |= {"PasswordlessClient", "Phone", "ProofGenerator", "RedisStore", "ResourceServer", "UserSession"}
    expected |= {"Captcha", "Start", "Tenant", "TenantSettings", "Upstream"}
    assert {cls.__name__ for cls in classes_that_refuse()} >= expected


@pytest.mark.parametrize(
    "call",
    [
        lambda: Email(""),
        lambda: Email(5),  # type: ignore[arg-type]
        lambda: Phone(""),
        lambda: Phone(5),  # type: ignore[arg-type]
        lambda: Login(ADA, ""),
        lambda: ClientSecretPost(""),
        lambda: Application("", "client", NoClientAuth()),
        lambda: Application("tenant.example", "", NoClientAuth()),
        lambda: Application("tenant.example", "client", None),  # type: ignore[arg-type]
        lambda: DPoPKey(None),  # type: ignore[arg-type]
        lambda: ProofGenerator(None),  # type: ignore[arg-type]
        lambda: NonceCache(0),
        lambda: PasswordlessClient("", "client", profile=TESTING),
        lambda: PasswordlessClient("tenant.example", "client", dpop="on"),  # type: ignore[arg-type]
        lambda: Upstream("/api/", "https://api.example?query"),
    ],
)
def test_every_refusal_can_be_reported(call: Callable[[], object]) -> None:
    """The standard library prints the traceback of every refusal with its locals: no repr in it raises."""
    with pytest.raises(UsageError) as refused:
        call()
    assert str(refused.value) in shown(refused.value)


# What each constructor is given in place of a key, a key ring or a server's URL.
DOORS: dict[str, Callable[[Any], object]] = {
    "the server of RedisStore": lambda given: RedisStore(given, keys=KeyRing(os.urandom(32), users=os.urandom(32))),
    "the server of RedisReplayStore": RedisReplayStore,
    "the keys of RedisStore": lambda given: RedisStore("redis://127.0.0.1:1", keys=given),
    "the keys of MemoryStore": lambda given: MemoryStore(keys=given),
    "the secret of NonceIssuer": NonceIssuer,
}
SHAPES = in_shapes(MARKER)


@pytest.mark.parametrize("given", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("make", DOORS.values(), ids=DOORS)
def test_a_wrong_constructor_argument_does_not_show(make: Callable[[Any], object], given: object) -> None:
    """It is refused when the object is made, and neither the error nor a local of its traceback has it."""
    with pytest.raises(UsageError) as refused:
        make(given)
    assert leaks(shown(refused.value)) == []


# Wrong arguments.

JWK = KEY.to_jwk(private=True)
PLAIN_JWK = {name: str(value) for name, value in JWK.items()}
ENCRYPTED = bytes(KEY.to_pem(b"right"))
OTHER_PEM = ec.derive_private_key(int.from_bytes(MARKER.encode()), ec.SECP384R1()).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)

WRONG_ARGUMENTS: dict[str, Callable[[], object]] = {
    "a code that is too long": lambda: Login(ADA, MARKER * 4),
    "a code with a space and an accent": lambda: Login(ADA, f"{MARKER} é"),
    "a code with a control character": lambda: Login(ADA, f"{MARKER}\x00\n"),
    "a code in another script": lambda: Login(ADA, f"{MARKER}é"),
    "a code as a number": lambda: Login(ADA, NUMBER),  # type: ignore[arg-type]
    "a code as bytes": lambda: Login(ADA, MARKER.encode()),  # type: ignore[arg-type]
    "a code in a list": lambda: Login(ADA, [MARKER]),  # type: ignore[arg-type]
    "a code for nobody": lambda: Login("ada", MARKER),  # type: ignore[arg-type]
    "a code beside a bad scope": lambda: Login(ADA, MARKER, scope="a\\b"),
    "a code beside a bad audience": lambda: Login(ADA, MARKER, audience="a b"),
    "an extra parameter as bytes": lambda: Login(ADA, "1", extra_parameters={"a": MARKER.encode()}),  # type: ignore[dict-item]
    "an extra parameter of the grant": lambda: Login(ADA, "1", extra_parameters={"otp": MARKER}),
    "extra parameters as pairs": lambda: Login(ADA, "1", extra_parameters=[("a", MARKER)]),  # type: ignore[arg-type]
    "a state beside a bad parameter": lambda: start_request(
        PUBLIC, ADA, send="link", auth_params=conceal_mapping({"state": MARKER, "x": "1"})
    ),
    "a key as a JWK": lambda: Login(ADA, "1", key=PLAIN_JWK),  # type: ignore[arg-type]
    "a key as JSON": lambda: Login(ADA, "1", key=json.dumps(PLAIN_JWK)),  # type: ignore[arg-type]
    "a key as PEM": lambda: Login(ADA, "1", key=bytes(PEM)),  # type: ignore[arg-type]
    "a changed login": lambda: attrs.evolve(LOGIN, scope=""),
    "a secret with a line break": lambda: ClientSecretPost(f"{MARKER}\n1"),
    "a secret that is too long": lambda: ClientSecretPost(MARKER * 400),
    "a secret as bytes": lambda: ClientSecretPost(MARKER.encode()),  # type: ignore[arg-type]
    "a secret as a number": lambda: ClientSecretPost(NUMBER),  # type: ignore[arg-type]
    "a secret as a mapping": lambda: ClientSecretPost({"secret": MARKER}),  # type: ignore[arg-type]
    "a client's bare secret": lambda: PasswordlessClient(
        "tenant.example",
        "client",
        client_auth=MARKER,  # type: ignore[arg-type]
        profile=TESTING,
    ),
    "a client's secret in a pair": lambda: PasswordlessClient(
        "tenant.example",
        "client",
        client_auth=("client", MARKER),  # type: ignore[arg-type]
        profile=TESTING,
    ),
    "a secret beside a bad domain": lambda: PasswordlessClient(
        "a b", "client", client_auth=ClientSecretPost(MARKER), profile=TESTING
    ),
    "a JWK with a padded d": lambda: DPoPKey.from_jwk({**PLAIN_JWK, "d": f"{SCALAR}="}),
    "a JWK with a short d": lambda: DPoPKey.from_jwk({**PLAIN_JWK, "d": MARKER}),
    "a JWK with d a number": lambda: DPoPKey.from_jwk({**PLAIN_JWK, "d": int.from_bytes(MARKER.encode())}),
    "a JWK with d as bytes": lambda: DPoPKey.from_jwk({**PLAIN_JWK, "d": MARKER.encode()}),
    "a JWK with d in a list": lambda: DPoPKey.from_jwk({**PLAIN_JWK, "d": [str(SCALAR)]}),
    "a JWK with another point": lambda: DPoPKey.from_jwk({**PLAIN_JWK, **DPoPKey.generate().to_jwk()}),
    "a JWK with a bad x": lambda: DPoPKey.from_jwk({**PLAIN_JWK, "x": ""}),
    "a JWK of another curve": lambda: DPoPKey.from_jwk({**PLAIN_JWK, "crv": "P-384"}),
    "a JWK of another kind": lambda: DPoPKey.from_jwk({"kty": "oct", "k": MARKER}),
    "a JWK as JSON cut short": lambda: DPoPKey.from_jwk(json.dumps(PLAIN_JWK)[:-1]),
    "a JWK as JSON with a bad x": lambda: DPoPKey.from_jwk(json.dumps({**PLAIN_JWK, "x": ""})),
    "a JWK as bytes": lambda: DPoPKey.from_jwk(json.dumps(PLAIN_JWK).encode()),  # type: ignore[arg-type]
    "a JWK as pairs": lambda: DPoPKey.from_jwk([*PLAIN_JWK.items(), ("x", "")]),  # type: ignore[arg-type]
    "a JWK set": lambda: DPoPKey.from_jwk({"keys": [PLAIN_JWK]}),
    "a PEM as text": lambda: DPoPKey.from_pem(PEM.decode()),  # type: ignore[arg-type]
    "a PEM cut short": lambda: DPoPKey.from_pem(bytes(PEM[:-40])),
    "a PEM of another curve": lambda: DPoPKey.from_pem(OTHER_PEM),
    "a PEM that is too long": lambda: DPoPKey.from_pem(MARKER.encode() * 2000),
    "a wrong password": lambda: DPoPKey.from_pem(ENCRYPTED, MARKER.encode()),
    "a password as text": lambda: DPoPKey.from_pem(ENCRYPTED, MARKER),  # type: ignore[arg-type]
    "a password as a number": lambda: DPoPKey.from_pem(ENCRYPTED, NUMBER),  # type: ignore[arg-type]
    "a needless password": lambda: DPoPKey.from_pem(bytes(PEM), MARKER.encode()),
    "a password to export with as text": lambda: KEY.to_pem(MARKER),  # type: ignore[arg-type]
    "a password to export with too long": lambda: KEY.to_pem(MARKER.encode() * 100),
    "a generator of a JWK": lambda: ProofGenerator(PLAIN_JWK),  # type: ignore[arg-type]
    "a generator of JSON": lambda: ProofGenerator(json.dumps(PLAIN_JWK)),  # type: ignore[arg-type]
    "a token as bytes": lambda: ProofGenerator(KEY).proof("GET", "https://a.example/", access_token=MARKER.encode()),  # type: ignore[arg-type]
    "a token in another script": lambda: token_hash(f"{MARKER}é"),
    "a token as a list": lambda: token_hash([MARKER]),  # type: ignore[arg-type]
    "a token beside a bad method": lambda: ProofGenerator(KEY).proof("", "https://a.example/", access_token=MARKER),
    "a token beside a bad URL": lambda: ProofGenerator(KEY).proof("GET", "a", access_token=MARKER),
    "a token beside a bad nonce": lambda: ProofGenerator(KEY).proof("GET", "a", nonce=5, access_token=MARKER),  # type: ignore[arg-type]
    "a captcha that is too long": lambda: start_request(PUBLIC, ADA, captcha=Secret(MARKER * 1000)),
    "a captcha as bytes": lambda: start_request(PUBLIC, ADA, captcha=conceal(MARKER.encode())),
    "a captcha beside a bad language": lambda: start_request(PUBLIC, ADA, captcha=Secret(MARKER), language="a_b"),
    "a captcha beside a bad send": lambda: start_request(CONFIDENTIAL, ADA, captcha=Secret(MARKER), send="x"),  # type: ignore[arg-type]
    "a captcha beside a bad address": lambda: start_request(
        CONFIDENTIAL,
        ADA,
        captcha=Secret(MARKER),
        forwarded_for="x",
    ),
    "a captcha in a flow": lambda: next(start(Tenant(CONFIDENTIAL), ADA, captcha=Secret(MARKER), language="")),
    "a request with a bad address": lambda: forwarded_for_header(CONFIDENTIAL, "203.0.113.7/8"),
    "a short key that tokens are sealed with": lambda: TOKENS.seal(MARKER.encode()),
    "a short key that a link is sealed with": lambda: LINK.seal(MARKER.encode()),
    "a flow with a bad address": lambda: next(exchange(Tenant(CONFIDENTIAL), LOGIN, forwarded_for="203.0.113.7/8")),
}


@pytest.mark.parametrize("call", WRONG_ARGUMENTS.values(), ids=WRONG_ARGUMENTS)
def test_no_wrong_argument_shows(call: Callable[[], object]) -> None:
    """A secret that is refused, or stands beside what is refused, shows nowhere; nor does the error it came of."""
    with pytest.raises(UsageError) as refused:
        call()
    assert leaks(shown(refused.value)) == []


# Answers.

GOOD = {"access_token": MARKER, "token_type": "DPoP", "refresh_token": MARKER}
REQUEST = otp_request(CONFIDENTIAL, LOGIN, None)
OTP, CLIENT_SECRET = str(LOGIN.otp), f"{MARKER}-client"
ECHO = {"error": f"e {OTP}", "error_description": f"the code {OTP} of {CLIENT_SECRET} is wrong"}
CHALLENGE = {"error": "use_dpop_nonce", "error_description": OTP}


def raised_by(error: Exception) -> Callable[[], object]:
    """Return what raises an error that a reader returns."""

    def call() -> object:
        raise error

    return call


ANSWERS: dict[str, Callable[[], object]] = {
    "no JSON": lambda: read_token(REQUEST, answer(200, MARKER.encode()), None),
    "JSON cut short": lambda: read_token(REQUEST, answer(200, json.dumps(GOOD).encode()[:-1]), None),
    "a JSON text": lambda: read_token(REQUEST, answer(200, MARKER), None),
    "a JSON list": lambda: read_token(REQUEST, answer(200, [MARKER]), None),
    **{
        f"{name} {label}": lambda name=name, value=value: read_token(REQUEST, answer(200, {**GOOD, name: value}), None)  # type: ignore[misc]
        for name in ("access_token", "refresh_token", "id_token")
        for label, value in {
            "with a line break": f"{MARKER}\n1",
            "in a list": [MARKER],
            "in a mapping": {"value": MARKER},
            "as a number": NUMBER,
            "too long": MARKER * 5000,
        }.items()
    },
    "no access token": lambda: read_token(REQUEST, answer(200, {**GOOD, "access_token": None}), None),
    **{
        f"a token type {label}": lambda value=value: read_token(  # type: ignore[misc]
            REQUEST, answer(200, {**GOOD, "token_type": value}), None
        )
        for label, value in {
            "as a number": NUMBER,
            "in a list": [MARKER],
            "that is not printable": f"{MARKER}\n",
        }.items()
    },
    "a redirect": lambda: read_token(REQUEST, answer(302, GOOD), None),
    "a failure": lambda: read_token(REQUEST, answer(500, GOOD), None),
    "a page": lambda: read_token(REQUEST, answer(403, MARKER.encode()), None),
    "an echo": lambda: read_token(REQUEST, answer(403, ECHO), None),
    "an echo at start": lambda: read_start(REQUEST, answer(400, ECHO), ADA, 0.0),
    "an echo with 429": lambda: read_start(REQUEST, answer(429, ECHO), ADA, 0.0),
    "an MFA token": lambda: read_token(REQUEST, answer(403, {"error": "mfa_required", "mfa_token": MARKER}), None),
    "an error of its own": raised_by(refusal(REQUEST, answer(403, ECHO))),
    "a token that is not bound": lambda: checked_binding(
        TokenAnswer(Secret(MARKER), "Bearer", 1, "", None, None), "jkt", required=True
    ),
    "a token bound to another": lambda: checked_binding(
        TokenAnswer(Secret(jwt_of({"cnf": {"jkt": "x"}})), "DPoP", 1, "", None, None), "jkt", required=True
    ),
    "a token that is bound though no proof was sent": lambda: checked_binding(
        TokenAnswer(Secret(MARKER), "DPoP", 1, "", None, None), None, required=False
    ),
    "an ID token for another": lambda: validate(
        id_token(iss="https://tenant.example/", aud="other", email=MARKER),
        SigningKey(SIGNING_KEY, ("RS256",)),
        PUBLIC,
        Clocks(0.0),
    ),
    "an ID token by another": lambda: validate(
        Secret(jwt_of({})), SigningKey(SIGNING_KEY, ("RS256",)), PUBLIC, Clocks(0.0)
    ),
    "flow: no JSON": lambda: drive(answer(200, MARKER.encode())),
    "flow: a failure": lambda: drive(answer(503, GOOD)),
    "flow: an echo": lambda: drive(answer(403, ECHO)),
    "flow: a bearer token": lambda: drive(answer(200, {**GOOD, "token_type": "Bearer"}), answer(200, b"")),
    "flow: a token bound to another": lambda: drive(
        answer(200, {**GOOD, "access_token": jwt_of({"cnf": {}})}), NotSent("no route")
    ),
    "flow: a challenge without a nonce": lambda: drive(answer(400, CHALLENGE)),
    "flow: a challenge for ever": lambda: drive(*(answer(400, CHALLENGE, f"n{number}") for number in range(4))),
    "flow: nothing sent": lambda: drive(NotSent("no route")),
    "flow: no answer": lambda: drive(OutcomeUnknown("time-out")),
    "flow: no answer to the retry": lambda: drive(answer(400, CHALLENGE, "n1"), OutcomeUnknown("time-out")),
    "flow: a junk ID token": lambda: drive(
        answer(200, {**GOOD, "id_token": f"{MARKER}.{MARKER}.{MARKER}"}), answer(200, b"")
    ),
    "flow: an ID token of an unknown key": lambda: drive(
        answer(200, {**GOOD, "id_token": str(id_token())}), *[answer(503, b"")] * 3, answer(200, b"")
    ),
    "flow: no keys for the ID token": lambda: drive(
        answer(200, {**GOOD, "id_token": str(id_token())}), *[NotSent("no route")] * 3, answer(200, b"")
    ),
    "flow: a bad ID token": lambda: drive(
        answer(200, {**GOOD, "id_token": str(id_token(iss=MARKER[::-1]))}),
        answer(200, {"keys": [SIGNING_KEY.as_dict(private=False)]}),
        answer(200, b""),
    ),
    "flow: no keys beforehand": lambda: drive(answer(503, b""), login=attrs.evolve(LOGIN, scope="openid", key=KEY)),
    "flow: nothing sent beforehand": lambda: drive(NotSent("no route"), login=attrs.evolve(LOGIN, scope="openid")),
}


@pytest.mark.parametrize("call", ANSWERS.values(), ids=ANSWERS)
def test_no_answer_shows(call: Callable[[], object]) -> None:
    """Neither what was sent nor what came back shows in the error that an answer leads to."""
    with pytest.raises(PasswordlessError) as raised:
        call()
    assert leaks(shown(raised.value)) == []


def test_the_walk_sees_what_there_is() -> None:
    """The walk itself works: it finds a secret in a message, in a local of the package and in what an error came of."""

    def spilled() -> PasswordlessError:  # type: ignore[return]
        try:
            Email(f"{MARKER} @")
        except UsageError as cause:
            error = OutcomeUnknown("later")
            error.__context__ = cause
            return error

    assert leaks(shown(OutcomeUnknown(MARKER)))
    assert leaks(shown(spilled()))
    assert not leaks(shown(OutcomeUnknown("nothing")))


def test_the_private_scalar_is_in_no_proof() -> None:
    """What a proof is made of does not show, and the proof has no private member."""
    proof = ProofGenerator(KEY).proof("GET", "https://a.example/", access_token=MARKER)
    decoded = b"".join(base64.urlsafe_b64decode(part + "==") for part in proof.split(".")[:2]).decode()
    assert leaks(proof) == leaks(decoded) == []
