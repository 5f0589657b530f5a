"""Checking proofs (RFC 9449 §4.3), independently of the client that the tenant tests.

Invariants:

- The checks share no code with the library, so one defect cannot hide in both.
- The first check that fails gives the reason, in this order: one header, a compact JWT of bounded size; ``typ``,
  ``alg``, no critical extension, a public ``jwk``; the signature, by joserfc; the type of every claim; ``htm``,
  ``htu``, ``ath``; the nonce; ``iat``, ``exp``, ``nbf``; the replay memory.
- Only a proof that passes every other check takes a place in the replay memory.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
import hmac
import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NoReturn

import attrs
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from passwordless_async._common import clock as _clock
from passwordless_async._common.bounded import Bounded
from passwordless_async.testing.checks.compact import read_compact
from passwordless_async.testing.refusals import UNAVAILABLE, RequestRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from multidict import CIMultiDictProxy

    from passwordless_async.testing.checks.compact import CompactJwt
    from passwordless_async.testing.checks.second_opinion import ProofTarget, SecondOpinion
    from passwordless_async.testing.settings import TenantSettings
    from passwordless_async.testing.state.clock import TenantClock
    from passwordless_async.testing.state.nonces import Nonces
    from passwordless_async.testing.state.records import TenantStats

_MAX_PROOF_BYTES = 4096
_MAX_JTI_CHARACTERS = 256
# A coordinate of P-256 is 32 octets (RFC 7518 §6.2.1.2), 43 characters; a padded one would change the thumbprint.
# Of its last character four bits count: the other two are zero in the one spelling that is canonical.
_COORDINATE = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
# Registered header parameters that are ignored here, and must have their type all the same (RFC 7515 §4.1).
_TEXTS = ("cty", "jku", "kid", "x5t", "x5t#S256", "x5u")
_DEFAULT_PORTS = {"http": "80", "https": "443"}
# RFC 3986 §3, with no user information; of the characters of a path only its escapes matter here.
_URL = re.compile(
    r"(?P<scheme>[Hh][Tt][Tt][Pp][Ss]?)://(?P<host>\[[^\]/]*\]|[^\[\]:/@]+)(?::(?P<port>[0-9]*))?"
    r"(?P<path>(?:/(?:[^%]|%[0-9A-Fa-f]{2})*)?)",
    re.DOTALL,
)
_HOST = re.compile(r"\[[0-9a-f:.]+\]|[a-z0-9._~!$&'()*+,;=-]+")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9\-._~]")
_MAX_JTIS = 200_000
_MAX_KEYS = 200_000  # that are told from new ones; the least recently used goes first
_PUBLIC = ("crv", "kty", "x", "y")
_PRIVATE = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))


class ProofRefused(Exception):
    """The proof failed a check; the message says which.

    Attributes:
        thumbprint: That of the proof's key; empty where the signature is not its own.
    """

    thumbprint = ""


class NonceNeeded(Exception):
    """The proof has no nonce and needs one or, where ``stale``, has one that does not pass."""

    def __init__(self, *, stale: bool) -> None:
        super().__init__("stale nonce" if stale else "no nonce")
        self.stale = stale


@attrs.frozen
class CheckedProof:
    """A proof that passed."""

    thumbprint: str  # of its key (RFC 7638, ``jkt``)
    nonce: str | None


@attrs.define
class SeenJtis:
    """The accepted JWTs, until they expire (RFC 9449 §11.1); two issuers may choose the same ``jti``.

    The issuer of a proof is its key's thumbprint, that of an assertion its ``sub``. A hash of the whole JWT would not
    do: for a signature (r, s) the pair (r, n-s) verifies too. An issuer may have as many as are free: one
    that floods the tenant leaves half the memory to the others.
    """

    _capacity: int = _MAX_JTIS
    _now: Callable[[], float] = _clock.monotonic  # seconds; a wall clock may be set
    _seen: set[tuple[str, str]] = attrs.field(factory=set, init=False, repr=False)
    _ends: list[tuple[float, tuple[str, str]]] = attrs.field(factory=list, init=False, repr=False)  # a heap
    _held: Counter[str] = attrs.field(factory=Counter, init=False, repr=False)  # by issuer

    def add(self, issuer: str, jti: str, *, seconds: float) -> bool:
        """Remember a JWT for some seconds; return False if it is already known.

        Raises:
            RequestRefused: 503: the memory is full, or the issuer's share of it. Forgetting a JWT would let a replay
                pass.
        """
        now, jwt = self._now(), (issuer, jti)
        while self._ends and self._ends[0][0] <= now:
            self._forget(heapq.heappop(self._ends)[1])
        if jwt in self._seen:
            return False
        if self._held[issuer] >= self._capacity - len(self._seen):
            raise RequestRefused(UNAVAILABLE.because("too many JWTs are remembered"))
        self._seen.add(jwt)
        self._held[issuer] += 1
        heapq.heappush(self._ends, (now + seconds, jwt))
        return True

    def _forget(self, jwt: tuple[str, str]) -> None:
        self._seen.remove(jwt)
        self._held[jwt[0]] -= 1
        if not self._held[jwt[0]]:
            del self._held[jwt[0]]


@attrs.define
class ProofChecker:
    """Checks proofs, and remembers them for as long as they could pass again."""

    _settings: TenantSettings
    _clock: TenantClock
    _nonces: Nonces
    _stats: TenantStats
    _second_opinion: SecondOpinion
    _seen: SeenJtis = attrs.field(factory=SeenJtis, init=False)
    _keys: Bounded[str, None] = attrs.field(factory=lambda: Bounded(_MAX_KEYS), init=False, repr=False)

    def check(self, headers: CIMultiDictProxy[str], target: ProofTarget) -> CheckedProof | None:
        """Return the proof of a request, or None without one; or raise ``ProofRefused`` or ``NonceNeeded``."""
        if "DPoP" not in headers:
            return None
        now = self._clock.wall()
        try:
            proof = self._check(headers.getall("DPoP"), target, now)
        except ProofRefused as refused:
            self._stats.proofs_refused += 1
            self._second_opinion.compare("", refused.thumbprint, headers, target, now)
            raise
        self._second_opinion.compare(proof.thumbprint, proof.thumbprint, headers, target, now)
        self._stats.proofs_accepted += 1
        self._stats.distinct_keys += proof.thumbprint not in self._keys
        self._keys[proof.thumbprint] = None
        return proof

    def _check(self, values: list[str], target: ProofTarget, now: float) -> CheckedProof:
        thumbprint, claims = _verified(_compact(values))
        try:
            _check_types(claims)
            _check_target(claims, target)
            nonce = self._check_nonce(claims.get("nonce"), required=target.nonce_required)
            if nonce is None or not self._settings.nonce_replaces_iat:
                self._check_time(claims, now)
            self._remember(thumbprint, claims)
        except ProofRefused as refused:
            refused.thumbprint = thumbprint
            raise
        return CheckedProof(thumbprint, nonce)

    def _check_nonce(self, nonce: str | None, *, required: bool) -> str | None:
        if nonce is None:
            if required:
                raise NonceNeeded(stale=False)
        elif not self._nonces.accept(nonce):
            raise NonceNeeded(stale=True)
        return nonce

    def _check_time(self, claims: Mapping[str, Any], now: float) -> None:
        skew = self._settings.proof_skew
        if claims["iat"] > now + skew:
            _refuse("iat is in the future")
        if claims["iat"] < now - self._settings.proof_max_age:
            _refuse("iat is too old")
        if claims.get("exp", math.inf) <= now - skew or claims.get("nbf", -math.inf) > now + skew:
            _refuse("exp or nbf")

    def _remember(self, thumbprint: str, claims: Mapping[str, Any]) -> None:
        settings = self._settings
        window = settings.proof_max_age + settings.proof_skew
        seconds = window + settings.proof_skew
        if settings.nonce_replaces_iat:
            # Then the nonce says how long the proof passes, and iat may be any number.
            seconds += settings.nonce_lifetime * (1 + settings.accepted_previous_nonces)
        if not self._seen.add(thumbprint, claims["jti"], seconds=seconds):
            self._stats.replays_refused += 1
            _refuse("jti was used before")


def _refuse(reason: str) -> NoReturn:
    raise ProofRefused(reason)


def _compact(values: list[str]) -> CompactJwt:
    if len(values) != 1 or "," in values[0]:
        _refuse("more than one DPoP header")
    if len(values[0]) > _MAX_PROOF_BYTES:
        _refuse("the proof is too long")
    try:
        return read_compact(values[0])
    except ValueError:
        return _refuse("not a compact JWT")


def _verified(jwt: CompactJwt) -> tuple[str, dict[str, Any]]:
    members = _public_members(jwt.header)
    try:
        key = ECKey.import_key(members)
        signed = jwt.is_signed_by(key, "ES256")
    except (JoseError, ValueError, TypeError, KeyError):
        signed = False
    if not signed:
        _refuse("the signature is wrong, or jwk is not a point on the curve")
    return key.thumbprint(), jwt.claims


def _is_p256(jwk: object) -> bool:
    return isinstance(jwk, dict) and (jwk.get("kty"), jwk.get("crv")) == ("EC", "P-256")


_HEADER_CHECKS: tuple[tuple[str, Callable[[Mapping[str, Any]], bool]], ...] = (
    ("typ is not dpop+jwt", lambda header: header.get("typ") == "dpop+jwt"),
    ("alg is not ES256", lambda header: header.get("alg") == "ES256"),
    ("a critical extension", lambda header: not header.keys() & {"crit", "b64"}),
    (
        "a header parameter is not a string",
        lambda header: all(isinstance(header.get(name, ""), str) for name in _TEXTS),
    ),
    ("x5c is not an array of strings", lambda header: _is_texts(header.get("x5c", []))),
    ("jwk is not a P-256 key", lambda header: _is_p256(header.get("jwk"))),
    ("jwk has a private member", lambda header: not header["jwk"].keys() & _PRIVATE),
    (
        "jwk has no proper coordinates",
        lambda header: all(_is_coordinate(header["jwk"].get(name)) for name in ("x", "y")),
    ),
)


def _public_members(header: Mapping[str, Any]) -> dict[str, Any]:
    for reason, passes in _HEADER_CHECKS:
        if not passes(header):
            _refuse(reason)
    return {name: header["jwk"][name] for name in _PUBLIC}


def _is_coordinate(value: object) -> bool:
    return isinstance(value, str) and _COORDINATE.fullmatch(value) is not None


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _check_types(claims: Mapping[str, Any]) -> None:
    for name, (is_required, has_type, kind) in _CLAIM_TYPES.items():
        if not has_type(claims.get(name)) and (is_required or name in claims):
            _refuse(f"{name} is missing or not {kind}")
    if not 1 <= len(claims["jti"]) <= _MAX_JTI_CHARACTERS:
        _refuse("jti is empty or too long")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def is_date(value: object) -> bool:
    """Return whether a JSON value is a NumericDate (RFC 7519 §2)."""
    return type(value) is int or (type(value) is float and math.isfinite(value))


_TEXT, _DATE = (_is_text, "a string"), (is_date, "a number")
_CLAIM_TYPES = {
    "jti": (True, *_TEXT),
    "htm": (True, *_TEXT),
    "htu": (True, *_TEXT),
    "iat": (True, *_DATE),
    "exp": (False, *_DATE),
    "nbf": (False, *_DATE),
    "nonce": (False, *_TEXT),
    "ath": (False, *_TEXT),
}


def _check_target(claims: Mapping[str, Any], target: ProofTarget) -> None:
    if claims["htm"] != target.method:
        _refuse("htm is not the method")
    try:
        same = normalised(claims["htu"]) == normalised(target.url)
    except ValueError:
        same = False
    if not same:
        _refuse(f"htu is not the URL {target.url}")
    if target.access_token is not None:
        _check_ath(claims.get("ath"), target.access_token)


def _check_ath(ath: str | None, access_token: str) -> None:
    digest = hashlib.sha256(access_token.encode()).digest()
    right = base64.urlsafe_b64encode(digest).rstrip(b"=")
    if ath is None or not hmac.compare_digest(ath.encode(), right):
        _refuse("ath is not the token's")


def normalised(url: str) -> str:
    """Return a URL in its normal form, without query and fragment; raise ``ValueError`` where ``htu`` cannot be one.

    RFC 9449 §4.3: "Servers SHOULD employ syntax-based normalization (Section 6.2.2 of [RFC3986]) and scheme-based
    normalization (Section 6.2.3 of [RFC3986]) before comparing", "ignoring any query and fragment parts". Path case and
    a trailing slash count; ``%2F`` is not a slash. A URL must be http or https, absolute, and without user information.
    """
    without_query = re.split(r"[?#]", url, maxsplit=1)[0]
    match = _URL.fullmatch(without_query)
    if match is None or not without_query.isascii():
        raise ValueError("not an absolute http or https URL")
    scheme, port = match["scheme"].lower(), match["port"]
    host = _ESCAPE.sub(_unescape, match["host"]).lower()
    if not _HOST.fullmatch(host):
        raise ValueError("not a host")
    port = "" if port in (None, "", _DEFAULT_PORTS[scheme]) else f":{port}"
    return f"{scheme}://{host}{port}{_path(match['path'])}"


def _path(path: str) -> str:
    segments: list[str] = []
    parts = _ESCAPE.sub(_unescape, path).split("/")[1:]
    for segment in parts:
        if segment == "..":
            del segments[-1:]
        elif segment != ".":
            segments.append(segment)
    if parts and parts[-1] in (".", ".."):
        segments.append("")
    return "/" + "/".join(segments)


def _unescape(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if _UNRESERVED.fullmatch(character) else match[0].upper()
