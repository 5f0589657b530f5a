"""Lifetimes and what is shown of sessions."""

from __future__ import annotations

from typing import Any

import pytest

from passwordless_async import Lifetimes, StoredSession, TokenSet, UsageError
from passwordless_async._common.secret import Secret
from passwordless_async.dpop import DPoPKey


@pytest.mark.parametrize("name", ["idle", "absolute"])
@pytest.mark.parametrize("wrong", [0, -1.0, float("nan"), "60", None, True])
def test_a_wrong_lifetime_is_named(name: str, wrong: Any) -> None:
    """Seconds above 0 are accepted, anything else is a UsageError about that argument."""
    with pytest.raises(UsageError) as refused:
        Lifetimes(**{name: wrong})
    assert refused.value.argument == name


def test_a_session_shows_neither_identifier_nor_user() -> None:
    """Its repr is safe in a log."""
    tokens = TokenSet(
        access_token=Secret("the-access-token"),
        refresh_token=None,
        id_token=None,
        token_type="DPoP",
        expires_at=None,
        scope="",
        claims=None,
        key=DPoPKey.generate(),
    )
    shown = repr(StoredSession(Secret("the-identifier"), tokens, "the-user", 1.0))
    assert [word for word in ("the-identifier", "the-user", "the-access-token") if word in shown] == []
