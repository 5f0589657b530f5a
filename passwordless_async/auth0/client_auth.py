"""How an application authenticates itself (RFC 6749 §2.3, RFC 7523 §2.2, RFC 8705, OpenID Connect Core §9)."""

from __future__ import annotations

import base64
import enum
from typing import TYPE_CHECKING, Literal, Protocol, get_args, runtime_checkable
from urllib.parse import quote_plus

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import Secret, always_printable, conceal, conceal_bytes, redacted
from passwordless_async.auth0 import jose
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    import ssl

    from passwordless_async.auth0.jose import ECKey, RSAKey

BodyKind = Literal["form", "json"]
AssertionAlgorithm = Literal["RS256", "RS384", "PS256", "ES256"]

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_LIFETIME = 60  # seconds; Auth0 allows 300 and advises 60
_CERT_REQUIRED = 2  # ssl.CERT_REQUIRED
_MAX_ASSERTION = 2048  # bytes, Auth0's bound


class ForwardedFor(enum.Enum):
    """Whether the service uses the end user's address, by how the application authenticates itself."""

    COUNTS = "counts"
    UNDOCUMENTED = "undocumented"
    IGNORED = "ignored"


@attrs.frozen
class Credentials:
    """The credentials of one transmission: in the body and in header fields."""

    parameters: dict[str, Secret] = attrs.field(factory=dict, repr=redacted)
    headers: dict[str, Secret] = attrs.field(factory=dict, repr=redacted)


_NO_CREDENTIALS = Credentials()


@runtime_checkable
class ClientAuth(Protocol):
    """A way to authenticate the application."""

    @property
    def confidential(self) -> bool:
        """Whether the application authenticates itself; a public one cannot keep a secret."""

    @property
    def forwarded_for(self) -> ForwardedFor:
        """Whether the service uses ``auth0-forwarded-for``."""

    def credentials(self, client_id: str, issuer: str, body: BodyKind) -> Credentials:
        """Return the credentials of one transmission; a credential for one use is new each time.

        Args:
            client_id: The application's identifier.
            issuer: The tenant's issuer.
            body: The encoding of the body: a form at the OAuth endpoints, JSON at Auth0's own.
        """


@attrs.frozen
class NoClientAuth:
    """``none``: a public client, which sends only its ``client_id``."""

    @property
    def confidential(self) -> bool:
        """See :class:`ClientAuth`."""
        return False

    @property
    def forwarded_for(self) -> ForwardedFor:
        """See :class:`ClientAuth`."""
        return ForwardedFor.IGNORED

    def credentials(self, client_id: str, issuer: str, body: BodyKind) -> Credentials:  # noqa: ARG002 - see ClientAuth
        """Return nothing."""
        return _NO_CREDENTIALS


class _Confidential:
    """An application that authenticates itself."""

    __slots__ = ()

    @property
    def confidential(self) -> bool:
        """See :class:`ClientAuth`."""
        return True


class _BySecret(_Confidential):
    """A confidential application that authenticates itself with its secret."""

    __slots__ = ()

    @property
    def forwarded_for(self) -> ForwardedFor:
        """See :class:`ClientAuth`."""
        return ForwardedFor.COUNTS


class _ByKey(_Confidential):
    """A confidential application that authenticates itself with its own key."""

    __slots__ = ()

    @property
    def forwarded_for(self) -> ForwardedFor:
        """See :class:`ClientAuth`."""
        return ForwardedFor.UNDOCUMENTED


@always_printable
@attrs.frozen(init=False)
class ClientSecretPost(_BySecret):
    """``client_secret_post``: the secret in the body.

    Args:
        secret: The client secret: printable ASCII, spaces allowed (RFC 6749 appendix A.2).

    Raises:
        UsageError: The secret is empty or not printable ASCII.
    """

    secret: Secret = attrs.field(repr=redacted)

    def __init__(self, secret: str) -> None:
        secret = conceal(secret)
        self.__attrs_init__(secret=_client_secret(secret))

    def credentials(self, client_id: str, issuer: str, body: BodyKind) -> Credentials:  # noqa: ARG002 - see ClientAuth
        """Return ``client_secret``."""
        return Credentials({"client_secret": self.secret})


@always_printable
@attrs.frozen(init=False)
class ClientSecretBasic(_BySecret):
    """``client_secret_basic``: the secret by HTTP Basic (RFC 6749 §2.3.1).

    Args:
        secret: The client secret: printable ASCII, spaces allowed (RFC 6749 appendix A.2).
        json_endpoints: Whether to use HTTP Basic at Auth0's own JSON endpoints too. That is not documented, so by
            default they get the secret in the body.

    Raises:
        UsageError: The secret is empty or not printable ASCII, or ``json_endpoints`` is no bool.
    """

    secret: Secret = attrs.field(repr=redacted)
    json_endpoints: bool

    def __init__(self, secret: str, *, json_endpoints: bool = False) -> None:
        secret = conceal(secret)
        self.__attrs_init__(
            secret=_client_secret(secret), json_endpoints=_check.boolean("json_endpoints", json_endpoints)
        )

    def credentials(self, client_id: str, issuer: str, body: BodyKind) -> Credentials:  # noqa: ARG002 - see ClientAuth
        """Return the ``Authorization`` field, both halves form-encoded (RFC 6749 §2.3.1)."""
        if body == "json" and not self.json_endpoints:
            return Credentials({"client_secret": self.secret})
        pair = Secret(f"{quote_plus(client_id)}:{quote_plus(self.secret)}")
        return Credentials(headers={"Authorization": Secret(f"Basic {base64.b64encode(pair.encode()).decode()}")})


