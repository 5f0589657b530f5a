"""Logout tokens, through a client: what they cost, and keys that rotate or cannot be fetched."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from helpers.clients import opened
from passwordless_async import (
    TESTING,
    ClientSecretPost,
    Email,
    InvalidLogoutToken,
    NotSent,
    PasswordlessClient,
    TransportError,
)
from passwordless_async.testing import Fault, LocalTenant, TenantSettings

ADA = Email("ada@example.com")
KEYS = "/.well-known/jwks.json"


async def log_in(tenant: LocalTenant, client: PasswordlessClient) -> None:
    await client.start(ADA)
    await client.exchange(ADA, tenant.outbox.code_for(ADA), scope="openid offline_access")


def fetches(tenant: LocalTenant) -> int:
    return sum(seen.path == KEYS for seen in tenant.requests)


async def test_a_token_whose_key_is_known_costs_no_request() -> None:
    """Neither a good one nor a bad one."""
    async with opened() as (tenant, client):
        await log_in(tenant, client)
        before = tenant.stats.wire_requests
        logout = await client.read_logout_token(tenant.logout_token(ADA))
        assert logout.sub is not None
        assert logout.sid is not None
        with pytest.raises(InvalidLogoutToken):
            await client.read_logout_token(tenant.logout_token(ADA, events=None))
        assert tenant.stats.wire_requests == before


async def test_a_new_key_is_fetched() -> None:
    """The tenant signs with another key since."""
    async with opened() as (tenant, client):
        await log_in(tenant, client)
        tenant.rotate_signing_key()
        assert (await client.read_logout_token(tenant.logout_token(ADA))).jti


async def test_a_flood_of_unknown_keys_is_one_search(monkeypatch: Any) -> None:
    """A hundred forged tokens cost the fetches of one, and hold up no login."""
    monkeypatch.setattr("passwordless_async.auth0.jwks._PAUSES_SECONDS", (0.0, 0.01, 0.02))
    async with opened() as (tenant, client):
        await log_in(tenant, client)
        token = tenant.logout_token(ADA)
        tenant.rotate_signing_key(revoke=True)
        await client.read_logout_token(tenant.logout_token(ADA))
        before = fetches(tenant)
        told = await asyncio.gather(*(client.read_logout_token(token) for _ in range(100)), return_exceptions=True)
        assert {type(each) for each in told} == {InvalidLogoutToken}
        assert fetches(tenant) - before <= 3
        await log_in(tenant, client)


async def test_keys_that_cannot_be_fetched_make_no_token_invalid(monkeypatch: Any) -> None:
    """It may be valid: the tenant should send it again."""
    monkeypatch.setattr("passwordless_async.auth0.jwks._PAUSES_SECONDS", (0.0, 0.01))
    async with opened() as (tenant, client):
        await log_in(tenant, client)
        tenant.rotate_signing_key()
        tenant.faults.add(Fault.SERVICE_UNAVAILABLE, path=KEYS)
        for _ in range(2):
            with pytest.raises(TransportError, match="logout token"):
                await client.read_logout_token(tenant.logout_token(ADA))


async def test_tokens_that_are_signed_with_the_secret() -> None:
    """HS256, where the application takes ID tokens by it: its key is not fetched."""
    async with LocalTenant(TenantSettings(id_token_alg="HS256")) as tenant:
        client_id, secret = tenant.confidential_client
        async with PasswordlessClient(
            tenant.url,
            client_id,
            client_auth=ClientSecretPost(secret),
            id_token_algorithms=("HS256",),
            profile=TESTING,
        ) as client:
            await log_in(tenant, client)
            assert (await client.read_logout_token(tenant.logout_token(ADA))).jti
            assert fetches(tenant) == 0


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "x" * 200_000, "é.é.é"])
async def test_what_is_no_token(token: str) -> None:
    """It is refused without a request."""
    async with opened() as (tenant, client):
        before = tenant.stats.wire_requests
        with pytest.raises(InvalidLogoutToken):
            await client.read_logout_token(token)
        assert tenant.stats.wire_requests == before


async def test_keys_are_fetched_ahead_of_a_login() -> None:
    """Once while they are young; if they cannot be had, an error says so, unless some are known."""
    async with (
        LocalTenant() as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as client,
    ):
        tenant.faults.add(Fault.SERVICE_UNAVAILABLE, path=KEYS)
        with pytest.raises(NotSent):
            await client.fetch_signing_keys()
        tenant.faults.clear()
        before = fetches(tenant)
        await client.fetch_signing_keys()
        await client.fetch_signing_keys()
        assert fetches(tenant) - before == 1
