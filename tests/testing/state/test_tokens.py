"""Access tokens and ID tokens, and the rotation, reuse, leeway and lifetimes of refresh tokens."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.tenant_wire import ADA, Opener, Wire, claims_of, log_in_offline, revoke, segment_of, stop_at_mfa
from passwordless_async.testing import BOUND_API, MULTI_FACTOR, TenantSettings, TenantStats
from passwordless_async.testing.state.tokens import RefreshTokens


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


async def test_an_api_is_told_of_the_login(wire_for: Opener) -> None:
    """By claims with a namespace, if the settings name any; a refresh repeats them. Auth0 adds none of itself."""
    names: Any = {"auth_time_claim": f"{BOUND_API}/auth_time", "acr_claim": f"{BOUND_API}/acr"}
    plain = segment_of((await (await wire_for()).login(scope="openid", audience=BOUND_API)).json["access_token"], 1)
    wire = await wire_for(**names)
    first = segment_of((await wire.login(scope="openid", audience=BOUND_API)).json["access_token"], 1)
    waits = await stop_at_mfa(wire, "otp", scope="openid offline_access", audience=BOUND_API)
    stronger = (await wire.mfa("otp", waits["mfa_token"], otp=wire.tenant.mfa.otp_for(ADA))).json
    strong = segment_of(stronger["access_token"], 1)
    renewed = segment_of((await wire.refresh(stronger["refresh_token"])).json["access_token"], 1)

    assert {"auth_time", "acr", *names.values()}.isdisjoint(plain)
    assert names["acr_claim"] not in first
    assert first[names["auth_time_claim"]] == pytest.approx(time.time(), abs=5)
    assert [claims[names["acr_claim"]] for claims in (strong, renewed)] == [MULTI_FACTOR] * 2
    assert renewed[names["auth_time_claim"]] == strong[names["auth_time_claim"]]


async def test_a_login_without_scope_and_audience_yields_an_opaque_token(wire: Wire) -> None:
    """Without scope and audience there is an opaque bound token and nothing else."""
    answer = await wire.login(scope="")

    assert answer.json.keys() == {"access_token", "expires_in", "token_type"}
    assert "." not in answer.json["access_token"]


async def test_each_rotation_brings_another_token(wire: Wire) -> None:
    """Each refresh returns the next token, and the family counts them."""
    token = (await log_in_offline(wire))["refresh_token"]
    for _ in range(3):
        token = (await wire.refresh(token)).json["refresh_token"]

    (family,) = wire.tenant.refresh_families
    assert (family.rotations, family.revoked, family.reuse_detected) == (3, False, False)
    assert family.thumbprint == wire.thumbprint
    assert family.user.username == ADA.address
    assert wire.tenant.stats.refresh_rotations == 3


UNKNOWN = (403, "invalid_grant", "Unknown or invalid refresh token.")


async def test_reuse_ends_the_family(wire: Wire) -> None:
    """A token that was replaced is refused, and so is its successor; access tokens die at userinfo."""
    old = (await log_in_offline(wire))["refresh_token"]
    new = (await wire.refresh(old)).json

    assert (await wire.refresh(old)).words == UNKNOWN
    assert (await wire.refresh(new["refresh_token"])).words == UNKNOWN
    assert (await wire.userinfo(new["access_token"])).json["error"] == "invalid_token"
    (family,) = wire.tenant.refresh_families
    assert family.reuse_detected
    assert family.revoked
    assert (wire.tenant.stats.refresh_reuse_detected, wire.tenant.stats.families_revoked) == (1, 1)


async def test_concurrent_refreshes_are_a_reuse(wire: Wire) -> None:
    """Concurrent refreshes of one token are a reuse: a client that is not single-flight loses the login."""
    token = (await log_in_offline(wire))["refresh_token"]

    answers = await asyncio.gather(*(wire.refresh(token) for _ in range(10)))

    assert sorted(answer.status for answer in answers) == [200] + [403] * 9
    assert wire.tenant.refresh_families[0].revoked


async def test_reuse_in_the_leeway(wire_for: Opener) -> None:
    """In the leeway the token before the newest yields another one; after it the family ends."""
    wire = await wire_for(refresh_leeway=10)
    old = (await log_in_offline(wire))["refresh_token"]
    first, second = await wire.refresh(old), await wire.refresh(old)

    assert (first.status, second.status) == (200, 200)
    assert first.json["refresh_token"] != second.json["refresh_token"]
    wire.tenant.clock.advance(6)
    assert (await wire.refresh(old)).status == 200
    wire.tenant.clock.advance(6)  # the leeway counts from the first time
    assert (await wire.refresh(old)).words == UNKNOWN
    assert wire.tenant.refresh_families[0].reuse_detected


async def test_an_older_token_in_the_leeway(wire_for: Opener) -> None:
    """The second-to-last token ends the family even in the leeway; each of two successors may be used before."""
    wire = await wire_for(refresh_leeway=10)
    old = (await log_in_offline(wire))["refresh_token"]
    first, second = await wire.refresh(old), await wire.refresh(old)

    for answer in (first, second):
        assert (await wire.refresh(answer.json["refresh_token"])).status == 200
    assert (await wire.refresh(old)).words == UNKNOWN
    assert wire.tenant.refresh_families[0].reuse_detected


async def test_without_rotation(wire_for: Opener) -> None:
    """Without rotation the response has no refresh token, and the same one works again."""
    wire = await wire_for(refresh_rotation=False)
    token = (await log_in_offline(wire))["refresh_token"]

    for _ in range(3):
        answer = await wire.refresh(token)
        assert answer.status == 200
        assert "refresh_token" not in answer.json
    assert wire.tenant.refresh_families[0].rotations == 0


async def test_lifetimes(wire_for: Opener) -> None:
    """Without use the family ends after the idle lifetime, with use after the absolute one."""
    wire = await wire_for(refresh_lifetime=1000, refresh_idle_lifetime=400, nonce_lifetime=1e9)
    idle = (await log_in_offline(wire))["refresh_token"]
    wire.tenant.clock.advance(401)
    assert (await wire.refresh(idle)).words == UNKNOWN

    used = (await log_in_offline(wire))["refresh_token"]
    for _ in range(3):
        wire.tenant.clock.advance(300)
        used = (await wire.refresh(used)).json["refresh_token"]
    wire.tenant.clock.advance(101)
    assert (await wire.refresh(used)).words == UNKNOWN


@pytest.mark.parametrize(
    ("started_at", "used_at", "is_over"),
    [(0.0, 900.0, True), (0.5, 900.0, False), (9.0, 600.0, True), (9.0, 600.5, False)],
)
def test_the_moment_in_which_a_lifetime_is_over(started_at: float, used_at: float, *, is_over: bool) -> None:
    """A lifetime of so many seconds is over when they are."""
    settings = TenantSettings(refresh_lifetime=1000, refresh_idle_lifetime=400)
    clock: Any = SimpleNamespace(now=lambda: 1000.0)
    family: Any = SimpleNamespace(started_at=started_at, used_at=used_at)
    assert RefreshTokens(settings, clock, TenantStats())._expired(family) is is_over


async def test_lifetimes_that_do_not_end(wire_for: Opener) -> None:
    """None means no limit."""
    wire = await wire_for(refresh_lifetime=None, refresh_idle_lifetime=None, nonce_lifetime=1e12)
    token = (await log_in_offline(wire))["refresh_token"]

    wire.tenant.clock.advance(1e9)
    assert (await wire.refresh(token)).status == 200


@pytest.mark.parametrize(
    ("dialect", "typ", "client"), [("access_token", "JWT", "azp"), ("rfc9068_profile", "at+jwt", "client_id")]
)
async def test_both_dialects_of_access_tokens(wire_for: Opener, dialect: str, typ: str, client: str) -> None:
    """Auth0's own profile, and that of RFC 9068 §2: the type, and the claim that names the application."""
    wire = await wire_for(token_dialect=dialect)
    tokens = (await wire.login(audience=BOUND_API, scope="openid")).json

    claims = claims_of(tokens["access_token"])
    assert segment_of(tokens["access_token"], 0)["typ"] == typ
    assert segment_of(tokens["id_token"], 0)["typ"] == "JWT"
    assert {name: claims[name] for name in ("azp", "client_id") if name in claims} == {client: "public-client"}
    assert claims.keys() >= {"iss", "exp", "aud", "sub", "iat", "jti", "scope", "cnf"}
