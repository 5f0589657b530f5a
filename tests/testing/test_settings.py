"""Settings are checked, and survive JSON."""

from __future__ import annotations

import json
import math

import attrs
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
    with pytest.raises(UsageError, match="apis: must be a mapping of items, each one of none, optional, required"):
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


@pytest.mark.parametrize(
    "value", [object(), b"hush", [object()], {"hush": object()}], ids=["one", "bytes", "several", "map"]
)
def test_a_setting_of_another_type_is_refused(value: object) -> None:
    """Each one by its annotation, and the message names it, not its value."""
    names = {field.name for field in attrs.fields(TenantSettings) if field.init}
    names -= {"discovery"} if isinstance(value, dict) else set()  # any member may be replaced

    messages = {name: _refusal_of(name, value) for name in names}

    assert {name for name, message in messages.items() if not message.startswith(f"{name}: ")} == set()
    assert "hush" not in str(messages)


def _refusal_of(name: str, value: object) -> str:
    try:
        TenantSettings(**{name: value})  # type: ignore[arg-type] # on purpose
    except UsageError as error:
        return str(error)
    return "accepted"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("code_lifetime", "x", "must be a finite number"),
        ("code_lifetime", True, "must be a finite number"),
        ("code_length", 6.5, "must be an int"),
        ("max_attempts", None, "must be an int"),
        ("failures_before_block", "ten", "must be an int or None"),
        ("allow_signup", 1, "must be a bool"),
        ("captcha", 7, "must be a str or None"),
        ("callback_urls", 7, "must be a tuple of items, each a str"),
        ("clients", ["web"], "must be a tuple of items, each a RegisteredClient"),
        (
            "clients",
            [{"name": "web"}],
            "each must have client_id and may have others of client_id, secret, keys, certificate",
        ),
        ("rate_limit_style", "loud", "must be one of x-ratelimit, auth0-ratelimit, retry-after, silent"),
        ("userinfo_policy", [], "must be one of none, optional, required"),
    ],
)
def test_the_message_says_what_a_setting_must_be(name: str, value: object, problem: str) -> None:
    """In the words of Python's types."""
    with pytest.raises(UsageError, match=f"^{name}: {problem}"):
        TenantSettings(**{name: value})  # type: ignore[arg-type] # on purpose


def test_one_text_is_no_sequence_of_letters() -> None:
    """Where several are asked for, it is one of them."""
    assert TenantSettings(callback_urls="https://app.example/in").callback_urls == ("https://app.example/in",)
    assert TenantSettings(mfa_enrolls="otp").mfa_enrolls == ("otp",)


def test_an_application_has_one_kind_of_credential() -> None:
    """It says how the application authenticates itself; no two have one name, and no secret prints."""
    assert RegisteredClient(client_id="a").methods == ("none",)
    assert RegisteredClient(client_id="a", secret="s").methods == ("client_secret_post", "client_secret_basic")
    assert RegisteredClient(client_id="a", keys=[{"kty": "EC"}]).methods == ("private_key_jwt",)
    assert RegisteredClient(client_id="a", certificate_subject="CN=a").methods == ("tls_client_auth",)
    assert RegisteredClient(client_id="a", certificate_thumbprints=["t"]).methods == ("self_signed_tls_client_auth",)
    for wrong in (
        {"client_id": ""},
        {"client_id": "a", "secret": ""},
        {"client_id": "a", "secret": "s", "keys": []},
        {"client_id": 1},
        {"client_id": "a", "secret": b"s"},
    ):
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
