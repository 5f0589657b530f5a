"""Checking proofs (RFC 9449 §4.3), independently of the client that the tenant tests.

The order, which is also the order of what can be blamed:

1. one header, a compact JWT of bounded size
2. ``typ``, ``alg``, no critical extension, a ``jwk`` of exactly the public members
3. the signature, by joserfc's own verification
4. the type of every claim, then ``htm``, ``htu``, ``ath``
5. the nonce
6. ``iat``, ``exp``, ``nbf``
7. the replay memory, last: only a proof that is right in all else may take a place in it
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import re
from typing import TYPE_CHECKING, Any, NoReturn

import attrs
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from passwordless_async.testing.checks.replays import ReplayMemory
from passwordless_async.testing.checks.urls import normalised

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multidict import CIMultiDictProxy

    from passwordless_async.testing.checks.second_opinion import SecondOpinion
    from passwordless_async.testing.settings.settings import TenantSettings
    from passwordless_async.testing.state.clock import TenantClock
    from passwordless_async.testing.state.nonces import Nonces
    from passwordless_async.testing.state.stats import TenantStats

_MAX_PROOF = 4096  # bytes
_MAX_JTI = 256  # characters
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
# A coordinate of P-256 is 32 octets (RFC 7518 §6.2.1.2), 43 characters; a padded one would change the thumbprint.
_COORDINATE = re.compile(r"[A-Za-z0-9_-]{43}")
_PUBLIC = ("crv", "kty", "x", "y")
_PRIVATE = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))


class ProofRefused(Exception):
    """The proof failed a check; the message says which."""


class NonceNeeded(Exception):
    """The proof bears no nonce and needs one, or, where ``stale``, bears one that does not pass."""

    def __init__(self, *, stale: bool) -> None:
        super().__init__("stale nonce" if stale else "no nonce")
        self.stale = stale


@attrs.frozen
class Proof:
    """A proof that passed.

    Attributes:
        thumbprint: The RFC 7638 thumbprint of its key (``jkt``).
        nonce: Its nonce, or None.
    """

    thumbprint: str
    nonce: str | None


@attrs.frozen
class Occasion:
    """What a proof must have been made for: method, the tenant's own URL, and the token beside it, if any."""

    method: str
    url: str
    nonce_required: bool
    access_token: str | None = attrs.field(default=None, repr=False)


class _Registry(jws.JWSRegistry):
    # joserfc's 512 characters are short of a header with the unknown parameters that RFC 9449 §4.3 tolerates.
    max_header_length = 2048


_JWS = _Registry(algorithms=["ES256"], strict_check_header=False)


@attrs.define
class ProofChecker:
    """Checks proofs and remembers them."""

    _settings: TenantSettings
    _clock: TenantClock
    _nonces: Nonces
    _stats: TenantStats
    _second_opinion: SecondOpinion
    _replays: ReplayMemory = attrs.field(factory=ReplayMemory, init=False)
    _keys: set[str] = attrs.field(factory=set, init=False, repr=False)

    def check(self, headers: CIMultiDictProxy[str], occasion: Occasion) -> Proof | None:
        """Return the proof of a request, or None where it bears none.

        Raises:
            ProofRefused: A check failed.
            NonceNeeded: The nonce is missing or does not pass.
        """
        if "DPoP" not in headers:
            return None
        try:
            proof = self._check(headers.getall("DPoP"), occasion)
        except ProofRefused:
            self._stats.proofs_refused += 1
            self._compare("", headers, occasion)
            raise
        self._compare(proof.thumbprint, headers, occasion)
        self._stats.proofs_accepted += 1
        self._keys.add(proof.thumbprint)
        self._stats.distinct_keys = len(self._keys)
        return proof

    def _compare(self, result: str, headers: CIMultiDictProxy[str], occasion: Occasion) -> None:
        self._second_opinion.compare(result, headers, occasion.method, occasion.url, occasion.access_token)

    def _check(self, values: list[str], occasion: Occasion) -> Proof:
        thumbprint, claims = _verified(_compact(values))
        _check_types(claims)
        _check_occasion(claims, occasion)
        nonce = self._check_nonce(claims.get("nonce"), required=occasion.nonce_required)
        if nonce is None or not self._settings.nonce_replaces_iat:
            self._check_time(claims)
        self._remember(thumbprint, claims)
        return Proof(thumbprint, nonce)

    def _check_nonce(self, nonce: str | None, *, required: bool) -> str | None:
        if nonce is None:
            if required:
                raise NonceNeeded(stale=False)
        elif not self._nonces.accept(nonce):
            raise NonceNeeded(stale=True)
        return nonce

    def _check_time(self, claims: Mapping[str, Any]) -> None:
        now, skew = self._clock.wall(), self._settings.proof_skew
        if claims["iat"] > now + skew:
            _refuse("iat is in the future")
        if claims["iat"] < now - self._settings.proof_max_age:
            _refuse("iat is too old")
        if claims.get("exp", math.inf) <= now - skew or claims.get("nbf", -math.inf) > now + skew:
            _refuse("exp or nbf")

    def _remember(self, thumbprint: str, claims: Mapping[str, Any]) -> None:
        now = self._clock.wall()
        window = self._settings.proof_max_age + self._settings.proof_skew
        # With nonce_replaces_iat an old iat passes, and must not make the proof forgotten at once.
        until = max(claims["iat"], now) + window
        if not self._replays.add(thumbprint, claims["jti"], until=until, now=now):
            self._stats.replays_refused += 1
            _refuse("jti was used before")


