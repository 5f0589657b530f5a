"""The grant types of the token endpoint.

A request is read first, then its grant is redeemed. A right code returns tokens only if brute-force protection, blocks
and the second factor allow it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING

import attrs

from passwordless_async.testing import refusals
from passwordless_async.testing.refusals import Refusal, RequestRefused, invalid_request
from passwordless_async.testing.state.codes import Verdict
from passwordless_async.testing.state.records import OTP_GRANT
from passwordless_async.testing.state.tokens import Grant
from passwordless_async.testing.state.users import User

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from passwordless_async.testing.checks.clients import AuthenticatedClient
    from passwordless_async.testing.state.codes import Authorization
    from passwordless_async.testing.state.mfa import MfaLogin
    from passwordless_async.testing.state.tenant_state import TenantState
    from passwordless_async.testing.state.tokens import RefreshFamily


@attrs.frozen
class TokenRequest:
    """A token request of an authenticated application."""

    state: TenantState
    client: AuthenticatedClient
    parameters: Mapping[str, str] = attrs.field(repr=False)  # with secrets

    def required(self, name: str) -> str:
        """Return a parameter, or refuse a request without it."""
        value = self.parameters.get(name)
        if not value:
            raise invalid_request(f"Missing required parameter: {name}")
        return value

    @property
    def scope(self) -> tuple[str, ...]:
        """The scope tokens."""
        return tuple(self.parameters.get("scope", "").split())

    @property
    def audience(self) -> str | None:
        """The requested API."""
        audience = self.parameters.get("audience")
        if audience is None and self.state.settings.resource_parameter:
            audience = self.parameters.get("resource")
        return audience or None


@attrs.frozen
class Prepared:
    """A grant that has been read and not spent."""

    audience: str | None  # the API that the tokens are for
    redeem: Callable[[str | None], Grant]  # given the thumbprint of the proof's key; None: without a proof
    bound_to: str | None = None  # the thumbprint of the key that it is bound to already


def _check_key(state: TenantState, bound_to: str | None, key: str | None) -> None:
    """Refuse a missing proof, and one by another key, where a grant is bound to a key."""
    if bound_to is None or key == bound_to:
        return
    if key is None:
        raise RequestRefused(Refusal(400, "invalid_dpop_proof", "DPoP proof is missing"))
    raise RequestRefused(refusals.OTHER_KEY[state.settings.other_key_error])


def _check_blocked(state: TenantState, user: User) -> None:
    """Refuse a user that an administrator blocked."""
    if state.users.account(user).blocked:
        raise RequestRefused(refusals.USER_BLOCKED)


def _otp(request: TokenRequest) -> Prepared:
    """The passwordless OTP grant, and the same grant for database connections."""
    if not request.state.settings.grant_enabled:
        raise RequestRefused(refusals.UNAUTHORIZED_CLIENT)
    return _database(request) if "auth_session" in request.parameters else _passwordless(request)


def _passwordless(request: TokenRequest) -> Prepared:
    state = request.state
    username, otp, realm = (request.required(name) for name in ("username", "otp", "realm"))
    if realm not in refusals.WRONG_CODE:
        raise invalid_request("The realm does not exist")
    if state.settings.redirect_uri_required and "redirect_uri" not in request.parameters:
        raise invalid_request("Missing required parameter: redirect_uri")
    user = User(realm, username)
    return _by_code(request, user, lambda: _spend(state, user, otp))


def _database(request: TokenRequest) -> Prepared:
    state, client_id = request.state, request.client.client_id
    session, otp = request.required("auth_session"), request.required("otp")
    if request.parameters.keys() & {"username", "realm"}:
        raise invalid_request("auth_session replaces username and realm")
    user = state.auth_sessions.user_of(session)
    return _by_code(request, user, lambda: state.auth_sessions.spend(session, client_id, otp), database=True)


def _by_code(
    request: TokenRequest, user: User | None, present: Callable[[], None], *, database: bool = False
) -> Prepared:
    state = request.state

    def redeem(key: str | None) -> Grant:
        if user is None:
            raise RequestRefused(refusals.DATABASE_CODE)
        _present_guarded(state, user, present)
        state.users.note_login(user, database=database)
        _check_blocked(state, user)
        client_id, scope, audience = request.client.client_id, request.scope, request.audience
        return state.mfa.demand(Grant(user, client_id, scope, audience, key=key, database=database))

    return Prepared(request.audience, redeem)


def _present_guarded(state: TenantState, user: User, present: Callable[[], None]) -> None:
    """Present a code and count its refusal; a user with too many failures in a row is refused unchecked."""
    threshold = state.settings.failures_before_block
    if threshold is not None and state.users.failures(user) >= threshold:
        raise RequestRefused(refusals.ACCOUNT_BLOCKED)
    state.stats.codes_presented += 1
    try:
        present()
    except RequestRefused:
        state.stats.codes_refused += 1
        state.users.failed(user)
        raise
    state.users.succeeded(user)


def _spend(state: TenantState, user: User, otp: str) -> None:
    verdict = state.codes.present(user, otp)
    if verdict is not Verdict.RIGHT:
        refusal = {
            Verdict.WRONG: refusals.WRONG_CODE[user.realm],
            Verdict.EXPIRED: refusals.CODE_EXPIRED,
            Verdict.TOO_MANY_ATTEMPTS: refusals.TOO_MANY_ATTEMPTS,
        }
        raise RequestRefused(refusal[verdict])


def _authorization_code(request: TokenRequest) -> Prepared:
    """RFC 6749 §4.1.3, with PKCE (RFC 7636) and a code that may be bound to a key (RFC 9449 §10)."""
    state, code = request.state, request.required("code")
    authorization, alive = state.authorization_codes.find(code)
    if authorization is not None and authorization.client_id != request.client.client_id:
        authorization = None
    audience = None if authorization is None else authorization.parameters.get("audience")
    bound_to = None if authorization is None else authorization.parameters.get("dpop_jkt")

    def redeem(key: str | None) -> Grant:
        if authorization is None or not alive:
            raise RequestRefused(refusals.INVALID_CODE)
        _check_authorization(request, authorization)
        _check_key(state, bound_to, key)
        state.authorization_codes.spend(code)
        _check_blocked(state, authorization.user)
        grant = Grant(
            user=authorization.user,
            client_id=authorization.client_id,
            scope=tuple(authorization.parameters.get("scope", "").split()),
            audience=audience,
            key=key,
            auth_time=authorization.auth_time,
            auth_time_requested="max_age" in authorization.parameters,
            nonce=authorization.parameters.get("nonce"),
        )
        return state.mfa.demand(grant) if state.settings.mfa_at_authorization_code else grant

    return Prepared(audience, redeem, bound_to)


def verifies(code_verifier: str | None, code_challenge: str | None) -> bool:
    """Return whether a verifier matches a ``code_challenge`` (RFC 7636 §4.6); one without the other does not."""
    if code_verifier is None or code_challenge is None:
        return code_verifier is code_challenge
    digest = base64.urlsafe_b64encode(hashlib.sha256(code_verifier.encode()).digest()).rstrip(b"=")
    return hmac.compare_digest(digest, code_challenge.encode())


def _check_authorization(request: TokenRequest, authorization: Authorization) -> None:
    redirect_uri = request.parameters.get("redirect_uri")
    if redirect_uri != authorization.redirect_uri and (authorization.redirect_uri_given or redirect_uri is not None):
        raise RequestRefused(Refusal(403, "invalid_grant", "The redirect URI is wrong."))
    if not verifies(request.parameters.get("code_verifier"), authorization.parameters.get("code_challenge")):
        raise RequestRefused(Refusal(403, "invalid_grant", "Failed to verify code verifier"))


def _refresh(request: TokenRequest) -> Prepared:
    """RFC 6749 §6: by the same key, for the same scope or less of it."""
    state = request.state
    refresh_token = request.required("refresh_token")
    family = state.refresh.find(refresh_token, request.client.client_id)
    audience = request.audience or (None if family is None else family.audience)

    def redeem(key: str | None) -> Grant:
        # RFC 9449 §5: the key is checked first, so a thief without the key cannot even end the family.
        if family is None:
            raise RequestRefused(refusals.INVALID_REFRESH_TOKEN)
        _check_key(state, family.thumbprint, key)
        _check_blocked(state, family.user)
        scope = _narrowed(state, family, request.scope)
        return Grant(
            user=family.user,
            client_id=family.client_id,
            scope=scope,
            audience=audience,
            key=key,
            database=family.database,
            auth_time=family.auth_time,
            factor_passed=family.factor_passed,
            family=family,
            refresh_token=state.refresh.spend(refresh_token),
        )

    return Prepared(audience, redeem, None if family is None else family.thumbprint)


def _narrowed(state: TenantState, family: RefreshFamily, asked: tuple[str, ...]) -> tuple[str, ...]:
    granted = tuple(token for token in asked if token in family.scope)
    if granted != asked and state.settings.excess_scope == "refused":
        # RFC 6749 §6: "The requested scope MUST NOT include any scope not originally granted by the resource owner".
        raise RequestRefused(Refusal(400, "invalid_scope", "The scope exceeds the scope that was granted"))
    return granted or family.scope


def _mfa_otp(request: TokenRequest) -> Prepared:
    login, otp, mfa = _login(request), request.required("otp"), request.state.mfa
    return _by_factor(request, login, lambda: mfa.take_otp(login, otp))


def _mfa_oob(request: TokenRequest) -> Prepared:
    """Out of band: with the code that was sent, or as a poll."""
    login, mfa = _login(request), request.state.mfa
    challenge = mfa.logins.factor_challenge(login, request.required("oob_code"))
    return _by_factor(request, login, lambda: mfa.take_oob(login, challenge, request.parameters.get("binding_code")))


def _mfa_recovery(request: TokenRequest) -> Prepared:
    login, code, mfa = _login(request), request.required("recovery_code"), request.state.mfa
    return _by_factor(request, login, lambda: mfa.take_recovery(login, code))


def _login(request: TokenRequest) -> MfaLogin:
    return request.state.mfa.logins.find(request.required("mfa_token"), request.client.client_id)


def _by_factor(request: TokenRequest, login: MfaLogin, take: Callable[[], Mapping[str, str]]) -> Prepared:
    """Continue a login by a factor; ``take`` returns further members of the response."""
    state = request.state

    def redeem(key: str | None) -> Grant:
        if state.settings.mfa_key_bound:
            _check_key(state, login.grant.key, key)
        return state.mfa.passed(login, key, more=take())

    return Prepared(login.grant.audience, redeem, login.grant.key)


GRANTS: Mapping[str, Callable[[TokenRequest], Prepared]] = {
    OTP_GRANT: _otp,
    "authorization_code": _authorization_code,
    "refresh_token": _refresh,
    "http://auth0.com/oauth/grant-type/mfa-otp": _mfa_otp,
    "http://auth0.com/oauth/grant-type/mfa-oob": _mfa_oob,
    "http://auth0.com/oauth/grant-type/mfa-recovery-code": _mfa_recovery,
}
