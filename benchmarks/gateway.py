"""A login gateway as a child process, and a tenant with several of them on one store.

``python -m benchmarks.gateway`` is the child; :meth:`Site.start` starts it. A call that the library refuses raises
``CallFailed`` with the error's code in the parent.
"""

from __future__ import annotations

import functools
import secrets
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async import BULK, DPoPVerifier, Email, KeyRing, Lifetimes, PasswordlessClient, PasswordlessError
from passwordless_async.client.events import Challenged, Sent
from passwordless_async.stores.redis import RedisReplayStore, RedisStore
from passwordless_async.testing import TenantProcess, TenantSettings
from passwordless_async.testing.process.child import CallFailed, ChildProcess, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from passwordless_async import StoredSession
    from passwordless_async.client.events import Event

SCOPE = "openid email offline_access"
API = "https://api.example"  # the API whose requests the gateways verify
_REQUEST_SECONDS = 60.0  # for one request: a slow machine is no failure
_GRACE_SECONDS = 2.0  # that calls in flight are given when a gateway closes
_STOP_SECONDS = 10.0  # that a gateway is given to end


@attrs.frozen(kw_only=True)
class GatewaySettings:
    """How a gateway is set up.

    Args:
        tenant: The tenant's URL.
        client_id: The application.
        store: The store's URL.
        prefix: The prefix of all keys in the store.
        keys: 32 bytes each, in hexadecimal digits, that sessions are sealed with; newest first.
        users: 32 bytes, in hexadecimal digits, that users' pseudonyms are made with.
        requests_per_second: The quota that all gateways share; None for no quota.
        replicas: As for ``RedisStore``.
        store_timeout: Seconds for one call to the store.
        cool_down: Seconds, as for a ``Profile``.
        lifetime: Seconds that sessions last.
    """

    tenant: str
    client_id: str
    store: str
    prefix: str = "pa"
    keys: Sequence[str]
    users: str
    requests_per_second: float | None = None
    replicas: int = 0
    store_timeout: float = 2.0
    cool_down: float = 30.0
    lifetime: float = 3600.0


@attrs.frozen
class Site:
    """A tenant and the gateways in front of it.

    Attributes:
        tenant: The tenant.
        settings: How each gateway is set up.
    """

    tenant: TenantProcess
    settings: GatewaySettings
    _stack: AsyncExitStack

    async def start(self) -> ChildProcess:
        """Start another gateway, which lives as long as the site; see :class:`Gateway` for its calls."""
        child = ChildProcess("benchmarks.gateway", attrs.asdict(self.settings), stop_seconds=_STOP_SECONDS)
        return await self._stack.enter_async_context(child)


@asynccontextmanager
async def site(store: str, tenant: TenantSettings, **settings: Any) -> AsyncIterator[Site]:  # noqa: ANN401
    """Run a tenant, and the gateways that are started; ``settings`` are those of the gateways."""
    keys: dict[str, Any] = {"keys": (secrets.token_hex(32),), "users": secrets.token_hex(32)}
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(TenantProcess(tenant))
        where: dict[str, Any] = {"tenant": process.url, "client_id": process.public_client_id, "store": store}
        yield Site(process, GatewaySettings(**where, **{**keys, **settings}), stack)


class Gateway:
    """What a gateway does; each public method is a call."""

    def __init__(self, client: PasswordlessClient, verifier: DPoPVerifier, counts: Counter[str]) -> None:
        self._client = client
        self._verifier = verifier
        self._counts = counts

    async def start(self, user: str) -> None:
        """Send a user a code."""
        await self._client.start(Email(user))

    async def login(self, user: str, code: str) -> dict[str, Any]:
        """Exchange a code and open a session."""
        tokens = await self._client.exchange(Email(user), code, scope=SCOPE)
        identifier = await self._client.sessions.open(tokens)
        return {"session": str(identifier), "subject": (tokens.claims or {}).get("sub"), "jkt": tokens.jkt}

    async def get(self, session: str) -> dict[str, Any]:
        """Read a session."""
        return _shown(await self._client.sessions.get(session))

    async def refresh(self, session: str) -> dict[str, Any]:
        """Refresh a session."""
        return _shown(await self._client.sessions.refresh(session))

    async def verify(self, url: str, token: str, proof: str, jkt: str) -> None:
        """Verify a request with a bound token, as the API would."""
        headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
        await self._verifier.verify("GET", url, headers, confirmation={"jkt": jkt}, access_token=token)

    async def counts(self) -> dict[str, float]:
        """Return counts: transmissions by status, challenges, and this process's CPU seconds."""
        return {**self._counts, "cpu": time.process_time()}

    def calls(self) -> dict[str, Callable[..., Awaitable[Any]]]:
        """Return the calls by name."""
        methods = (self.start, self.login, self.get, self.refresh, self.verify, self.counts)
        return {method.__name__: _with_code(method) for method in methods}


def _with_code(call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Let a call that the library refuses fail with the error's code."""

    @functools.wraps(call)
    async def coded(**arguments: Any) -> Any:  # noqa: ANN401 - those of the call
        try:
            return await call(**arguments)
        except PasswordlessError as error:
            raise CallFailed(error.code) from None

    return coded


def _shown(session: StoredSession) -> dict[str, Any]:
    subject = (session.tokens.claims or {}).get("sub")
    return {"user": session.user, "subject": subject, "jkt": session.tokens.jkt}


@asynccontextmanager
async def open_gateway(setup: Mapping[str, Any]) -> AsyncIterator[dict[str, Callable[..., Awaitable[Any]]]]:
    """Open a gateway in the child; gives its calls."""
    settings = GatewaySettings(**setup)
    counts: Counter[str] = Counter()

    def count(event: Event) -> None:
        if isinstance(event, Sent | Challenged):
            counts[f"answered {event.status}" if isinstance(event, Sent) else "challenged"] += 1

    profile = attrs.evolve(
        BULK,
        single=attrs.evolve(BULK.single, patience=_REQUEST_SECONDS),
        requests_per_second=settings.requests_per_second,
        cool_down=settings.cool_down,
        timeout=_REQUEST_SECONDS,
        grace=_GRACE_SECONDS,
    )
    store = RedisStore(
        settings.store,
        keys=KeyRing(*map(bytes.fromhex, settings.keys), users=bytes.fromhex(settings.users)),
        prefix=settings.prefix,
        timeout=settings.store_timeout,
        replicas=settings.replicas,
    )
    replay = RedisReplayStore(settings.store, prefix=settings.prefix)
    client = PasswordlessClient(
        settings.tenant,
        settings.client_id,
        profile=profile,
        on_event=count,
        store=store,
        lifetimes=Lifetimes(idle=settings.lifetime, absolute=settings.lifetime),
    )
    async with store, replay, client:
        yield Gateway(client, DPoPVerifier(replay=replay, base_url=API), counts).calls()


if __name__ == "__main__":
    run(open_gateway)
