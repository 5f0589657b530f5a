"""Values of settings, from text and from TOML: what is read, and what each must be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from passwordless_async.cli.gateway import kinds
from passwordless_async.gateway.budgets import Budgets, Sms
from passwordless_async.gateway.captcha import Captcha

if TYPE_CHECKING:
    from passwordless_async.cli.gateway.kinds import Reader

UPSTREAMS = kinds.upstreams(["prefix", "url", "scopes"])
CAPTCHA = kinds.arguments(Captcha)
CAPTCHA_PROBLEM = "must be NAME=TEXT, with css_class, field, script, site_key, and sources as needed"
WIDGET = {"script": "https://c.example/?a=b", "site_key": "k", "css_class": "c", "field": "f"}
NAMES = ", ".join(sorted(field.name for field in attrs.fields(Budgets)))


@pytest.mark.parametrize(
    ("reader", "given", "value"),
    [
        (kinds.text, "acme", "acme"),
        (kinds.path, "/run/keys", Path("/run/keys")),
        (kinds.words, "49, 43", ("49", "43")),
        (kinds.words, "openid email", ("openid", "email")),
        (kinds.words, ["49"], ("49",)),
        (kinds.choice("a", "b"), "b", "b"),
        (kinds.whole(0, 10), "10", 10),
        (kinds.whole(0, 10), 0, 0),
        (kinds.seconds, "1.5", 1.5),
        (kinds.seconds, 20, 20.0),
        (
            kinds.limits(Budgets),
            ("starts_per_user=5", "starts_per_address=none"),
            {"starts_per_user": 5, "starts_per_address": None},
        ),
        (kinds.limits(Sms), "per_hour=5,per_day=9", {"per_hour": 5, "per_day": 9}),
        (kinds.limits(Sms), {"per_hour": 5, "per_day": False}, {"per_hour": 5, "per_day": None}),
        (kinds.source, "env:NAME", "env:NAME"),
        (kinds.switch, "on", True),
        (kinds.switch, "False", False),
        (kinds.switch, True, True),
        (CAPTCHA, ("script=https://c.example/?a=b", "site_key=k", "css_class=c", "field=f"), WIDGET),
        (
            CAPTCHA,
            (*(f"{name}={value}" for name, value in WIDGET.items()), "sources=https://a", "sources=https://b"),
            {**WIDGET, "sources": ("https://a", "https://b")},
        ),
        (CAPTCHA, {**WIDGET, "sources": ["https://a"]}, {**WIDGET, "sources": ("https://a",)}),
        (
            UPSTREAMS,
            "/a/=https://a /b/=https://b?x=y",
            ({"prefix": "/a/", "url": "https://a"}, {"prefix": "/b/", "url": "https://b?x=y"}),
        ),
        (
            UPSTREAMS,
            [{"prefix": "/a/", "url": "https://a", "scopes": "x"}],
            ({"prefix": "/a/", "url": "https://a", "scopes": "x"},),
        ),
    ],
)
def test_a_value_is_read(reader: Reader, given: object, value: Any) -> None:
    """From text as from TOML."""
    assert reader(given) == value


@pytest.mark.parametrize(
    ("reader", "given", "problem"),
    [
        (kinds.text, "", "must be a one-line string, and not empty"),
        (kinds.text, "a\nb", "must be a one-line string, and not empty"),
        (kinds.text, 5, "must be a one-line string, and not empty"),
        (kinds.path, True, "must be a one-line string, and not empty"),
        (kinds.words, "  ", "must be a list of strings"),
        (kinds.words, [1], "must be a list of strings"),
        (kinds.choice("a", "b", "c"), "d", "must be a, b or c"),
        (kinds.choice("a", "b"), ["a"], "must be a or b"),
        (kinds.whole(1, 5), "6", "must be a whole number from 1 to 5"),
        (kinds.whole(1, 5), "many", "must be a whole number from 1 to 5"),
        (kinds.whole(1, 5), True, "must be a whole number from 1 to 5"),
        (kinds.whole(1, 5), 1.5, "must be a whole number from 1 to 5"),
        (kinds.seconds, "0", "must be a number of seconds above 0"),
        (kinds.seconds, "nan", "must be a number of seconds above 0"),
        (kinds.seconds, "soon", "must be a number of seconds above 0"),
        (kinds.seconds, True, "must be a number of seconds above 0"),
        (kinds.limits(Budgets), "starts=5", f"must be NAME=NUMBER, with a name of {NAMES}"),
        (kinds.limits(Budgets), 5, f"must be NAME=NUMBER, with a name of {NAMES}"),
        (kinds.limits(Budgets), {"starts_per_user": 0}, "must have whole numbers above 0, or none"),
        (kinds.limits(Budgets), {"starts_per_user": True}, "must have whole numbers above 0, or none"),
        (kinds.limits(Budgets), "starts_per_user", "must have whole numbers above 0, or none"),
        (kinds.source, "s3cret", "must be file:PATH or env:NAME; the secret itself does not belong there"),
        (kinds.source, "prompt", "must be file:PATH or env:NAME; the secret itself does not belong there"),
        (kinds.source, "file:", "must be file:PATH or env:NAME; the secret itself does not belong there"),
        (kinds.source, 5, "must be file:PATH or env:NAME; the secret itself does not belong there"),
        (kinds.switch, "maybe", "must be true or false"),
        (kinds.switch, 1, "must be true or false"),
        (CAPTCHA, "script=https://c.example", CAPTCHA_PROBLEM),
        (CAPTCHA, {**WIDGET, "secret": "x"}, CAPTCHA_PROBLEM),
        (CAPTCHA, {**WIDGET, "field": 5}, "must be a one-line string, and not empty"),
        (CAPTCHA, 5, CAPTCHA_PROBLEM),
        (UPSTREAMS, 5, "must be tables: [[upstreams]]"),
        (UPSTREAMS, "/api/", "must be PREFIX=URL, such as /api/=https://api.example"),
        (UPSTREAMS, [{"prefix": "/api/"}], "must have a prefix and a url each"),
        (UPSTREAMS, [5], "must have a prefix and a url each"),
        (UPSTREAMS, [{"prefix": "/", "url": "u", "scope": "x"}], "must have no other names than prefix, scopes, url"),
    ],
)
def test_what_it_must_be(reader: Reader, given: object, problem: str) -> None:
    """The problem says what the value must be, and quotes nothing of it."""
    with pytest.raises(ValueError, match="must") as raised:
        reader(given)
    assert str(raised.value) == problem
