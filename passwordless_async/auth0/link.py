"""Login by a link in an e-mail: an authorization code with PKCE, bound to a key (RFC 7636, RFC 9449 §10)."""

from __future__ import annotations

import hashlib
import hmac
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs

import attrs
from yarl import URL

from passwordless_async._common import arguments as _check
from passwordless_async._common import clock as _clock
from passwordless_async._common import sealing
from passwordless_async._common.base64url import encode_text
from passwordless_async._common.secret import Secret, SecretDict, conceal, redacted
from passwordless_async.auth0.grant import GrantRequest, grant
from passwordless_async.auth0.id_token import ExpectedIdToken
from passwordless_async.auth0.identity import Email
from passwordless_async.auth0.refusals import meant
from passwordless_async.auth0.requests import form_request
from passwordless_async.auth0.start import start
from passwordless_async.auth0.tenant import login_key, require_allowed, require_own
from passwordless_async.dpop import DPoPKey
from passwordless_async.errors import BrokenSeal, InvalidCallback, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from passwordless_async._common.http import HttpRequest
    from passwordless_async.auth0.application import Application
    from passwordless_async.auth0.tenant import Flow, Tenant
    from passwordless_async.auth0.tokens import TokenSet

_MAX_CALLBACK = 8192  # characters
_MAX_CODE = 2048  # characters
_MAX_PARAMETERS = 32  # of a callback, which has four
_TYPE = "pending-link+jwe"


@attrs.frozen
class PendingLink:
    """The state of a login by link, from e-mail to callback: keep it in the browser's session, secret from others.

    Attributes:
        who: The user.
        redirect_uri: The callback URL.
        scope: The requested scope.
        audience: The requested API.
        state: The ``state`` that the callback must return (RFC 6749 §10.12).
        nonce: The ``nonce`` that the ID token must have (OpenID Connect Core §3.1.2.1).
        code_verifier: The PKCE verifier of the code (RFC 7636 §4.1).
        key: The key that the tokens will be bound to; None if the client sends no proofs.
        issuer: The tenant that sends the link.
        client_id: The application that it is for.
    """

    who: Email
    redirect_uri: str
    scope: str | None
    audience: str | None
    key: DPoPKey | None
    state: Secret = attrs.field(factory=lambda: Secret(_random()), repr=redacted)
    nonce: Secret = attrs.field(factory=lambda: Secret(_random()), repr=redacted)
    code_verifier: Secret = attrs.field(factory=lambda: Secret(_random()), repr=redacted)
    issuer: str = attrs.field(kw_only=True)
    client_id: str = attrs.field(kw_only=True)

    @property
    def auth_params(self) -> dict[str, str]:
        """The authorization parameters of the link."""
        digest = hashlib.sha256(self.code_verifier.encode()).digest()
        given = {
            "response_type": "code",
            "redirect_uri": self.redirect_uri,
            "scope": self.scope,
            "audience": self.audience,
            "state": self.state,
            "nonce": self.nonce,
            "code_challenge": encode_text(digest),
            "code_challenge_method": "S256",
            # RFC 9449 §10: the code is valid only with this key.
            "dpop_jkt": None if self.key is None else self.key.thumbprint,
        }
        return {name: value for name, value in given.items() if value is not None}

    def seal(self, keys: bytes | Sequence[bytes] | sealing.Ring) -> str:
        """Seal the login with its private key, for the browser's session or another process.

        Args:
            keys: 32 random bytes, or several such keys while they rotate, the first of which seals; or a ``KeyRing``.

        Raises:
            UsageError: A key is not 32 bytes.
        """
        keys = sealing.concealed_keys(keys)
        members = SecretDict({field.name: getattr(self, field.name) for field in attrs.fields(type(self))})
        members["who"] = self.who.address
        members["key"] = None if self.key is None else self.key.to_jwk(private=True)
        return sealing.seal_members(members, keys, _TYPE)

    @classmethod
    def unseal(cls, text: str, keys: bytes | Sequence[bytes] | sealing.Ring) -> Self:
        """Return the login that :meth:`seal` sealed.

        Args:
            text: The sealed text.
            keys: The sealing key, several while keys rotate, or a ``KeyRing``.

        Raises:
            UsageError: A key is not 32 bytes.
            BrokenSeal: It is no sealed login, was changed, or was sealed with another key.
        """
        text, keys = conceal(text), sealing.concealed_keys(keys)
        members = sealing.unseal_members(text, keys, _TYPE)
        try:
            members["who"] = Email(members["who"])
            members["key"] = None if members["key"] is None else DPoPKey.from_jwk(SecretDict(members["key"]))
            for name in ("state", "nonce", "code_verifier"):
                members[name] = conceal(members[name])
            return cls(**{field.name: members[field.name] for field in attrs.fields(cls)})
        except (KeyError, TypeError, ValueError, UsageError):
            broken = BrokenSeal("form")
        raise broken


