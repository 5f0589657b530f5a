"""Checking the proof of a request (RFC 9449 §4.3, §7.1), for resource servers and token endpoints.

Invariants:

- :meth:`DPoPVerifier.verify` returns a checked proof or raises.
- No input of a client raises anything but :class:`~passwordless_async.errors.InvalidDPoPProof` and
  :class:`~passwordless_async.errors.UseDPoPNonce`; :class:`~passwordless_async.errors.UsageError` reports mistakes of
  the application.
- The replay check comes last: only a proof that is right in all else is remembered.
- A proof is remembered for at least as long as it stays acceptable; if the store cannot remember it, it is refused.
- The store gets durations, not times: neither its clock nor that of the nonces need agree with the verifier's. If the
  verifier's clock is set back, a proof that may have been used before is refused.
- A client can fill only its own share: each key has one entry in the cache of keys, and a share of the replay store.
"""

from __future__ import annotations

import copy
import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from yarl import URL

from passwordless_async._common import arguments as _check
from passwordless_async._common import clock as _clock
from passwordless_async._common.bounded import Bounded
from passwordless_async._common.secret import always_printable, conceal
from passwordless_async.dpop.server import reader, uri
from passwordless_async.dpop.server.checked import CheckedProof, FailedCheck, check_binding
from passwordless_async.dpop.server.fields import Headers, proof_of, proofs_of
from passwordless_async.dpop.server.replay import Dropped
from passwordless_async.errors import StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from passwordless_async.dpop.server.nonce_issuer import AcceptedNonce, NonceIssuer
    from passwordless_async.dpop.server.replay import ReplayStore

_MAX_CACHED_KEYS = 1024  # imported keys, about 3 KB each; a client uses one key for many requests
_MAX_SHOWN = 256  # characters of a URL in an advice
_MAX_TOLD = 1e9  # seconds; a larger difference between two clocks is reported as this


_USED = FailedCheck(
    "the proof was used before", advice="The client must sign a new proof for each request, a retry included."
)
_NOT_REMEMBERED = FailedCheck(
    "the proof cannot be remembered", "temporarily_unavailable", advice="Check the replay store: it refused the proof."
)
_SIGN_METHOD = "The client must sign the method that it sends; check each proxy that changes methods."
_SET_CLOCKS = (
    "Set the clocks of the client's machine and of this one; the client must sign each proof just before it is sent."
)
_SET_BACK = FailedCheck(
    "this server's clock was set back: the proof may have been used before",
    "temporarily_unavailable",
    advice="Check this server's clock. The client may try again with a new proof.",
)


def _require_method(argument: str, value: object, method: str, *, named: str) -> None:
    # A class, passed without parentheses, has the method too.
    if isinstance(value, type) or not callable(getattr(value, method, None)):
        raise UsageError(argument, f"must be {named}{', not a class' if isinstance(value, type) else ''}")


class _CachedKeys:
    """Imported keys by the header of their proofs: a client's next proof has the same header, byte for byte.

    Each key has one place, for the header that it came with last: a client that varies its header costs no other its
    place.
    """

    __slots__ = ("_headers", "_keys")

    def __init__(self, size: int) -> None:
        self._keys: Bounded[str, reader.PublicKey] = Bounded(size)
        self._headers: Bounded[str, str] = Bounded(size)  # by thumbprint

    def get(self, header: str) -> reader.PublicKey | None:
        return self._keys.get(header)

    def put(self, header: str, key: reader.PublicKey) -> None:
        earlier = self._headers.get(key.thumbprint)
        if earlier is not None and earlier in self._keys:
            del self._keys[earlier]
        self._keys[header] = key
        self._headers[key.thumbprint] = header


class _Lifetime(NamedTuple):
    """For how long a proof could be replayed."""

    ends: float  # by the verifier's clock, or that of the nonces
    dropped: Dropped  # the dropped proofs, by that clock
    keep_for: float  # seconds to remember it: longer, for the clocks of other machines


