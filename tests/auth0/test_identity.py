"""Users and logins: what is accepted comes through untouched, what is not is refused before anything is sent."""

from __future__ import annotations

import re
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passwordless_async import AuthSession, DPoPKey, Email, InvalidInput, Login, Phone, UsageError
from passwordless_async.auth0.identity import user, user_of

SETTINGS = settings(max_examples=300, deadline=None)
ADA = Email("ada@example.com")
NOT_AN_ADDRESS = "must be of the form name@domain"
NOT_PRINTABLE = "must not contain spaces or control characters"
NOT_E164 = "must be E.164: a plus, the country code, seven to fifteen digits in all"


@pytest.mark.parametrize(
    "address",
    [
        "ada@example.com",
        "a@b",
        "Ada.Lovelace+tag@EXAMPLE.com",
        "o'hara@example.com",
        "用户@例子.example",
        "a" * 242 + "@example.com",
    ],
)
def test_addresses_accepted(address: str) -> None:
    """An address is kept exactly as given: no folding of case, no trimming."""
    who = Email(address)
    assert (who.realm, who.address, who.username) == ("email", address, address)


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("", "must not be empty"),
        (None, "must be a str, not NoneType"),
        (b"a@b", "must be a str, not bytes"),
        ("a" * 243 + "@example.com", "must be at most 254 characters long, not 255"),
        ("ada", NOT_AN_ADDRESS),
        ("@example.com", NOT_AN_ADDRESS),
        ("ada@", NOT_AN_ADDRESS),
        ("@", NOT_AN_ADDRESS),
        ("a@b@c", NOT_AN_ADDRESS),
        ("a@@b", NOT_AN_ADDRESS),
        (" ada@example.com", NOT_PRINTABLE),
        ("ada@example.com ", NOT_PRINTABLE),
        ("ada@example.com\n", NOT_PRINTABLE),
        ("ada\r\n@example.com", NOT_PRINTABLE),
        ("ada\0@example.com", NOT_PRINTABLE),
        ("a\u00a0b@example.com", NOT_PRINTABLE),
        ("a\ud800@example.com", NOT_PRINTABLE),
        ("a\x7f@example.com", NOT_PRINTABLE),
    ],
)
def test_addresses_refused(address: Any, problem: str) -> None:
    """What is no address is refused by name; a text is the user's mistake."""
    with pytest.raises(UsageError) as refused:
        Email(address)
    assert isinstance(refused.value, InvalidInput) is isinstance(address, str)
    assert (refused.value.argument, str(refused.value)) == ("address", f"address: {problem}")


@pytest.mark.parametrize("number", ["+4930901820", "+6834000", "+123456789012345"])
def test_numbers_accepted(number: str) -> None:
    """A number is kept exactly as given."""
    who = Phone(number)
    assert (who.realm, who.number, who.username) == ("sms", number, number)


@pytest.mark.parametrize(
    ("number", "problem"),
    [
        ("", "must not be empty"),
        (4930901820, "must be a str, not int"),
        ("+1234567890123456", NOT_E164),
        ("1" * 257, "must be at most 256 characters long, not 257"),
        ("+49 (0) 30 901820", "must be as dialled from abroad, without (0)"),
        ("4930901820", NOT_E164),
        ("+0930901820", NOT_E164),
        ("+1", NOT_E164),
        ("+49", NOT_E164),
        ("+123456", NOT_E164),
        ("+", NOT_E164),
        ("++4930901820", NOT_E164),
        ("+49a0901820", NOT_E164),
        ("+4930\x00901820", NOT_E164),
    ],
)
def test_numbers_refused(number: Any, problem: str) -> None:
    """What is not E.164 is refused by name; a text is the user's mistake."""
    with pytest.raises(UsageError) as refused:
        Phone(number)
    assert isinstance(refused.value, InvalidInput) is isinstance(number, str)
    assert (refused.value.argument, str(refused.value)) == ("number", f"number: {problem}")


@SETTINGS
@given(st.text(max_size=20) | st.from_regex(r"\A\+[0-9]{1,16}\Z"))
def test_a_number_is_e164_or_refused(text: str) -> None:
    """A phone is made exactly of what E.164 allows, and what it allows is kept."""
    try:
        number = Phone(text).username
    except InvalidInput:
        number = ""
    allowed = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
    assert number == text if allowed.fullmatch(text) else not number or allowed.fullmatch(number)


