"""From settings to what runs: what each setting comes to, and what the library refuses, with where it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from passwordless_async import ClientSecretPost, Lifetimes, MemoryStore, NoClientAuth, PrivateKeyJwt
from passwordless_async.cli.app import run
from passwordless_async.cli.gateway.plan import plan
from passwordless_async.cli.gateway.reading import WrongSettings, read
from passwordless_async.gateway.captcha import Captcha
from passwordless_async.stores.redis import RedisStore
from passwordless_async.testing import LocalTenant

if TYPE_CHECKING:
    from pathlib import Path

    from passwordless_async.cli.gateway.plan import Plan
    from passwordless_async.gateway import Gateway

REQUIRED = {"domain": "acme.eu.auth0.com", "client_id": "app", "base_url": "https://app.example"}


def made(environment: dict[str, str] | None = None, **flags: Any) -> Plan:
    """Return a plan of some settings beside those that are required."""
    return plan(read({**REQUIRED, **flags}, environment or {}, None))


async def gateway_of(planned: Plan) -> Gateway:
    """Make all that a plan is for."""
    return planned.make_gateway(planned.make_client(MemoryStore(), planned.telemetry), ())


async def problem_of(planned: Plan) -> str:
    """Return what is told of a setting that the library refuses."""
    with pytest.raises(WrongSettings) as raised:
        await gateway_of(planned)
    return raised.value.message


async def test_a_gateway_of_everything(tmp_path: Path) -> None:
    """Every setting is one that the library takes."""
    css = tmp_path / "own.css"
    css.write_text("h1 { color: red }")
    planned = made(
        audience="https://api.example",
        identifiers="email",
        magic_link=True,
        captcha=("script=https://c.example/a.js", "site_key=k", "css_class=c", "field=f", "sources=https://a.example"),
        return_to="/app",
        home="/app/start",
        brand="Acme",
        templates=str(tmp_path),
        css=str(css),
        session_for="60",
        remember_for="600",
        max_sessions="3",
        trusted_proxies="1",
        calling_codes="49",
        budgets=("starts_per_user=3", "wrong_codes_per_user=none"),
        sms=("per_hour=5",),
        upstreams=("/api/=https://api.example",),
        telemetry="opentelemetry",
    )
    made_gateway = await gateway_of(planned)
    settings = made_gateway._settings
    assert repr(made_gateway) == "<Gateway for https://app.example>"
    assert (settings.magic_link, settings.home) == (True, "/app/start")
    assert settings.captcha == Captcha(
        script="https://c.example/a.js", site_key="k", css_class="c", field="f", sources=("https://a.example",)
    )
    assert (settings.budgets.starts_per_user, settings.budgets.wrong_codes_per_user) == (3, None)
    assert (settings.sms.calling_codes, settings.sms.per_hour) == (("49",), 5)
    assert (settings.session_for, settings.remember_for, settings.max_sessions) == (60.0, 600.0, 3)


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (
            {"base_url": "http://app.example"},
            "--base-url: must be https: plain http carries secrets in the clear, except on loopback.",
        ),
        ({"scope": "email"}, "--scope: must contain openid: the session needs the ID token."),
        ({"identifiers": "name"}, "--identifiers: must be some of email, phone."),
        ({"calling_codes": "x"}, "--calling-codes: must be country codes such as 49."),
        (
            {"upstreams": ("/api/=http://api.example",)},
            "--upstream: number 1: url: must be https: plain http carries secrets in the clear, except on loopback.",
        ),
        (
            {"upstreams": ("/login/=https://api.example",)},
            "--upstream: must not have the prefix /login: the gateway answers there itself.",
        ),
        (
            {"upstreams": ("/readyz=https://api.example",)},
            "--upstream: number 1: prefix: must not be /readyz/: the gateway answers there itself.",
        ),
        (
            {"upstreams": ("/api=https://a.example", "/api/=https://b.example")},
            "--upstream: must have a prefix each: 2 have /api/.",
        ),
        (
            {"templates": "/nowhere"},
            "--templates: must be a folder that is there: without it all pages would be the built-in ones.",
        ),
        (
            {"captcha": ("script=http://c.example", "site_key=k", "css_class=c", "field=f")},
            "--captcha: script: must be an https URL.",
        ),
    ],
)
async def test_what_the_library_refuses(flags: dict[str, Any], problem: str) -> None:
    """The sentence begins with the flag that it came from."""
    assert await problem_of(made(**flags)) == problem


async def test_a_value_of_another_type() -> None:
    """A sentence says which upstream it is."""
    planned = made(upstreams=[{"prefix": "/api/", "url": "https://api.example", "timeout": "long"}])
    assert (await problem_of(planned)).startswith("--upstream: number 1: timeout: must be ")
    planned = made(upstreams=[{"prefix": "/api/", "url": "https://api.example", "scopes": 5}])
    assert await problem_of(planned) == "--upstream: number 1: scopes: must be a str or several, not int."


def test_client_authentication(tmp_path: Path) -> None:
    """By what is given: a secret, a key, or nothing."""
    secret, key = tmp_path / "secret", tmp_path / "key"
    secret.write_text("s3cret\n")
    key.write_bytes(LocalTenant().client_for("private_key_jwt").private_pem or b"")
    assert made().client_auth == NoClientAuth()
    assert made(client_secret_from=f"file:{secret}").client_auth == ClientSecretPost("s3cret")
    assert isinstance(made(client_key_from=f"file:{key}").client_auth, PrivateKeyJwt)
    assert "s3cret" not in repr(made(client_secret_from=f"file:{secret}"))


def test_a_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken from the variable of its name."""
    variable = "PASSWORDLESS_ASYNC_CLIENT_SECRET"
    monkeypatch.setenv(variable, "s3cret")
    assert made({variable: "s3cret"}).client_auth == ClientSecretPost("s3cret")


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (
            {"client_secret_from": "file:/nowhere"},
            "--client-secret-from: The client secret cannot be read from /nowhere: No such file or directory.",
        ),
        ({"client_key_from": "env:NOWHERE"}, "--client-key-from: The environment variable NOWHERE is not set."),
        (
            {"client_certificate": "/nowhere"},
            "--client-certificate: The client certificate cannot be read: No such file or directory.",
        ),
        ({"store_from": "env:NOWHERE"}, "--store-from: The environment variable NOWHERE is not set."),
        (
            {"keys": "/nowhere"},
            "--keys: The key ring cannot be read from /nowhere: No such file or directory.",
        ),
        ({"client_key_alg": "PS256"}, "--client-key-alg: needs --client-auth private_key_jwt, not none."),
        ({"client_auth": "private_key_jwt"}, "--client-auth: private_key_jwt needs --client-key-from."),
        (
            {"store_from": "env:X", "store": "redis://h"},
            "--store-from: cannot be combined with --store: give one of them.",
        ),
        ({"css": "/nowhere.css"}, "--css: /nowhere.css cannot be read: No such file or directory."),
    ],
)  # fmt: skip
async def test_files_and_options_that_clash(flags: dict[str, Any], problem: str) -> None:
    """The sentence begins with the setting and where it came from."""
    with pytest.raises(WrongSettings) as raised:
        await gateway_of(made(**flags))
    assert raised.value.message == problem


