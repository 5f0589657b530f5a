"""``POST /oauth/revoke``."""

from __future__ import annotations

import base64

from helpers.tenant_wire import Wire, log_in_offline, revoke

UNKNOWN = (403, "invalid_grant", "Unknown or invalid refresh token.")


async def test_revocation(wire: Wire) -> None:
    """Revoking a token ends its whole family, with an empty 200."""
    old = (await log_in_offline(wire))["refresh_token"]
    new = (await wire.refresh(old)).json

    answer = await revoke(wire, old)

    assert (answer.status, answer.body) == (200, b"")
    assert (await wire.refresh(new["refresh_token"])).words == UNKNOWN
    assert (await wire.userinfo(new["access_token"])).status == 401
    assert (await revoke(wire, old)).status == 200
    assert wire.tenant.stats.families_revoked == 1
    assert wire.tenant.stats.revoke_requests == 2


async def test_revoking_an_unknown_or_foreign_token(wire: Wire) -> None:
    """An unknown token and another application's get the same response, and nothing is revoked."""
    client_id, secret = wire.tenant.confidential_client
    token = (await log_in_offline(wire))["refresh_token"]

    assert (await revoke(wire, "guess")).status == 200
    assert (await revoke(wire, token, client_id=client_id, client_secret=secret)).status == 200
    assert (await wire.refresh(token)).status == 200


async def test_revocation_by_each_kind_of_client(wire: Wire) -> None:
    """The application authenticates itself, in a form as in JSON."""
    client_id, secret = wire.tenant.confidential_client
    credentials = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    header = {"Authorization": f"Basic {credentials}"}

    assert (await wire.send("POST", "/oauth/revoke", data={"token": "t"}, headers=header)).status == 200
    assert (await wire.send("POST", "/oauth/revoke", data=wire.asserting(token="t"))).status == 200
    assert (await revoke(wire, "t", client_id=client_id)).words[:2] == (401, "invalid_client")
    assert (await revoke(wire, "t", client_id="unknown-client")).words[:2] == (401, "invalid_client")
    assert (await revoke(wire, "")).words[:2] == (400, "invalid_request")
