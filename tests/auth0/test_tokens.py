"""Tokens, receipts and outcomes: values that flow, and print without what they hold."""

from __future__ import annotations

import copy
from types import MappingProxyType
from typing import Any

import attrs
import pytest

from passwordless_async import (
    BrokenSeal,
    DPoPKey,
    Email,
    KeyMissing,
    KeyRing,
    Login,
    MfaTokenSet,
    Outcome,
    StartReceipt,
    TokenSet,
    UsageError,
)
from passwordless_async._common import sealing
from passwordless_async._common.secret import Secret, SecretDict
from passwordless_async.auth0.tokens import authorization, owner_of

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


# Tokens as values

SEALING, OTHER = bytes(range(32)), bytes(32)
RING = KeyRing(SEALING, users=OTHER)
SECRETS = ("an-access-token", "a-refresh-token", "an-id-token")


def issued(**changes: Any) -> TokenSet:
    access_token, refresh_token, id_token = map(Secret, SECRETS)
    tokens = TokenSet(
        access_token=access_token,
        token_type="DPoP",
        expires_at=1_700_000_000,
        scope="openid offline_access",
        refresh_token=refresh_token,
        id_token=id_token,
        claims=MappingProxyType({"sub": "ada", "roles": ["reader"]}),
        key=KEY,
        jkt=KEY.thumbprint,
        issuer="https://tenant.example/",
        client_id="client",
        audience="https://api.example",
    )
    return attrs.evolve(tokens, **changes)


@pytest.mark.parametrize("keys", [SEALING, [SEALING, OTHER], (SEALING,), RING], ids=["key", "list", "tuple", "ring"])
@pytest.mark.parametrize("changes", [{}, {"refresh_token": None, "id_token": None, "claims": None, "expires_at": None}])
def test_sealed_tokens_come_back(keys: Any, changes: dict[str, Any]) -> None:
    """With their key and claims, with any of the keys that rotate; the text and the new tokens show no secret."""
    tokens = issued(**changes)
    sealed = tokens.seal(keys)
    for opener in (keys, [OTHER, SEALING], KeyRing(OTHER, SEALING, users=OTHER)):
        back = TokenSet.unseal(sealed, opener)
        assert (back, back.claims, back.key) == (tokens, tokens.claims, KEY)
        assert all(secret not in sealed + repr(back) for secret in SECRETS)
        assert isinstance(back.access_token, Secret)


UNBOUND: dict[str, Any] = {"token_type": "Bearer", "key": None, "jkt": None}


@pytest.mark.parametrize("refresh_key", [None, KEY], ids=["no proof", "a proof"])
def test_sealed_tokens_without_a_key_come_back(refresh_key: DPoPKey | None) -> None:
    """They stay unbound, and keep the key that a refresh proves."""
    tokens = issued(**UNBOUND, refresh_key=refresh_key)
    back = TokenSet.unseal(tokens.seal(SEALING), SEALING)
    assert (back, back.bound, back.key, back.refresh_key) == (tokens, False, None, refresh_key)
    assert copy.deepcopy(tokens) == copy.copy(tokens) == tokens


def test_tokens_that_were_sealed_before_there_were_unbound_ones_come_back() -> None:
    """Their text has no refresh_key."""
    members = sealing.unseal_members(issued().seal(SEALING), SEALING, "tokens+jwe")
    del members["refresh_key"]
    assert TokenSet.unseal(sealing.seal_members(members, SEALING, "tokens+jwe"), SEALING) == issued()


@pytest.mark.parametrize(
    ("changes", "bound"),
    [
        ({}, True),
        ({"jkt": None}, True),
        ({"key": None}, True),
        ({"key": None, "jkt": None}, True),
        ({"key": None, "jkt": None, "token_type": "dpop"}, True),
        ({"key": None, "token_type": "Bearer"}, True),
        ({"token_type": "Bearer", "jkt": None}, True),
        (UNBOUND, False),
        ({**UNBOUND, "token_type": "bearer"}, False),
        ({**UNBOUND, "refresh_key": KEY}, False),
    ],
)
def test_what_says_that_tokens_are_bound(changes: dict[str, Any], *, bound: bool) -> None:
    """A key, its thumbprint, or the type: each alone is enough. Bound tokens never go as Bearer."""
    tokens = issued(**changes)
    assert tokens.bound is bound
    assert str(authorization(tokens)) == f"{'DPoP' if bound else 'Bearer'} an-access-token"


