"""The keys that stored values are sealed with, and the pseudonyms that users have in a store.

Invariants:

- The store reveals nothing to a reader: values are sealed, users are pseudonyms.
- A value that was changed, or moved to another place of the store, cannot be unsealed.
- Keys rotate without a stop: the newest seals, all of them unseal.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Self

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async._common import base64url as _base64url
from passwordless_async._common import sealing
from passwordless_async._common.secret import SecretBytes, always_printable, conceal, conceal_bytes
from passwordless_async.errors import BrokenSeal
from passwordless_async.stores.key_file import KeyFile

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHARD_CHARACTERS = 8  # of a pseudonym: 48 bits, enough to spread users over nodes


@attrs.frozen
class Unsealed:
    """A value that a key ring has unsealed."""

    content: SecretBytes = attrs.field(repr=False)
    header: Mapping[str, str]  # authenticated, with all that the value was bound to
    is_stale: bool  # whether it was sealed with another key than the newest: seal it again


@always_printable
class KeyRing:
    """Keys to seal with: JWE ``dir`` with A256GCM (RFC 7516, RFC 7518 §4.5, §5.3).

    A ring never changes. To use another ring, make new stores and clients, as a restart does.

    Args:
        *keys: 32 random bytes each, the newest first. To rotate, put a new key second on all machines, then first.
            Drop the old one when no session that it sealed is left: after all machines have had the new one first for
            as long as a session may be idle.
        users: 32 random bytes that users' pseudonyms are made with; they do not rotate.

    Raises:
        UsageError: A key is not 32 bytes, or there is none.
    """

    __slots__ = ("_keys", "_newest", "_users")

    def __init__(self, *keys: bytes, users: bytes) -> None:
        keys, users = sealing.concealed_keys(keys), sealing.concealed_keys(users)
        self._keys = sealing.sealing_keys(keys)
        self._newest = next(iter(self._keys))
        self._users = sealing.sealing_key(users)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a key ring from the text of a file that ``passwordless-async sessions keys`` wrote.

        Args:
            text: One JSON object: ``keys``, the newest first, and ``users``, each 32 bytes in base64url without
                padding; and ``added``: true, while the second key must not seal yet.

        Raises:
            UsageError: The text is of another form. The message quotes nothing of it.
        """
        text = conceal(text)
        file = KeyFile.from_json(text)
        return cls(*file.keys, users=file.users)

    def pseudonym(self, user: str) -> str:
        """Return the name of a user in the store: HMAC-SHA-256 (RFC 2104), 43 characters."""
        return _base64url.encode_text(hmac.digest(self._users, user.encode(), hashlib.sha256))

    @staticmethod
    def shard(pseudonym: str) -> str:
        """Return the part of a pseudonym that all keys of the user have in common."""
        return pseudonym[:_SHARD_CHARACTERS]

    def seal(self, content: SecretBytes, bound_to: Mapping[str, str]) -> str:
        """Seal content, bound to a place: it cannot be unsealed for another place.

        Args:
            content: What to seal.
            bound_to: The place: anyone who has the sealed text can read it, and :meth:`unseal` needs it.

        Returns:
            The sealed text: a JWE in compact form.

        Raises:
            UsageError: The content is not bytes, or is too large.
        """
        content = conceal_bytes(content)
        _check.instance("content", content, SecretBytes, named="bytes")
        return sealing.seal(content, self._keys[self._newest], bound_to, kid=self._newest)

    def unseal(self, sealed: str, bound_to: Mapping[str, str]) -> Unsealed:
        """Unseal what :meth:`seal` made.

        Raises:
            BrokenSeal: It is no sealed value, was changed or moved, or its key is not on the ring.
        """
        parsed = sealing.parse(sealed)
        if parsed is None:
            raise BrokenSeal("form")
        header = parsed.header
        key = self._keys.get(header.get("kid", ""))
        if key is None:
            raise BrokenSeal("key")
        if not bound_to.items() <= header.items():
            raise BrokenSeal("place")
        content = sealing.unseal(parsed, key)
        if content is None:
            raise BrokenSeal("seal")
        return Unsealed(content, header, is_stale=header["kid"] != self._newest)

    def __repr__(self) -> str:
        return f"<KeyRing of {len(self._keys)} keys>"
