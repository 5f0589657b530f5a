"""Where a tenant listens, and which applications it knows."""

from __future__ import annotations

import pytest

from passwordless_async.testing import LocalTenant, TenantSettings
from passwordless_async.testing.process.address import TenantAddress


def test_applications_are_known_before_the_url() -> None:
    """The client identifiers come from the settings; the URL exists once the tenant listens."""
    address = TenantAddress(TenantSettings(public_client_id="public", confidential_client_secret="hush"))

    assert address.public_client_id == "public"
    assert address.confidential_client == ("confidential-client", "hush")
    with pytest.raises(RuntimeError, match="async with"):
        address.url  # noqa: B018 - the property raises


async def test_the_issuer_has_a_trailing_slash() -> None:
    """The URL has none, as in Auth0's ``iss``."""
    async with LocalTenant() as tenant:
        assert tenant.issuer == f"{tenant.url}/"
        assert not tenant.url.endswith("/")
