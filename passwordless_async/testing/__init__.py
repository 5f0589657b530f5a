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

The tenant is written from the documents and uses none of the client's protocol code: a defect must be made twice, in
different words, to go unseen. The library's verifier checks every proof too; ``tenant.disagreements`` lists where the
two differ.
"""

from passwordless_async.testing.certificates import ClientCertificate, ThrowAwayCa
from passwordless_async.testing.checks.clients import ReadyClient
from passwordless_async.testing.faults import ClaimFault, Fault, FaultOptions, Faults, KeySetFault
from passwordless_async.testing.process.tenant_process import TenantProcess
from passwordless_async.testing.settings import (
    BOUND_API,
    PLAIN_API,
    STRICT_API,
    ApiPolicy,
    RateLimitStyle,
    RegisteredClient,
    TenantSettings,
)
from passwordless_async.testing.state.clock import TenantClock
from passwordless_async.testing.state.records import Message, Outbox, RecordedRequest, RequestLog, TenantStats
from passwordless_async.testing.state.tokens import RefreshFamily
from passwordless_async.testing.state.users import User
from passwordless_async.testing.tenant import LocalTenant

__all__ = [
    "BOUND_API",
    "PLAIN_API",
    "STRICT_API",
    "ApiPolicy",
    "ClaimFault",
    "ClientCertificate",
    "Fault",
    "FaultOptions",
    "Faults",
    "KeySetFault",
    "LocalTenant",
    "Message",
    "Outbox",
    "RateLimitStyle",
    "ReadyClient",
    "RecordedRequest",
    "RefreshFamily",
    "RegisteredClient",
    "RequestLog",
    "TenantClock",
    "TenantProcess",
    "TenantSettings",
    "TenantStats",
    "ThrowAwayCa",
    "User",
]
