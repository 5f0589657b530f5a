"""Second factors: logins that wait for one, and the user's side."""

from __future__ import annotations

from typing import Any

import pytest

from helpers.tenant_wire import ADA, Opener, Wire, challenge_factor, list_factors, stop_at_mfa


@pytest.mark.parametrize(
    ("settings", "status", "requirements"),
    [
        ({}, 403, {"challenge": [{"type": "otp"}, {"type": "push-notification"}]}),
        ({"mfa_status": 401}, 401, {"challenge": [{"type": "otp"}, {"type": "push-notification"}]}),
        ({"mfa_requirements": "challenge_types"}, 403, {"challenge_types": ["oob", "otp"]}),
    ],
)
async def test_an_enrolled_user_needs_a_second_factor(
    wire_for: Opener, settings: Any, status: int, requirements: Any
) -> None:
    """The right code yields ``mfa_required`` with a token, in every status and shape that occurs; the code is spent."""
    wire = await wire_for(**settings)
    wire.tenant.users.add(ADA, mfa=["otp", "push"])

    answer = await wire.login()

    assert answer.words == (status, "mfa_required", "Multifactor authentication required")
    assert answer.json["mfa_token"]
    assert answer.json["mfa_requirements"] == requirements
    assert answer.headers["DPoP-Nonce"]
    assert wire.tenant.stats.mfa_required == 1
    assert wire.tenant.stats.tokens_issued == 0
    assert (await wire.exchange()).json["error"] == "invalid_grant"


async def test_a_recovery_code_alone_is_no_second_factor(wire: Wire) -> None:
    """A user with a recovery code alone logs in without a second factor."""
    wire.tenant.users.add(ADA, mfa=["recovery-code"])

    assert (await wire.login()).status == 200


async def test_polls_are_limited(wire_for: Opener) -> None:
    """The thirteenth poll in a minute is refused with ``slow_down``; a minute later polls pass again."""
    wire = await wire_for(nonce_lifetime=1e9)
    token = (await stop_at_mfa(wire, "push"))["mfa_token"]
    code = (await challenge_factor(wire, token)).json["oob_code"]

    answers = [await wire.mfa("oob", token, oob_code=code) for _ in range(14)]
    assert [answer.json["error"] for answer in answers] == ["authorization_pending"] * 12 + ["slow_down"] * 2
    assert answers[-1].status == 400
    wire.tenant.clock.advance(60)
    wire.tenant.mfa.approve(ADA)
    assert (await wire.mfa("oob", token, oob_code=code)).status == 200


async def test_a_chain(wire_for: Opener) -> None:
    """A second ``mfa_required`` follows the first, with another token; then come the tokens."""
    wire = await wire_for(mfa_rounds=2)
    first = (await stop_at_mfa(wire, "otp", "recovery-code"))["mfa_token"]

    again = await wire.mfa("recovery-code", first, recovery_code=wire.tenant.mfa.recovery_code_for(ADA))
    answer = await wire.mfa("otp", again.json["mfa_token"], otp=wire.tenant.mfa.otp_for(ADA))

    assert again.words[:2] == (403, "mfa_required")
    assert again.json["mfa_token"] != first
    assert answer.status == 200
    assert answer.json["recovery_code"] == wire.tenant.mfa.recovery_code_for(ADA)


MALFORMED = (403, "invalid_grant", "Malformed mfa_token")


async def test_too_many_wrong_factors(wire_for: Opener) -> None:
    """``mfa_max_attempts`` wrong factors end the login."""
    wire = await wire_for(mfa_max_attempts=2)
    token = (await stop_at_mfa(wire, "otp"))["mfa_token"]

    assert (await wire.mfa("otp", token, otp="x")).words[1] == "invalid_grant"
    assert (await wire.mfa("otp", token, otp="x")).words[:2] == (429, "too_many_attempts")
    assert (await wire.mfa("otp", token, otp="x")).words == MALFORMED


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
