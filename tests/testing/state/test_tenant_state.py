"""A tenant's state, without a server."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from passwordless_async.testing import LocalTenant
from passwordless_async.testing.state.tenant_state import TenantRequest, TenantState


@pytest.fixture
def state() -> TenantState:
    tenant = LocalTenant()
    return TenantState(
        "https://tenant.example",
        tenant.settings,
        tenant.clock,
        tenant.outbox,
        tenant.stats,
        tenant.requests,
        tenant.users,
        tenant.mfa,
    )


def test_the_issuer_is_the_url_with_a_slash(state: TenantState) -> None:
    """Tokens name the tenant as Auth0 does."""
    assert state.issuer == "https://tenant.example/"


def test_a_request_knows_its_url(state: TenantState) -> None:
    """A proof is checked against the tenant's own URL, whatever the Host header says."""
    headers = CIMultiDictProxy(CIMultiDict({"Host": "elsewhere.example"}))
    request = TenantRequest(state, "POST", "/oauth/token", {}, headers, "", b"", "127.0.0.1")

    assert request.url == "https://tenant.example/oauth/token"
