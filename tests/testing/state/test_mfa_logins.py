"""Logins that wait for a second factor."""

from __future__ import annotations

from helpers.tenant_wire import ADA, Opener, Wire, challenge_factor, list_factors, stop_at_mfa


async def test_lifetimes(wire_for: Opener) -> None:
    """A factor challenge lives five minutes, the login ten."""
    wire = await wire_for(nonce_lifetime=1e9)
    token = (await stop_at_mfa(wire, "email", "otp"))["mfa_token"]
    code = (await challenge_factor(wire, token, challenge_type="oob")).json["oob_code"]
    wire.tenant.clock.advance(301)
    late = await wire.mfa("oob", token, oob_code=code, binding_code=wire.tenant.mfa.code_for(ADA))
    wire.tenant.clock.advance(300)
    expired = (401, "expired_token", "mfa_token is expired")

    assert late.words == (401, "expired_token", "oob_code is expired")
    assert (await wire.mfa("otp", token, otp=wire.tenant.mfa.otp_for(ADA))).words == expired
    assert (await list_factors(wire, token)).words == expired
    assert (await challenge_factor(wire, token)).words == expired


async def test_a_token_of_another_application(wire: Wire) -> None:
    """An MFA token is the application's that logged in."""
    token = (await stop_at_mfa(wire, "otp"))["mfa_token"]
    client_id, secret = wire.tenant.confidential_client
    members = {"client_id": client_id, "client_secret": secret}

    assert (await wire.mfa("otp", token, otp="1", **members)).words[:2] == (400, "invalid_request")
    assert (await challenge_factor(wire, token, **members)).words[:2] == (400, "invalid_request")
