"""The table of settings."""

from __future__ import annotations

import inspect

import pytest

from passwordless_async import PasswordlessClient
from passwordless_async.cli.gateway.settings import REQUIRED, SECRETS, SETTINGS
from passwordless_async.gateway import Gateway
from passwordless_async.stores.redis import RedisStore


@pytest.mark.parametrize("name", list(SETTINGS))
def test_every_default_is_a_value(name: str) -> None:
    """What stands for a setting that is not given could be given."""
    setting = SETTINGS[name]
    if setting.default not in {None, ()}:
        assert setting.read(setting.default) == setting.default


def test_names() -> None:
    """A flag and a variable of the environment have the setting's name."""
    assert (SETTINGS["base_url"].option, SETTINGS["base_url"].variable) == ("--base-url", "PASSWORDLESS_ASYNC_BASE_URL")
    assert (SETTINGS["upstreams"].option, SETTINGS["upstreams"].variable) == (
        "--upstream",
        "PASSWORDLESS_ASYNC_UPSTREAMS",
    )


def test_a_secret_is_no_setting_and_where_it_is_kept_is_one() -> None:
    """What is required is a setting too."""
    assert SECRETS.keys() & SETTINGS.keys() == set()
    assert {*SECRETS.values(), *REQUIRED} <= SETTINGS.keys()


def test_defaults_are_those_of_the_library() -> None:
    """A setting and an argument of one name have one default."""
    arguments = {
        name: parameter.default
        for made in (RedisStore, PasswordlessClient, Gateway)
        for name, parameter in inspect.signature(made).parameters.items()
    }
    shared = {name for name in SETTINGS.keys() & arguments.keys() if SETTINGS[name].default is not None} - {"store"}
    assert {"scope", "identifiers", "return_to", "trusted_proxies", "dpop", "prefix"} <= shared
    assert {name: SETTINGS[name].default for name in shared} == {name: arguments[name] for name in shared}
