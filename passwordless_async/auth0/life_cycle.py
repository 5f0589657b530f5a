"""Refresh (RFC 6749 §6) and userinfo (OpenID Connect Core §5.3), each with the tokens' key.

Unbound tokens are refreshed with the key that was proven for them, or with a new one if the client prefers bound
tokens: so they become bound once the API's policy requires it.
"""

from __future__ import annotations

from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async._common.http import HttpRequest, HttpResponse
from passwordless_async.auth0.grant import GrantRequest, grant, prove
from passwordless_async.auth0.id_token import ExpectedIdToken
from passwordless_async.auth0.refusals import failure
from passwordless_async.auth0.requests import form_request
from passwordless_async.auth0.tenant import Flow, Tenant, login_key, own_key, own_refresh_token
from passwordless_async.auth0.tokens import authorization
from passwordless_async.errors import InvalidRefreshToken, InvalidToken, MalformedAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async._common.secret import Secret
    from passwordless_async.auth0.application import Application
    from passwordless_async.auth0.tokens import TokenSet
    from passwordless_async.dpop import DPoPKey


def refresh_request(
    application: Application, refresh_token: Secret, *, scope: str | None, audience: str | None
) -> HttpRequest:
    """Build the request that spends a refresh token, for one transmission."""
    fields = {"grant_type": "refresh_token", "refresh_token": refresh_token, "scope": scope, "audience": audience}
    return form_request(application, application.token_url, fields)


def userinfo_request(application: Application, tokens: TokenSet) -> HttpRequest:
    """Build the request for the user's claims; the proof of bound tokens needs ``ath``."""
    headers = {"Authorization": authorization(tokens)}
    return HttpRequest("GET", application.userinfo_url, headers, secrets=(tokens.access_token,))


def read_userinfo(request: HttpRequest, response: HttpResponse, subject: str | None) -> Mapping[str, Any]:
    """Read the claims; the mapping is read-only.

    ``subject`` is the ``sub`` of the ID token, which the response must have too (OpenID Connect Core §5.3.2).

    Raises:
        InvalidToken: The access token is refused; every 401 counts as that, whatever its form (RFC 6750 §3.1).
        OAuthError: The service refused for another reason.
        MalformedAnswer: The response is not what the protocol allows, or is about another user.
    """
    if not response.is_success:
        error = failure(request, response)
        is_bare = response.status == HTTPStatus.UNAUTHORIZED and isinstance(error, MalformedAnswer)
        raise InvalidToken(status=response.status, error="invalid_token") if is_bare else error
    claims = response.require_json_object()
    if not isinstance(claims.get("sub"), str) or subject not in {None, claims["sub"]}:
        raise MalformedAnswer("userinfo has no sub, or is about another user", status=response.status)
    return MappingProxyType(dict(claims))


def refresh(tenant: Tenant, tokens: TokenSet, *, scope: str | None = None) -> Flow[TokenSet]:
    """Spend the refresh token for new tokens, bound to the same key if these are bound (RFC 6749 §6, RFC 9449 §5).

    Raises:
        UsageError: The tokens are another tenant's or application's, or have no refresh token; nothing was sent.
        KeyMissing: The tokens are bound and have no key; nothing was sent.
        KeyMismatch: The key is not the one that the tokens are bound to; nothing was sent.
        BindingRequired: The tokens are not bound, and the client takes only bound ones; nothing was sent.
        NotSenderConstrained: The tokens are bound, and the new ones are not.
        InvalidIdToken: The new ID token does not match the previous one (OpenID Connect Core §12.2).
        InvalidRefreshToken: The refresh token is refused (``invalid_grant``), whatever the description.
        OAuthError: The service refused for another reason.
    """
    key = own_key(tenant, tokens)
    application, audience = tenant.application, tokens.audience
    refresh_token, scope = own_refresh_token(tokens), _check.scope(scope)
    requested = GrantRequest(
        scope=tokens.scope if scope is None else scope,
        audience=audience,
        expected=ExpectedIdToken.after_refresh(tokens.claims),
        invalid_grant=InvalidRefreshToken,
        # Discarding the tokens would end the login, and the previous ID token has identified the user.
        id_token_optional=True,
        replaces_bound=key is not None,
    )
    renewed = yield from grant(
        tenant,
        _renewal_key(tenant, tokens) if key is None else key,
        lambda: refresh_request(application, refresh_token, scope=scope, audience=audience),
        requested,
    )
    if renewed.refresh_token is None:
        # RFC 6749 §6: without a new refresh token the old one stays valid.
        renewed = attrs.evolve(renewed, refresh_token=refresh_token)
    if renewed.claims is None:
        renewed = attrs.evolve(renewed, id_token=tokens.id_token, claims=tokens.claims)
    return renewed


def userinfo(tenant: Tenant, tokens: TokenSet) -> Flow[Mapping[str, Any]]:
    """Fetch the user's claims."""
    key, token = own_key(tenant, tokens), tokens.access_token
    request, response = yield from prove(
        tenant, key, lambda: userinfo_request(tenant.application, tokens), access_token=token
    )
    return read_userinfo(request, response, _subject(tokens))


def _renewal_key(tenant: Tenant, tokens: TokenSet) -> DPoPKey | None:
    """Return the key to prove in a refresh of unbound tokens: the refresh token may be bound to it."""
    return login_key(tenant, None) if tokens.refresh_key is None else tokens.refresh_key


def _subject(tokens: TokenSet) -> str | None:
    return None if tokens.claims is None else tokens.claims.get("sub")
