"""A gateway as a process of its own: it logs users in as the lines on its standard input say, many at once.

Each line is a JSON object, each is answered by one, in whatever order they are done; the first line says what the
gateway is. It ends with its standard input.

.. code-block:: text

    parent                                                  child
    {"tenant": …, "client_id": …, "store": …, …}        ─▶
                                                        ◀─  {"id": 0, "value": null}
    {"id": 1, "call": "login", "with": {…}}             ─▶
                                                        ◀─  {"id": 1, "value": …}  or  {"id": 1, "error": code}
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async.auth0.identity import Email
from passwordless_async.client.client import PasswordlessClient
from passwordless_async.client.events import Challenged, Sent
from passwordless_async.client.profile import BULK
from passwordless_async.client.sessions import Lifetimes
from passwordless_async.dpop import DPoPVerifier
from passwordless_async.errors import PasswordlessError
from passwordless_async.stores import KeyRing
from passwordless_async.stores.redis import RedisReplayStore, RedisStore
from passwordless_async.testing.process.pipe import MAX_LINE, READY, line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from passwordless_async.client.events import Event
    from passwordless_async.client.sessions import StoredSession

SCOPE = "openid email offline_access"
_TIMEOUT = 60.0  # seconds for one request: a slow machine is no failure
_GRACE = 2.0  # seconds for what is under way in the end


@attrs.frozen(kw_only=True)
class GatewaySettings:
    """What a gateway is.

    Args:
        tenant: The tenant's URL.
        client_id: The application.
        store: The store's URL.
        prefix: What all names in the store begin with.
        keys: 32 bytes in hexadecimal digits each: what sessions are sealed with, newest first.
        users: 32 bytes in hexadecimal digits: what users' pseudonyms are made with.
        requests_per_second: The quota that all gateways share; None: there is none.
        replicas: As for ``RedisStore``.
        store_timeout: Seconds for one call to the store.
        cool_down: As for a ``Profile``.
        lifetime: Seconds that sessions last.
        audience: What the replay of proofs is judged for.
    """

    tenant: str
    client_id: str
    store: str
    prefix: str = "pa"
    keys: Sequence[str] = attrs.field(repr=False)
    users: str = attrs.field(repr=False)
    requests_per_second: float | None = None
    replicas: int = 0
    store_timeout: float = 2.0
    cool_down: float = 30.0
    lifetime: float = 3600.0
    audience: str = "https://api.example"


class Gateway:
    """What may be asked of a gateway; each method is a call."""

    def __init__(self, client: PasswordlessClient, verifier: DPoPVerifier, counts: Counter[str]) -> None:
        self._client = client
        self._verifier = verifier
        self._counts = counts

    async def start(self, user: str) -> None:
        """Have a code sent."""
        await self._client.start(Email(user))

    async def login(self, user: str, code: str) -> dict[str, Any]:
        """Exchange a code and open a session."""
        tokens = await self._client.exchange(Email(user), code, scope=SCOPE)
        identifier = await self._client.sessions.open(tokens)
        return {"session": str(identifier), "subject": (tokens.claims or {}).get("sub"), "jkt": tokens.key.thumbprint}

    async def get(self, session: str) -> dict[str, Any]:
        """Read a session."""
        return _shown(await self._client.sessions.get(session))

    async def refresh(self, session: str) -> dict[str, Any]:
        """Refresh a session."""
        return _shown(await self._client.sessions.refresh(session))

    async def userinfo(self, session: str) -> str:
        """Ask the tenant whose tokens a session has."""
        claims = await self._client.userinfo((await self._client.sessions.get(session)).tokens)
        return str(claims["sub"])

    async def close(self, session: str) -> None:
        """End a session."""
        await self._client.sessions.close(session)

    async def verify(self, url: str, token: str, proof: str, jkt: str) -> None:
        """Judge a request with a bound token as the API would."""
        headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
        await self._verifier.verify("GET", url, headers, confirmation={"jkt": jkt}, access_token=token)

    async def counts(self) -> dict[str, Any]:
        """Return what was counted: transmissions by status, challenges, and seconds of CPU time."""
        return {**self._counts, "cpu": _clock.cpu()}

    async def answer(self, request: bytes) -> bytes:
        """Return the answer to a line."""
        message = json.loads(request)
        call: Callable[..., Awaitable[Any]] = getattr(self, message["call"])
        try:
            value = await call(**message.get("with", {}))
        except PasswordlessError as error:
            return line({"id": message["id"], "error": error.code})
        return line({"id": message["id"], "value": value})


def _shown(session: StoredSession) -> dict[str, Any]:
    subject = (session.tokens.claims or {}).get("sub")
    return {"user": session.user, "subject": subject, "jkt": session.tokens.key.thumbprint}


async def serve(wish: Mapping[str, Any], requests: asyncio.StreamReader) -> None:
    """Run a gateway until standard input ends."""
    settings = GatewaySettings(**wish)
    counts: Counter[str] = Counter()

    def count(event: Event) -> None:
        if isinstance(event, Sent | Challenged):
            counts[f"answered {event.status}" if isinstance(event, Sent) else "challenged"] += 1

    ring = KeyRing(*map(bytes.fromhex, settings.keys), users=bytes.fromhex(settings.users))
    profile = attrs.evolve(
        BULK,
        single=attrs.evolve(BULK.single, patience=_TIMEOUT),
        requests_per_second=settings.requests_per_second,
        cool_down=settings.cool_down,
        timeout=_TIMEOUT,
        grace=_GRACE,
    )
    store = RedisStore(
        settings.store,
        keys=ring,
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
        gateway = Gateway(client, DPoPVerifier(replay=replay, base_url=settings.audience), counts)
        write(line({"id": READY, "value": None}))
        await _answer_all(gateway, requests)


async def _answer_all(gateway: Gateway, requests: asyncio.StreamReader) -> None:
    async def answer(request: bytes) -> None:
        write(await gateway.answer(request))

    under_way: set[asyncio.Task[None]] = set()
    async with asyncio.TaskGroup() as answering:
        while request := await requests.readline():
            task = answering.create_task(answer(request))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        # Nobody is left to read an answer: what goes on trying would outlive the one who asked.
        if under_way:
            _, late = await asyncio.wait(under_way, timeout=_GRACE)
            for task in late:
                task.cancel()


def write(answer: bytes) -> None:
    """Write an answer at once."""
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()


async def _main() -> None:
    requests = asyncio.StreamReader(limit=MAX_LINE)
    loop = asyncio.get_running_loop()
    pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(requests), sys.stdin)
    try:
        if wish := await requests.readline():
            await serve(json.loads(wish), requests)
    finally:
        pipe.close()


if __name__ == "__main__":
    try:
        asyncio.run(_main())
    except* (BrokenPipeError, KeyboardInterrupt):
        sys.stdout = None  # nothing is left to flush at exit
