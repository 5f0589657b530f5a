"""The tokens of a login, and what becomes of access tokens."""

from __future__ import annotations

import time

import pytest

from helpers.tenant_wire import ADA, Opener, Wire, log_in_offline, revoke, segment_of


async def test_a_login_without_offline_access(wire: Wire) -> None:
    """No refresh token unless it is asked for."""
    assert "refresh_token" not in await log_in_offline(wire, scope="openid")
    assert wire.tenant.refresh_families == ()


async def test_access_tokens_that_outlive_their_family(wire_for: Opener) -> None:
    """Whether a revocation reaches access tokens is a setting."""
    wire = await wire_for(revocation_ends_access_tokens=False)
    login = await log_in_offline(wire)

    await revoke(wire, login["refresh_token"])

    assert (await wire.userinfo(login["access_token"])).status == 200


async def test_access_tokens_expire_and_are_revoked(wire: Wire) -> None:
    """Userinfo refuses both with 401 ``invalid_token`` in a DPoP challenge; a refresh helps."""
    login = await log_in_offline(wire)
    wire.tenant.revoke_access_tokens(ADA)
    revoked = await wire.userinfo(login["access_token"])
    tokens = (await wire.refresh(login["refresh_token"])).json
    assert (await wire.userinfo(tokens["access_token"])).status == 200
    wire.tenant.clock.advance(86_401)
    wire.nonce = None
    expired = await wire.userinfo(tokens["access_token"])

    for answer in (revoked, expired):
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith('DPoP error="invalid_token"')
    wire.tenant.revoke_access_tokens()


async def test_auth_time_is_a_setting_and_survives_a_refresh(wire_for: Opener) -> None:
    """``auth_time`` can be had in every ID token, and a refresh repeats it."""
    wire = await wire_for(auth_time_in_id_token=True)
    login = (await wire.login(scope="openid offline_access")).json
    renewed = (await wire.refresh(login["refresh_token"])).json

    auth_time = segment_of(login["id_token"], 1)["auth_time"]
    assert auth_time == pytest.approx(time.time(), abs=5)
    assert segment_of(renewed["id_token"], 1)["auth_time"] == auth_time


async def test_a_login_without_scope_and_audience_yields_an_opaque_token(wire: Wire) -> None:
    """Without scope and audience there is an opaque bound token and nothing else."""
    answer = await wire.login(scope="")

    assert answer.json.keys() == {"access_token", "expires_in", "token_type"}
    assert "." not in answer.json["access_token"]