def read_callback(callback_url: str, pending: PendingLink, issuer: str) -> Secret:
    """Return the authorization code of a callback.

    Args:
        callback_url: The whole URL of the callback, with its query.
        pending: The login that it must belong to.
        issuer: The tenant's issuer, compared with ``iss`` if the callback has it (RFC 9207).

    Raises:
        UsageError: It is not a callback's URL.
        InvalidCallback: It is another login's, or has no code.
        OAuthError: The callback reports that the login failed. The class is the one of the same error on the wire,
            such as ``AccessDenied``; the status is 302.
    """
    query = _query(callback_url)
    state = query.get("state", "")
    if not state.isascii() or not hmac.compare_digest(state, pending.state):
        raise InvalidCallback("state is not that of this login")
    if query.get("iss", issuer) != issuer:
        raise InvalidCallback("iss is another issuer")
    if "error" in query:
        secrets = (pending.state, pending.nonce, pending.code_verifier)
        raise meant(HTTPStatus.FOUND.value, query["error"], query.get("error_description", ""), secrets)
    code = Secret(query.get("code", ""))
    if not 0 < len(code) <= _MAX_CODE or not code.isprintable():
        raise InvalidCallback("code is missing")
    return code


def code_request(application: Application, pending: PendingLink, code: Secret) -> HttpRequest:
    """Build the request for the tokens, for one transmission (RFC 6749 §4.1.3)."""
    fields = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": pending.redirect_uri,
        "code_verifier": pending.code_verifier,
    }
    return form_request(application, application.token_url, fields)


def checked_redirect_uri(value: object) -> str:
    """Return a callback URL; one that is relative or has a fragment raises :class:`UsageError` (RFC 6749 §3.1.2)."""
    text = _check.printable("redirect_uri", value, at_most=_check.MAX_AUDIENCE)
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    if not url.absolute or not url.host or "#" in text:
        raise UsageError("redirect_uri", "must be an absolute URL without a fragment")
    return text


def start_link(
    tenant: Tenant,
    who: Email,
    *,
    redirect_uri: str,
    scope: str | None,
    audience: str | None,
    key: DPoPKey | None,
    **parameters: Any,  # noqa: ANN401 - as start_request
) -> Flow[PendingLink]:
    """Ask for an e-mail with a link; return the values that check the callback."""
    if not isinstance(who, Email):
        raise UsageError("who", "must be an Email: only an e-mail can carry a link")
    pending = PendingLink(
        who=who,
        redirect_uri=checked_redirect_uri(redirect_uri),
        scope=_check.scope(scope),
        audience=_check.optional("audience", audience),
        key=login_key(tenant, key),
        issuer=tenant.application.issuer,
        client_id=tenant.application.client_id,
    )
    yield from start(tenant, who, send="link", auth_params=pending.auth_params, **parameters)
    return pending


def exchange_link(tenant: Tenant, pending: PendingLink, callback_url: str) -> Flow[TokenSet]:
    """Exchange the code of a callback for tokens, with the key of the link (RFC 9449 §10).

    One tenant's code is not sent to another (RFC 9700 §4.4).

    Raises:
        UsageError: The link is another tenant's or application's; nothing was sent.
        BindingRequired: The link has no key, and the client accepts only bound tokens; nothing was sent.
        As :func:`read_callback` and :func:`~passwordless_async.auth0.grant.grant` for the rest.
    """
    require_own(tenant, "pending", _check.instance("pending", pending, PendingLink, named="a PendingLink"))
    require_allowed(tenant, bound=pending.key is not None)
    code = read_callback(callback_url, pending, tenant.application.issuer)
    expected = ExpectedIdToken(nonce=pending.nonce) if "openid" in (pending.scope or "").split() else ExpectedIdToken()
    requested = GrantRequest(scope=pending.scope, audience=pending.audience, who=pending.who, expected=expected)
    return (yield from grant(tenant, pending.key, lambda: code_request(tenant.application, pending, code), requested))


def _query(callback_url: object) -> dict[str, Secret]:
    url = _check.bounded("callback_url", callback_url, at_most=_MAX_CALLBACK)
    text = url.partition("#")[0].partition("?")[2]
    if text.count("&") >= _MAX_PARAMETERS:
        raise InvalidCallback("it has too many parameters")
    query = parse_qs(text, keep_blank_values=True)
    if not query:
        raise UsageError("callback_url", "must be the whole URL of the callback, with its query")
    # RFC 6749 §3.1: parameters must not be repeated.
    if any(len(values) > 1 for values in query.values()):
        raise InvalidCallback("a parameter is repeated")
    return {name: Secret(values[0]) for name, values in query.items()}


def _random() -> str:
    # RFC 7636 §4.1 asks for 43 characters; twice 128 bits are 44.
    return _clock.unique_id() + _clock.unique_id()
