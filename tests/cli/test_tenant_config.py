"""The file of ``tenant --config``."""

from __future__ import annotations

import pytest

from passwordless_async import Email
from passwordless_async.cli.tenant_config import ConfigError, TenantConfig, read_config
from passwordless_async.testing import ApiPolicy, Fault, LocalTenant, RateLimitStyle, RegisteredClient

ADA = Email("ada@example.com")
WHOLE = b"""
public_url = "https://tenant.test:8443"
[settings]
code_length = 4
code_lifetime = 60
refresh_lifetime = false
mfa_status = 401
rate_limit_style = "retry-after"
web_origins = ["http://localhost:3000"]
[settings.apis]
"https://team.example" = "required"
[[clients]]
client_id = "web"
secret = "a fixed secret"
[[users]]
email = "ada@example.com"
mfa = ["otp", "sms"]
otp_secret = "JBSW Y3DP EHPK 3PXP"
[[users]]
phone = "+4930901820"
blocked = true
[[faults]]
fault = "slow"
path = "/oauth/token"
delay = 1
"""


def test_a_whole_file() -> None:
    """Settings, applications, users with second factors, policies, limits and faults reach the tenant."""
    config = read_config(WHOLE)
    tenant = LocalTenant(config.settings, public_url=config.public_url)
    config.prepare(tenant)

    settings = config.settings
    assert (settings.code_length, settings.refresh_lifetime, settings.mfa_status) == (4, None, 401)
    assert settings.rate_limit_style is RateLimitStyle.RETRY_AFTER
    assert settings.apis == {"https://team.example": ApiPolicy.REQUIRED}
    assert settings.clients == (RegisteredClient(client_id="web", secret="a fixed secret"),)
    assert config.public_url == ("https://tenant.test:8443",)
    assert len(tenant.mfa.otp_for(ADA)) == 6
    due = tenant.faults.next("/oauth/token")
    assert due is not None
    assert (due[0], due[1].delay) == (Fault.SLOW, 1)
    assert "fixed secret" not in repr(config)


def test_an_empty_file_changes_nothing() -> None:
    """Everything has a default."""
    config = read_config(b"")
    config.prepare(LocalTenant(config.settings))
    assert (config.users, config.faults, config.public_url) == ((), (), ())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x =", "is not TOML"),
        ("x = 1", "the name 'x' is unknown (it must be one of public_url, settings, clients, users, faults)"),
        ("users = 7", "users must be a list of items, each a table"),
        ("[settings]\ncode_lenght = 6", "'code_lenght' is unknown (did you mean code_length"),
        ('[settings]\ncode_length = "6"', "code_length must be a whole number"),
        ("[settings]\ncode_length = true", "code_length must be a whole number"),
        ("[settings]\ncode_length = 0", "code_length: must be 1 to 40, not 0"),
        ("[settings]\ncode_lifetime = inf", "code_lifetime must be a number"),
        ('[settings]\nstart_answer = "x"', "start_answer must be one of full, empty, created, no_content"),
        ('[settings]\nrequests_per_second = "x"', "requests_per_second must be a whole number or false"),
        ('[settings.apis]\n"https://a" = "x"', "apis must be a table of items, each one of none, optional, required"),
        ("[settings]\nclients = []", "'clients' is unknown"),
        ('[[clients]]\nsecret = "hush"', "clients, number 1: must have client_id"),
        ('[[clients]]\nclient_id = "a"\nsecret = 7', "secret must be a string or false"),
        ('[[clients]]\nclient_id = "public-client"', "two applications have the same client_id"),
        ('public_url = "tenant"', "public_url: must be http or https"),
        ('[[faults]]\nfault = "slwo"', "such as slow"),
        ('[[faults]]\npath = "/x"', "faults, number 1: must have fault"),
    ],
)
def test_a_mistake_in_the_file(text: str, problem: str) -> None:
    """The message says where and what belongs there, and never a secret."""
    with pytest.raises(ConfigError) as caught:
        read_config(text.encode())
    assert problem in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_file_that_is_no_text() -> None:
    """Another encoding than UTF-8 is named."""
    with pytest.raises(ConfigError, match="is not UTF-8"):
        read_config(b"\xff")


@pytest.mark.parametrize(
    ("user", "problem"),
    [
        ({}, "must have either email or phone"),
        ({"email": "a@b.example", "phone": "+491"}, "must have either email or phone"),
        ({"email": "ada"}, "users, number 1: address"),
        ({"email": "a@b.example", "otp_secret": "ABCD"}, "otp_secret needs mfa"),
        ({"email": "a@b.example", "mfa": ["otp"], "otp_secret": "!hush"}, "must be base32"),
    ],
)
def test_a_user_that_cannot_be_added(user: dict[str, object], problem: str) -> None:
    """Before the tenant listens."""
    with pytest.raises(ConfigError, match=problem) as caught:
        TenantConfig(users=(user,)).prepare(LocalTenant())
    assert "hush" not in str(caught.value)
