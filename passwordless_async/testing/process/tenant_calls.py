"""What may be called in a tenant process: the child's side of :class:`~passwordless_async.testing.TenantProcess`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async.testing.settings import TenantSettings
from passwordless_async.testing.state.users import User
from passwordless_async.testing.tenant import LocalTenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping


@asynccontextmanager
async def open_tenant(setup: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Callable[..., Any]]]:
    """Run a tenant with ``settings``, ``host`` and ``port``, and yield what may be called."""
    settings = TenantSettings(**setup["settings"])
    async with LocalTenant(settings, host=setup["host"], port=setup["port"]) as tenant:
        yield TenantCalls(tenant).by_name()


@attrs.frozen
class TenantCalls:
    """A tenant's calls, in values that JSON holds."""

    _tenant: LocalTenant

    def by_name(self) -> Mapping[str, Callable[..., Any]]:
        """Return the calls by name."""
        tenant = self._tenant
        return {
            "url": lambda: tenant.url,
            "codes": self._codes,
            "stats": tenant.stats.to_json,
            "add_fault": tenant.faults.add,
            "clear_faults": tenant.faults.clear,
            "advance": tenant.clock.advance,
            "client_for": self._client_for,
            "add_user": self._add_user,
            "mfa": self._mfa,
        }

    def _codes(self, users: list[tuple[str, str]]) -> list[str]:
        return [self._tenant.outbox.code_for(User(realm, username)) for realm, username in users]

    def _client_for(self, method: str, alg: str) -> dict[str, Any]:
        return self._tenant.client_for(method, alg).to_json()

    def _add_user(self, realm: str, username: str, options: dict[str, Any]) -> None:
        self._tenant.users.add(User(realm, username), **options)

    def _mfa(self, what: str, realm: str, username: str) -> str | None:
        mfa = self._tenant.mfa
        calls: dict[str, Callable[[User], str | None]] = {
            "otp": mfa.otp_for,
            "code": mfa.code_for,
            "recovery_code": mfa.recovery_code_for,
            "approve": mfa.approve,
            "deny": mfa.deny,
        }
        return calls[what](User(realm, username))
