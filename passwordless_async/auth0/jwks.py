"""The tenant's signing keys (RFC 7517): fetched once, kept, and fetched again for a key that is new."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import attrs
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from passwordless_async import _clock
from passwordless_async.errors import MalformedAnswer
from passwordless_async.wire import HttpRequest

if TYPE_CHECKING:
    from passwordless_async.auth0.application import Application
    from passwordless_async.wire import HttpResponse

_OK = 200
_MAX_KEYS = 32
# Seconds between two fetches for the sake of an unknown kid: a flood of made-up kids costs one fetch.
_COOL_DOWN = 60.0
_MIN_BITS = 2048  # RFC 7518 §3.3
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@attrs.define(repr=False)
class SigningKeys:
    """The keys that ID tokens may be signed with, by ``kid``; lives as long as its client."""

    _keys: dict[str, RSAKey] = attrs.field(factory=dict, init=False)
    _fetched_at: float | None = attrs.field(default=None, init=False)

    def get(self, kid: str) -> RSAKey | None:
        """Return the key of that name, or None."""
        return self._keys.get(kid)

    @property
    def empty(self) -> bool:
        """Whether no key is known yet."""
        return not self._keys

    @property
    def may_fetch(self) -> bool:
        """Whether the last fetch is long enough ago for another one."""
        return self._fetched_at is None or _clock.monotonic() - self._fetched_at >= _COOL_DOWN

    def learn(self, response: HttpResponse) -> None:
        """Take the keys from an answer of the JWKS endpoint.

        Raises:
            MalformedAnswer: It is not a key set that can be used; the keys known before are kept.
        """
        keys = read_jwks(response)
        self._keys = keys
        self._fetched_at = _clock.monotonic()

    def __repr__(self) -> str:
        return f"<SigningKeys, {len(self._keys)} known>"


def jwks_request(application: Application) -> HttpRequest:
    """Build the request for the key set; those in flight at once share an answer."""
    return HttpRequest("GET", application.jwks_url, {}, shareable=True)


def read_jwks(response: HttpResponse) -> dict[str, RSAKey]:
    """Read a key set: the RSA keys for signatures, by ``kid``; what is of another kind is passed over.

    Raises:
        MalformedAnswer: It is not a key set, has no usable key, or two of one name.
    """
    if response.status != _OK:
        raise MalformedAnswer("the signing keys cannot be read", status=response.status)
    members = response.require_json_object().get("keys")
    if not isinstance(members, list) or len(members) > _MAX_KEYS:
        raise MalformedAnswer(f"the key set has no list of at most {_MAX_KEYS} keys", status=_OK)
    keys: dict[str, RSAKey] = {}
    for jwk in members:
        if not _is_for_signatures(jwk):
            continue
        if jwk["kid"] in keys:
            raise MalformedAnswer("the key set has two keys of one kid", status=_OK)
        keys[jwk["kid"]] = _import(jwk)
    if not keys:
        raise MalformedAnswer("the key set has no RSA key for signatures", status=_OK)
    return keys


def _is_for_signatures(jwk: object) -> bool:
    return (
        isinstance(jwk, dict)
        and jwk.get("kty") == "RSA"
        and jwk.get("use", "sig") == "sig"
        and isinstance(jwk.get("kid"), str)
        and not _PRIVATE_MEMBERS & jwk.keys()
    )


def _bits(jwk: dict[str, Any]) -> int:
    """Return the length of the modulus, 0 where it is unreadable; of a short key joserfc would only warn."""
    try:
        return int.from_bytes(base64.urlsafe_b64decode(jwk["n"] + "==")).bit_length()
    except (KeyError, TypeError, ValueError):
        return 0


def _import(jwk: dict[str, Any]) -> RSAKey:
    if _bits(jwk) < _MIN_BITS:
        raise MalformedAnswer(f"a key of the key set has not {_MIN_BITS} bits", status=_OK)
    try:
        key = RSAKey.import_key({name: jwk[name] for name in ("kty", "n", "e", "kid")})
        key.public_key  # noqa: B018 - joserfc imports on first use; a bad key is to fail here
    except (JoseError, KeyError, ValueError, TypeError, AttributeError):
        raise MalformedAnswer("a key of the key set is malformed", status=_OK) from None
    return key
