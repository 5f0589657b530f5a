"""A tenant to test against: it behaves like Auth0's passwordless API, verifies every proof, and fails on demand.

.. code-block:: python

    async with LocalTenant() as tenant, PasswordlessClient(tenant.url, tenant.public_client_id) as client:
        ada = Email("ada@example.com")
        await client.start(ada)
        tokens = await client.exchange(ada, tenant.outbox.code_for(ada), scope="openid")

It has an application for each way to authenticate (``tenant.client_for("private_key_jwt")``), users with second
factors (``tenant.users.add(ada, mfa=["otp"])``, ``tenant.mfa.otp_for(ada)``), links (``tenant.outbox.link_for(ada)``)
and refresh tokens (``tenant.refresh_families``), and serves TLS with :class:`ThrowAwayCa`. Behaviour that Auth0 does
not document is a setting, see :class:`TenantSettings`.

The tenant is written from Auth0's documentation and shares no protocol code with the client, so one defect cannot hide
in both. The library's verifier checks every proof too; ``tenant.disagreements`` lists where the
two differ.

Each name is imported when it is first used (PEP 562).
"""
# ruff: isort: skip_file

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async._common.lazy import lazy, module_of

if TYPE_CHECKING:
    # What type checkers see; "X as X" exports it. A test compares it with the table.
    from passwordless_async.testing.certificates import (
        ClientCertificate as ClientCertificate,
        ThrowAwayCa as ThrowAwayCa,
    )
    from passwordless_async.testing.checks.clients import (
        ClientCredentials as ClientCredentials,
        ReadyClient as ReadyClient,
    )
    from passwordless_async.testing.fault_names import (
        ClaimFault as ClaimFault,
        Fault as Fault,
        FaultOptions as FaultOptions,
        KeySetFault as KeySetFault,
    )
    from passwordless_async.testing.faults import Faults as Faults
    from passwordless_async.testing.process.tenant_process import TenantProcess as TenantProcess
    from passwordless_async.testing.settings import (
        ApiPolicy as ApiPolicy,
        BOUND_API as BOUND_API,
        MULTI_FACTOR as MULTI_FACTOR,
        PLAIN_API as PLAIN_API,
        RateLimitStyle as RateLimitStyle,
        RegisteredClient as RegisteredClient,
        STRICT_API as STRICT_API,
        TenantSettings as TenantSettings,
    )
    from passwordless_async.testing.state.clock import TenantClock as TenantClock
    from passwordless_async.testing.state.records import (
        Message as Message,
        Outbox as Outbox,
        RecordedRequest as RecordedRequest,
        RequestLog as RequestLog,
        TenantStats as TenantStats,
    )
    from passwordless_async.testing.state.tokens import RefreshFamily as RefreshFamily
    from passwordless_async.testing.state.users import HasUsername as HasUsername, User as User
    from passwordless_async.testing.tenant import LocalTenant as LocalTenant

# The public names, by the module that each is imported from.
_NAMES = {
    "certificates": "ClientCertificate ThrowAwayCa",
    "checks.clients": "ClientCredentials ReadyClient",
    "fault_names": "ClaimFault Fault FaultOptions KeySetFault",
    "faults": "Faults",
    "process.tenant_process": "TenantProcess",
    "settings": "ApiPolicy BOUND_API MULTI_FACTOR PLAIN_API RateLimitStyle RegisteredClient STRICT_API TenantSettings",
    "state.clock": "TenantClock",
    "state.records": "Message Outbox RecordedRequest RequestLog TenantStats",
    "state.tokens": "RefreshFamily",
    "state.users": "HasUsername User",
    "tenant": "LocalTenant",
}
_MODULE_OF = module_of(__name__, _NAMES)

# A type checker reads no computed __all__, and if it saw __getattr__, it would accept any name.
if not TYPE_CHECKING:
    __all__ = list(_MODULE_OF)
    __getattr__, __dir__ = lazy(__name__, _MODULE_OF)
