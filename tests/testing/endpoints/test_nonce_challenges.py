"""Nonce challenges at the token endpoint and at a resource."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from helpers.tenant_wire import Opener, Wire


@pytest.mark.parametrize("error", ["use_dpop_nonce", "invalid_dpop_nonce"])
async def test_userinfo_with_nonces(wire_for: Opener, error: str) -> None:
    """A resource challenges with 401; what it calls a stale nonce is a setting."""
    wire = await wire_for(userinfo_nonce_required=True, stale_nonce_error=error)
    token = (await wire.login()).json["access_token"]
    assert (await wire.userinfo(token)).status == 200

    wire.nonce = "stale"
    challenge = await wire.userinfo(token)

    assert challenge.status == 401
    assert f'DPoP error="{error}"' in challenge.headers["WWW-Authenticate"]
    assert challenge.headers["DPoP-Nonce"]


async def test_the_first_proof_of_a_public_client_is_challenged(wire: Wire) -> None:
    """A public client without a nonce gets 400 with the documented text, and no attempt is counted."""
    await wire.start()

    challenge = await wire.exchange()
    answer = await wire.exchange()

    assert challenge.words == (400, "use_dpop_nonce", "Authorization server requires nonce in DPoP proof")
    assert challenge.headers["DPoP-Nonce"]
    assert answer.status == 200
    assert answer.headers["DPoP-Nonce"]
    assert wire.tenant.stats.codes_presented == 1
    assert wire.tenant.stats.nonce_challenges == 1
