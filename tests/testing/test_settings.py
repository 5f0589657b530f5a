"""Settings are checked, and survive JSON."""

from __future__ import annotations

import json
import math

import pytest

from passwordless_async.errors import UsageError
from passwordless_async.testing import (
    LocalTenant,
    RegisteredClient,
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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("code_length", 41),
        ("code_lifetime", math.nan),
        ("nonce_lifetime", math.inf),
        ("accepted_previous_nonces", -1),
        ("proof_skew", -1.0),
        ("clock_wrong_by", 1e10),
        ("access_token_lifetime", 0),
        ("token_dialect", "rfc9068"),
        ("other_key_error", ""),
        ("mfa_status", 402),
        ("mfa_enrolls", ["otp", "fax"]),
        ("private_key_jwt_algs", ["none"]),
        ("auth_time_claim", "auth_time"),  # reserved at Auth0
        ("acr_claim", "acr"),
    ],
)
def test_a_setting_that_would_fail_a_request_is_refused(name: str, value: object) -> None:
    """A number beyond every use and an unknown choice are named at once: a request would get a 500 for them."""
    with pytest.raises(UsageError, match=name):
        TenantSettings(**{name: value})  # type: ignore[arg-type] # on purpose


def test_an_application_has_one_kind_of_credential() -> None:
    """It says how the application authenticates itself; no two have one name, and no secret prints."""
    assert RegisteredClient(client_id="a").methods == ("none",)
    assert RegisteredClient(client_id="a", secret="s").methods == ("client_secret_post", "client_secret_basic")
    assert RegisteredClient(client_id="a", keys=[{"kty": "EC"}]).methods == ("private_key_jwt",)
    assert RegisteredClient(client_id="a", certificate_subject="CN=a").methods == ("tls_client_auth",)
    assert RegisteredClient(client_id="a", certificate_thumbprints=["t"]).methods == ("self_signed_tls_client_auth",)
    for wrong in ({"client_id": ""}, {"client_id": "a", "secret": ""}, {"client_id": "a", "secret": "s", "keys": []}):
        with pytest.raises(UsageError):
            RegisteredClient(**wrong)
    with pytest.raises(UsageError, match="same client_id"):
        TenantSettings(clients=[RegisteredClient(client_id="public-client")])
    assert "hush" not in repr(TenantSettings(clients=[RegisteredClient(client_id="a", secret="hush")]))


def test_applications_survive_json() -> None:
    """As the settings do."""
    clients = [
        RegisteredClient(client_id="a", secret="hush"),
        RegisteredClient(client_id="b", keys=[{"kty": "EC"}]),
        RegisteredClient(client_id="c", certificate_thumbprints=["t"]),
    ]
    settings = TenantSettings(clients=clients)

    again = TenantSettings(**json.loads(json.dumps(settings.to_json())))
    assert again == settings
    assert again.client("a") == clients[0]
    assert again.client("nobody") is None
    assert again.client(["a"]) is None


def test_an_api_has_an_audience() -> None:
    """Of no audience there is a policy by another name."""
    with pytest.raises(UsageError, match="apis: an audience must not be empty: userinfo_policy"):
        TenantSettings(apis={"": "none"})
