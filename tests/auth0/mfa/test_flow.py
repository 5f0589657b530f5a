"""The flows of the second factor, driven by hand: what they send, and what becomes of the response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest

from helpers import flows
from passwordless_async import (
    AccessDenied,
    InvalidMfaState,
    MalformedAnswer,
    MfaRequired,
    MfaState,
    OutcomeUnknown,
    PasswordlessError,
    UsageError,
    WrongCode,
)
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.mfa.endpoints import MFA_OTP_GRANT, MFA_RECOVERY_GRANT
from passwordless_async.auth0.mfa.flow import authenticators, own_state, verify
from passwordless_async.auth0.mfa.values import MfaRequirements

if TYPE_CHECKING:
    from passwordless_async.auth0.tenant import Flow, Tenant

STATE = MfaState(
    mfa_token=Secret("handle"),
    requirements=MfaRequirements(),
    key=flows.KEY,
    jkt=flows.KEY.thumbprint,
    issuer="https://tenant.example/",
    client_id="client",
    expires_at=int(flows.NOW) + 600,
)
REJECTED = {"error": "invalid_grant", "error_description": "MFA Authorization rejected."}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> flows.Clock:
    """Stop the clocks."""
    return flows.stop_clocks(monkeypatch)


@pytest.fixture
def tenant() -> Tenant:
    """Return a tenant that knows neither nonce nor key."""
    return flows.new_tenant()


def verifying(tenant: Tenant, grant_type: str = MFA_RECOVERY_GRANT) -> Flow[Any]:
    """Return the flow of a factor that was sent."""
    flow = verify(tenant, STATE, grant_type, {"recovery_code": Secret("OLD")})
    next(flow)
    return flow


def test_a_factor_is_sent_with_a_proof_by_the_key_of_the_login(tenant: Tenant) -> None:
    """The tokens will be bound to the key that the login began with."""
    flow = verify(tenant, STATE, MFA_OTP_GRANT, {"otp": Secret("123456")})
    request = next(flow)
    assert flows.form(request) == {
        "client_id": "client",
        "grant_type": MFA_OTP_GRANT,
        "mfa_token": "handle",
        "otp": "123456",
    }
    assert flows.proof(request)["htu"] == flows.TOKEN_URL
    tokens = flows.end(flow, flows.answer(200, flows.TOKENS))
    assert (tokens.key, tokens.recovery_code) == (flows.KEY, None)


def test_a_new_recovery_code_goes_with_the_tokens(tenant: Tenant) -> None:
    """The old one is spent."""
    tokens = flows.end(verifying(tenant), flows.answer(200, {**flows.TOKENS, "recovery_code": "NEW"}))
    assert (tokens.recovery_code, repr(tokens.recovery_code)) == ("NEW", "<redacted>")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, {"access_token": 5}, MalformedAnswer),
        (403, {"error": "mfa_required", "mfa_token": "next"}, MfaRequired),
        (503, {}, OutcomeUnknown),
    ],
)
def test_a_new_recovery_code_goes_with_the_error(
    tenant: Tenant, status: int, body: dict[str, Any], kind: type[PasswordlessError]
) -> None:
    """Whatever is wrong with the response, the user must learn the code that replaces the spent one."""
    with pytest.raises(kind) as refused:
        verifying(tenant).send(flows.answer(status, {**body, "recovery_code": "NEW"}))
    assert getattr(refused.value, "recovery_code", None) == "NEW"


def test_a_rejected_recovery_code_is_a_wrong_code(tenant: Tenant) -> None:
    """The service uses the words of a rejected push message for it; after another factor they mean the user's no."""
    with pytest.raises(WrongCode):
        verifying(tenant).send(flows.answer(403, REJECTED))
    with pytest.raises(AccessDenied):
        verifying(tenant, MFA_OTP_GRANT).send(flows.answer(403, REJECTED))


def test_an_expired_state_sends_nothing(tenant: Tenant, clock: flows.Clock) -> None:
    """A state ends with its mfa_token."""
    clock.time += 600
    with pytest.raises(InvalidMfaState) as refused:
        next(authenticators(tenant, STATE))
    assert refused.value.failed == "expires_at"


@pytest.mark.parametrize(("changes", "failed"), [({"issuer": "x"}, "issuer"), ({"client_id": "x"}, "client_id")])
def test_a_foreign_state_is_refused(tenant: Tenant, changes: dict[str, str], failed: str) -> None:
    """A state is one tenant's and one application's."""
    with pytest.raises(InvalidMfaState) as refused:
        own_state(tenant, attrs.evolve(STATE, **changes))  # type: ignore[arg-type]
    assert refused.value.failed == failed


def test_anything_but_a_state_is_named_by_its_type(tenant: Tenant) -> None:
    """The message has the type's name and not the value, which may be a sealed state."""
    with pytest.raises(UsageError, match=r"^state: must be an MfaState, not str$"):
        own_state(tenant, "sealed")  # type: ignore[arg-type]