@always_printable
@attrs.frozen(init=False)
class PrivateKeyJwt(_ByKey):
    """``private_key_jwt``: an assertion signed with the application's key, a new one for each transmission (RFC 7523).

    Args:
        key: The private key, in PEM form.
        algorithm: The algorithm: RS256, RS384, PS256 or, with a P-256 key, ES256.
        key_id: The ``kid`` of the key; needed if several are registered.

    Raises:
        UsageError: The key is not for the algorithm.
    """

    key: RSAKey | ECKey = attrs.field(repr=redacted)
    header: dict[str, str]

    def __init__(self, key: bytes | str, *, algorithm: AssertionAlgorithm = "RS256", key_id: str | None = None) -> None:
        key = conceal_bytes(key)
        if algorithm not in get_args(AssertionAlgorithm):
            raise UsageError("algorithm", f"must be one of {', '.join(get_args(AssertionAlgorithm))}")
        header: dict[str, str] = {"alg": algorithm, "typ": "JWT"}
        if key_id is not None:
            header["kid"] = _check.text("key_id", key_id, at_most=256)
        self.__attrs_init__(key=_signing_key(key, algorithm), header=header)
        jose.load("jwt")

    def credentials(self, client_id: str, issuer: str, body: BodyKind) -> Credentials:  # noqa: ARG002 - see ClientAuth
        """Return a new assertion: its ``jti`` is valid once.

        Raises:
            UsageError: The assertion is longer than the service accepts.
        """
        now = int(_clock.now())
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": issuer,
            "iat": now,
            "exp": now + _ASSERTION_LIFETIME,
            "jti": _clock.unique_id(),
        }
        assertion = Secret(jose.jwt.encode(dict(self.header), claims, self.key, algorithms=[self.header["alg"]]))
        if len(assertion) > _MAX_ASSERTION:
            raise UsageError("key", f"makes assertions over {_MAX_ASSERTION} bytes, which the service refuses")
        return Credentials({"client_assertion_type": Secret(JWT_BEARER), "client_assertion": assertion})


@attrs.frozen
class TlsClientAuth(_ByKey):
    """``tls_client_auth``, ``self_signed_tls_client_auth``: a client certificate (RFC 8705).

    Args:
        context: A context with the client certificate, its key, and the authorities that the tenant's certificate is
            checked against.

    Raises:
        UsageError: It is not an ``ssl.SSLContext``, or it does not check the tenant's certificate.
    """

    context: ssl.SSLContext = attrs.field(repr=lambda _context: "<ssl.SSLContext>")

    @context.validator
    def _check_context(self, _attribute: object, value: object) -> None:
        # Not isinstance: this layer does no I/O and does not import ssl.
        if not hasattr(value, "load_cert_chain") or not hasattr(value, "check_hostname"):
            raise UsageError("context", f"must be an ssl.SSLContext, not {type(value).__name__}")
        if not checks_peer(value):
            raise UsageError("context", "must check the tenant's certificate and host name")

    def credentials(self, client_id: str, issuer: str, body: BodyKind) -> Credentials:  # noqa: ARG002 - see ClientAuth
        """Return nothing: the TLS connection authenticates the application."""
        return Credentials()


def checks_peer(context: object) -> bool:
    """Return whether an ``ssl.SSLContext`` checks the server's certificate and host name."""
    return bool(getattr(context, "check_hostname", False)) and getattr(context, "verify_mode", 0) == _CERT_REQUIRED


def session_checks_peers(session: object) -> bool:
    """Return whether the connections of an ``aiohttp.ClientSession`` check the servers that they lead to."""
    lent = getattr(getattr(session, "connector", None), "_ssl", True)
    # Neither a bool nor a context: a fingerprint of the one accepted certificate.
    return lent is not False and (not hasattr(lent, "verify_mode") or checks_peer(lent))


def _client_secret(secret: object) -> Secret:
    text = _check.bounded("client_secret", secret, at_most=_check.MAX_SECRET)
    if not text.isascii() or not text.isprintable():
        raise UsageError("client_secret", "must be printable ASCII characters")
    return Secret(text)


def _signing_key(pem: bytes | str, algorithm: str) -> RSAKey | ECKey:
    kind = jose.ECKey if algorithm == "ES256" else jose.RSAKey
    try:
        key: RSAKey | ECKey | None = kind.import_key(pem)
    except (jose.JoseError, ValueError, TypeError, KeyError, AttributeError):
        key = None
    if key is None or not key.is_private or (isinstance(key, jose.ECKey) and key.curve_name != "P-256"):
        raise UsageError("key", f"must be a private key for {algorithm} in PEM form, without a password")
    return key
