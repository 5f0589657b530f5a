"""The rules of a code."""

from __future__ import annotations

import asyncio

from helpers.tenant_wire import ADA, Wire

WRONG = (403, "invalid_grant", "Wrong email or verification code.")


async def test_the_newest_code_alone_is_valid(warm: Wire) -> None:
    """A resend kills the code before."""
    old = warm.tenant.outbox.code_for(ADA)
    new = old
    while new == old:
        await warm.start()
        new = warm.tenant.outbox.code_for(ADA)

    assert (await warm.exchange(otp=old)).words == WRONG
    assert (await warm.exchange(otp=new)).status == 200


async def test_a_used_code_is_dead(warm: Wire) -> None:
    """A code opens once."""
    assert (await warm.exchange()).status == 200
    assert (await warm.exchange()).words == WRONG


async def test_one_of_twenty_concurrent_requests_wins(warm: Wire) -> None:
    """Of twenty requests at once with one code exactly one is answered with tokens."""
    answers = await asyncio.gather(*(warm.exchange() for _ in range(20)))

    assert sorted(answer.status for answer in answers) == [200] + [403] * 19


EXHAUSTED = (403, "invalid_grant", "You've reached the maximum number of attempts. Please try to login again.")


async def test_the_third_failure_kills_the_code(warm: Wire) -> None:
    """After two wrong codes the third says that it was one too many, and then the right one does not help."""
    assert (await warm.exchange(otp="x")).words == WRONG
    assert (await warm.exchange(otp="x")).words == WRONG
    assert (await warm.exchange(otp="x")).words == EXHAUSTED
    assert (await warm.exchange()).words == EXHAUSTED


async def test_a_code_for_a_user_without_one_is_wrong(wire: Wire) -> None:
    """A user who never started is told the same as one with a wrong code."""
    await wire.exchange(otp="1")

    assert (await wire.exchange(otp="1")).words == WRONG


EXPIRED = (403, "invalid_grant", "The verification code has expired. Please try to login again.")


async def test_a_code_lives_three_minutes(warm: Wire) -> None:
    """At 179 seconds it opens, at 181 it does not; the clock is the tenant's and no test sleeps."""
    warm.tenant.clock.advance(179)
    assert (await warm.login()).status == 200
    await warm.start()
    warm.tenant.clock.advance(181)
    await warm.exchange(otp="x")
    assert (await warm.exchange()).words == EXPIRED