@always_printable
class DPoPVerifier:
    """Checks proofs. Create one for the lifetime of the service.

    Args:
        replay: Remembers used proofs, for the lifetime of the service; all its processes must share it.
        base_url: The URL that clients use, or several: a proof may be for any of them (RFC 9449 §4.3 (9)). Its scheme,
            host and port replace those of the request, which a proxy may have changed and a client may forge; its path
            is put before the request's. Verifiers that share a ``replay`` store may have different ones.
        nonces: Issues the service's nonces; without it, a ``nonce`` in a proof is ignored.
        require_nonce: Whether a proof must have a nonce if ``nonces`` is given. If False, only a nonce that the proof
            has is checked.
        nonce_time: Whether the time in an accepted nonce replaces ``iat`` (RFC 9449 §11.1), for clients with a wrong
            clock.
        max_age: The oldest accepted proof by its ``iat``, in seconds: 60 unless given.
        skew: The allowed difference between two clocks, in seconds: 10 unless given. A client's ``iat`` may be this far
            in the future, and ``exp`` this far in the past. A used proof is remembered this much longer than
            ``max_age``.
        clock: The wall clock: seconds since the UNIX epoch.

    Raises:
        UsageError: An argument has a wrong type or value.
    """

    __slots__ = (
        "_bases", "_clock", "_dropped", "_dropped_by_nonce", "_keys", "_max_age", "_nonce_time", "_nonces", "_replay",
        "_require_nonce", "_skew", "_store_clock",
    )  # fmt: skip

    def __init__(
        self,
        *,
        replay: ReplayStore,
        base_url: str | URL | Iterable[str | URL],
        nonces: NonceIssuer | None = None,
        require_nonce: bool = True,
        nonce_time: bool = False,
        max_age: float = 60,
        skew: float = 10,
        clock: Callable[[], float] = _clock.now,
    ) -> None:
        _require_method("replay", replay, "add", named="a ReplayStore")
        if nonces is not None:
            _require_method("nonces", nonces, "check", named="a NonceIssuer")
        if _check.boolean("nonce_time", nonce_time) and nonces is None:
            raise UsageError("nonce_time", "needs nonces")
        self._replay = replay
        self._store_clock: Callable[[], float] = getattr(replay, "clock", _clock.now)
        self._bases = uri.base_urls(base_url)
        self._dropped, self._dropped_by_nonce = Dropped(), Dropped()
        self._nonces = nonces
        self._require_nonce = _check.boolean("require_nonce", require_nonce)
        self._nonce_time = nonce_time
        self._max_age = _check.at_least_zero("max_age", max_age)
        self._skew = _check.at_least_zero("skew", skew)
        self._clock = clock
        self._keys = _CachedKeys(_MAX_CACHED_KEYS)

    @property
    def base_urls(self) -> tuple[str, ...]:
        """The URLs that proofs may be for, normalised, without a trailing slash."""
        return tuple(self._bases)

    async def verify(
        self,
        method: str,
        url: str | URL,
        headers: Headers,
        *,
        confirmation: Mapping[str, Any] | None = None,
        access_token: str | None = None,
        owner: str | None = None,
    ) -> CheckedProof:
        """Check the proof of one request and spend it.

        Args:
            method: The request's method, in its original case.
            url: The request's path and query, not decoded, or its URL.
            headers: The request's header fields, names in any case: a multi-value mapping or pairs.
            confirmation: The ``cnf`` claim of the token that you validated (RFC 9449 §6.1). A token without one is
                not bound and is refused. None at a token endpoint.
            access_token: The access token of the request. None at a token endpoint.
            owner: The client for which the replay store counts the proof: a text made of the ``iss`` and ``sub`` of the
                validated token, for example. None: the proof's key; but a user with many logins has many keys.

        Returns:
            The checked proof.

        Raises:
            InvalidDPoPProof: The request is refused; ``status`` is 401, or 400 at a token endpoint, or 503 if the
                replay store cannot take the proof, or the clock was set back and the proof may have been used before.
            UseDPoPNonce: The proof needs a nonce, which the error carries.
            UsageError: An argument has a wrong type or value.
        """
        proofs, headers = proofs_of(headers), ()
        access_token, owner = conceal(access_token), conceal(owner)
        _check_arguments(method, url, confirmation, access_token)
        if proofs is None:
            raise UsageError("headers", "must be a mapping or an iterable of (name, value), each str or bytes")
        if not isinstance(owner, str | None):
            raise UsageError("owner", "must be a str or None")
        status: Literal[400, 401] = 400 if access_token is None else 401  # RFC 9449 §5, §7.1
        try:
            compact = reader.read_compact(proof_of(proofs))
            cached = self._keys.get(compact.header)
            key = cached or reader.read_key(compact.header)
            proof, lifetime = self._check(compact, key, method, str(url), status)
            if access_token is not None:
                check_binding(proof, confirmation, access_token)
        except FailedCheck as failed:
            error = failed.refusal(status)
        else:
            # Not before: only a right proof of the token's own key earns that key a place.
            if cached is None:
                self._keys.put(compact.header, key)
            return await self._spend(proof, lifetime, status, owner)
        raise error

    def _check(
        self, compact: reader.Compact, key: reader.PublicKey, method: str, url: str, status: int
    ) -> tuple[CheckedProof, _Lifetime]:
        """Return the proof and for how long it could be replayed; binding and replay are not checked here."""
        claims = reader.read_claims(compact.payload)
        reader.check_signature(key, compact)
        if claims["htm"] != method:  # RFC 9449 §4.3 (8)
            raise FailedCheck("htm is not the request's method", advice=_SIGN_METHOD)
        self._check_htu(claims["htu"], url)
        # Before the times: a client with a wrong clock must learn of the nonce that could replace them.
        nonce = self._check_nonce(claims.get("nonce"), status)
        lifetime = self._check_time(claims, nonce)
        proof = CheckedProof(
            thumbprint=key.thumbprint,
            jti=claims["jti"],
            htm=method,
            htu=claims["htu"],
            iat=claims["iat"],
            nonce=claims.get("nonce"),
            ath=claims.get("ath"),
            claims=MappingProxyType(claims),
            next_nonce=None if nonce is None else nonce.successor,
        )
        return proof, lifetime

    def _check_htu(self, htu: str, url: str) -> None:
        path = uri.path_of(url)
        if path is None:
            raise FailedCheck("the request's target cannot be compared with htu", advice=self._elsewhere(None))
        if self._is_at(htu, path):
            return
        # RFC 9449 §4.3 (9): query and fragment do not count, and both sides are normalised (RFC 3986 §6.2.2, §6.2.3).
        # The base's path is put before the normalised path: dot segments cannot climb out of it.
        normal_htu, normal_path = uri.normalize(htu), uri.normalize_path(path)
        if normal_htu is None or normal_path is None or not self._is_at(normal_htu, normal_path):
            raise FailedCheck("htu is not the request's URL", advice=self._elsewhere(normal_htu))

    def _elsewhere(self, htu: str | None) -> str:
        """Return what to do about a proof for another URL. A normal form has no user information."""
        if htu is None or len(htu) > _MAX_SHOWN:
            return f"Set base_url to the URL that clients use; it is {', '.join(self._bases)}."
        origin = "/".join(htu.split("/")[:3])
        return f"Set base_url to the URL that clients use: it is {', '.join(self._bases)}; the proof is for {origin}."

    def _is_at(self, url: str, path: str) -> bool:
        """Return whether a URL is a base URL and the path behind it. The number of base URLs costs no time."""
        return url.endswith(path) and url[: len(url) - len(path)] in self._bases

    def _check_nonce(self, nonce: str | None, status: int) -> AcceptedNonce | None:
        """Check ``nonce`` (RFC 9449 §4.3 (10)); return None if no nonce is needed or none can be checked."""
        if self._nonces is None or (nonce is None and not self._require_nonce):
            return None
        return self._nonces.check(nonce, status=status)

    def _check_time(self, claims: dict[str, Any], nonce: AcceptedNonce | None) -> _Lifetime:
        """Check ``iat``, ``exp`` and ``nbf`` (RFC 9449 §4.3 (11)); return for how long the proof could be replayed."""
        now = self._clock()
        # Comparisons only: arithmetic on an int of 4,000 digits would overflow.
        if claims.get("exp", math.inf) <= now - self._skew or claims.get("nbf", -math.inf) > now + self._skew:
            raise FailedCheck("the proof is expired or not valid yet", advice=_SET_CLOCKS)
        if nonce is not None and self._nonce_time:
            # iat does not bound how long this proof could be replayed; its nonce does.
            return _Lifetime(nonce.ends, self._dropped_by_nonce, nonce.seconds_left + self._skew)
        iat: float = claims["iat"]
        if not now - self._max_age <= iat <= now + self._skew:
            raise FailedCheck(self._untimely(iat, now), advice=_SET_CLOCKS)
        # A proof of a clock that is ahead stays acceptable for longer than the window. An old one is kept for the whole
        # window too: by the clock of another machine it may be newer.
        return _Lifetime(iat + self._max_age, self._dropped, max(iat - now, 0.0) + self._max_age + self._skew)

    def _untimely(self, iat: float, now: float) -> str:
        # Compared before subtracted: an int of 4,000 digits would overflow.
        ahead = min(max(iat, now - _MAX_TOLD), now + _MAX_TOLD) - now
        where = "ahead of" if ahead > 0 else "behind"
        accepted = f"{self._skew:g} ahead to {self._max_age:g} behind are accepted"
        return f"iat is {math.ceil(abs(ahead))} seconds {where} this server's clock: {accepted}"

    async def _spend(self, proof: CheckedProof, lifetime: _Lifetime, status: int, owner: str | None) -> CheckedProof:
        # RFC 9449 §4.3 (11), §11.1. Keyed by key and jti, not by the proof's bytes: for each signature (r, s) there is
        # (r, n - s), which verifies too.
        expires_at = self._store_clock() + lifetime.keep_for
        named = {} if owner is None else {"owner": owner}
        try:
            new = await self._replay.add(f"{proof.thumbprint}.{proof.jti}", expires_at, **named)
        except StoreError as cause:
            # Fail closed. 503: the proof is right. The cause tells the operator which store failed, and why.
            raise _NOT_REMEMBERED.refusal(503) from cause
        if not new:
            raise _USED.refusal(status)
        # After the store has looked: what it had dropped by then is known here.
        if lifetime.ends <= lifetime.dropped.latest(self._store_clock()):
            raise _SET_BACK.refusal(503)
        lifetime.dropped.expect(lifetime.ends, expires_at)
        return proof

    def __replace__(self, *, base_urls: Iterable[str]) -> DPoPVerifier:
        """Return a verifier for other base URLs, normalised ones, as ``copy.replace`` asks; both remember the same."""
        other = copy.copy(self)
        object.__setattr__(other, "_bases", dict.fromkeys(base_urls))
        return other

    def __repr__(self) -> str:
        first, *others = self._bases
        return f"<DPoPVerifier for {first}{f' and {len(others)} more' if others else ''}>"


def _check_arguments(method: object, url: object, confirmation: object, access_token: object) -> None:
    if not isinstance(method, str):
        raise UsageError("method", "must be a str")
    if not isinstance(url, (str, URL)):
        raise UsageError("url", "must be a str or a yarl.URL")
    if access_token is None and confirmation is not None:
        raise UsageError("access_token", "must be given with confirmation")
    if not isinstance(access_token, (str, type(None))):
        raise UsageError("access_token", "must be a str")