def _refuse(reason: str) -> NoReturn:
    raise ProofRefused(reason)


def _compact(values: list[str]) -> str:
    if len(values) != 1 or "," in values[0]:
        _refuse("more than one DPoP header")
    if len(values[0]) > _MAX_PROOF or not _COMPACT.fullmatch(values[0]):
        _refuse("not a compact JWT")
    return values[0]


def _verified(compact: str) -> tuple[str, dict[str, Any]]:
    try:
        header = jws.extract_compact(compact.encode(), registry=_JWS).headers()
        key = ECKey.import_key(_public_members(header))
        payload = jws.deserialize_compact(compact, key, algorithms=["ES256"], registry=_JWS).payload
        claims = json.loads(payload or b"")
    except (JoseError, ValueError, TypeError, KeyError, RecursionError):
        raise ProofRefused("the JWT cannot be verified") from None
    if not isinstance(claims, dict):
        _refuse("the claims are no object")
    return key.thumbprint(), claims


def _public_members(header: Mapping[str, Any]) -> dict[str, Any]:
    if header.get("typ") != "dpop+jwt":
        _refuse("typ is not dpop+jwt")
    if header.get("alg") != "ES256":
        _refuse("alg is not ES256")
    if "crit" in header or "b64" in header:
        _refuse("a critical extension")
    jwk = header.get("jwk")
    if not isinstance(jwk, dict) or jwk.get("kty") != "EC" or jwk.get("crv") != "P-256":
        _refuse("jwk is not a P-256 key")
    if _PRIVATE & jwk.keys():
        _refuse("jwk has a private member")
    if not all(isinstance(jwk.get(name), str) and _COORDINATE.fullmatch(jwk[name]) for name in ("x", "y")):
        _refuse("jwk has no proper coordinates")
    return {name: jwk[name] for name in _PUBLIC}


def _check_types(claims: Mapping[str, Any]) -> None:
    for name in ("jti", "htm", "htu"):
        if not _is_text(claims.get(name)):
            _refuse(f"{name} is missing or no string")
    if not 1 <= len(claims["jti"]) <= _MAX_JTI:
        _refuse("jti is empty or too long")
    for name in ("iat", "exp", "nbf"):
        if not _is_date(claims.get(name)) and (name == "iat" or name in claims):
            _refuse(f"{name} is missing or no number")
    for name in ("nonce", "ath"):
        if name in claims and not _is_text(claims[name]):
            _refuse(f"{name} is no string")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def _is_date(value: object) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))


def _check_occasion(claims: Mapping[str, Any], occasion: Occasion) -> None:
    if claims["htm"] != occasion.method:
        _refuse("htm is not the method")
    try:
        same = normalised(claims["htu"]) == normalised(occasion.url)
    except ValueError:
        same = False
    if not same:
        _refuse("htu is not the URL")
    if occasion.access_token is not None:
        _check_ath(claims.get("ath"), occasion.access_token)


def _check_ath(ath: str | None, access_token: str) -> None:
    digest = hashlib.sha256(access_token.encode()).digest()
    right = base64.urlsafe_b64encode(digest).rstrip(b"=")
    if ath is None or not hmac.compare_digest(ath.encode(), right):
        _refuse("ath is not the token's")
