"""Access tokens that are JWTs, read strictly: RFC 9068, and Auth0's dialect of it.

Invariants:

- The input is hostile; no input raises anything but :class:`InvalidToken`.
- The header selects the key, the issuer's key set its algorithms, and the application accepts some of these: never
  ``none``, never a symmetric one (RFC 8725 §3.1).
- Keys in the token, or at URLs in it (``jwk``, ``jku``, ``x5c``, ``x5u``), are never read.
- An ID token is no access token (RFC 9068 §5, RFC 8725 §3.11): see :func:`_require_no_id_token`.
- A token that is bound in a way that cannot be checked is refused.
- The times are checked again for each request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeGuard

import attrs

from passwordless_async._common.secret import SecretDict
from passwordless_async._common.strict_json import read_segment
from passwordless_async.auth0.clocks import is_time
from passwordless_async.auth0.jws import is_signed
from passwordless_async.dpop.server.checked import digest_of
from passwordless_async.errors import InvalidToken

if TYPE_CHECKING:
    from passwordless_async._common.secret import Secret
    from passwordless_async.auth0.jwks import SigningKey

MAX_TOKEN = 16_384  # characters; servers' bounds of a header field are 8,192 to 16,384
_MAX_HEADER = 1024  # characters of its segment
_MAX_KID = 256  # characters
_NO_JWT = "is not a signed JWT"
_NO_AUDIENCE = "Name this API as audience at the login: without one, Auth0's tokens are for /userinfo and are no JWTs."
_PLAIN_NAME = r"[A-Za-z0-9.:/\[\]_~-]{1,256}"  # of an issuer or an audience, in an advice
_SHOWN_ISSUER, _SHOWN_AUDIENCE = re.compile(f"https?://{_PLAIN_NAME}"), re.compile(_PLAIN_NAME)
_MAX_SHOWN_AUDIENCES = 4  # of a token; Auth0's have two at most
_STR = {str}
_NONE: frozenset[str] = frozenset()
_CONTAINERS = frozenset({SecretDict, list})  # as they are read here
_THUMBPRINT = 43  # characters: SHA-256 in base64url
_PROFILE = frozenset({"at+jwt", "application/at+jwt"})  # RFC 9068 §2.1; media types have no case
_PLAIN = frozenset({"jwt", "application/jwt", ""})  # Auth0 says JWT; some issuers say nothing
# Claims that only ID tokens have (OpenID Connect Core §2, §3.1.3.6, §3.3.2.11).
_OF_ID_TOKENS = frozenset({"nonce", "at_hash", "c_hash", "s_hash"})


@attrs.frozen
class AccessToken:
    """The content of an access token that passed every check except that of its times.

    Its claims are a ``SecretDict`` if they were read here, and may then be shared by several requests.
    """

    claims: Mapping[str, Any] = attrs.field(repr=False)
    subject: str = attrs.field(repr=False)  # empty if it has none
    client_id: str | None
    scopes: frozenset[str]
    permissions: frozenset[str]
    is_bound: bool
    confirmation: Mapping[str, str] | None  # only jkt; None if it is not bound, or bound in another way
    _containers: tuple[str, ...] = attrs.field(init=False, repr=False)  # claims that a request could change within

    @_containers.default
    def _find_containers(self) -> tuple[str, ...]:
        if not isinstance(self.claims, SecretDict):
            return ()
        return tuple([name for name, value in self.claims.items() if type(value) in _CONTAINERS])

    def own_claims(self) -> Mapping[str, Any]:
        """Return the claims for one request, read-only; nested values are copied for it."""
        if not isinstance(self.claims, SecretDict):
            return self.claims
        own: dict[str, Any] = dict(self.claims)
        for name in self._containers:
            own[name] = _copied(own[name])
        return MappingProxyType(own)

    @classmethod
    def of(cls, claims: Mapping[str, Any]) -> AccessToken:
        """Return the content of claims; a claim of a wrong type is ignored."""
        subject, cnf = claims.get("sub"), claims.get("cnf")
        client_id = claims.get("client_id", claims.get("azp"))
        return cls(
            claims,
            subject if isinstance(subject, str) else "",
            client_id if isinstance(client_id, str) else None,
            _words(claims.get("scope")),
            _words(claims.get("permissions")),
            cnf is not None,
            _confirmation(cnf),
        )


@attrs.frozen
class Header:
    """The header parameters that choose the key, and the dialect."""

    alg: str
    kid: str
    is_profile: bool  # RFC 9068's; Auth0's otherwise


@attrs.frozen
class TokenRules:
    """What an API accepts."""

    issuers: frozenset[str]
    audiences: frozenset[str]
    algorithms: frozenset[str]


def token_hash(token: Secret) -> bytes:
    """Return the hash that a token is remembered by; one that is too long raises :class:`InvalidToken`."""
    # Before anything is computed with it, or decoded.
    if len(token) > MAX_TOKEN:
        raise refused("is too long")
    return digest_of(token)


def read_header(token: Secret, rules: TokenRules) -> Header:
    """Read the header of a token; raises :class:`InvalidToken`."""
    segment = token.partition(".")[0]
    header = _read_header(segment, rules.algorithms) if len(segment) <= _MAX_HEADER else _NO_JWT
    if isinstance(header, str):
        raise refused(header, advice=_NO_AUDIENCE if header == _NO_JWT else None)
    return header


@lru_cache(maxsize=64)  # an issuer's tokens have the same few headers, one for each signing key
def _read_header(segment: str, algorithms: frozenset[str]) -> Header | str:
    """Return the header, or what is wrong with it."""
    header = read_segment(segment)
    if header is None:
        return _NO_JWT
    alg, kid, typ = header.get("alg"), header.get("kid"), header.get("typ", "")
    for is_wrong, problem in (
        (not isinstance(alg, str) or alg not in algorithms, "is signed by an algorithm that is not accepted"),
        # RFC 7515 §4.1.11: critical parameters must be understood; RFC 7797 §6.
        ("crit" in header or "b64" in header, "has critical header parameters"),
        (not isinstance(typ, str) or typ.lower() not in _PROFILE | _PLAIN, "is another kind of JWT"),
        (not isinstance(kid, str) or not 0 < len(kid) <= _MAX_KID, "names no key"),
    ):
        if is_wrong:
            return problem
    return Header(str(alg), str(kid), typ.lower() in _PROFILE)


def read_claims(token: Secret, rules: TokenRules) -> SecretDict:
    """Read the claims of a token of an accepted issuer. Its signature has not been checked."""
    claims = _claims_of(token)
    if claims is None:
        raise refused(_NO_JWT, advice=_NO_AUDIENCE)
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or issuer not in rules.issuers:
        raise refused(f"is of another issuer{_slash(issuer, rules.issuers)}", advice=_of_issuer(issuer, rules.issuers))
    return claims


def _slash(issuer: object, accepted: Collection[str]) -> str:
    """Return a hint if an accepted issuer differs only by a slash: Auth0's has one, which is easily left out."""
    if isinstance(issuer, str) and f"{issuer}/" in accepted:
        return ": the accepted one has a slash at its end"
    if isinstance(issuer, str) and issuer.endswith("/") and issuer[:-1] in accepted:
        return ": the accepted one has no slash at its end"
    return ""


