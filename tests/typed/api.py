"""The public names as a type checker sees them; never run, checked by mypy strict."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, assert_type

from passwordless_async import (
    TESTING,
    Authorized,
    CheckedProof,
    ClientSecretPost,
    DPoPKey,
    DPoPMode,
    Email,
    Login,
    MemoryReplayStore,
    NoClientAuth,
    Outcome,
    PasswordlessClient,
    PasswordlessError,
    Phone,
    ProofGenerator,
    RateLimited,
    Requirements,
    ResourceMetadata,
    ResourceServer,
    StartReceipt,
    TokenSet,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import aiohttp


async def a_login(session: aiohttp.ClientSession) -> None:
    """The contract's example."""
    async with PasswordlessClient(
        "acme.eu.auth0.com", "client-id", client_auth=ClientSecretPost("secret"), session=session, profile=TESTING
    ) as client:
        receipt = await client.start(
            Email("ada@example.com"), language="en", forwarded_for=ipaddress.ip_address("192.0.2.1"), send="code"
        )
        assert_type(receipt, StartReceipt)
        tokens = await client.exchange(Phone("+4930901820"), "123456", scope="openid", audience="https://api.example")
        assert_type(tokens, TokenSet)
        assert_type(tokens.bound, bool)
        assert_type(tokens.key, DPoPKey | None)
        assert_type(tokens.jkt, str | None)
        assert_type(tokens.claims, Mapping[str, Any] | None)
        assert_type(tokens.expires_at, int | None)
        token: str = tokens.access_token
        await client.start(Email(token), send="carrier pigeon")  # type: ignore[arg-type]
        await client.exchange("ada@example.com", "123456")  # type: ignore[arg-type]


async def each_mode(mode: DPoPMode) -> None:
    """A mode is one of three words."""
    PasswordlessClient("acme.eu.auth0.com", "client-id", dpop=mode)
    PasswordlessClient("acme.eu.auth0.com", "client-id", dpop="preferred")
    PasswordlessClient("acme.eu.auth0.com", "client-id", dpop="bearer")  # type: ignore[arg-type]


async def many_logins(many: AsyncIterator[Login], few: Iterator[Login]) -> None:
    """Both kinds of iterable, and what an outcome holds."""
    async with PasswordlessClient(
        "acme.eu.auth0.com", "client-id", client_auth=NoClientAuth(), profile=TESTING
    ) as client:
        async for outcome in client.exchange_many(many, concurrency=8):
            assert_type(outcome, Outcome)
            assert_type(outcome.login, Login)
            assert_type(outcome.tokens, TokenSet | None)
            assert_type(outcome.error, PasswordlessError | None)
            if isinstance(outcome.error, RateLimited):
                assert_type(outcome.error.retry_after, float | None)
        client.exchange_many(few)
        async with aclosing(client.exchange_many(few)) as stream:
            assert_type(await anext(stream), Outcome)
        client.exchange_many([("ada@example.com", "123456")])  # type: ignore[list-item]


async def an_api(headers: Mapping[str, str]) -> None:
    """What a resource server takes and returns."""
    server = ResourceServer(
        issuer=["https://acme.eu.auth0.com/"],
        audience="https://api.example",
        base_url="https://api.example",
        dpop="preferred",
        replay=MemoryReplayStore(),
        metadata=ResourceMetadata(scopes_supported=["read"]),
    )
    user = await server.authorize("GET", "/me", headers, scopes={"read"}, max_age=60)
    assert_type(user, Authorized)
    assert_type(user.subject, str)
    assert_type(user.scopes, frozenset[str])
    assert_type(user.claims, Mapping[str, Any])
    assert_type(user.proof, CheckedProof | None)
    needs: Requirements = {"permissions": ["read"], "acr_values": ("gold",)}
    await server.authorize("GET", "/me", headers, **needs)
    await server.authorize("GET", "/me", headers, scope="read")  # type: ignore[call-arg]


def a_proof() -> str:
    """A proof is a text."""
    key = DPoPKey.from_pem(DPoPKey.generate().to_pem(b"password"), b"password")
    assert_type(key.to_jwk(private=True), dict[str, str])
    return ProofGenerator(key).proof("POST", "https://acme.eu.auth0.com/oauth/token", nonce=None, access_token=None)
