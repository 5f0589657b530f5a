"""Requests to an API, right and wrong in every part of the token, the proof and the header fields, as data.

A :class:`Kind` says what is changed in a right request. A seed chooses everything that must not matter: the path, the
method, the user, the scopes, the spelling of ``aud``. The same seed makes the same cases.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import attrs
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc.jwk import ECKey, RSAKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOW = 1_900_000_000  # seconds since the UNIX epoch, for both judges
AUDIENCE = "https://api.example"
BASE = "https://api.example"
MAX_PROOF_AGE = 60  # seconds
ABSENT: Any = object()
Dialect = Literal["auth0", "rfc9068"]
Mode = Literal["required", "preferred", "off"]
Changes = dict[str, Any]


@attrs.frozen(kw_only=True)
class Kind:
    """What is changed in a right request; what is left out is right.

    Attributes:
        name: What is special.
        mode: The API's mode.
        bound: Whether the token is bound to the client's key, and a proof is sent.
        dialect: The only dialect that this concerns; None: both.
        header, claims: Changes of the token's; a function is called with the issuer.
        key: The name of the key that signs the token.
        tail: Text behind the last of the token's claims.
        spell: Rewrites the token after it was signed.
        authorization: The ``Authorization`` field; None: there is none.
        proof_header, proof_claims, proof_tail: Changes of the proof's; a function is called with its public key.
        proof_key: Whose key signs the proof.
        proof_of: Rewrites the token for the proof's ``ath``.
        spell_proof: Rewrites the proof after it was signed; None: there is none.
        htu: The proof's ``htu``; ``{url}`` is the request's URL without its query, ``{path}`` its path.
        method, target: Of the request.
        sent: How often the request is sent; the last verdict counts.
    """

    name: str
    mode: Mode = "required"
    bound: bool = True
    dialect: Dialect | None = None
    header: Changes = attrs.field(factory=dict)
    claims: Changes = attrs.field(factory=dict)
    key: str = "rsa"
    tail: str = ""
    spell: Callable[[str], str] = str
    authorization: str | None = "{scheme} {token}"
    proof_header: Changes = attrs.field(factory=dict)
    proof_claims: Changes = attrs.field(factory=dict)
    proof_tail: str = ""
    proof_key: str = "own"
    proof_of: Callable[[str], str] = str
    spell_proof: Callable[[str], str] | None = str
    htu: str = "{url}"
    method: str | None = None
    target: str | None = None
    sent: int = 1


@attrs.frozen
class Case:
    """A request to judge."""

    kind: Kind
    dialect: Dialect
    method: str
    target: str
    headers: dict[str, str] = attrs.field(repr=False)


def _bytes_of(number: int) -> bytes:
    return number.to_bytes(32)


def encode(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@cache
def keys() -> dict[str, Any]:
    """Make the keys: those of the issuer, published in different ways, and those of clients."""

    def rsa_key(kid: str, bits: int = 2048, **members: str) -> RSAKey:
        private = rsa.generate_private_key(65537, bits)
        parameters: Any = {"kid": kid, **members}
        return RSAKey.import_key(private, parameters)

    return {
        "rsa": rsa_key("rsa", alg="RS256", use="sig"),
        "unpublished": rsa_key("unpublished"),
        "encrypting": rsa_key("encrypting", use="enc"),
        "of another algorithm": rsa_key("of another algorithm", alg="RS512"),
        "short": rsa_key("short", bits=1024),
        "ec": ECKey.generate_key("P-256", {"kid": "ec", "alg": "ES256"}),
        "own": ECKey.generate_key("P-256"),
        "stranger's": ECKey.generate_key("P-256"),
        "P-384": ECKey.generate_key("P-384"),
    }


def key_set() -> dict[str, Any]:
    """Return what the issuer publishes."""
    published = ("rsa", "encrypting", "of another algorithm", "short", "ec")
    return {"keys": [keys()[name].as_dict(private=False) for name in published]}


def _signature(alg: object, key: Any, message: bytes) -> bytes:
    if alg == "none":
        return b""
    if alg == "HS256":
        # The attack: the secret is the public key, as the issuer publishes it (RFC 8725 §2.1).
        secret = key.as_pem(private=False)
        return hmac.digest(secret, message, "sha256")
    private = key.private_key
    if isinstance(private, rsa.RSAPrivateKey):
        digest = hashes.SHA512() if alg == "RS512" else hashes.SHA256()
        pad = padding.PSS(padding.MGF1(digest), digest.digest_size) if alg == "PS256" else padding.PKCS1v15()
        return private.sign(message, pad, digest)
    return b"".join(map(_bytes_of, decode_dss_signature(private.sign(message, ec.ECDSA(hashes.SHA256())))))


def _text(members: Changes, tail: str = "") -> str:
    text = json.dumps({name: value for name, value in members.items() if value is not ABSENT})
    return f"{text[:-1]}{tail}}}"


def _made(members: Changes, of: object) -> Changes:
    """Return members, those that are functions called with what they are made of."""
    return {name: value(of) if callable(value) else value for name, value in members.items()}


def sign(header: Changes, payload: str, key: Any) -> str:
    """Return a compact JWS by a header, whatever it says."""
    message = f"{encode(_text(header).encode())}.{encode(payload.encode())}"
    try:
        signature = _signature(header.get("alg"), key, message.encode())
    except (ValueError, OverflowError):  # a curve with longer numbers
        signature = b"\x01" * 64
    return f"{message}.{encode(signature)}"


def _public(name: str) -> dict[str, Any]:
    jwk = keys()[name].as_dict(private=False)
    return {member: jwk[member] for member in ("kty", "crv", "x", "y")}


def _thumbprint(name: str) -> str:
    text = json.dumps(_public(name), sort_keys=True, separators=(",", ":"))
    return encode(hashlib.sha256(text.encode()).digest())


def _token(kind: Kind, dialect: Dialect, issuer: str, chance: random.Random) -> str:
    scopes = chance.choice(["openid", "openid read:messages", "read:messages"])
    client = f"client-{chance.randrange(10)}"
    claims: Changes = {
        "iss": issuer,
        "aud": chance.choice([AUDIENCE, [AUDIENCE], [AUDIENCE, f"{issuer}userinfo"]]),
        "sub": chance.choice(["auth0|ada", "email|1", f"{client}@clients"]),
        "iat": NOW - chance.randrange(3600),
        "exp": NOW + 1 + chance.randrange(86_400),
        "scope": scopes if dialect == "rfc9068" or chance.random() < 0.5 else scopes.split(),
        **({"azp": client} if dialect == "auth0" else {"client_id": client, "jti": f"t-{chance.random()}"}),
        **({"cnf": {"jkt": _thumbprint("own")}} if kind.bound else {}),
        **({"https://claims.example/team": "a"} if chance.random() < 0.5 else {}),
        **kind.claims,
    }
    typ = "at+jwt" if dialect == "rfc9068" else "JWT"
    header: Changes = {"alg": "RS256", "typ": typ, "kid": kind.key, **kind.header}
    return kind.spell(sign(header, _text(_made(claims, issuer), kind.tail), keys()[kind.key]))


def _proof(kind: Kind, token: str, method: str, target: str, chance: random.Random) -> str | None:
    if kind.spell_proof is None:
        return None
    path = target.partition("?")[0]
    ath = encode(hashlib.sha256(kind.proof_of(token).encode()).digest())
    claims: Changes = {
        "jti": f"p-{chance.random()}",
        "htm": method,
        "htu": kind.htu.format(url=f"{BASE}{path}", path=path),
        "iat": NOW - chance.randrange(MAX_PROOF_AGE),
        "ath": ath,
        **({"nonce": "n-1"} if chance.random() < 0.3 else {}),
        **kind.proof_claims,
    }
    jwk = _public(kind.proof_key)
    header = _made({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk, **kind.proof_header}, jwk)
    return kind.spell_proof(sign(header, _text(claims, kind.proof_tail), keys()[kind.proof_key]))


def cases(kind: Kind, issuer: str, seed: int) -> list[Case]:
    """Return a request of a kind for each dialect that it concerns."""
    dialects: tuple[Dialect, ...] = ("auth0", "rfc9068") if kind.dialect is None else (kind.dialect,)
    chances = (random.Random(f"{seed} {kind.name} {each}") for each in dialects)  # noqa: S311 - no secret is made
    return [_case(kind, each, issuer, chance) for each, chance in zip(dialects, chances, strict=True)]


def _case(kind: Kind, dialect: Dialect, issuer: str, chance: random.Random) -> Case:
    method = kind.method or chance.choice(["GET", "POST", "PUT", "DELETE", "PATCH"])
    target = kind.target or chance.choice(["/me", "/", "/things/%C3%A4?page=2", "/a/b/?q=%2F&q=#", "/x~y", "/a:b@c"])
    token = _token(kind, dialect, issuer, chance)
    proof = _proof(kind, token, method, target, chance) if kind.bound else None
    headers = {}
    if kind.authorization is not None:
        scheme = "DPoP" if kind.bound else "Bearer"
        headers["Authorization"] = kind.authorization.format(scheme=scheme, token=token, proof=proof)
    if proof is not None:
        headers["DPoP"] = proof
    return Case(kind, dialect, method, target, headers)


def _without_last_bits(token: str) -> str:
    """Set a bit of the last character that no byte has: the same bytes, spelled in another way."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) + 1]