@pytest.mark.parametrize("changes", [{"key": None}, {"key": None, "jkt": None}, {"key": None, "token_type": "Bearer"}])
def test_bound_tokens_without_their_key_are_sealed_in_no_mode(changes: dict[str, Any]) -> None:
    """They would come back as tokens of no use; a sealed text of such tokens is none."""
    with pytest.raises(KeyMissing):
        issued(**changes).seal(SEALING)
    members = sealing.unseal_members(issued().seal(SEALING), SEALING, "tokens+jwe")
    members.update(changes)
    with pytest.raises(BrokenSeal):
        TokenSet.unseal(sealing.seal_members(members, SEALING, "tokens+jwe"), SEALING)


def test_sealed_tokens_of_a_second_factor_keep_the_recovery_code() -> None:
    """Opened as a token set they are one without it."""
    plain = issued()
    tokens = MfaTokenSet(
        **{field.name: getattr(plain, field.name) for field in attrs.fields(TokenSet)}, recovery_code=Secret("R")
    )
    assert MfaTokenSet.unseal(tokens.seal(SEALING), SEALING) == tokens
    assert TokenSet.unseal(tokens.seal(SEALING), SEALING) == plain


@pytest.mark.parametrize(
    ("text", "keys", "failed"),
    [
        (issued().seal(SEALING), OTHER, "key"),
        (issued().seal(SEALING), KeyRing(OTHER, users=OTHER), "key"),
        (issued().seal(SEALING)[:-2] + "AA", SEALING, "seal"),
        ("text", SEALING, "form"),
        (None, SEALING, "form"),
        (sealing.seal_members(SecretDict(), SEALING, "other+jwe"), SEALING, "place"),
        (sealing.seal_members(SecretDict(), SEALING, "tokens+jwe"), SEALING, "form"),
    ],
)
def test_what_is_no_sealed_token_set_is_refused(text: Any, keys: Any, failed: str) -> None:
    """The error names what failed."""
    with pytest.raises(BrokenSeal) as refused:
        TokenSet.unseal(text, keys)
    assert refused.value.failed == failed


@pytest.mark.parametrize("keys", [b"short", "text", None, [], [SEALING, b"short"]])
def test_tokens_are_sealed_with_32_bytes(keys: Any) -> None:
    """Anything else raises UsageError, when they are sealed and when they are unsealed."""
    sealed = issued().seal(SEALING)
    for call in (issued().seal, lambda keys: TokenSet.unseal(sealed, keys)):
        with pytest.raises(UsageError):
            call(keys)


def test_tokens_without_a_key_are_not_sealed() -> None:
    """They are of no use."""
    with pytest.raises(KeyMissing):
        issued(key=None).seal(SEALING)


def test_tokens_are_values() -> None:
    """They are copied, compared, hashed, and put through attrs.asdict; a deep copy shares no claims."""
    tokens = issued()
    copied = copy.deepcopy(tokens)
    assert (copied, copied.claims, hash(copied)) == (tokens, tokens.claims, hash(tokens))
    assert copied.claims is not None
    copied.claims["roles"].append("writer")
    assert tokens.claims is not None
    assert tokens.claims["roles"] == ["reader"]
    assert copy.copy(tokens) == tokens
    assert copy.deepcopy(issued(claims=None)) == issued(claims=None)
    assert TokenSet(**attrs.asdict(tokens)) == tokens
    assert issued(scope="openid") != tokens


@pytest.mark.parametrize(
    ("changes", "owner"),
    [
        ({"claims": {"sub": "auth0|ada"}}, "auth0|ada"),
        ({"claims": {"sub": ["auth0|ada"]}}, "refresh"),
        ({"claims": {}}, "refresh"),
        ({"claims": None}, "refresh"),
        ({"claims": None, "refresh_token": None}, "access"),
    ],
)
def test_tokens_are_their_subjects(changes: dict[str, Any], owner: str) -> None:
    """Without an ID token, those of one session are one user's."""
    assert owner_of(tokens(**changes)) == owner
