"""The codes of database connections."""

from __future__ import annotations

import pytest

from helpers.tenant_wire import ADA, Opener, Wire, exchange_database, open_auth_session

WRONG = (400, "invalid_request", "Wrong or expired verification code.")


@pytest.mark.parametrize("what", ["wrong", "used", "expired", "exhausted", "unknown", "foreign"])
async def test_codes_that_do_not_pass(wire_for: Opener, what: str) -> None:
    """Whatever is wrong with the code, the answer is one 400 ``invalid_request``."""
    wire = await wire_for(nonce_lifetime=1e9, public_nonce_required=False)
    session, members = await open_auth_session(wire), {}
    if what == "used":
        assert (await exchange_database(wire, session)).status == 200
    if what == "expired":
        wire.tenant.clock.advance(180)
    if what == "exhausted":
        assert [(await exchange_database(wire, session, otp="x")).words for _ in range(3)] == [WRONG] * 3
    if what == "foreign":
        members = dict(zip(("client_id", "client_secret"), wire.tenant.confidential_client, strict=True))
    otp = "x" if what == "wrong" else wire.tenant.outbox.code_for(ADA)

    assert (await exchange_database(wire, "guess" if what == "unknown" else session, otp=otp, **members)).words == WRONG


@pytest.fixture
async def warm_session(warm: Wire) -> str:
    """Open a session whose code was sent."""
    return await open_auth_session(warm)


async def test_a_later_auth_session_leaves_the_earlier_one_valid(warm: Wire, warm_session: str) -> None:
    """A code belongs to its session: a later challenge leaves the earlier one alive."""
    code = warm.tenant.outbox.code_for(ADA)
    await open_auth_session(warm)

    assert (await exchange_database(warm, warm_session, otp=code)).status == 200
