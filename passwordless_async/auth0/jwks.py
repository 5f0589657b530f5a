"""The tenant's signing keys (RFC 7517): fetched before they are needed, cached, and fetched again for a new ``kid``."""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async._common.http import HttpRequest, HttpResponse
from passwordless_async._common.secret import redacted
from passwordless_async.auth0 import jose
from passwordless_async.auth0.application import ID_TOKEN_ALGORITHMS
from passwordless_async.errors import MalformedAnswer, PasswordlessError

if TYPE_CHECKING:
    from collections.abc import Collection

    from passwordless_async.auth0.application import Application
    from passwordless_async.auth0.jose import ECKey, OctKey, RSAKey

_MAX_KEYS = 128  # more are ignored; a tenant has two or three: the current, the next and previous ones
_MIN_BITS = 2048  # RFC 7518 §3.3
_MAX_BITS = 8192  # twice the largest in use; the cost of a check grows with its square
_MAX_EXPONENT = 2**32  # 65537 is in use; the cost of a check grows with its length
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

# Seconds between two fetches because of the keys' age: an outage costs one failure a minute, not one for each login.
_RENEWAL_SECONDS = 60.0
# Seconds before each fetch of a search for an unknown kid. A cache on the way may serve an old key set for a while, and
# the endpoint may be unreachable for a moment: giving up costs a login, because its code is spent. No two are the same.
_PAUSES_SECONDS = (0.0, 0.5, 1.0)
# Seconds between two searches: a flood of unknown kids costs three fetches, and then three in as many seconds.
_SEARCH_SECONDS = 10.0
# Keys are fetched again after a day: a withdrawn key is then no longer trusted, even if no token names a new one.
_MAX_AGE_SECONDS = 86_400.0
# Keys are used for three days if the endpoint fails: an outage may last a weekend. With more time, an attacker who
# blocks the endpoint could keep a stolen key trusted.
_MAX_STALE_SECONDS = 259_200.0


@attrs.frozen(eq=False)
class SigningKey:
    """A key that signs ID tokens."""

    key: RSAKey | ECKey | OctKey = attrs.field(repr=redacted)
    algorithms: tuple[str, ...]  # that it may be used with; one if the key set names it


@attrs.define
class _CoolDown:
    """A pause between fetches for one reason."""

    _until: float = attrs.field(default=-math.inf, init=False)

    @property
    def over(self) -> bool:
        return _clock.monotonic() >= self._until

    def start(self, seconds: float) -> None:
        self._until = _clock.monotonic() + seconds


@attrs.frozen
class Fetch:
    """One fetch of a search for an unknown ``kid``."""

    number: int  # counted from the first search
    delay: float  # seconds to wait before it


