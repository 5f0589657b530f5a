"""The state that the flows of one tenant share, the key of a login, and the check that tokens are this tenant's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, TypeVar, get_args

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async._common.secret import always_printable
from passwordless_async.auth0.clocks import CLOCK_SKEW, checked_skew
from passwordless_async.auth0.jwks import SigningKeys
from passwordless_async.auth0.metadata import Metadata
from passwordless_async.auth0.tokens import TokenSet, require_bearer, require_key
from passwordless_async.dpop import DPoPKey, NonceCache
from passwordless_async.errors import BindingRequired, KeyMismatch, UsageError

if TYPE_CHECKING:
    from collections.abc import Generator

    from passwordless_async._common.http import HttpRequest, HttpResponse
    from passwordless_async._common.secret import Secret
    from passwordless_async.auth0.application import Application

T = TypeVar("T")
# A flow does no I/O: it yields requests, is sent their responses, and returns its result. A shell drives it.
Flow: TypeAlias = "Generator[HttpRequest, HttpResponse, T]"

DPoPMode: TypeAlias = Literal["required", "preferred", "off"]
"""Whether tokens must be bound to a key: ``required`` accepts only bound tokens, ``preferred`` sends a proof and
accepts both kinds, ``off`` makes no key and sends no proof."""


def _mode(value: object) -> DPoPMode:
    for mode in get_args(DPoPMode):
        if isinstance(value, str) and value == mode:
            known: DPoPMode = mode
            return known
    raise UsageError("dpop", "must be 'required', 'preferred' or 'off'")


@always_printable
@attrs.define(eq=False)
class Tenant:
    """An application's tenant and the state that all its flows share; kept for the client's lifetime.

    ``application`` is replaced when the tenant's metadata has other endpoints.
    """

    application: Application
    nonces: NonceCache = attrs.field(factory=NonceCache)
    # Seconds that the tenant's clock and this machine's may differ.
    clock_skew: float = attrs.field(default=CLOCK_SKEW, converter=checked_skew)
    keys: SigningKeys = attrs.field(factory=SigningKeys)
    metadata: Metadata = attrs.field(factory=Metadata)
    dpop: DPoPMode = attrs.field(default="required", converter=_mode, kw_only=True)


def login_key(tenant: Tenant, key: DPoPKey | None) -> DPoPKey | None:
    """Return the key of a new login: the given one, or a new one; None if the client sends no proofs.

    Raises:
        UsageError: The given key is not a key, or the client sends no proofs.
    """
    if tenant.dpop == "off":
        if key is not None:
            raise UsageError("key", "is given, and the client sends no proofs: it has dpop='off'")
        return None
    return DPoPKey.generate() if key is None else _check.instance("key", key, DPoPKey, named="a DPoPKey")


def require_allowed(tenant: Tenant, *, bound: bool) -> None:
    """Raise :class:`BindingRequired` for tokens or a login without a key, if the client accepts only bound tokens."""
    if not bound and tenant.dpop == "required":
        raise BindingRequired("they are not bound to a key, and the client accepts only bound tokens: nothing was sent")


def own_tokens(tenant: Tenant, tokens: TokenSet) -> None:
    """Raise :class:`UsageError` unless tokens are this tenant's and this application's."""
    require_own(tenant, "tokens", _check.instance("tokens", tokens, TokenSet, named="a TokenSet"))


class _Issued(Protocol):
    """A value that one tenant issued to one application; None if that is unknown."""

    @property
    def issuer(self) -> str | None: ...
    @property
    def client_id(self) -> str | None: ...


def require_own(tenant: Tenant, argument: str, issued: _Issued) -> None:
    """Raise :class:`UsageError` unless this tenant issued the value to this application."""
    application = tenant.application
    if issued.issuer not in {None, application.issuer}:
        raise UsageError(argument, "must be this tenant's, not another's")
    if issued.client_id not in {None, application.client_id}:
        raise UsageError(argument, "must be this application's, not another's")


def own_key(tenant: Tenant, tokens: TokenSet) -> DPoPKey | None:
    """Return the key of tokens that are this tenant's and this application's; None if they are not bound.

    Raises:
        UsageError: The tokens are not this tenant's or this application's, or their type is unknown.
        KeyMissing: The tokens are bound and have no key.
        KeyMismatch: The key is not the one that the tokens are bound to.
        BindingRequired: The tokens are not bound, and the client accepts only bound ones.
    """
    own_tokens(tenant, tokens)
    key = require_key(tokens, consequence="nothing was sent")
    if key is None:
        require_allowed(tenant, bound=False)
        require_bearer(tokens)
    elif tokens.jkt not in {None, key.thumbprint}:
        raise KeyMismatch("the key is not the one that the tokens are bound to: nothing was sent")
    return key


def own_refresh_token(tokens: TokenSet) -> Secret:
    """Return the refresh token; tokens without one raise :class:`UsageError`."""
    if tokens.refresh_token is None:
        raise UsageError("tokens", "have no refresh token: ask for the scope offline_access")
    return tokens.refresh_token
