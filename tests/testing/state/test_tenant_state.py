"""A tenant's state, without a server."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from passwordless_async.testing import LocalTenant
from passwordless_async.testing.checks.clients import AuthenticatedClient
from passwordless_async.testing.grants import TokenRequest
from passwordless_async.testing.state.names import TenantName, TenantNames
from passwordless_async.testing.state.tenant_state import TenantRequest, TenantState


@pytest.fixture
def state() -> TenantState:
    tenant = LocalTenant()
    return TenantState(
        TenantNames("https://tenant.example"),
        tenant.settings,
        tenant.clock,
        tenant.outbox,
        tenant.stats,
        tenant.requests,
        tenant.users,
        tenant.mfa,
    )


@pytest.mark.parametrize(
    ("host", "url"),
    [("elsewhere.example", "https://tenant.example"), ("localhost:8080", "https://localhost:8080")],
)
def test_a_request_knows_the_name_that_it_was_sent_to(state: TenantState, host: str, url: str) -> None:
    """A proof is checked against that name, and tokens bear it with a slash; an unknown one does not count."""
    headers = CIMultiDictProxy(CIMultiDict({"Host": host}))
    request = TenantRequest(state, "POST", "/oauth/token", {}, headers, "", b"", "127.0.0.1")

    assert request.name == TenantName(url, f"{url}/")


def test_the_repr_of_a_request_has_no_secret(state: TenantState) -> None:
    """Neither what was sent nor what was read of it stands in a traceback with its locals."""
    headers = CIMultiDictProxy(CIMultiDict({"Authorization": "Bearer hush"}))
    request = TenantRequest(state, "POST", "/oauth/token", {"ticket": "hush"}, headers, "", b"otp=hush", "127.0.0.1")
    read = TokenRequest(state, AuthenticatedClient("public-client", "none"), {"otp": "hush"})

    assert ["hush" in repr(value) for value in (request, read)] == [False, False]
