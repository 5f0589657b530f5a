"""The ready applications."""

from __future__ import annotations

import pytest

from passwordless_async.testing import (
    LocalTenant,
    TenantSettings,
)


def test_ready_clients() -> None:
    """Each method has its client and no client prints its secret; an unknown method is named in the error."""
    tenant = LocalTenant(TenantSettings(confidential_client_secret="hush"))
    ready = tenant.client_for("private_key_jwt", "PS256")

    assert tenant.client_for("none").client_id == tenant.public_client_id
    for method in ("client_secret_post", "client_secret_basic"):
        client = tenant.client_for(method)
        assert (client.client_id, client.secret) == tenant.confidential_client
        assert "hush" not in repr(client)
    assert ready.alg == "PS256"
    assert ready.private_pem is not None
    assert ready.private_pem.startswith(b"-----BEGIN PRIVATE KEY-----")
    assert ready.private_jwk is not None
    assert ready.private_jwk["d"] not in repr(ready)
    with pytest.raises(ValueError, match="pigeon"):
        tenant.client_for("pigeon")
