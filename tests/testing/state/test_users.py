"""The accounts."""

from __future__ import annotations

import pytest

from helpers.tenant_wire import ADA
from passwordless_async.testing import (
    LocalTenant,
)


def test_factors_that_do_not_exist() -> None:
    """An unknown factor is refused, and a user without one has no code."""
    tenant = LocalTenant()
    with pytest.raises(ValueError, match="pigeon"):
        tenant.users.add(ADA, mfa=["pigeon"])
    with pytest.raises(LookupError, match="otp"):
        tenant.mfa.otp_for(ADA)
    tenant.users.add(ADA, mfa=["otp"])
    assert tenant.mfa.otp_for(ADA).isdecimal()