@SETTINGS
@given(st.text(max_size=12) | st.tuples(st.text(max_size=5), st.text(max_size=5)).map("@".join))
def test_an_address_can_always_be_sent(text: str) -> None:
    """An address that is accepted is the text itself and can be encoded."""
    try:
        who = Email(text)
    except UsageError as refused:
        assert refused.argument == "address"  # noqa: PT017 - either is right
    else:
        assert text == who.username == who.username.encode().decode()


@pytest.mark.parametrize(
    ("who", "shown"),
    [(ADA, "Email('a…@…')"), (Phone("+4930901820"), "Phone('+49…')"), (Phone("+1212555"), "Phone('+12…')")],
)
def test_a_user_prints_without_the_address(who: Email | Phone, shown: str) -> None:
    """An address is personal data: a log tells two users apart and cannot write to them."""
    assert shown == repr(who) == str(who)


def test_users_are_values() -> None:
    """Users whom the service takes for one are equal, of one hash, and cannot be changed."""
    assert Email("Ada@EXAMPLE.com") == ADA
    assert hash(Email("Ada@EXAMPLE.com")) == hash(ADA)
    assert (Email("Ada@EXAMPLE.com").username, Email("Ada@EXAMPLE.com").identity) == ("Ada@EXAMPLE.com", ADA.identity)
    assert Email("straße@example.com") != Email("strasse@example.com")
    assert Phone("+49 (30) 90-18.20") == Phone("+4930901820")
    assert Email("ada@example.org") != ADA
    assert Phone("+1212555") != Email("1@2")  # type: ignore[comparison-overlap]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        ADA.address = "eve@example.com"  # type: ignore[misc]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Phone("+1212555").number = "+1313555"  # type: ignore[misc]


def test_a_login_keeps_what_it_was_given() -> None:
    """A login holds its parameters, the key and the caller's own tag, untouched."""
    key, tag = DPoPKey.generate(), object()
    login = Login(ADA, "123456", scope="openid", audience="https://api.example", key=key, tag=tag)
    assert (login.who, login.otp, login.scope, login.audience) == (ADA, "123456", "openid", "https://api.example")
    assert key is login.key
    assert tag is login.tag


def test_a_login_needs_no_more_than_a_user_and_a_code() -> None:
    """Scope, audience, key and tag may be left out."""
    login = Login(ADA, "123456")
    assert (login.scope, login.audience, login.key, login.tag) == (None, None, None, None)


def test_logins_are_values() -> None:
    """Equal logins are equal whatever their tags; one with another code is not; a changed copy is checked again."""
    assert Login(ADA, "1", tag=1) == Login(ADA, "1", tag=2)
    assert Login(ADA, "1") != Login(ADA, "2")
    assert attrs.evolve(Login(ADA, "1"), otp="2") == Login(ADA, "2")
    with pytest.raises(UsageError):
        attrs.evolve(Login(ADA, "1"), otp="")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Login(ADA, "1").otp = "2"  # type: ignore[assignment, misc]


@pytest.mark.parametrize("otp", ["1", "123456", "x" * 40, "!~"])
def test_codes_accepted(otp: str) -> None:
    """A code is one to forty visible ASCII characters."""
    assert otp == Login(ADA, otp).otp


@pytest.mark.parametrize(
    ("otp", "problem"),
    [
        ("", "must not be empty"),
        ("1" * 41, "must be at most 40 characters long, not 41"),
        ("12\x00", "must be visible ASCII characters, without spaces"),
        (123456, "must be a str, not int"),
        (b"123456", "must be a str, not bytes"),
        (["123456"], "must be a str, not list"),
        (None, "must be a str, not NoneType"),
    ],
)
def test_codes_refused(otp: Any, problem: str) -> None:
    """What no code can be is refused before it can be spent; a text is the user's mistake."""
    with pytest.raises(UsageError) as refused:
        Login(ADA, otp)
    assert isinstance(refused.value, InvalidInput) is isinstance(otp, str)
    assert (refused.value.argument, str(refused.value)) == ("otp", f"otp: {problem}")


