"""The tenant's signing keys (RFC 7517): fetched before they are needed, cached, and fetched again for a new ``kid``."""

from __future__ import annotations

import base64
import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import attrs
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, RSAKey

from passwordless_async._common import clock as _clock
from passwordless_async._common.http import HttpRequest, HttpResponse
from passwordless_async._common.secret import redacted
from passwordless_async.errors import MalformedAnswer

if TYPE_CHECKING:
    from passwordless_async.auth0.application import Application

_MAX_KEYS = 32  # a tenant has two or three: the current, the next and previous ones
_MIN_BITS = 2048  # RFC 7518 §3.3
_MAX_BITS = 8192  # twice the largest in use; the cost of a check grows with its square
_MAX_EXPONENT = 2**32  # 65537 is in use; the cost of a check grows with its length
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

# Seconds between two fetches for the same reason: a flood of forged kids costs one fetch, and an outage of the endpoint
# one failure a minute instead of one for each login.
_COOL_DOWN_SECONDS = 60.0
# Keys are fetched again after a day: a key that the operator withdrew is trusted no longer, even if no token names a
# new one.
_MAX_AGE_SECONDS = 86_400.0
# Keys serve for three days if the endpoint fails: an outage may last a weekend. Longer, and an attacker who blocks the
# endpoint could keep a stolen key trusted.
_MAX_STALE_SECONDS = 259_200.0


@attrs.frozen(eq=False)
class SigningKey:
    """A key that signs ID tokens."""

    key: RSAKey | ECKey | OctKey = attrs.field(repr=redacted)
    algorithms: tuple[str, ...]  # that it may be used with; one if the key set names it


@attrs.define
class _CoolDown:
    """A pause between fetches for one reason, counted from the start of a fetch."""

    _since: float = attrs.field(default=-math.inf, init=False)

    @property
    def over(self) -> bool:
        return _clock.monotonic() - self._since >= _COOL_DOWN_SECONDS

    def start(self, *, over_in: float = _COOL_DOWN_SECONDS) -> None:
        self._since = _clock.monotonic() + over_in - _COOL_DOWN_SECONDS


@attrs.define(repr=False, eq=False)
class SigningKeys:
    """The cached signing keys, by ``kid``; lives as long as its client.

    Args:
        retry_seconds: How long after a failed fetch for an unknown ``kid`` the next one may begin.
    """

    _retry_seconds: float = attrs.field(default=1.0, kw_only=True)
    _keys: dict[str, SigningKey] = attrs.field(factory=dict, init=False)
    _learned_at: float = attrs.field(default=-math.inf, init=False)
    _learned_from: HttpResponse | None = attrs.field(default=None, init=False)
    _renewal: _CoolDown = attrs.field(factory=_CoolDown, init=False)
    _search: _CoolDown = attrs.field(factory=_CoolDown, init=False)
    _searching: bool = attrs.field(default=False, init=False)
    search_failed: bool = attrs.field(default=False, init=False)  # the last fetch for an unknown kid

    def get(self, kid: str) -> SigningKey | None:
        """Return the key of a ``kid``; None if it is unknown or the keys are too old."""
        return None if self.empty else self._keys.get(kid)

    @property
    def empty(self) -> bool:
        """Whether there are no keys that are young enough to be trusted."""
        return self._age >= _MAX_STALE_SECONDS

    @property
    def due(self) -> bool:
        """Whether the keys must or should be fetched before they are used."""
        age = self._age
        return age >= _MAX_STALE_SECONDS or (age >= _MAX_AGE_SECONDS and self._renewal.over)

    @property
    def may_search(self) -> bool:
        """Whether to fetch the keys for an unknown ``kid``: not fetched lately, or in flight and so shared."""
        return self._searching or self._search.over

    def renewal_begins(self) -> None:
        """Record that a fetch because of the keys' age begins."""
        self._renewal.start()

    def search_begins(self) -> None:
        """Record that a fetch for an unknown ``kid`` begins."""
        if not self._searching:
            self._search.start()
            self._searching = True

    def search_ended(self) -> None:
        """Record that the fetch ended: a later search cannot share its response."""
        self._searching = False

    def search_has_failed(self) -> None:
        """Record that the fetch failed; it is retried soon, because ID tokens go unchecked until it succeeds."""
        self._search.start(over_in=self._retry_seconds)
        self.search_failed = True

    def learn(self, response: HttpResponse) -> None:
        """Replace the keys by those of a response of the JWKS endpoint; a shared response is read once.

        Raises:
            MalformedAnswer: It is not a usable key set; the known keys stay.
        """
        self.search_failed = False
        if response is self._learned_from:
            return
        self._keys = read_jwks(response)
        self._learned_at = _clock.monotonic()
        self._learned_from = response

    @property
    def _age(self) -> float:
        return _clock.monotonic() - self._learned_at

    def __repr__(self) -> str:
        return f"<SigningKeys, {len(self._keys)} known>"