def _of_issuer(issuer: object, accepted: Collection[str]) -> str:
    """Return what to do about a token of another issuer. What it names is shown if it is a short URL."""
    shown = f"is of {issuer}" if isinstance(issuer, str) and _SHOWN_ISSUER.fullmatch(issuer) else None
    return _compared("Check issuer, and the client's domain", accepted, shown)


def _compared(check: str, accepted: Collection[str], shown: str | None) -> str:
    """Return an advice that sets what is accepted beside what a token names; None: that cannot be shown."""
    named = shown or "names none that can be shown"
    return f"{check}: {', '.join(sorted(accepted))} is accepted, and the token {named}."


def _claims_of(token: Secret) -> SecretDict | None:
    """Return the claims; None if there are none. It raises nothing: a traceback would show parts of the secret."""
    _, _, rest = token.partition(".")
    payload, dot, _ = rest.partition(".")
    return read_segment(payload) if dot else None


def verify(token: Secret, header: Header, claims: SecretDict, key: SigningKey | None, rules: TokenRules) -> AccessToken:
    """Check everything but the times.

    Args:
        token: The token.
        header: Its header.
        claims: Its claims.
        key: The key that the header names, of the issuer that the claims name; None if there is none.
        rules: What is accepted.

    Raises:
        InvalidToken: A check failed.
    """
    if key is None or header.alg not in key.algorithms:
        raise refused("is signed with a key that its issuer does not publish")
    if not is_signed(token, header.alg, key.key):
        raise refused("has a wrong signature")
    _require_audience(claims, rules.audiences)
    _require_types(claims, header)
    if not header.is_profile:
        _require_no_id_token(claims)
    access_token = AccessToken.of(claims)
    if "cnf" in claims and access_token.confirmation is None:
        raise refused("is bound in a way that is not supported")
    return access_token