@pytest.mark.parametrize(
    ("argument", "value", "problem"),
    [
        ("who", "ada@example.com", "must be an Email or a Phone, not str"),
        ("who", None, "must be an Email or a Phone, not NoneType"),
        ("who", Email, "must be an Email or a Phone, not type"),
        ("scope", "a  b", "must be visible ASCII words with one space between, without quote or backslash"),
        ("scope", "", "must not be empty"),
        ("scope", ["openid"], "must be one str with spaces between, such as 'openid email', not list"),
        ("audience", "", "must not be empty"),
        ("audience", "a b", "must not contain spaces or control characters"),
        ("audience", "a\nb", "must not contain spaces or control characters"),
        ("audience", "a" * 2049, "must be at most 2048 characters long, not 2049"),
        ("audience", 5, "must be a str, not int"),
        ("key", {"kty": "EC"}, "must be a DPoPKey, not dict"),
        ("key", '{"kty": "EC"}', "must be a DPoPKey, not str"),
        ("key", DPoPKey, "must be a DPoPKey, not type"),
        ("key", object(), "must be a DPoPKey, not object"),
    ],
)
def test_logins_refused(argument: str, value: Any, problem: str) -> None:
    """Every other argument of a login that is not of its form is refused by name."""
    with pytest.raises(UsageError) as refused:
        Login(**{"who": ADA, "otp": "123456", argument: value})
    assert (argument, f"{argument}: {problem}") == (refused.value.argument, str(refused.value))


def test_the_first_wrong_argument_is_named() -> None:
    """Arguments in the wrong order: the error is about the first of them."""
    wrong: dict[str, Any] = {"who": "123456", "otp": ADA, "scope": 5, "audience": "a", "resource": "a"}
    named = []
    for right in ({}, {"who": ADA}, {"otp": "123456"}, {"scope": "openid"}):
        wrong |= right
        with pytest.raises(UsageError) as refused:
            Login(**wrong)
        named.append(refused.value.argument)
    assert named == ["who", "otp", "scope", "resource"]


@pytest.mark.parametrize("who", [ADA, Phone("+1212555")])
def test_a_user_is_one(who: Email | Phone) -> None:
    """What is a user comes back as it was."""
    assert who is user("who", who)


@pytest.mark.parametrize(
    "extra",
    [
        None,
        {},
        {"device_mark": "m-1"},
        {"a.b-c_D1": "any printable text, é"},
        {str(number): "x" for number in range(32)},
    ],
)
def test_extra_parameters(extra: dict[str, str] | None) -> None:
    """RFC 6749 §8.2: names of letters, digits and three signs; the values are texts, and do not show."""
    login = Login(ADA, "123456", extra_parameters=extra)
    assert login.extra_parameters == extra
    assert "m-1" not in repr(login)
    assert login == Login(ADA, "123456", extra_parameters=extra)
    assert hash(login) == hash(Login(ADA, "123456", extra_parameters=extra))


OWN = [
    "grant_type",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "username",
    "realm",
    "otp",
    "auth_session",
    "audience",
    "resource",
    "redirect_uri",
    "scope",
    "refresh_token",
    "code",
    "code_verifier",
    "mfa_token",
    "oob_code",
    "binding_code",
    "recovery_code",
]


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        *(({name: "x"}, f"must not hold {name}, which the grant itself sets") for name in OWN),
        *(
            ({name: "x"}, "may have names of letters, digits, '-', '.' and '_' (RFC 6749 §8.2)")
            for name in ("", "a b", "a=b", "a&otp", "é", "otp\n", 5, "a" * 65)
        ),
        *(
            ({"a": value}, "a must be a printable str of 1 to 4096 characters")
            for value in ("", None, 5, True, b"x", ["x"], {"b": "x"}, "a\nb", "x" * 4097)
        ),
        *(
            (value, "must be a mapping of at most 32 names to strings")
            for value in ("a=b", [("a", "b")], 5, {str(number): "x" for number in range(33)})
        ),
    ],
)
def test_extra_parameters_refused(extra: Any, problem: str) -> None:
    """None takes the place of the grant's own, and none changes the form of the request."""
    with pytest.raises(UsageError) as refused:
        Login(ADA, "123456", extra_parameters=extra)
    assert str(refused.value) == f"extra_parameters: {problem}"


@pytest.mark.parametrize("who", [ADA, Phone("+4930901820")], ids=["email", "phone"])
def test_a_code_at_a_database_connection_is_its_users(who: Email | Phone) -> None:
    """Each start there has a handle of its own; the user is the same."""
    assert user_of(who) == user_of(AuthSession("handle-1", who)) == user_of(AuthSession("handle-2", who)) == who
