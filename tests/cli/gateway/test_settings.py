"""The table of settings."""

from __future__ import annotations

import pytest

from passwordless_async.cli.gateway.settings import REQUIRED, SECRETS, SETTINGS


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
