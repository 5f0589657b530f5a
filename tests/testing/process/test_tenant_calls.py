"""The calls of a tenant process, without a process."""

from __future__ import annotations

import json

import pytest

from passwordless_async import Email
from passwordless_async.testing import LocalTenant, TenantSettings
from passwordless_async.testing.process.tenant_calls import TenantCalls, open_tenant

ADA = Email("ada@example.com")


async def test_a_tenant_is_made_from_json() -> None:
    """Settings, host and port arrive as JSON, and the calls reach the tenant that listens."""
    setup = {"settings": TenantSettings(captcha="solved").to_json(), "host": "127.0.0.1", "port": 0}

    async with open_tenant(json.loads(json.dumps(setup))) as calls:
        url = calls["url"]()

    assert url.startswith("http://127.0.0.1:")


def test_every_answer_is_json() -> None:
    """Each call's answer can be written as JSON, keys included."""
    calls = TenantCalls(LocalTenant()).by_name()
    calls["add_user"](realm=ADA.realm, username=ADA.username, options={"mfa": ["otp"]})

    answers = [
        calls["stats"](),
        calls["client_for"](method="private_key_jwt", alg="ES256"),
        calls["mfa"](what="otp", realm=ADA.realm, username=ADA.username),
        calls["codes"](users=[]),
        calls["add_fault"](fault="slow", times=1),
        calls["clear_faults"](),
        calls["advance"](seconds=1),
    ]

    assert json.loads(json.dumps(answers)) == answers


def test_an_unknown_user_has_no_code() -> None:
    """A code for a user who was sent none raises ``LookupError``."""
    calls = TenantCalls(LocalTenant()).by_name()

    with pytest.raises(LookupError, match="no message was sent"):
        calls["codes"](users=[[ADA.realm, ADA.username]])