@pytest.mark.parametrize(
    ("flags", "seconds"),
    [
        ({}, 7 * 86_400.0),
        ({"session_for": "60"}, 60.0),
        ({"session_for": "60", "remember_for": "600"}, 600.0),
        ({"remember_for": "600"}, 7 * 86_400.0),
        ({"session_for": "60", "remember_for": "2592000"}, 7 * 86_400.0),
    ],
)
def test_a_store_forgets_sessions_soon_after_their_end(flags: dict[str, Any], seconds: float) -> None:
    """It keeps a session after its last use for as long as the longest of them lasts, at most for a week."""
    client = made(**flags).make_client(MemoryStore(), ())
    assert client.sessions._records._lifetimes == Lifetimes(idle=seconds)


async def test_stores(tmp_path: Path) -> None:
    """Memory unless a URL is given; Redis needs a key ring, which may be in the URL's own file."""
    keys, url = tmp_path / "keys.json", tmp_path / "store"
    assert run(["sessions", "keys", str(keys)]) == 0
    url.write_text("redis://:s3cret@127.0.0.1:1\n")
    assert isinstance(made().make_store(), MemoryStore)
    planned = made(store_from=f"file:{url}", keys=str(keys))
    store = planned.make_store()
    assert isinstance(store, RedisStore)
    await store.aclose()
    assert "s3cret" not in repr(planned)
    with pytest.raises(WrongSettings) as raised:
        made(store="redis://127.0.0.1:1").make_store()
    assert raised.value.message == (
        "keys is missing: a store in Redis needs the key ring that seals what it keeps; "
        "give --keys FILE, which `passwordless-async sessions keys FILE` makes."
    )
    with pytest.raises(WrongSettings) as unreadable:
        made(keys=str(url))
    assert (
        unreadable.value.message
        == f'--keys: {url} is not a key ring: it must be one JSON object: {{"keys": [the newest, ...], "users": ...}}.'
    )
