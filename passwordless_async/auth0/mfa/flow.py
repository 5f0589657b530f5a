"""The flows of the second factor: list factors, challenge one, associate one, verify one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async._common import clock as _clock
from passwordless_async.auth0.grant import GrantRequest, accept, prove
from passwordless_async.auth0.id_token import fetch_keys_before
from passwordless_async.auth0.mfa import endpoints
from passwordless_async.auth0.mfa.state import MfaRequired, MfaState, MfaTokenSet
from passwordless_async.auth0.tenant import require_allowed
from passwordless_async.auth0.tokens import TokenSet
from passwordless_async.errors import AccessDenied, OutcomeUnknown, PasswordlessError, ProtocolError, WrongCode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from passwordless_async.auth0.identity import Email, Phone
    from passwordless_async.auth0.mfa.values import Association, Authenticator, MfaChallenge
    from passwordless_async.auth0.tenant import Flow, Tenant


def own_state(tenant: Tenant, state: MfaState) -> None:
    """Check that this client can continue with a state.

    Raises:
        InvalidMfaState: It is another tenant's or application's, has lost its key, or has expired.
        BindingRequired: It began without a key, and the client accepts only bound tokens.
    """
    _check.instance("state", state, MfaState, named="an MfaState").require_usable(tenant.application)
    require_allowed(tenant, bound=state.key is not None)


def authenticators(tenant: Tenant, state: MfaState) -> Flow[tuple[Authenticator, ...]]:
    """List the user's factors."""
    own_state(tenant, state)
    request = endpoints.authenticators_request(tenant.application, state.mfa_token)
    response = yield request
    return endpoints.read_authenticators(request, response)


def challenge_factor(
    tenant: Tenant, state: MfaState, *, types: Sequence[str], authenticator_id: str | None
) -> Flow[MfaChallenge]:
    """Ask the service to send a code or a message to a factor."""
    own_state(tenant, state)
    request = endpoints.challenge_request(
        tenant.application, state.mfa_token, types=types, authenticator_id=authenticator_id
    )
    sent_at = _clock.now()
    response = yield request
    return endpoints.read_challenge(request, response, types=types, sent_at=sent_at)


def associate(
    tenant: Tenant,
    state: MfaState,
    *,
    types: Sequence[str],
    channels: Sequence[str],
    phone: Phone | None,
    email: Email | None,
) -> Flow[Association]:
    """Associate a new factor with the user."""
    own_state(tenant, state)
    request = endpoints.associate_request(
        tenant.application, state.mfa_token, types=types, channels=channels, phone=phone, email=email
    )
    sent_at = _clock.now()
    response = yield request
    return endpoints.read_association(request, response, sent_at=sent_at)


def verify(tenant: Tenant, state: MfaState, grant_type: str, fields: Mapping[str, str | None]) -> Flow[MfaTokenSet]:
    """Exchange a factor for tokens, with the key that the login began with.

    A new recovery code in the response is returned with the tokens or, if they are refused, with the error: the old
    code is spent in both cases.
    """
    own_state(tenant, state)
    yield from fetch_keys_before(tenant, state.scope)
    sent_at = int(_clock.now())
    exchanged = yield from prove(
        tenant,
        state.key,
        lambda: endpoints.factor_request(tenant.application, grant_type, {"mfa_token": state.mfa_token, **fields}),
    )
    recovery_code = endpoints.read_recovery_code(exchanged[1])
    try:
        requested = GrantRequest(
            scope=state.scope,
            audience=state.audience,
            who=state.who,
            expected=state.expected,
            replaces_bound=state.replaces_bound,
        )
        tokens = yield from accept(tenant, state.key, exchanged, requested, sent_at=sent_at)
    except PasswordlessError as error:
        failure = _refusal(error, grant_type, recovery_code)
    else:
        given = {field.name: getattr(tokens, field.name) for field in attrs.fields(TokenSet)}
        return MfaTokenSet(**given, recovery_code=recovery_code)
    raise failure


def _refusal(error: PasswordlessError, grant_type: str, recovery_code: str | None) -> PasswordlessError:
    """Return the error of a refusal for this factor."""
    if (
        grant_type == endpoints.MFA_RECOVERY_GRANT
        and isinstance(error, AccessDenied)
        and error.error == "invalid_grant"
    ):
        # The service uses the same words if the user rejects a push message and if a recovery code is wrong.
        return WrongCode(status=error.status, error=error.error, error_description=error.error_description)
    if recovery_code is not None and isinstance(error, ProtocolError | OutcomeUnknown | MfaRequired):
        return error.with_facts(recovery_code=recovery_code)
    return error