@attrs.define(repr=False, eq=False)
class SigningKeys:
    """The cached signing keys, by ``kid``; kept for the client's lifetime.

    Invariants:

    - A search for an unknown ``kid`` is shared: all callers with an unknown ``kid`` share its few fetches.
    - The response of a fetch is stored before any of its waiters resumes (:meth:`fetched`): a search that begins at
      that moment finds the new keys, or the failure.
    - There is a pause between searches, whichever ``kid`` they are for.
    """

    algorithms: Collection[str] = ID_TOKEN_ALGORITHMS  # that keys are wanted for
    _keys: dict[str, tuple[SigningKey, ...]] = attrs.field(factory=dict, init=False)
    _learned_at: float = attrs.field(default=-math.inf, init=False)
    _learned_from: HttpResponse | None = attrs.field(default=None, init=False)
    _renewal: _CoolDown = attrs.field(factory=_CoolDown, init=False)
    _search: _CoolDown = attrs.field(factory=_CoolDown, init=False)
    _last: Fetch = attrs.field(default=Fetch(0, 0.0), init=False)  # of all searches
    _ended: int = attrs.field(default=0, init=False)  # the number of the last fetch that ended
    _pauses: tuple[float, ...] = attrs.field(default=(), init=False)  # of the fetches that the search has left
    problem: str = attrs.field(default="", init=False)  # of the last fetch; empty if it succeeded

    def __attrs_post_init__(self) -> None:
        jose.load("JoseError", "JWSRegistry", "RSAKey")

    def get(self, kid: str, alg: str) -> SigningKey | None:
        """Return the key of a ``kid`` and an algorithm; None if the ``kid`` is unknown or the keys are too old.

        If the ``kid`` has no key for the algorithm, returns its key for another one.
        """
        named = () if self.empty else self._keys.get(kid, ())
        for key in named:
            if alg in key.algorithms:
                return key
        return named[0] if named else None

    @property
    def empty(self) -> bool:
        """Whether there are no keys that are young enough to be trusted."""
        return self._age >= _MAX_STALE_SECONDS

    @property
    def due(self) -> bool:
        """Whether the keys must or should be fetched before they are used."""
        age = self._age
        return age >= _MAX_STALE_SECONDS or (age >= _MAX_AGE_SECONDS and self._renewal.over)

    def renewal_begins(self) -> None:
        """Record that a fetch because of the keys' age begins."""
        self._renewal.start(_RENEWAL_SECONDS)

    @property
    def may_search(self) -> bool:
        """Whether :meth:`next_fetch` begins or joins a fetch: no search has just ended."""
        return self._last.number > self._ended or bool(self._pauses) or self._search.over

    def next_fetch(self) -> Fetch | None:
        """Begin the next fetch of a search, or join the one in flight; None: a search has just ended."""
        if self._last.number > self._ended:
            return self._last
        if not self._pauses and self._search.over:
            self._pauses = _PAUSES_SECONDS
        if not self._pauses:
            return None
        delay, *rest = self._pauses
        self._pauses = tuple(rest)
        self._last = Fetch(self._last.number + 1, delay)
        self._search.start(_SEARCH_SECONDS)
        return self._last

    def end_fetch(self, number: int) -> None:
        """Record that a fetch of a search ended; a repeated call does nothing."""
        self._ended = max(self._ended, number)

    def fetched(self, outcome: HttpResponse | PasswordlessError | None) -> None:
        """Take the result of a fetch before its waiters resume; None: it was cancelled."""
        self._ended = self._last.number
        try:
            if isinstance(outcome, HttpResponse):
                self.learn(outcome)
            elif outcome is not None:
                self.failed(outcome)
        except MalformedAnswer as error:
            self.failed(error)  # and the waiters get the error when they read the response

    def failed(self, error: PasswordlessError) -> None:
        """Record why the last fetch returned no keys."""
        self.problem = str(error)

    def learn(self, response: HttpResponse) -> None:
        """Replace the keys by those of a response of the JWKS endpoint; a shared response is read once.

        Raises:
            MalformedAnswer: It is not a usable key set; the known keys stay.
        """
        if response is self._learned_from:
            return
        self._keys = read_jwks(response, self.algorithms)
        self.problem = ""
        self._learned_at = _clock.monotonic()
        self._learned_from = response

    @property
    def _age(self) -> float:
        return _clock.monotonic() - self._learned_at

    def __repr__(self) -> str:
        return f"<SigningKeys, {len(self._keys)} known>"


def jwks_request(application: Application, *, delay: float = 0.0, revalidate: bool = False) -> HttpRequest:
    """Build the request for the key set, which has no secrets: equal requests in flight may share one response.

    With ``revalidate``, caches on the way must ask the tenant before they answer (RFC 9111 §5.2.1.4).
    """
    headers = {"Cache-Control": "no-cache"} if revalidate else {}
    return HttpRequest("GET", application.jwks_url, headers, shareable=True, delay=delay)


