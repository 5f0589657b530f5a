"""``POST /oauth/token``: the passwordless OTP grant.

The order is the promise: the application, the parameters and the API first, then the proof with its nonce, and
only then the code. A request that is refused on the way leaves the code and its attempts untouched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async.testing import answers
from passwordless_async.testing.answers import Refusal, Refused, invalid_request, json_response
from passwordless_async.testing.body import token_parameters
from passwordless_async.testing.challenges import challenge
from passwordless_async.testing.clients import authenticate
from passwordless_async.testing.codes import Verdict
from passwordless_async.testing.proofs import NonceNeeded, Occasion, Proof, ProofRefused
from passwordless_async.testing.settings_tokens import ApiPolicy
from passwordless_async.testing.tokens import Grant
from passwordless_async.testing.users import User

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from passwordless_async.testing.clients import Application
    from passwordless_async.testing.state import Exchange, TenantState

OTP_GRANT = "http://auth0.com/oauth/grant-type/passwordless/otp"


def token(exchange: Exchange) -> web.Response:
    """Exchange a code for tokens."""
    state = exchange.state
    parameters = token_parameters(exchange.content_type, exchange.body)
    _check_grant_type(parameters)
    application = authenticate(exchange, parameters, basic_allowed=True)
    if not state.settings.grant_enabled:
        raise Refused(answers.UNAUTHORIZED_CLIENT)
    user, otp = presented(parameters)
    if state.settings.redirect_uri_required and "redirect_uri" not in parameters:
        raise invalid_request("Missing required parameter: redirect_uri")
    audience, policy = _api(state, parameters)
    proof = _proof(exchange, application)
    if proof is None and policy is ApiPolicy.REQUIRED:
        raise Refused(answers.DPOP_REQUIRED)
    spend(state, user, otp)
    state.users.add(user)
    grant = Grant(
        user=user,
        client_id=application.client_id,
        scope=tuple(parameters.get("scope", "").split()),
        audience=audience,
        thumbprint=None if proof is None or policy is ApiPolicy.NONE else proof.thumbprint,
    )
    return _answer(exchange, grant)


def presented(parameters: Mapping[str, str]) -> tuple[User, str]:
    """Return the user and the code that a request names.

    Raises:
        Refused: A parameter is missing, or the realm does not exist.
    """
    for name in ("username", "otp", "realm"):
        if not parameters.get(name):
            raise invalid_request(f"Missing required parameter: {name}")
    if parameters["realm"] not in answers.WRONG_CODE:
        raise invalid_request("The realm does not exist")
    return User(parameters["realm"], parameters["username"]), parameters["otp"]


def spend(state: TenantState, user: User, otp: str) -> None:
    """Present a code; it is spent now.

    Raises:
        Refused: It is wrong, expired or dead.
    """
    state.stats.codes_presented += 1
    verdict = state.codes.present(user, otp)
    if verdict is Verdict.RIGHT:
        return
    state.stats.codes_refused += 1
    raise Refused(
        {
            Verdict.WRONG: answers.WRONG_CODE[user.realm],
            Verdict.EXPIRED: answers.CODE_EXPIRED,
            Verdict.TOO_MANY_ATTEMPTS: answers.TOO_MANY_ATTEMPTS,
        }[verdict]
    )


def _check_grant_type(parameters: Mapping[str, str]) -> None:
    if not parameters.get("grant_type"):
        raise invalid_request("Missing required parameter: grant_type")
    if parameters["grant_type"] != OTP_GRANT:
        raise Refused(answers.UNSUPPORTED_GRANT)


def _api(state: TenantState, parameters: Mapping[str, str]) -> tuple[str | None, ApiPolicy]:
    audience = parameters.get("audience")
    if audience is None and state.settings.resource_parameter:
        audience = parameters.get("resource")
    if not audience:
        return None, ApiPolicy.ALLOWED
    if audience not in state.settings.apis:
        raise Refused(Refusal(403, "access_denied", f"Service not found: {audience}"))
    return audience, state.settings.apis[audience]


def _proof(exchange: Exchange, application: Application) -> Proof | None:
    state, settings = exchange.state, exchange.state.settings
    required = settings.confidential_nonce_required if application.confidential else settings.public_nonce_required
    try:
        proof = state.proofs.check(exchange.headers, Occasion(exchange.method, exchange.url, required))
    except NonceNeeded:
        raise Refused(challenge(state, exchange.path, state.nonces.current())) from None
    except ProofRefused as reason:
        raise Refused(Refusal(400, "invalid_dpop_proof", f"Invalid DPoP proof: {reason}")) from None
    exchange.proof_nonce = proof.nonce if proof is not None else None
    return proof


def _answer(exchange: Exchange, grant: Grant) -> web.Response:
    if exchange.twist is not None:
        grant = exchange.twist(grant)
    stats = exchange.state.stats
    stats.tokens_issued += 1
    stats.tokens_bound += grant.thumbprint is not None
    return json_response(exchange.state.mint.answer(grant))
