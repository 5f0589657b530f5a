"""Which nonces pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from helpers.tenant_wire import Opener, Wire


@pytest.mark.parametrize("nonce", ["wrong", "é", "A" * 40, "", "===="])
async def test_a_wrong_nonce_is_challenged(warm: Wire, nonce: str) -> None:
    """A foreign nonce is challenged with one of the tenant's, and no attempt is counted."""
    answer = await warm.exchange(proof=warm.proof(nonce=nonce))

    assert answer.words[:2] == (400, "use_dpop_nonce")
    assert (await warm.exchange()).status == 200


async def test_a_nonce_lapses_with_time(warm: Wire) -> None:
    """The present nonce and the one before pass, older ones are challenged."""
    old = warm.nonce
    warm.tenant.clock.advance(300)
    assert (await warm.exchange(otp="x", proof=warm.proof(nonce=old))).words[1] == "invalid_grant"
    warm.tenant.clock.advance(300)
    assert (await warm.exchange(proof=warm.proof(nonce=old))).words[1] == "use_dpop_nonce"


async def test_a_nonce_that_changes_with_requests(wire_for: Opener) -> None:
    """With ``nonce_rotation`` the nonce changes after so many token requests; a 200 carries the next."""
    wire = await wire_for(nonce_rotation=2, accepted_previous_nonces=0)
    seen = []
    for _ in range(6):
        await wire.start()
        await wire.exchange()
        seen.append(wire.nonce)

    assert len(set(seen)) == 4
    assert wire.tenant.stats.nonce_challenges > 1


async def test_other_requests_do_not_change_a_nonce(wire_for: Opener) -> None:
    """Only token requests count for ``nonce_rotation``."""
    wire = await wire_for(nonce_rotation=10, accepted_previous_nonces=0)
    await wire.login()
    for _ in range(20):
        await wire.send("GET", "/.well-known/jwks.json")
    challenges = wire.tenant.stats.nonce_challenges
    await wire.login()
    assert wire.tenant.stats.nonce_challenges == challenges


async def test_single_use_nonces(wire_for: Opener) -> None:
    """With single-use nonces each response carries another, and each passes once."""
    wire = await wire_for(single_use_nonces=True)
    await wire.login()
    first = wire.nonce
    assert (await wire.login()).status == 200
    assert wire.nonce != first

    await wire.start()
    assert (await wire.exchange(proof=wire.proof(nonce=first))).words[1] == "use_dpop_nonce"
