"""The tenant's signing keys (RFC 7517): fetched before they are needed, kept, and fetched again for one that is new."""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING, Any

import attrs
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, RSAKey

from passwordless_async._common import clock as _clock
from passwordless_async._common.http import HttpRequest
from passwordless_async._common.secret import redacted
from passwordless_async.errors import MalformedAnswer

if TYPE_CHECKING:
    from passwordless_async._common.http import HttpResponse
    from passwordless_async.auth0.application import Application

_OK = 200
_MAX_KEYS = 32  # a tenant has two or three: the present one, the next one and those before
_MIN_BITS = 2048  # RFC 7518 §3.3
_MAX_BITS = 8192  # twice the largest in use; what a check costs grows with the square of it
_MAX_EXPONENT = 2**32  # 65537 is what is in use; what a check costs grows with its length
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

# Seconds between two fetches for the same reason: a flood of made-up kids costs one fetch, and an outage of the
# endpoint costs one failure a minute instead of one for each login.
_COOL_DOWN = 60.0
_AFTER_FAILURE = 1.0  # seconds after a search that failed: an outage costs one fetch each
# Seconds after which keys are fetched again: a key that the operator has withdrawn is trusted for a day at most, also
# where no token names a new one, and one request a day is nothing.
_MAX_AGE = 86_400.0
# Seconds for which keys serve where the endpoint fails: three days, so that an outage may last a weekend. Longer, and
# whoever can keep the endpoint from us could keep a stolen key alive.
_MAX_STALE = 259_200.0


@attrs.frozen(eq=False)
class SigningKey:
    """A key that ID tokens are checked with.

    Attributes:
        key: The key.
        algorithms: What it may have signed with: one key for one algorithm, where the key set says which.
    """

    key: RSAKey | ECKey | OctKey = attrs.field(repr=redacted)
    algorithms: tuple[str, ...]


@attrs.define
class _CoolDown:
    """A reason to fetch, and when it last was one; it counts from the start of a fetch."""

    _since: float = attrs.field(default=-math.inf, init=False)

    @property
    def over(self) -> bool:
        return _clock.monotonic() - self._since >= _COOL_DOWN

    def start(self, *, over_in: float = _COOL_DOWN) -> None:
        self._since = _clock.monotonic() + over_in - _COOL_DOWN


