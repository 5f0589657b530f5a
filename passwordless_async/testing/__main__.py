"""A tenant as a process of its own, for :class:`~passwordless_async.testing.TenantProcess`."""

import os
import stat
import sys

from passwordless_async.testing.process.child import run
from passwordless_async.testing.process.tenant_process import open_tenant


def _has_parent() -> bool:
    """Return whether standard input is a pipe: not closed, nor a file, nor a terminal, which would wait for JSON."""
    if sys.stdin is None:
        return False
    mode = os.fstat(0).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


if __name__ == "__main__":
    if not _has_parent():
        sys.exit("Only TenantProcess runs this module. To run a tenant: passwordless-async tenant")
    run(open_tenant)
