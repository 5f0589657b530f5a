"""A tenant as a process of its own, for :class:`~passwordless_async.testing.TenantProcess`."""

from passwordless_async.testing.process.child import run
from passwordless_async.testing.process.tenant_process import open_tenant

if __name__ == "__main__":
    run(open_tenant)
