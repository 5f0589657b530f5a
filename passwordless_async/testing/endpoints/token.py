"""``/oauth/``: tokens, and their revocation.

Invariants of ``POST /oauth/token``:

- The order of checks is the application, the parameters and the API, then the proof with its nonce, then the grant.
- A request that is refused before its grant leaves the code and its attempts, or the refresh token, untouched.
- Where the API's policy is ``none``, only the proof of a grant that is already bound is checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from aiohttp import web

from passwordless_async.testing import refusals
from passwordless_async.testing.checks.clients import authenticate
from passwordless_async.testing.endpoints.body import NO_STORE, json_response, token_parameters
from passwordless_async.testing.endpoints.nonce_challenges import check_proof
from passwordless_async.testing.grants import GRANTS, TokenRequest
from passwordless_async.testing.refusals import Refusal, RequestRefused, invalid_request
from passwordless_async.testing.settings import ApiPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from passwordless_async.testing.checks.clients import AuthenticatedClient
    from passwordless_async.testing.grants import Prepared
    from passwordless_async.testing.state.tenant_state import TenantRequest, TenantState
    from passwordless_async.testing.state.tokens import Grant


def token(request: TenantRequest) -> web.Response:
    """Exchange a grant for tokens."""
    grant = redeem(request)
    if request.alter is not None:
        grant = request.alter(grant)
    stats = request.state.stats
    stats.tokens_issued += 1
    stats.tokens_bound += grant.thumbprint is not None
    return json_response(request.state.tokens.respond(grant, request.name.issuer))


def redeem(request: TenantRequest, *, nonce_waived: bool = False) -> Grant:
    """Check a request and spend its grant, or refuse; ``nonce_waived`` lets a proof without a nonce pass."""
    parameters = token_parameters(request.content_type, request.body)
    prepare = _grant_type(parameters)
    application = authenticate(request, parameters, basic_allowed=True)
    prepared = prepare(TokenRequest(request.state, application, parameters))
    policy = _policy(request.state, prepared.audience)
    proof = None
    if not _ignores_proof(request.state, prepared, policy):
        proof = check_proof(request, nonce_required=not nonce_waived and _needs_nonce(request.state, application))
    if proof is None and policy is ApiPolicy.REQUIRED:
        raise RequestRefused(refusals.DPOP_REQUIRED)
    grant = prepared.redeem(None if proof is None else proof.thumbprint)
    return attrs.evolve(grant, thumbprint=None if policy is ApiPolicy.NONE else grant.key)


def _grant_type(parameters: Mapping[str, str]) -> Callable[[TokenRequest], Prepared]:
    grant_type = parameters.get("grant_type")
    if not grant_type:
        raise invalid_request("Missing required parameter: grant_type")
    if grant_type not in GRANTS:
        raise RequestRefused(refusals.UNSUPPORTED_GRANT)
    return GRANTS[grant_type]


def _policy(state: TenantState, audience: str | None) -> ApiPolicy:
    if audience is None:
        return state.settings.userinfo_policy
    if audience not in state.settings.apis:
        raise RequestRefused(Refusal(403, "access_denied", f"Service not found: {audience}"))
    return state.settings.apis[audience]


def _ignores_proof(state: TenantState, prepared: Prepared, policy: ApiPolicy) -> bool:
    ignored = state.settings.unused_proof == "ignored"
    return ignored and policy is ApiPolicy.NONE and prepared.bound_to is None


def _needs_nonce(state: TenantState, application: AuthenticatedClient) -> bool:
    settings = state.settings
    return settings.confidential_nonce_required if application.confidential else settings.public_nonce_required


def revoke(request: TenantRequest) -> web.Response:
    """Revoke a refresh token's whole family (RFC 7009).

    An unknown token and another application's get the same response (RFC 7009 §2.2).
    """
    parameters = token_parameters(request.content_type, request.body)
    application = authenticate(request, parameters, basic_allowed=True)
    token = parameters.get("token")
    if not token:
        raise invalid_request("Missing required parameter: token")
    family = request.state.refresh.find(token, application.client_id)
    if family is not None:
        request.state.refresh.revoke(family)
    return web.Response(status=200, headers=NO_STORE)
