"""Which stored sessions have which tokens: known while the tokens live, and of the last ones beyond."""

from __future__ import annotations

import gc

import pytest

from passwordless_async import DPoPKey, TokenSet
from passwordless_async._common.secret import Secret
from passwordless_async.client.stored_tokens import StoredTokens

FIRST, SECOND = Secret("first session"), Secret("second session")


def made() -> TokenSet:
    return TokenSet(Secret("a"), "DPoP", None, "", Secret("r"), None, None, DPoPKey.generate())


def test_all_sessions_of_tokens_are_known_the_last_one_first() -> None:
    """Each once."""
    stored, tokens = StoredTokens(10), made()
    for identifier in (FIRST, SECOND, FIRST, FIRST):
        stored.note("key", tokens, identifier)
    assert stored.sessions("key") == (FIRST, SECOND)
    stored.forget("key", FIRST)
    stored.forget("key", FIRST)
    stored.forget("other", FIRST)
    assert (stored.sessions("key"), stored.sessions("other")) == ((SECOND,), ())


@pytest.mark.parametrize("goes", ["first", "second"])
def test_sessions_are_known_while_any_token_set_lives_that_they_were_noted_by(goes: str) -> None:
    """However many others were noted since."""
    stored, first, second = StoredTokens(1), made(), made()
    stored.note("key", first, FIRST)
    stored.note("key", second, FIRST)
    if goes == "first":
        del first
    else:
        del second
    stored.note("other", made(), SECOND)
    gc.collect()
    assert (stored.sessions("key"), len(stored)) == ((FIRST,), 2)


def test_of_tokens_that_have_gone_the_last_ones_are_known() -> None:
    """A copy may be in use."""
    stored = StoredTokens(2)
    for number in range(5):
        stored.note(number, made(), FIRST)
    gc.collect()
    assert [stored.sessions(number) for number in range(5)] == [(), (), (), (FIRST,), (FIRST,)]
    assert len(stored) == 2