def read_jwks(
    response: HttpResponse, algorithms: Collection[str] = ID_TOKEN_ALGORITHMS
) -> dict[str, tuple[SigningKey, ...]]:
    """Read a key set, key by key: its RSA and EC keys for signatures by some algorithms, by ``kid``.

    Any other key is ignored, and verifies nothing (RFC 7517 §5): a key of another kind, a malformed, short or oversized
    one, one with a published secret, and keys with the same ``kid`` and algorithm.

    Raises:
        MalformedAnswer: It is not a key set, or has no usable key.
    """
    if not response.is_success:
        raise MalformedAnswer("the signing keys cannot be read", status=response.status)
    members = response.require_json_object().get("keys")
    if not isinstance(members, list):
        raise MalformedAnswer("the key set has no list of keys", status=response.status)
    keys: dict[str, tuple[SigningKey, ...]] = {}
    for kid, alike in _by_name(members[:_MAX_KEYS], algorithms).items():
        usable = tuple(key for key in alike if _is_distinct(key, alike))
        if usable:
            keys[kid] = usable
    if not keys:
        raise MalformedAnswer("the key set has no usable RSA or P-256 key for signatures", status=response.status)
    return keys


def _by_name(members: list[Any], wanted: Collection[str]) -> dict[str, list[SigningKey]]:
    named: dict[str, list[SigningKey]] = {}
    for jwk in members:
        algorithms = tuple(alg for alg in _algorithms(jwk) if alg in wanted)
        key = _import(jwk) if algorithms else None
        if key is None:
            continue
        alike = named.setdefault(jwk["kid"], [])
        # The same key may be listed twice.
        if all(key.as_dict(private=False) != other.key.as_dict(private=False) for other in alike):
            alike.append(SigningKey(key, algorithms))
    return named


def _is_distinct(key: SigningKey, alike: list[SigningKey]) -> bool:
    """Return whether no other key of the ``kid`` has one of the key's algorithms: else the choice would be a guess."""
    return all(other is key or set(key.algorithms).isdisjoint(other.algorithms) for other in alike)


# By key type and curve.
_ALGORITHMS = {
    ("RSA", None): ("RS256", "PS256", "RS384", "PS384", "RS512", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
}


def _algorithms(jwk: object) -> tuple[str, ...]:
    """Return the algorithms of a key; empty if it is not for signatures, or of an unknown kind."""
    if not isinstance(jwk, dict):
        return ()
    # Anyone can sign with a published secret.
    if not _PRIVATE_MEMBERS.isdisjoint(jwk) or not _is_for_signatures(jwk):
        return ()
    kind = str(jwk.get("kty")), str(jwk.get("crv")) if jwk.get("kty") == "EC" else None
    return tuple(alg for alg in _ALGORITHMS.get(kind, ()) if jwk.get("alg") in (None, alg))


def _is_for_signatures(jwk: dict[str, Any]) -> bool:
    """Return whether a key has a name and is for checking signatures."""
    operations, kid = jwk.get("key_ops", ["verify"]), jwk.get("kid")
    if not isinstance(kid, str) or not isinstance(operations, list):
        return False
    return bool(kid) and jwk.get("use", "sig") == "sig" and "verify" in operations


def _import(jwk: dict[str, Any]) -> RSAKey | ECKey | None:
    """Return a key; None if it is malformed, too short or too large."""
    kind: type[RSAKey | ECKey] = jose.ECKey
    names: tuple[str, ...] = ("kty", "crv", "x", "y", "kid")
    if jwk["kty"] == "RSA":
        # Before anything is computed with it; for a short key, joserfc only warns.
        if not _MIN_BITS <= _number(jwk, "n").bit_length() <= _MAX_BITS or _number(jwk, "e") >= _MAX_EXPONENT:
            return None
        kind, names = jose.RSAKey, ("kty", "n", "e", "kid")
    try:
        key = kind.import_key({name: jwk[name] for name in names})
        _ = key.public_key  # joserfc imports on first use: a bad key must fail here
    except (jose.JoseError, KeyError, ValueError, TypeError, AttributeError):
        return None
    return key


def _number(jwk: dict[str, Any], name: str) -> int:
    """Return a number in base64url (RFC 7518 §2); 0 if it is unreadable."""
    try:
        return int.from_bytes(base64.urlsafe_b64decode(jwk[name] + "=="))
    except (KeyError, TypeError, ValueError):
        return 0
