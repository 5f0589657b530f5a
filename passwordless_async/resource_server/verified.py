"""The cache of verified access tokens: the signature of a known token is not checked again.

Invariants:

- The key of an entry is the token's hash: only a request with the token finds it.
- An entry is valid for one generation of its issuer's keys, and the caller checks the times for each request.
- The memory is bounded, however many and however long the tokens are; the least recently used are evicted.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from passwordless_async.resource_server.access_token import AccessToken
    from passwordless_async.resource_server.fetching import KeyFetcher

_MAX_TOKENS = 4096  # a usual one takes 3 KB
_MAX_CHARACTERS = 4_194_304  # of all tokens: what is read from a long one takes about five times its length


@attrs.frozen
class Verified:
    """A token that was verified with the keys of a generation."""

    token: AccessToken
    fetcher: KeyFetcher
    generation: int
    length: int  # characters

    @property
    def is_current(self) -> bool:
        """Whether the issuer's keys are those that it was verified with."""
        return self.generation == self.fetcher.keys.generation


class VerifiedTokens:
    """The verified tokens of one server, by their hash."""

    __slots__ = ("_characters", "_tokens")

    def __init__(self) -> None:
        self._tokens: OrderedDict[bytes, Verified] = OrderedDict()  # the least recently used first
        self._characters = 0

    def get(self, digest: bytes) -> Verified | None:
        """Return a token, which counts as use; None if it is unknown."""
        known = self._tokens.get(digest)
        if known is not None:
            self._tokens.move_to_end(digest)
        return known

    def put(self, digest: bytes, verified: Verified) -> None:
        """Remember a token, and evict others if the memory is full."""
        replaced = self._tokens.pop(digest, None)
        self._tokens[digest] = verified
        self._characters += verified.length - (replaced.length if replaced else 0)
        while len(self._tokens) > _MAX_TOKENS or self._characters > _MAX_CHARACTERS:
            _, oldest = self._tokens.popitem(last=False)
            self._characters -= oldest.length

    def __len__(self) -> int:
        return len(self._tokens)