def _payload_of_another(token: str) -> str:
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return f"{header}.{encode(json.dumps({**claims, 'sub': 'auth0|eve'}).encode())}.{signature}"


def _other_s(token: str) -> str:
    """Return the second signature of an ECDSA key for the same message: (r, n - s)."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    message, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    return f"{message}.{encode(raw[:32] + _bytes_of(order - int.from_bytes(raw[32:])))}"


def _kinds_of_tokens() -> Iterator[Kind]:
    """Yield tokens that are wrong in a claim, or unusual: each bound, with a right proof."""
    claims: dict[str, Changes] = {
        "right": {},
        "iss of another issuer": {"iss": "https://evil.example/"},
        "iss without its slash": {"iss": lambda issuer: issuer.removesuffix("/")},
        "iss in capitals": {"iss": str.upper},
        "iss absent": {"iss": ABSENT},
        "iss null": {"iss": None},
        "iss a number": {"iss": 1},
        "iss a list": {"iss": ["https://evil.example/"]},
        "iss empty": {"iss": ""},
        "aud of another API": {"aud": "https://other.example"},
        "aud list of other APIs": {"aud": ["https://other.example", "https://third.example"]},
        "aud with a slash more": {"aud": f"{AUDIENCE}/"},
        "aud absent": {"aud": ABSENT},
        "aud null": {"aud": None},
        "aud empty": {"aud": ""},
        "aud empty list": {"aud": []},
        "aud an object": {"aud": {AUDIENCE: True}},
        "aud list with a number": {"aud": [AUDIENCE, 1]},
        "aud with the audience inside": {"aud": f"x{AUDIENCE}x"},
        "aud in capitals": {"aud": AUDIENCE.upper()},
        "exp passed": {"exp": NOW - 1},
        "exp now": {"exp": NOW},
        "exp next second": {"exp": NOW + 1},
        "exp with a fraction": {"exp": NOW + 0.5},
        "exp absent": {"exp": ABSENT},
        "exp null": {"exp": None},
        "exp a text": {"exp": str(NOW + 60)},
        "exp a boolean": {"exp": True},
        "exp not a number": {"exp": float("nan")},
        "exp infinite": {"exp": float("inf")},
        "exp of 400 digits": {"exp": 10**400},
        "exp negative": {"exp": -1},
        "exp a list": {"exp": [NOW + 60]},
        "iat absent": {"iat": ABSENT},
        "iat in the future": {"iat": NOW + 3600, "exp": NOW + 7200},
        "iat a text": {"iat": "yesterday"},
        "iat null": {"iat": None},
        "nbf passed": {"nbf": NOW - 60},
        "nbf in the future": {"nbf": NOW + 3600},
        "nbf a text": {"nbf": "tomorrow"},
        "sub absent": {"sub": ABSENT},
        "sub empty": {"sub": ""},
        "sub a number": {"sub": 7},
        "scope absent": {"scope": ABSENT},
        "scope a number": {"scope": 1},
        "permissions": {"permissions": ["read:messages"]},
        "permissions a text": {"permissions": "read:messages"},
        "auth_time and acr": {"auth_time": NOW - 60, "acr": "urn:mfa"},
        "auth_time a text": {"auth_time": "now"},
        "cnf absent": {"cnf": ABSENT},
        "cnf null": {"cnf": None},
        "cnf empty": {"cnf": {}},
        "cnf a text": {"cnf": "jkt"},
        "cnf of another key": {"cnf": {"jkt": "x" * 43}},
        "cnf jkt empty": {"cnf": {"jkt": ""}},
        "cnf jkt null": {"cnf": {"jkt": None}},
        "cnf by certificate": {"cnf": {"x5t#S256": "x" * 43}},
        "cnf by key and certificate": {"cnf": lambda _: {"jkt": _thumbprint("own"), "x5t#S256": "x" * 43}},
        "cnf by kid": {"cnf": {"kid": "own"}},
        "claims of 8 KB": {"https://claims.example/groups": ["g" * 80] * 100},
        "claims of 100 KB": {"https://claims.example/groups": ["g" * 80] * 1000},
    }
    for name, changes in claims.items():
        yield Kind(name=name, claims=changes)
    yield Kind(name="jti absent", dialect="rfc9068", claims={"jti": ABSENT})
    yield Kind(name="client_id absent", dialect="rfc9068", claims={"client_id": ABSENT})
    yield Kind(name="azp absent", dialect="auth0", claims={"azp": ABSENT})
    yield Kind(name="gty client-credentials", dialect="auth0", claims={"gty": "client-credentials"})
    yield Kind(name="ID token by nonce", dialect="auth0", claims={"nonce": "n"})
    yield Kind(name="ID token by its audience", dialect="auth0", claims={"azp": AUDIENCE, "aud": AUDIENCE})
    yield Kind(name="aud twice", tail=f', "aud": "{AUDIENCE}"', claims={"aud": "https://other.example"})
    yield Kind(name="a claim twice", tail=', "sub": "auth0|eve"')


def _kinds_of_headers() -> Iterator[Kind]:
    """Yield tokens with another header, key or spelling."""
    headers: dict[str, Changes] = {
        "alg none": {"alg": "none"},
        "alg None": {"alg": "None"},
        "alg HS256 by the public key": {"alg": "HS256"},
        "alg PS256, which is not accepted": {"alg": "PS256"},
        "alg RS512, which is not accepted": {"alg": "RS512"},
        "alg ES256 of an RSA key": {"alg": "ES256"},
        "alg absent": {"alg": ABSENT},
        "alg a number": {"alg": 256},
        "alg null": {"alg": None},
        "kid absent": {"kid": ABSENT},
        "kid empty": {"kid": ""},
        "kid unknown": {"kid": "unknown"},
        "kid a number": {"kid": 1},
        "kid of another key": {"kid": "of another algorithm"},
        "typ absent": {"typ": ABSENT},
        "typ in capitals": {"typ": "JWT"},
        "typ of a logout token": {"typ": "logout+jwt"},
        "typ of a proof": {"typ": "dpop+jwt"},
        "typ a number": {"typ": 1},
        "crit unknown": {"crit": ["urn:unknown"], "urn:unknown": 1},
        "crit empty": {"crit": []},
        "b64 false": {"b64": False, "crit": ["b64"]},
        "jwk in the header": {"jwk": {"kty": "RSA"}},
        "jku in the header": {"jku": "https://evil.example/jwks"},
        "unknown parameter": {"x-unknown": 1},
    }
    for name, changes in headers.items():
        yield Kind(name=name, header=changes)
    yield Kind(name="key not published", key="unpublished")
    yield Kind(name="key not published, under a published kid", key="unpublished", header={"kid": "rsa"})
    yield Kind(name="key for encryption", key="encrypting")
    yield Kind(name="key for another algorithm", key="of another algorithm")
    yield Kind(name="key of 1024 bits", key="short")
    yield Kind(name="key of another kind", key="ec", header={"alg": "ES256"})
    spellings: dict[str, Callable[[str], str]] = {
        "signature absent": lambda token: f"{token.rpartition('.')[0]}.",
        "signature of another token": _payload_of_another,
        "signature cut": lambda token: token[:-20],
        "signature padded": lambda token: f"{token}==",
        "signature with loose bits": _without_last_bits,
        "two segments": lambda token: token.rpartition(".")[0],
        "four segments": lambda token: f"{token}.e30",
        "no JWT": lambda _: "8ZpQ2dGm0aXq",
        "encrypted": lambda token: ".".join(["eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0", "", *token.split(".")]),
        "header no JSON": lambda token: f"e30x{token}",
        "payload a list": lambda token: f"{token.split('.')[0]}.W10.{token.rpartition('.')[2]}",
    }
    for name, spell in spellings.items():
        yield Kind(name=name, spell=spell)


def _kinds_of_proofs() -> Iterator[Kind]:
    """Yield proofs that are wrong in one rule of RFC 9449 §4.3, or unusual."""
    claims: dict[str, Changes] = {
        "proof jti absent": {"jti": ABSENT},
        "proof jti empty": {"jti": ""},
        "proof jti blank": {"jti": " "},
        "proof jti a number": {"jti": 1},
        "proof jti of 10 KB": {"jti": "j" * 10_000},
        "proof jti of 1 KB": {"jti": "j" * 1000},
        "proof htm absent": {"htm": ABSENT},
        "proof htm of another method": {"htm": "HEAD"},
        "proof htm a number": {"htm": 1},
        "proof htu absent": {"htu": ABSENT},
        "proof htu a number": {"htu": 1},
        "proof iat absent": {"iat": ABSENT},
        "proof iat a text": {"iat": str(NOW)},
        "proof iat a boolean": {"iat": True},
        "proof iat null": {"iat": None},
        "proof iat with a fraction": {"iat": NOW - 0.5},
        "proof iat oldest": {"iat": NOW - MAX_PROOF_AGE},
        "proof iat too old": {"iat": NOW - MAX_PROOF_AGE - 1},
        "proof iat in the future": {"iat": NOW + 1},
        "proof iat not a number": {"iat": float("nan")},
        "proof iat of 400 digits": {"iat": 10**400},
        "proof exp passed": {"exp": NOW - 1},
        "proof nbf in the future": {"nbf": NOW + 60},
        "proof ath absent": {"ath": ABSENT},
        "proof ath null": {"ath": None},
        "proof ath empty": {"ath": ""},
        "proof with claims of its own": {"x": [1]},
        "proof nonce a number": {"nonce": 1},
    }
    for name, changes in claims.items():
        yield Kind(name=name, proof_claims=changes)
    headers: dict[str, Changes] = {
        "proof typ absent": {"typ": ABSENT},
        "proof typ JWT": {"typ": "JWT"},
        "proof typ in capitals": {"typ": "DPOP+JWT"},
        "proof alg none": {"alg": "none"},
        "proof alg HS256": {"alg": "HS256"},
        "proof alg ES384": {"alg": "ES384"},
        "proof alg absent": {"alg": ABSENT},
        "proof jwk absent": {"jwk": ABSENT},
        "proof jwk null": {"jwk": None},
        "proof jwk a text": {"jwk": "own"},
        "proof jwk private": {"jwk": lambda jwk: {**jwk, "d": encode(b"\x01" * 32)}},
        "proof jwk with a symmetric key": {"jwk": lambda jwk: {**jwk, "k": encode(b"secret")}},
        "proof jwk of RSA": {"jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}},
        "proof jwk of P-384": {"jwk": {"kty": "EC", "crv": "P-384", "x": "x" * 64, "y": "y" * 64}},
        "proof jwk not on the curve": {"jwk": lambda jwk: {**jwk, "y": encode(b"\x01" * 32)}},
        "proof jwk without y": {"jwk": lambda jwk: {name: jwk[name] for name in ("kty", "crv", "x")}},
        "proof jwk of a stranger": {"jwk": lambda _: _public("stranger's")},
        "proof jwk padded": {"jwk": lambda jwk: {**jwk, "x": f"{jwk['x']}="}},
        "proof jwk with kid and use": {"jwk": lambda jwk: {**jwk, "kid": "k", "use": "sig"}},
        "proof crit unknown": {"crit": ["urn:unknown"], "urn:unknown": 1},
        "proof kid in the header": {"kid": "k"},
    }
    for name, changes in headers.items():
        yield Kind(name=name, proof_header=changes)
    spellings: dict[str, Callable[[str], str] | None] = {
        "proof absent": None,
        "proof empty": lambda _: "",
        "proof no JWT": lambda _: "8ZpQ2dGm0aXq",
        "proof twice in one field": lambda proof: f"{proof}, {proof}",
        "proof cut": lambda proof: proof[:-10],
        "proof with another signature": lambda proof: f"{proof.rpartition('.')[0]}.{encode(bytes(range(64)))}",
        "proof with loose bits": _without_last_bits,
        "proof with the other s": _other_s,
        "proof padded": lambda proof: f"{proof}==",
    }
    for name, spell in spellings.items():
        yield Kind(name=name, spell_proof=spell)
    yield Kind(name="proof by another key", proof_key="stranger's")
    yield Kind(name="proof for another token", proof_of=lambda token: f"{token}x")
    yield Kind(name="proof with a claim twice", proof_tail=', "jti": "j-2"')
    yield Kind(name="proof used twice", sent=2)


def _kinds_of_urls() -> Iterator[Kind]:
    """Yield spellings of ``htu`` and ``htm`` (RFC 9449 §4.3 (8), (9), RFC 3986 §6.2)."""
    spellings: dict[str, tuple[str, str]] = {
        "htu with query and fragment": ("/a", "{url}?x=1#y"),
        "htu host in capitals": ("/a", "https://API.EXAMPLE{path}"),
        "htu with the default port": ("/a", "https://api.example:443{path}"),
        "htu with another port": ("/a", "https://api.example:8443{path}"),
        "htu by http": ("/a", "http://api.example{path}"),
        "htu of another host": ("/a", "https://other.example{path}"),
        "htu of another path": ("/a", "https://api.example/b"),
        "htu with a slash more": ("/a", "{url}/"),
        "htu without the slash of the root": ("/", "https://api.example"),
        "htu in another case": ("/a", "https://api.example/A"),
        "htu with dot segments": ("/a/b", "https://api.example/a/./c/../b"),
        "htu with escapes in small letters": ("/%C3%A4", "https://api.example/%c3%a4"),
        "htu with an escaped letter": ("/a~b", "https://api.example/%61%7Eb"),
        "htu with an escaped slash": ("/a/b", "https://api.example/a%2Fb"),
        "htu with a bare umlaut": ("/%C3%A4", "https://api.example/ä"),
        "htu with a backslash": ("/a/b", "https://api.example/a\\b"),
        "htu with a tab": ("/ab", "https://api.example/a\tb"),
        "htu with a space before it": ("/a", " https://api.example/a"),
        "htu with a user": ("/a", "https://ada@api.example/a"),
        "htu a path alone": ("/a", "{path}"),
        "htu empty": ("/a", ""),
        "htu of three slashes": ("/a", "https:///api.example/a"),
        "htu of one slash": ("/a", "https:/api.example/a"),
    }
    for name, (target, htu) in spellings.items():
        yield Kind(name=name, target=target, htu=htu)
    yield Kind(name="htm in small letters", method="GET", proof_claims={"htm": "get"})
    yield Kind(name="method of one's own", method="PURGE")


def _kinds_of_requests() -> Iterator[Kind]:
    """Yield header fields and schemes, in each mode."""
    fields: dict[str, str | None] = {
        "no Authorization": None,
        "Authorization empty": "",
        "scheme alone": "{scheme}",
        "token alone": "{token}",
        "scheme unknown": "Basic {token}",
        "scheme in small letters": "dpop {token}",
        "two spaces": "{scheme}  {token}",
        "tab for a space": "{scheme}\t{token}",
        "two tokens": "{scheme} {token} {token}",
        "two credentials": "{scheme} {token}, {scheme} {token}",
        "parameters behind the token": '{scheme} {token}, realm="x"',
        "token in quotes": '{scheme} "{token}"',
        "bound token as Bearer": "Bearer {token}",
        "proof as token": "{scheme} {proof}",
    }
    for name, field in fields.items():
        yield Kind(name=name, authorization=field)
    yield Kind(name="Bearer where DPoP is required", bound=False)
    yield Kind(name="unbound token as DPoP", bound=False, authorization="DPoP {token}")
    yield Kind(name="preferred: right proof", mode="preferred")
    yield Kind(name="preferred: right Bearer", mode="preferred", bound=False)
    yield Kind(name="preferred: Bearer in small letters", mode="preferred", bound=False, authorization="bearer {token}")
    yield Kind(name="preferred: no Authorization", mode="preferred", bound=False, authorization=None)
    yield Kind(name="preferred: scheme unknown", mode="preferred", bound=False, authorization="Basic {token}")
    yield Kind(
        name="preferred: bound token as Bearer", mode="preferred", authorization="Bearer {token}", spell_proof=None
    )
    yield Kind(
        name="preferred: bound token as Bearer, with its proof", mode="preferred", authorization="Bearer {token}"
    )
    yield Kind(name="preferred: unbound token with a proof", mode="preferred", claims={"cnf": ABSENT})
    yield Kind(
        name="preferred: Bearer with a proof beside it",
        mode="preferred",
        claims={"cnf": ABSENT},
        authorization="Bearer {token}",
    )
    yield Kind(
        name="preferred: certificate-bound token as Bearer",
        mode="preferred",
        bound=False,
        claims={"cnf": {"x5t#S256": "x" * 43}},
    )
    yield Kind(name="preferred: expired Bearer", mode="preferred", bound=False, claims={"exp": NOW - 1})
    yield Kind(name="off: right Bearer", mode="off", bound=False)
    yield Kind(name="off: no Authorization", mode="off", bound=False, authorization=None)
    yield Kind(name="off: expired Bearer", mode="off", bound=False, claims={"exp": NOW - 1})
    yield Kind(name="off: right proof", mode="off")
    yield Kind(name="off: bound token as Bearer", mode="off", authorization="Bearer {token}", spell_proof=None)
    yield Kind(
        name="off: Bearer with a proof beside it", mode="off", claims={"cnf": ABSENT}, authorization="Bearer {token}"
    )


KINDS: tuple[Kind, ...] = (
    *_kinds_of_tokens(),
    *_kinds_of_headers(),
    *_kinds_of_proofs(),
    *_kinds_of_urls(),
    *_kinds_of_requests(),
)
