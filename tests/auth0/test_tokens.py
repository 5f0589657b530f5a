"""Tokens, receipts and outcomes: values that flow, and print without what they hold."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import attrs
import pytest

from passwordless_async import DPoPKey, Email, Login, Outcome, StartReceipt, TokenSet
from passwordless_async._common.secret import Secret

ADA = Email("ada@example.com")
KEY = DPoPKey.generate()


def tokens(**changes: Any) -> TokenSet:
    """Return a full set of tokens, but for some changes."""
    facts: dict[str, Any] = {
        "access_token": Secret("access"),
        "token_type": "DPoP",
        "expires_at": 1_700_086_400,
        "scope": "openid",
        "refresh_token": Secret("refresh"),
        "id_token": Secret("header.payload.signature"),
        "claims": MappingProxyType({"sub": "auth0|ada"}),
        "key": KEY,
    }
    return TokenSet(**{**facts, **changes})


def test_tokens_print_without_tokens_and_claims() -> None:
    """The repr says what kind of tokens they are and of which key, and shows none of them."""
    expected = (
        "TokenSet(access_token=<redacted>, token_type='DPoP', expires_at=1700086400, scope='openid', "
        f"refresh_token=<redacted>, id_token=<redacted>, claims=<claims>, key=<DPoPKey {KEY.thumbprint}>, "
        "jkt=None, issuer=None, client_id=None, audience=None)"
    )
    assert repr(tokens()) == expected


def test_what_is_missing_prints_as_none() -> None:
    """The repr tells a missing token from a hidden one."""
    shown = repr(tokens(refresh_token=None, id_token=None, claims=None, expires_at=None))
    assert "expires_at=None, scope='openid', refresh_token=None, id_token=None, claims=None" in shown


@pytest.mark.parametrize("name", ["access_token", "refresh_token", "id_token"])
def test_a_token_hides_though_it_be_a_plain_text(name: str) -> None:
    """A set that somebody restores from plain texts prints redacted too."""
    assert "plain" not in repr(tokens(**{name: "plain"}))


@pytest.mark.parametrize(
    "change",
    [
        {"access_token": Secret("other")},
        {"token_type": "dpop"},
        {"expires_at": None},
        {"scope": ""},
        {"refresh_token": None},
        {"id_token": None},
        {"key": DPoPKey.generate()},
    ],
)
def test_tokens_differ(change: dict[str, Any]) -> None:
    """Tokens are equal when all their parts are."""
    assert tokens() == tokens()
    assert tokens() != tokens(**change)


def test_tokens_can_be_hashed() -> None:
    """Claims, which cannot be hashed, do not stand in the way: they follow from the ID token."""
    assert hash(tokens()) == hash(tokens(claims=None))
    assert tokens() == tokens(claims=None)


@pytest.mark.parametrize("value", [tokens(), StartReceipt(ADA, 1.5), Outcome(Login(ADA, "1"))])
def test_values_cannot_be_changed(value: object) -> None:
    """What flows is frozen."""
    name = attrs.fields(type(value))[0].name  # type: ignore[arg-type]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, name, None)


def test_a_receipt_says_when_and_for_whom() -> None:
    """A receipt holds the user and the time, and not whether the address has an account."""
    receipt = StartReceipt(ADA, 1.5)
    assert attrs.asdict(receipt, recurse=False) == {"who": ADA, "sent_at": 1.5}
    assert repr(receipt) == "StartReceipt(who=Email('a…@…'), sent_at=1.5)"
