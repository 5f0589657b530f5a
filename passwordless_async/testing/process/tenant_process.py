"""A tenant in a process of its own: for measurements, where client and server must not share one interpreter.

Both ends are here: :class:`TenantProcess` calls, and in the child :func:`open_tenant` answers.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, Self

from passwordless_async._common import arguments as _check
from passwordless_async.errors import TransportError
from passwordless_async.testing.checks.clients import ReadyClient
from passwordless_async.testing.process.child import CallFailed, ChildProcess
from passwordless_async.testing.settings import TenantSettings
from passwordless_async.testing.state.records import TenantStats
from passwordless_async.testing.state.users import User
from passwordless_async.testing.tenant import LocalTenant, TenantAddress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from passwordless_async.testing.fault_names import AnyFault
    from passwordless_async.testing.state.users import HasUsername


class TenantProcess(TenantAddress):
    """A :class:`~passwordless_async.testing.LocalTenant` in a child process (POSIX only).

    The child runs until the ``async with`` ends, or this process does, even by SIGKILL. Ctrl-C in the terminal
    reaches only the parent.

    Args:
        settings: How the tenant behaves.
        host: The address to listen on; None: 127.0.0.1 and, where this machine has it, ::1.
        port: The port; 0 takes a free one.

    Raises:
        TransportError: On entering: the child cannot listen. At a call: it has ended.
        TimeoutError: On entering: the child did not listen within half a minute.
        UsageError: On entering: the child is running already.
    """

    def __init__(self, settings: TenantSettings | None = None, *, host: str | None = None, port: int = 0) -> None:
        super().__init__(settings or TenantSettings())
        setup = {"settings": self.settings.to_json(), "host": host, "port": port}
        self._child = ChildProcess("passwordless_async.testing", setup)

    @property
    def pid(self) -> int | None:
        """The child's process id; None before it was started and after it ended."""
        return self._child.pid

    async def code_for(self, who: HasUsername) -> str:
        """Return the newest code that was sent to a user.

        Raises:
            LookupError: No message was sent to them, or the newest one holds a link.
        """
        return (await self.codes([who]))[0]

    async def codes(self, whos: Iterable[HasUsername]) -> list[str]:
        """Return the newest code of each of many users, in their order, in one round trip.

        Raises:
            LookupError: One of them was sent no code.
        """
        users = [(who.realm, who.username) for who in whos]
        codes: list[str] = await self._child.call("codes", users=users)
        return codes

    async def client_for(self, method: str, alg: str = "RS256") -> ReadyClient:
        """Return an application, as :meth:`LocalTenant.client_for <passwordless_async.testing.LocalTenant.client_for>`.

        Raises:
            ValueError: There is no such method.
        """
        return ReadyClient.from_json(await self._child.call("client_for", method=method, alg=alg))

    async def add_user(
        self, who: HasUsername, *, mfa: Iterable[str] = (), blocked: bool = False, database: bool = False
    ) -> None:
        """Add an account, as ``tenant.users.add`` does."""
        options = {"mfa": list(mfa), "blocked": blocked, "database": database}
        await self._child.call("add_user", realm=who.realm, username=who.username, options=options)

    async def mfa(
        self, what: Literal["otp", "code", "recovery_code", "approve", "deny"], who: HasUsername
    ) -> str | None:
        """Return a code of a user's second factor, or approve or deny the newest push message as that user.

        Raises:
            LookupError: The user has no such factor, or was sent no message.
        """
        answer: str | None = await self._child.call("mfa", what=what, realm=who.realm, username=who.username)
        return answer

    async def stats(self) -> TenantStats:
        """Return what the tenant has counted so far."""
        return TenantStats(**await self._child.call("stats"))

    async def add_fault(
        self,
        fault: AnyFault | str,
        *,
        path: str | None = None,
        times: int | None = None,
        after: int = 0,
        **options: float | str | Sequence[str],
    ) -> None:
        """Switch a fault on, as :meth:`Faults.add <passwordless_async.testing.Faults.add>` does."""
        await self._child.call("add_fault", fault=fault, path=path, times=times, after=after, **options)

    async def clear_faults(self) -> None:
        """Switch all faults off."""
        await self._child.call("clear_faults")

    async def rotate_signing_key(self, *, revoke: bool = False) -> None:
        """Sign tokens with another key, as ``LocalTenant.rotate_signing_key`` does."""
        await self._child.call("rotate_signing_key", revoke=revoke)

    async def advance(self, seconds: float) -> None:
        """Age the tenant's codes, nonces and tokens by this many seconds.

        Raises:
            UsageError: It is no number of seconds, or below 0.
        """
        await self._child.call("advance", seconds=_check.at_least_zero("seconds", seconds))

    async def __aenter__(self) -> Self:
        try:
            await self._child.__aenter__()
        except CallFailed as failure:
            raise TransportError(f"the tenant process cannot listen: {failure}") from None
        try:
            self._url = await self._child.call("url")
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the child and wait until it is gone; a second call does nothing."""
        await self._child.aclose()


@asynccontextmanager
async def open_tenant(setup: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Callable[..., Any]]]:
    """Be the child: run a tenant with ``settings``, ``host`` and ``port``, and yield what may be called."""
    settings = TenantSettings(**setup["settings"])
    async with LocalTenant(settings, host=setup["host"], port=setup["port"]) as tenant:
        yield calls_of(tenant)


def calls_of(tenant: LocalTenant) -> Mapping[str, Callable[..., Any]]:
    """Return a tenant's calls by name, in values that JSON holds."""

    def add_user(realm: str, username: str, options: dict[str, Any]) -> None:
        tenant.users.add(User(realm, username), **options)

    def mfa(what: str, realm: str, username: str) -> str | None:
        calls: dict[str, Callable[[User], str | None]] = {
            "otp": tenant.mfa.otp_for,
            "code": tenant.mfa.code_for,
            "recovery_code": tenant.mfa.recovery_code_for,
            "approve": tenant.mfa.approve,
            "deny": tenant.mfa.deny,
        }
        return calls[what](User(realm, username))

    return {
        "url": lambda: tenant.url,
        "codes": lambda users: [tenant.outbox.code_for(User(realm, username)) for realm, username in users],
        "stats": tenant.stats.to_json,
        "add_fault": tenant.faults.add,
        "clear_faults": tenant.faults.clear,
        "advance": tenant.clock.advance,
        "rotate_signing_key": lambda revoke: tenant.rotate_signing_key(revoke=revoke),
        "client_for": lambda method, alg: tenant.client_for(method, alg).to_json(),
        "add_user": add_user,
        "mfa": mfa,
    }