def jwks_request(application: Application) -> HttpRequest:
    """Build the request for the key set, which has no secrets: equal requests in flight may share one response."""
    return HttpRequest("GET", application.jwks_url, {}, shareable=True)


def read_jwks(response: HttpResponse) -> dict[str, SigningKey]:
    """Read a key set: its RSA and P-256 keys for signatures, by ``kid``; other keys are ignored.

    Raises:
        MalformedAnswer: It is not a key set, has no usable key, two keys of one ``kid``, or a key that must not be
            published.
    """
    if response.status != HTTPStatus.OK:
        raise MalformedAnswer("the signing keys cannot be read", status=response.status)
    members = response.require_json_object().get("keys")
    if not isinstance(members, list) or len(members) > _MAX_KEYS:
        raise MalformedAnswer(f"the key set has no list of at most {_MAX_KEYS} keys", status=HTTPStatus.OK)
    keys: dict[str, SigningKey] = {}
    for jwk in members:
        algorithms = _algorithms(jwk)
        if not algorithms:
            continue
        if jwk["kid"] in keys:
            raise MalformedAnswer("the key set has two keys of one kid", status=HTTPStatus.OK)
        keys[jwk["kid"]] = SigningKey(_import(jwk), algorithms)
    if not keys:
        raise MalformedAnswer("the key set has no RSA or P-256 key for signatures", status=HTTPStatus.OK)
    return keys


# By key type and curve.
_ALGORITHMS = {("RSA", None): ("RS256", "PS256"), ("EC", "P-256"): ("ES256",)}


def _algorithms(jwk: object) -> tuple[str, ...]:
    """Return the algorithms of a key; empty if it is not for signatures, or of an unknown kind."""
    if not isinstance(jwk, dict):
        return ()
    if jwk.get("kty") == "oct" or not _PRIVATE_MEMBERS.isdisjoint(jwk):
        # Anyone can sign with a published secret: the tenant no longer controls this key set.
        raise MalformedAnswer("the key set has a symmetric or a private key", status=HTTPStatus.OK)
    if not _is_for_signatures(jwk):
        return ()
    kind = str(jwk.get("kty")), str(jwk.get("crv")) if jwk.get("kty") == "EC" else None
    return tuple(alg for alg in _ALGORITHMS.get(kind, ()) if jwk.get("alg") in (None, alg))


def _is_for_signatures(jwk: dict[str, Any]) -> bool:
    """Return whether a key has a name and is for checking signatures."""
    operations, kid = jwk.get("key_ops", ["verify"]), jwk.get("kid")
    if not isinstance(kid, str) or not isinstance(operations, list):
        return False
    return bool(kid) and jwk.get("use", "sig") == "sig" and "verify" in operations


def _import(jwk: dict[str, Any]) -> RSAKey | ECKey:
    kind: type[RSAKey | ECKey] = ECKey
    names: tuple[str, ...] = ("kty", "crv", "x", "y", "kid")
    if jwk["kty"] == "RSA":
        # Before anything is computed with it; joserfc only warns of a short key.
        if not _MIN_BITS <= _number(jwk, "n").bit_length() <= _MAX_BITS:
            raise MalformedAnswer(f"a key of the key set has not {_MIN_BITS} to {_MAX_BITS} bits", status=HTTPStatus.OK)
        if _number(jwk, "e") >= _MAX_EXPONENT:
            raise MalformedAnswer("a key of the key set has too large an exponent", status=HTTPStatus.OK)
        kind, names = RSAKey, ("kty", "n", "e", "kid")
    try:
        key = kind.import_key({name: jwk[name] for name in names})
        key.public_key  # noqa: B018 - joserfc imports on first use; a bad key must fail here
    except (JoseError, KeyError, ValueError, TypeError, AttributeError):
        raise MalformedAnswer("a key of the key set is malformed", status=HTTPStatus.OK) from None
    return key


def _number(jwk: dict[str, Any], name: str) -> int:
    """Return a number in base64url (RFC 7518 §2); 0 if it is unreadable."""
    try:
        return int.from_bytes(base64.urlsafe_b64decode(jwk[name] + "=="))
    except (KeyError, TypeError, ValueError):
        return 0