@attrs.define(repr=False, eq=False)
class SigningKeys:
    """The keys that ID tokens may be signed with, by ``kid``; lives as long as its client.

    Attributes:
        search_failed: Whether the last search for an unknown kid had no answer that could be used.
    """

    _keys: dict[str, SigningKey] = attrs.field(factory=dict, init=False)
    _learned_at: float = attrs.field(default=-math.inf, init=False)
    _learned_from: HttpResponse | None = attrs.field(default=None, init=False)
    _renewal: _CoolDown = attrs.field(factory=_CoolDown, init=False)
    _search: _CoolDown = attrs.field(factory=_CoolDown, init=False)
    _searching: bool = attrs.field(default=False, init=False)
    search_failed: bool = attrs.field(default=False, init=False)

    def get(self, kid: str) -> SigningKey | None:
        """Return the key of that name, or None; keys that are too old to be trusted are gone."""
        return None if self.empty else self._keys.get(kid)

    @property
    def empty(self) -> bool:
        """Whether there are no keys, or none that are young enough to be trusted."""
        return self._age >= _MAX_STALE

    @property
    def due(self) -> bool:
        """Whether keys must be fetched before they are used, or should be."""
        age = self._age
        return age >= _MAX_STALE or (age >= _MAX_AGE and self._renewal.over)

    @property
    def may_search(self) -> bool:
        """Whether an unknown kid may be looked for: nobody did lately, or somebody does and the answer is shared."""
        return self._searching or self._search.over

    def renewal_begins(self) -> None:
        """Note that keys are fetched because of their age."""
        self._renewal.start()

    def search_begins(self) -> None:
        """Note that an unknown kid is looked for."""
        if not self._searching:
            self._search.start()
            self._searching = True

    def search_ended(self) -> None:
        """Note that a fetch has ended: whoever comes now with an unknown kid comes too late to share its answer."""
        self._searching = False

    def search_has_failed(self) -> None:
        """Note that the key set could not be had: ID tokens go unchecked until it can, so it is tried again soon."""
        self._search.start(over_in=_AFTER_FAILURE)
        self.search_failed = True

    def learn(self, response: HttpResponse) -> None:
        """Take the keys from an answer of the JWKS endpoint; those who share an answer read it once.

        Raises:
            MalformedAnswer: It is not a key set that can be used; the keys known before are kept.
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
    """Build the request for the key set; those in flight at once share an answer."""
    return HttpRequest("GET", application.jwks_url, {}, shareable=True)


def read_jwks(response: HttpResponse) -> dict[str, SigningKey]:
    """Read a key set: the RSA and P-256 keys for signatures, by ``kid``; what is not understood is passed over.

    Raises:
        MalformedAnswer: It is not a key set, has no usable key, two of one name, or one that nobody should publish.
    """
    if response.status != _OK:
        raise MalformedAnswer("the signing keys cannot be read", status=response.status)
    members = response.require_json_object().get("keys")
    if not isinstance(members, list) or len(members) > _MAX_KEYS:
        raise MalformedAnswer(f"the key set has no list of at most {_MAX_KEYS} keys", status=_OK)
    keys: dict[str, SigningKey] = {}
    for jwk in members:
        algorithms = _algorithms(jwk)
        if not algorithms:
            continue
        if jwk["kid"] in keys:
            raise MalformedAnswer("the key set has two keys of one kid", status=_OK)
        keys[jwk["kid"]] = SigningKey(_import(jwk), algorithms)
    if not keys:
        raise MalformedAnswer("the key set has no RSA or P-256 key for signatures", status=_OK)
    return keys


def _algorithms(jwk: object) -> tuple[str, ...]:
    """Return what a key may have signed with; nothing for one that is not for signatures, or not understood."""
    if not isinstance(jwk, dict):
        return ()
    if jwk.get("kty") == "oct" or not _PRIVATE_MEMBERS.isdisjoint(jwk):
        # What the world can read, the world can sign with: a set that has this is no longer the tenant's alone.
        raise MalformedAnswer("the key set has a symmetric or a private key", status=_OK)
    if not (_is_for_signatures(jwk) and isinstance(jwk.get("kid"), str) and jwk["kid"]):
        return ()
    possible: tuple[str, ...] = ()
    if jwk.get("kty") == "RSA":
        possible = ("RS256", "PS256")
    elif jwk.get("kty") == "EC" and jwk.get("crv") == "P-256":
        possible = ("ES256",)
    return tuple(alg for alg in possible if jwk.get("alg") in (None, alg))


def _is_for_signatures(jwk: dict[str, Any]) -> bool:
    operations = jwk.get("key_ops", ["verify"])
    return jwk.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def _import(jwk: dict[str, Any]) -> RSAKey | ECKey:
    kind: type[RSAKey | ECKey] = ECKey
    names: tuple[str, ...] = ("kty", "crv", "x", "y", "kid")
    if jwk["kty"] == "RSA":
        # Before anything is computed with it; and of a short key joserfc would only warn.
        if not _MIN_BITS <= _number(jwk, "n").bit_length() <= _MAX_BITS:
            raise MalformedAnswer(f"a key of the key set has not {_MIN_BITS} to {_MAX_BITS} bits", status=_OK)
        if _number(jwk, "e") >= _MAX_EXPONENT:
            raise MalformedAnswer("a key of the key set has too large an exponent", status=_OK)
        kind, names = RSAKey, ("kty", "n", "e", "kid")
    try:
        key = kind.import_key({name: jwk[name] for name in names})
        key.public_key  # noqa: B018 - joserfc imports on first use; a bad key is to fail here
    except (JoseError, KeyError, ValueError, TypeError, AttributeError):
        raise MalformedAnswer("a key of the key set is malformed", status=_OK) from None
    return key


def _number(jwk: dict[str, Any], name: str) -> int:
    """Return a member that is a number in base64url (RFC 7518 §2), 0 where it is unreadable."""
    try:
        return int.from_bytes(base64.urlsafe_b64decode(jwk[name] + "=="))
    except (KeyError, TypeError, ValueError):
        return 0
