"""Each class is what its protocol says; never run, checked by mypy and pyright, both strict."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp
    import httpx2

    from passwordless_async import (
        ClientAuth,
        ClientSecretBasic,
        ClientSecretPost,
        DPoPMiddleware,
        Email,
        MemoryReplayStore,
        MemoryStore,
        NoClientAuth,
        PasswordlessClient,
        Phone,
        PrivateKeyJwt,
        ReplayStore,
        SessionStore,
        Store,
        TlsClientAuth,
        TokenSource,
        UserSession,
    )
    from passwordless_async.adapters.httpx2 import DPoPAuth
    from passwordless_async.adapters.opentelemetry import OpenTelemetry
    from passwordless_async.auth0.mfa.state import Registered
    from passwordless_async.client.events import Event
    from passwordless_async.stores import CodeStore, CounterStore, NonceStore, QuotaStore
    from passwordless_async.stores.redis import RedisReplayStore, RedisStore
    from passwordless_async.testing.state.users import HasUsername


def client_auths(
    none: NoClientAuth, post: ClientSecretPost, basic: ClientSecretBasic, key: PrivateKeyJwt, tls: TlsClientAuth
) -> tuple[ClientAuth, ...]:
    """Every way to authenticate an application."""
    return none, post, basic, key, tls


def stores(memory: MemoryStore, redis: RedisStore) -> tuple[Store | SessionStore, ...]:
    """Each store is all that a store can be."""
    sessions: tuple[SessionStore, ...] = memory, redis
    codes: tuple[CodeStore, ...] = memory, redis
    nonces: tuple[NonceStore, ...] = memory, redis
    quotas: tuple[QuotaStore, ...] = memory, redis
    counters: tuple[CounterStore, ...] = memory, redis
    whole: tuple[Store, ...] = memory, redis
    assert len(sessions) == len(codes) == len(nonces) == len(quotas) == len(counters)
    return whole


def replay_stores(memory: MemoryReplayStore, redis: RedisReplayStore) -> tuple[ReplayStore, ...]:
    """The stores of used proofs."""
    return memory, redis


def token_source(session: UserSession) -> TokenSource:
    """A session supplies tokens to a middleware or an auth."""
    return session


def in_other_libraries(
    middleware: DPoPMiddleware, auth: DPoPAuth, telemetry: OpenTelemetry
) -> tuple[aiohttp.ClientMiddlewareType, httpx2.Auth, Callable[[Event], None]]:
    """What other libraries, and the client, take."""
    return middleware, auth, telemetry


def users(email: Email, phone: Phone, client: PasswordlessClient) -> tuple[HasUsername | Registered, ...]:
    """What the local tenant and a sealed state of second factors take."""
    known: tuple[HasUsername, ...] = email, phone
    registered: Registered = client
    return *known, registered
