"""Verified tokens are remembered within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from passwordless_async.resource_server import verified
from passwordless_async.resource_server.access_token import AccessToken
from passwordless_async.resource_server.fetching import KeyFetcher
from passwordless_async.resource_server.keys import IssuerKeys
from passwordless_async.resource_server.verified import Verified, VerifiedTokens

if TYPE_CHECKING:
    import pytest

FETCHER = KeyFetcher(IssuerKeys("https://issuer.example/", ("RS256",)), None)


def token_of(length: int, *, generation: int = 0) -> Verified:
    return Verified(AccessToken.of({}), FETCHER, generation, length)


def known(tokens: VerifiedTokens, *digests: bytes) -> list[bytes]:
    return [digest for digest in digests if tokens.get(digest) is not None]


def test_other_keys_void_a_token() -> None:
    """A token counts for the generation of keys that it was verified with."""
    assert token_of(1, generation=0).is_current
    assert not token_of(1, generation=1).is_current


def test_many_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least recently used make room."""
    monkeypatch.setattr(verified, "_MAX_TOKENS", 3)
    tokens = VerifiedTokens()
    for digest in (b"a", b"b", b"c"):
        tokens.put(digest, token_of(1))
    tokens.get(b"a")
    tokens.put(b"d", token_of(1))
    assert known(tokens, b"a", b"b", b"c", b"d") == [b"a", b"c", b"d"]


def test_long_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long tokens take the place of several; one that is put again counts once."""
    monkeypatch.setattr(verified, "_MAX_CHARACTERS", 100)
    tokens = VerifiedTokens()
    for _ in range(5):
        tokens.put(b"a", token_of(40))
    tokens.put(b"b", token_of(40))
    assert known(tokens, b"a", b"b") == [b"a", b"b"]
    tokens.put(b"c", token_of(70))
    assert known(tokens, b"a", b"b", b"c") == [b"c"]


async def test_memory_of_a_server(make_server: Any, user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server's tokens are kept within the bounds, and all of them pass."""
    monkeypatch.setattr(verified, "_MAX_CHARACTERS", 3000)
    server = make_server(dpop="off")
    for number in range(10):
        await server.authorize("GET", "/me", user.bearer(jti=str(number), groups="g" * 500))
    assert len(server._verified) < 4
