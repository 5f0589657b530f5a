"""Blocked users, captcha, brute-force protection, and a clock that is wrong."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest

from passwordless_async.auth0.identity import Email

if TYPE_CHECKING:
    from tests.testing.conftest import Opener, Wire

ADA = Email("ada@example.com")
BLOCKED = (401, "unauthorized", "user is blocked")


async def test_a_blocked_user(warm: Wire):
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


async def test_a_user_who_is_added_blocked(warm: Wire):
    """A block can come with the account, and a wrong code does not tell of it."""
    warm.tenant.users.add(ADA, blocked=True)

    assert (await warm.exchange(otp="x")).words[1] == "invalid_grant"
    assert (await warm.exchange()).words == BLOCKED


async def test_a_captcha(wire_for: Opener):
    """Start asks for the captcha until it is solved."""
    wire = await wire_for(captcha="solved")

    assert (await wire.start()).words[:2] == (401, "requires_verification")
    assert (await wire.start(captcha="guess")).words[:2] == (401, "requires_verification")
    assert not wire.tenant.outbox.messages
    assert (await wire.start(captcha="solved")).status == 200


async def test_too_many_failures(wire_for: Opener):
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


async def test_a_right_code_forgives(wire_for: Opener):
    """Failures count in a row; those of another user do not count."""
    wire = await wire_for(failures_before_block=2, public_nonce_required=False)
    for _ in range(3):
        await wire.start()
        assert (await wire.exchange(otp="x")).status == 403
        assert (await wire.exchange(otp="x", username="bob@example.com")).status in (403, 429)
        assert (await wire.exchange()).status == 200


@pytest.mark.parametrize("seconds", [0, 300, -300])
async def test_the_date_of_an_answer(wire_for: Opener, seconds: int):
    """Each answer says what time it is on the tenant's clock, which a setting can put wrong."""
    wire = await wire_for(clock_wrong_by=seconds)

    for method, path in (("GET", "/.well-known/openid-configuration"), ("POST", "/oauth/token"), ("GET", "/nowhere")):
        date = parsedate_to_datetime((await wire.send(method, path)).headers["Date"]).timestamp()
        assert date == pytest.approx(time.time() + seconds, abs=5)


async def test_a_clock_that_goes_wrong(warm: Wire):
    """A tenant whose clock is ahead refuses proofs as too old, and its Date says why."""
    warm.tenant.clock.go_wrong(3600)

    answer = await warm.exchange()
    if answer.words[1] == "use_dpop_nonce":  # the nonce has aged with the clock
        answer = await warm.exchange()

    assert answer.words[:2] == (400, "invalid_dpop_proof")
    assert parsedate_to_datetime(answer.headers["Date"]).timestamp() == pytest.approx(time.time() + 3600, abs=5)
