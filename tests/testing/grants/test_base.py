"""What the grant types share: parameters, blocks, brute-force protection."""

from __future__ import annotations

from helpers.tenant_wire import ADA, Opener, Wire, claims_of
from passwordless_async.testing import (
    BOUND_API,
)

BLOCKED = (401, "unauthorized", "user is blocked")


async def test_a_blocked_user(warm: Wire) -> None:
    """The right code of a blocked user is refused; a refresh too; after the block is lifted a new code passes."""
    token = (await warm.exchange(scope="offline_access")).json["refresh_token"]
    await warm.start()
    warm.tenant.users.block(ADA)

    assert (await warm.exchange()).words == BLOCKED
    assert (await warm.refresh(token)).words == BLOCKED
    warm.tenant.users.unblock(ADA)
    await warm.start()
    assert (await warm.exchange()).status == 200
    assert (await warm.refresh(token)).status == 200


async def test_a_user_who_is_added_blocked(warm: Wire) -> None:
    """A block can come with the account; a wrong code does not reveal it."""
    warm.tenant.users.add(ADA, blocked=True)

    assert (await warm.exchange(otp="x")).words[1] == "invalid_grant"
    assert (await warm.exchange()).words == BLOCKED


async def test_too_many_failures(wire_for: Opener) -> None:
    """After so many wrong codes in a row, over several codes, even the right one is refused, until it is lifted."""
    wire = await wire_for(failures_before_block=4, public_nonce_required=False)
    for _ in range(2):
        await wire.start()
        for _ in range(2):
            assert (await wire.exchange(otp="x")).words[:2] == (403, "invalid_grant")

    answer = await wire.exchange()

    assert answer.words[:2] == (429, "too_many_attempts")
    assert "blocked after multiple consecutive login attempts" in answer.words[2]
    assert wire.tenant.stats.codes_presented == 4
    wire.tenant.users.unblock(ADA)
    assert (await wire.exchange()).status == 200


async def test_a_right_code_forgives(wire_for: Opener) -> None:
    """Failures count in a row; those of another user do not count."""
    wire = await wire_for(failures_before_block=2, public_nonce_required=False)
    for _ in range(3):
        await wire.start()
        assert (await wire.exchange(otp="x")).status == 403
        assert (await wire.exchange(otp="x", username="bob@example.com")).status in (403, 429)
        assert (await wire.exchange()).status == 200


async def test_settings_for_what_is_undocumented(wire_for: Opener) -> None:
    """``redirect_uri``, ``resource``, the scope of the response and the spelling of the type are settings."""
    wire = await wire_for(redirect_uri_required=True, resource_parameter=True, scope_in_answer=False, token_type="dpop")

    assert (await wire.login()).words[:2] == (400, "invalid_request")
    answer = await wire.exchange(redirect_uri="https://app.example/cb", resource=BOUND_API)
    assert answer.json["token_type"] == "dpop"
    assert "scope" not in answer.json
    assert BOUND_API in claims_of(answer.json["access_token"])["aud"]
