"""The tenant's counters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async.testing import TenantStats

if TYPE_CHECKING:
    from helpers.tenant_wire import Wire


async def test_a_login_is_counted(wire: Wire) -> None:
    """A challenged login is two token requests, one code and one bound token."""
    await wire.login()

    stats = wire.tenant.stats
    assert (stats.wire_requests, stats.start_requests, stats.token_requests) == (3, 1, 2)
    assert (stats.codes_sent, stats.codes_presented, stats.codes_refused) == (1, 1, 0)
    assert (stats.nonce_challenges, stats.proofs_accepted, stats.distinct_keys) == (1, 1, 1)
    assert (stats.tokens_issued, stats.tokens_bound) == (1, 1)


def test_counters_survive_json() -> None:
    """``to_json`` holds every counter."""
    stats = TenantStats(wire_requests=3, codes_sent=1)

    assert TenantStats(**stats.to_json()) == stats