def check_times(claims: Mapping[str, Any], now: float, skew: float) -> None:
    """Check that a token is valid now: seconds since the UNIX epoch; raises :class:`InvalidToken`."""
    if now >= claims["exp"] + skew:
        raise refused("has expired")
    if claims["iat"] > now + skew or claims.get("nbf", 0) > now + skew:
        raise refused("is not valid yet")


def refused(problem: str, *, advice: str | None = None) -> InvalidToken:
    """Return the refusal of a token; its own advice is not sent to the client."""
    told = InvalidToken(status=401, error="invalid_token", error_description=f"the access token {problem}")
    return told if advice is None else told.with_facts(advice=advice)


def _require_audience(claims: Mapping[str, Any], audiences: frozenset[str]) -> None:
    audience = claims.get("aud")
    named = [audience] if isinstance(audience, str) else audience
    if not _is_texts(named) or audiences.isdisjoint(named):  # RFC 9068 §4
        raise refused("is for another audience", advice=_of_audience(named, audiences))


def _of_audience(named: object, accepted: Collection[str]) -> str:
    """Return what to do about a token for another audience. What it names is shown if it is a short name or URL."""
    texts = [each for each in named if isinstance(each, str)] if isinstance(named, list) else []
    shown = ", ".join(filter(_SHOWN_AUDIENCE.fullmatch, texts[:_MAX_SHOWN_AUDIENCES]))
    return _compared("Check audience here and at the login", accepted, f"is for {shown}" if shown else None)


def _require_types(claims: Mapping[str, Any], header: Header) -> None:
    """Check that the claims that are read have their types, and the required ones are there (RFC 9068 §2.2)."""
    required = _REQUIRED_BY_PROFILE if header.is_profile else _REQUIRED
    if not claims.keys() >= required:
        raise refused(f"lacks {min(required - claims.keys())}")
    for name, value in claims.items():
        is_right = _CLAIMS.get(name)
        if is_right is not None and not is_right(value):
            raise refused(f"has {name} of another type")


def _require_no_id_token(claims: Mapping[str, Any]) -> None:
    """Refuse an ID token if ``typ`` does not identify it: it has special claims, or is only for its client."""
    if not _OF_ID_TOKENS.isdisjoint(claims) or claims.get("aud") in (claims.get("azp"), [claims.get("azp")]):
        raise refused("is an ID token")


def _confirmation(cnf: object) -> Mapping[str, str] | None:
    """Return the confirmation by ``jkt``; None if there is none, or another one, which cannot be checked.

    RFC 7800 §3.1 has members ignored that are not understood, unless the application says otherwise. This one does: a
    token that is bound to a certificate (``x5t#S256``, RFC 8705 §3.1) besides must not pass without it.
    """
    if not isinstance(cnf, (dict, Mapping)) or len(cnf) != 1:  # an abstract class takes longer to ask
        return None
    jkt = cnf.get("jkt")
    return {"jkt": jkt} if isinstance(jkt, str) and len(jkt) == _THUMBPRINT else None


def _copied(value: object) -> object:
    """Return a copy of a JSON value, as plain as the application expects it."""
    if isinstance(value, dict):
        return {name: member if type(member) is str else _copied(member) for name, member in value.items()}
    if isinstance(value, list):
        return [member if type(member) is str else _copied(member) for member in value]
    return value


def _words(value: object) -> frozenset[str]:
    """Return the words of a list, or of a text with spaces between."""
    if value is None:
        return _NONE
    words = value.split(" ") if isinstance(value, str) else value if _is_texts(value) else ()
    return frozenset(filter(None, words))


def _is_texts(value: object) -> TypeGuard[list[str]]:
    # Without a loop in Python: each token has a few such lists.
    return isinstance(value, list) and (set(map(type, value)) <= _STR or all(isinstance(text, str) for text in value))


def _is_filled(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_scope(value: object) -> bool:
    return isinstance(value, str) or _is_texts(value)


# Auth0's dialect has azp in the place of client_id, and jti only where the API's token profile says so.
_REQUIRED = frozenset({"sub", "exp", "iat"})
_REQUIRED_BY_PROFILE = _REQUIRED | {"client_id", "jti"}
_CLAIMS: dict[str, Callable[[object], bool]] = {
    **dict.fromkeys(("sub", "client_id", "azp", "jti"), _is_filled),
    **dict.fromkeys(("exp", "iat", "nbf", "auth_time"), is_time),
    "scope": _is_scope,
    "permissions": _is_texts,
}
