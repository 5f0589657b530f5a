"""The negative list of the public DPoP conformance suite, in its order, as one table.

Every server side walks it: the verifier, both adapters, and whatever else checks proofs. The proofs are made by
joserfc's algorithms from plain dicts, with nothing of this library in between.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from functools import cache
from typing import TYPE_CHECKING, Any

import attrs
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ABSENT: Any = object()
"""Stands for a member that is left out."""


def base64url(raw: bytes) -> str:
    """Encode without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def compact(
    header: Mapping[str, Any] | bytes, claims: Mapping[str, Any] | bytes, sign: Callable[[bytes], bytes]
) -> str:
    """Sign any header over any claims, as dicts or as the very bytes."""
    parts = [
        part if isinstance(part, bytes) else json.dumps({k: v for k, v in part.items() if v is not ABSENT}).encode()
        for part in (header, claims)
    ]
    signing_input = ".".join(base64url(part) for part in parts)
    return f"{signing_input}.{base64url(sign(signing_input.encode()))}"


@attrs.frozen
class Prover:
    """A client with one key that can make any proof, right or wrong."""

    key: ECKey = attrs.field(factory=lambda: ECKey.generate_key("P-256", auto_kid=False))

    @property
    def jwk(self) -> dict[str, Any]:
        """The four public members, from the numbers: older joserfc drops a coordinate's leading zeros."""
        numbers = self.key.public_key.public_numbers()
        x, y = (base64url(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
        return {"crv": "P-256", "kty": "EC", "x": x, "y": y}

    @property
    def thumbprint(self) -> str:
        """The thumbprint, as RFC 7638 §3 writes it."""
        canonical = json.dumps(self.jwk, separators=(",", ":"), sort_keys=True)
        return base64url(hashlib.sha256(canonical.encode()).digest())

    @property
    def header(self) -> dict[str, Any]:
        """A right header."""
        return {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk}

    def sign(self, message: bytes) -> bytes:
        """Sign by ES256."""
        return JWSRegistry.algorithms["ES256"].sign(message, self.key)

    def claims(self, method: str, url: str, now: float, access_token: str | None = None) -> dict[str, Any]:
        """Return right claims, ``jti`` new at every call."""
        claims: dict[str, Any] = {"jti": uuid.uuid4().hex, "htm": method, "htu": url, "iat": int(now)}
        if access_token is not None:
            claims["ath"] = base64url(hashlib.sha256(access_token.encode()).digest())
        return claims

    def proof(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
        """Sign a right header with changes over claims; members given as ABSENT are left out."""
        return compact({**self.header, **header}, claims, self.sign)


@attrs.frozen
class Target:
    """The request that a proof is for."""

    method: str
    url: str
    now: float
    access_token: str | None = None
    nonce: str | None = None


@attrs.frozen
class Case:
    """One row.

    Attributes:
        name: What is done.
        passes: Whether the request is to be let through.
        header: Changes to the JOSE header.
        claims: Changes to the claims, from the request and the right claims.
        alter: What is done to the signed proof.
        make: Makes the whole proof instead.
        field: The name of the header field.
        copies: How many proofs there are.
        twice: Whether the request is sent twice, with the same ``jti``; ``passes`` speaks of the second.
        scheme: The scheme of ``Authorization``.
        other_key: Whether the proof is by another key than the token's.
        resource: Whether it makes sense on a resource request alone.
        default_port: Whether it makes sense on the default port alone.
    """

    name: str
    passes: bool = False
    header: Mapping[str, Any] = attrs.field(factory=dict)
    claims: Callable[[Target, dict[str, Any]], Mapping[str, Any]] = lambda _target, _claims: {}
    alter: Callable[[str], str] = str
    make: Callable[[Prover, dict[str, Any]], str] | None = None
    field: str = "DPoP"
    copies: int = 1
    twice: bool = False
    scheme: str = "DPoP"
    other_key: bool = False
    resource: bool = False
    default_port: bool = False

    def fields(self, prover: Prover, target: Target, jti: str | None = None) -> list[tuple[str, str]]:
        """Return the header fields of the request."""
        signer = Prover() if self.other_key else prover
        proofs = [(self.field, self._proof(signer, target, jti)) for _ in range(self.copies)]
        if target.access_token is None:
            return proofs
        return [("Authorization", f"{self.scheme} {target.access_token}"), *proofs]

    def _proof(self, prover: Prover, target: Target, jti: str | None) -> str:
        claims = prover.claims(target.method, target.url, target.now, target.access_token)
        if target.nonce is not None:
            claims["nonce"] = target.nonce
        if jti is not None:
            claims["jti"] = jti
        claims |= self.claims(target, claims)
        return self.alter(self.make(prover, claims) if self.make else prover.proof(self.header, claims))


@cache
def _rsa_key() -> RSAKey:
    return RSAKey.generate_key(2048, auto_kid=False)


def _by_rs256(_prover: Prover, claims: dict[str, Any]) -> str:
    key = _rsa_key()
    header = {"typ": "dpop+jwt", "alg": "RS256", "jwk": key.as_dict(private=False)}
    return compact(header, claims, lambda message: JWSRegistry.algorithms["RS256"].sign(message, key))


def _by_none(prover: Prover, claims: dict[str, Any]) -> str:
    return compact({**prover.header, "alg": "none"}, claims, lambda _message: b"")


def _with_private_key(prover: Prover, claims: dict[str, Any]) -> str:
    return prover.proof({"jwk": {**prover.jwk, "d": prover.key.as_dict(private=True)["d"]}}, claims)


def _broken(proof: str) -> str:
    head, _, signature = proof.rpartition(".")
    return f"{head}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def _without(name: str) -> Callable[[Target, dict[str, Any]], Mapping[str, Any]]:
    return lambda _target, _claims: {name: ABSENT}


def _shouted(target: Target, _claims: dict[str, Any]) -> Mapping[str, Any]:
    scheme, _, rest = target.url.partition("://")
    authority, slash, path = rest.partition("/")
    return {"htu": f"{scheme.upper()}://{authority.upper()}{slash}{path}"}


def _with_port(target: Target, _claims: dict[str, Any]) -> Mapping[str, Any]:
    scheme, _, rest = target.url.partition("://")
    authority, slash, path = rest.partition("/")
    return {"htu": f"{scheme}://{authority}:{443 if scheme == 'https' else 80}{slash}{path}"}


CASES = (
    Case("header field DPOP in upper case", passes=True, field="DPOP"),
    Case("two proofs", copies=2),
    Case("a JWT of two parts", alter=lambda proof: proof.rpartition(".")[0]),
    Case("typ missing", header={"typ": ABSENT}),
    Case("alg missing", header={"alg": ABSENT}),
    Case("jwk missing", header={"jwk": ABSENT}),
    Case("jti missing", claims=_without("jti")),
    Case("htm missing", claims=_without("htm")),
    Case("htu missing", claims=_without("htu")),
    Case("iat missing", claims=_without("iat")),
    Case("ath missing", claims=_without("ath"), resource=True),
    Case("typ JWT", header={"typ": "JWT"}),
    Case("RS256", make=_by_rs256),
    Case("alg none", make=_by_none),
    Case("signature wrong", alter=_broken),
    Case("jwk with its private member", make=_with_private_key),
    Case("htm PUT", claims=lambda _target, _claims: {"htm": "PUT"}),
    Case("htu with query and fragment", passes=True, claims=lambda t, _claims: {"htu": f"{t.url}?foo=bar#fragment"}),
    Case("htu of another resource", claims=lambda t, _claims: {"htu": f"{t.url}/other"}),
    Case("iat one hour old", claims=lambda t, _claims: {"iat": int(t.now) - 3600}),
    Case("iat in one hour", claims=lambda t, _claims: {"iat": int(t.now) + 3600}),
    Case("the same jti twice", twice=True),
    Case("ath of another token", claims=lambda _target, _claims: {"ath": base64url(b"\x00" * 32)}, resource=True),
    Case("another key than the token's", other_key=True, resource=True),
    Case(
        "header parameter and claim that are unknown",
        passes=True,
        header={"foo": "bar"},
        claims=lambda _target, _claims: {"foo": {"bar": [1]}},
    ),
    Case("htu with scheme and host in upper case", passes=True, claims=_shouted),
    Case("htu with the default port", passes=True, claims=_with_port, default_port=True),
    Case("no proof", copies=0),
    Case("no proof, and the bound token as Bearer", copies=0, scheme="Bearer", resource=True),
    Case("a proof, and the bound token as Bearer", scheme="Bearer", resource=True),
)
