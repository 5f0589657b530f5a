"""Settings are checked, and survive JSON."""

from __future__ import annotations

import json

import pytest

from passwordless_async.errors import UsageError
from passwordless_async.testing import (
    LocalTenant,
    TenantSettings,
)


def test_settings_survive_json() -> None:
    """As JSON and back they are the same, secrets, keys and mappings included."""
    key = {"kty": "EC", "kid": "1"}
    settings = TenantSettings(private_key_jwt_keys=[key], discovery={"issuer": None}, captcha="solved")

    assert TenantSettings(**json.loads(json.dumps(settings.to_json()))) == settings


def test_settings_are_checked() -> None:
    """A number out of range and an unknown policy raise at once; secrets do not print."""
    with pytest.raises(UsageError, match="max_attempts"):
        TenantSettings(max_attempts=0)
    with pytest.raises(ValueError, match="sometimes"):
        TenantSettings(apis={"https://api.example": "sometimes"})
    settings = TenantSettings(confidential_client_secret="hush")
    assert "hush" not in repr(settings)
    with pytest.raises(RuntimeError, match="async with"):
        LocalTenant(settings).url  # noqa: B018 - it is the property that raises
