"""What is shown of a login; the whole of it is in the tests of the command."""

from __future__ import annotations

from passwordless_async import DPoPKey, TokenSet
from passwordless_async._common.secret import Secret
from passwordless_async.cli.login.showing import as_json

TOKENS = TokenSet(Secret("the-access-token"), "DPoP", None, "", Secret("r"), None, None, DPoPKey.generate())


def test_the_members_of_the_object() -> None:
    """They are documented: a program may rely on each of them, whether it is known or not."""
    shown = as_json(TOKENS, with_tokens=False)
    assert list(shown) == [
        *("issuer", "token_type", "jkt", "expires_at", "scope", "audience", "has_refresh_token", "claims")
    ]
    assert (shown["expires_at"], shown["claims"], shown["has_refresh_token"]) == (None, None, True)
    assert "the-access-token" not in str(shown)


def test_tokens_when_asked_for() -> None:
    """Each of the three, null where there is none."""
    tokens = as_json(TOKENS, with_tokens=True)["tokens"]
    assert tokens == {"access_token": "the-access-token", "refresh_token": "r", "id_token": None}
