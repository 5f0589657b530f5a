"""The rules of a code, of a user and of an ``auth_session``."""

from __future__ import annotations

import asyncio

import pytest

from helpers.tenant_wire import ADA, Opener, Wire, exchange_database, open_auth_session

WRONG_DATABASE = (400, "invalid_request", "Wrong or expired verification code.")
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
    """A used code is refused."""
    assert (await warm.exchange()).status == 200
    assert (await warm.exchange()).words == WRONG


async def test_one_of_twenty_concurrent_requests_wins(warm: Wire) -> None:
    """Of twenty concurrent requests with one code, exactly one gets tokens."""
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
    """A user who never started gets the refusal of a wrong code."""
    await wire.exchange(otp="1")

    assert (await wire.exchange(otp="1")).words == WRONG


EXPIRED = (403, "invalid_grant", "The verification code has expired. Please try to login again.")


async def test_a_code_lives_three_minutes(warm: Wire) -> None:
    """A code passes at 179 seconds and not at 181, by the tenant's clock."""
    warm.tenant.clock.advance(179)
    assert (await warm.login()).status == 200
    await warm.start()
    warm.tenant.clock.advance(181)
    await warm.exchange(otp="x")
    assert (await warm.exchange()).words == EXPIRED


@pytest.mark.parametrize("what", ["wrong", "used", "expired", "exhausted", "unknown", "foreign"])
async def test_codes_that_do_not_pass(wire_for: Opener, what: str) -> None:
    """A wrong, used, expired, exhausted, unknown or foreign code gets the same 400 ``invalid_request``."""
    wire = await wire_for(nonce_lifetime=1e9, public_nonce_required=False)
    session, members = await open_auth_session(wire), {}
    if what == "used":
        assert (await exchange_database(wire, session)).status == 200
    if what == "expired":
        wire.tenant.clock.advance(180)
    if what == "exhausted":
        assert [(await exchange_database(wire, session, otp="x")).words for _ in range(3)] == [WRONG_DATABASE] * 3
    if what == "foreign":
        members = dict(zip(("client_id", "client_secret"), wire.tenant.confidential_client, strict=True))
    otp = "x" if what == "wrong" else wire.tenant.outbox.code_for(ADA)

    assert (
        await exchange_database(wire, "guess" if what == "unknown" else session, otp=otp, **members)
    ).words == WRONG_DATABASE


@pytest.fixture
async def warm_session(warm: Wire) -> str:
    """Open an ``auth_session`` with a code that was sent."""
    return await open_auth_session(warm)


async def test_a_later_auth_session_leaves_the_earlier_one_valid(warm: Wire, warm_session: str) -> None:
    """A code belongs to its session: a later challenge leaves the earlier one alive."""
    code = warm.tenant.outbox.code_for(ADA)
    await open_auth_session(warm)

    assert (await exchange_database(warm, warm_session, otp=code)).status == 200
