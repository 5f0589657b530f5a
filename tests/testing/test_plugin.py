"""The pytest plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from passwordless_async.testing import (
        LocalTenant,
    )


async def test_the_plugin(local_tenant: LocalTenant) -> None:
    """The plugin's fixture is a tenant that listens."""
    assert local_tenant.url.startswith("http://127.0.0.1:")
    assert local_tenant.issuer == local_tenant.url + "/"
