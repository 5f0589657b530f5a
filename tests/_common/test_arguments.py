"""Checks of arguments: the value as it was, or an error that names the argument and not the value."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock, Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passwordless_async import (
    TESTING,
    ClientSecretBasic,
    DPoPKey,
    DPoPVerifier,
    Email,
    MemoryReplayStore,
    NonceCache,
    PasswordlessClient,
    UsageError,
)
from passwordless_async._common import arguments as _check
from passwordless_async.adapters.aiohttp_web import dpop_middleware
from passwordless_async.adapters.asgi import DPoPASGIMiddleware

ADA, REPLAY = Email("ada@example.com"), MemoryReplayStore()
_APP: Any = None
VERIFIER: Any = DPoPVerifier(replay=REPLAY, base_url="https://a.example")
SETTINGS = settings(max_examples=200, deadline=None)
NOT_VISIBLE = "must be visible ASCII characters, without spaces"
NOT_PRINTABLE = "must not contain spaces or control characters"
NOT_ENCODABLE = "must not contain lone surrogates: it could not be encoded"
NOT_SCOPE = "must be visible ASCII words with one space between, without quote or backslash"
NOT_LANGUAGE = "must be a BCP 47 language tag such as 'en' or 'pt-BR'"
NOT_SECONDS = "must be a number of seconds above 0"

REFUSALS = [
    (_check.bounded, None, "must be a str, not NoneType"),
    (_check.bounded, b"x", "must be a str, not bytes"),
    (_check.bounded, "", "must not be empty"),
    (_check.bounded, "x" * 9, "must be at most 8 characters long, not 9"),
    (_check.encodable, "\ud800", NOT_ENCODABLE),
    (_check.encodable, "a\udfffé", NOT_ENCODABLE),
    (_check.text, 5, "must be a str, not int"),
    (_check.text, "", "must not be empty"),
    (_check.text, "x" * 9, "must be at most 8 characters long, not 9"),
    (_check.text, "a b", NOT_VISIBLE),
    (_check.text, "a\n", NOT_VISIBLE),
    (_check.text, "a\r\nb", NOT_VISIBLE),
    (_check.text, "\0", NOT_VISIBLE),
    (_check.text, "\x7f", NOT_VISIBLE),
    (_check.text, "é", NOT_VISIBLE),
    (_check.text, "١٢٣", NOT_VISIBLE),
    (_check.printable, "", "must not be empty"),
    (_check.printable, "x" * 9, "must be at most 8 characters long, not 9"),
    (_check.printable, "a b", NOT_PRINTABLE),
    (_check.printable, "a\u00a0b", NOT_PRINTABLE),
    (_check.printable, "a\u2028b", NOT_PRINTABLE),
    (_check.printable, "a\tb", NOT_PRINTABLE),
    (_check.printable, "a\0b", NOT_PRINTABLE),
    (_check.printable, "\ud800", NOT_PRINTABLE),
    (_check.printable, "\u202e", NOT_PRINTABLE),
]

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(("check", "value", "problem"), REFUSALS)
def test_texts_refused(check: Callable[..., Any], value: object, problem: str) -> None:
    """A text that is not of its form is refused, and the argument is named."""
    with pytest.raises(UsageError) as refused:
        check("thing", value, at_most=8)
    assert (refused.value.argument, str(refused.value)) == ("thing", f"thing: {problem}")


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (_check.bounded, " \n\0é "),
        (_check.bounded, "x" * 8),
        (_check.encodable, "用户 \U0001f600"),
        (_check.text, "!"),
        (_check.text, "~123AZ!~"),
        (_check.printable, "é"),
        (_check.printable, "用户@例子"),
    ],
)
def test_texts_accepted(check: Callable[..., Any], value: str) -> None:
    """A text of its form comes back as it was."""
    assert value == check("thing", value, at_most=8)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (5, "must be one str with spaces between, such as 'openid email', not int"),
        (["openid"], "must be one str with spaces between, such as 'openid email', not list"),
        ("", "must not be empty"),
        ("x" * 4097, "must be at most 4096 characters long, not 4097"),
        (" openid", NOT_SCOPE),
        ("openid ", NOT_SCOPE),
        ("openid  email", NOT_SCOPE),
        ("openid\temail", NOT_SCOPE),
        ("openid\n", NOT_SCOPE),
        ('read:"x"', NOT_SCOPE),
        ("a\\b", NOT_SCOPE),
        ("é", NOT_SCOPE),
        ("a\0", NOT_SCOPE),
        ("\x7f", NOT_SCOPE),
    ],
)
def test_scopes_refused(value: object, problem: str) -> None:
    """RFC 6749 §3.3: words of visible ASCII but quote and backslash, with one space between."""
    with pytest.raises(UsageError) as refused:
        _check.scope(value)
    assert (refused.value.argument, str(refused.value)) == ("scope", f"scope: {problem}")


@pytest.mark.parametrize(
    "value", [None, "openid", "openid profile email offline_access", "read:things https://a.example/b!#[]^~"]
)
def test_scopes_accepted(value: str | None) -> None:
    """A scope comes back as it was; none is none."""
    assert value == _check.scope(value)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (5, "must be a str, not int"),
        ("", "must not be empty"),
        ("a" * 65, "must be at most 64 characters long, not 65"),
        ("de_AT", NOT_LANGUAGE),
        ("de-", NOT_LANGUAGE),
        ("-de", NOT_LANGUAGE),
        ("d3", NOT_LANGUAGE),
        ("de\r\nX-Evil: 1", NOT_LANGUAGE),
        ("deutschland", NOT_LANGUAGE),
        ("de-deutschland", NOT_LANGUAGE),
        ("en, de;q=0.5", NOT_LANGUAGE),
    ],
)
def test_languages_refused(value: object, problem: str) -> None:
    """What is not of the form of a language tag never becomes a header field."""
    with pytest.raises(UsageError) as refused:
        _check.language_tag(value)
    assert (refused.value.argument, str(refused.value)) == ("language", f"language: {problem}")


@pytest.mark.parametrize("value", [None, "en", "pt-BR", "zh-Hant-TW", "sl-rozaj-biske-1994", "i-klingon"])
def test_languages_accepted(value: str | None) -> None:
    """A language tag comes back as it was; none is none."""
    assert value == _check.language_tag(value)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (10**9 + 1, "must be at most 1000000000"),
        (10**400, "must be at most 1000000000"),
        (0, "must be at least 1, not 0"),
        (-1, "must be at least 1, not -1"),
        (1.0, "must be an int, not float"),
        ("1", "must be an int, not str"),
        (True, "must be an int, not bool"),
        (None, "must be an int, not NoneType"),
    ],
)
def test_numbers_refused(value: object, problem: str) -> None:
    """A number of things is a whole one, of one or more."""
    with pytest.raises(UsageError) as refused:
        _check.positive("concurrency", value)
    assert (refused.value.argument, str(refused.value)) == ("concurrency", f"concurrency: {problem}")


@pytest.mark.parametrize("value", [0, -1, math.inf, -math.inf, math.nan, True, "1", None])
def test_seconds_refused(value: object) -> None:
    """A length of time is finite and above nothing."""
    with pytest.raises(UsageError) as refused:
        _check.seconds("timeout", value)
    assert (refused.value.argument, str(refused.value)) == ("timeout", f"timeout: {NOT_SECONDS}")


def test_numbers_accepted() -> None:
    """A number that is of its form comes back."""
    assert (_check.positive("n", 1), _check.positive("n", 512)) == (1, 512)
    assert (_check.seconds("n", 10), _check.seconds("n", 0.5)) == (10.0, 0.5)


@pytest.mark.parametrize("check", [_check.seconds, _check.at_least_zero])
@pytest.mark.parametrize("value", [10**9 + 1, 1e300, 10**400])
def test_a_duration_has_a_bound(check: Callable[[str, object], float], value: float) -> None:
    """What no float holds is refused as well."""
    assert check("n", 10**9) == 1e9
    with pytest.raises(UsageError, match="n: must be at most 1000000000 seconds"):
        check("n", value)


@pytest.mark.parametrize("check", [_check.text, _check.printable, _check.bounded])
@SETTINGS
@given(value=st.text(max_size=12))
def test_a_refusal_never_repeats_the_value(check: Callable[..., Any], value: str) -> None:
    """What is passed comes back untouched, or is refused in words that depend on nothing but its length."""
    try:
        assert value == check("thing", value, at_most=8)
    except UsageError as refused:
        assert str(refused) in {  # noqa: PT017 - either is right
            "thing: must not be empty",
            f"thing: must be at most 8 characters long, not {len(value)}",
            f"thing: {NOT_VISIBLE}",
            f"thing: {NOT_PRINTABLE}",
        }


class _Async:
    async def __call__(self, _event: object) -> None: ...


class _Plain:
    def __call__(self, _event: object) -> None: ...


@pytest.mark.parametrize("given", ["false", "", 0, 1, None, []])
@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("discovery", lambda given: PasswordlessClient("tenant.example", "client", discovery=given)),
        ("refresh_token_rotation", lambda given: PasswordlessClient("a.example", "b", refresh_token_rotation=given)),
        ("per_key", lambda given: NonceCache(per_key=given)),
        ("require_nonce", lambda given: DPoPVerifier(replay=REPLAY, base_url="https://a.example", require_nonce=given)),
        ("nonce_time", lambda given: DPoPVerifier(replay=REPLAY, base_url="https://a.example", nonce_time=given)),
        ("allow_bearer", lambda given: dpop_middleware(VERIFIER, print, allow_bearer=given)),
        ("allow_bearer", lambda given: DPoPASGIMiddleware(_APP, VERIFIER, print, allow_bearer=given)),
        ("private", lambda given: DPoPKey.generate().to_jwk(private=given)),
        ("json_endpoints", lambda given: ClientSecretBasic("secret", json_endpoints=given)),
    ],
)
def test_what_is_neither_true_nor_false(argument: str, call: Callable[[Any], object], given: Any) -> None:
    """It is refused by name: the text "false" of an environment variable would mean the opposite."""
    with pytest.raises(UsageError, match=f"^{argument}: must be a bool, not "):
        call(given)


@pytest.mark.parametrize("given", ["false", "", 0, 1, None, []])
@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("allow_signup", lambda client, given: client.start_database(ADA, connection="users", allow_signup=given)),
        ("by_sid", lambda client, given: client.sessions.login(ADA, "123456", user="ada", by_sid=given)),
        ("counts_as_use", lambda client, given: client.sessions.get("unknown", counts_as_use=given)),
        ("revoke", lambda client, given: client.sessions.close("unknown", revoke=given)),
    ],
)
async def test_a_call_with_what_is_neither_true_nor_false(argument: str, call: Any, given: Any) -> None:
    """Nothing is sent: a user would be signed up, or a session revoked, against the application's will."""
    async with PasswordlessClient("tenant.invalid", "client", profile=TESTING) as client:
        with pytest.raises(UsageError, match=f"^{argument}: must be a bool, not "):
            await call(client, given)


@pytest.mark.parametrize(
    "function", [_Async(), _Async().__call__, functools.partial(_Async().__call__, 1), AsyncMock()]
)
def test_a_function_that_would_have_to_be_awaited(function: Any) -> None:
    """In each form: nothing awaits what it returns."""
    with pytest.raises(UsageError) as caught:
        _check.plain_functions("on_audit", [function])
    assert str(caught.value) == "on_audit: must be a plain function: it is not awaited"


@pytest.mark.parametrize("given", [5, "on_audit", [print, 5]])
def test_what_cannot_be_called_is_no_function(given: object) -> None:
    """The error names its type."""
    with pytest.raises(UsageError, match=r"must be a function, not (int|str)"):
        _check.plain_functions("on_audit", given)


@pytest.mark.parametrize("function", [_Plain(), _Plain, [].append, functools.partial(_Plain(), 1), Mock(), print])
def test_a_function_that_is_not_awaited(function: Any) -> None:
    """Whatever can be called."""
    assert _check.plain_functions("on_audit", function) == (function,)
