"""The keys that stored values are sealed with, and the names that users have in a store.

The promises: whoever reads the store learns nothing; a value that is changed, or moved to another place of the store,
does not open; keys rotate without a stop, for the newest seals and all of them open.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

import attrs

from passwordless_async._common import base64url as _base64url
from passwordless_async._common import sealing as _seal
from passwordless_async._common.secret import SecretBytes, always_printable, conceal
from passwordless_async.errors import BrokenSeal
from passwordless_async.stores.key_file import KeyFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

_SHARD = 8  # characters of a pseudonym: 48 bits, enough to spread users, and telling of none


@attrs.frozen
class Opened:
    """What was sealed.

    Attributes:
        content: The content.
        bound_to: What it was bound to, all of it.
        stale: Whether it was sealed with another key than the newest: seal it again.
    """

    content: SecretBytes = attrs.field(repr=False)
    bound_to: Mapping[str, str]
    stale: bool


@always_printable
class KeyRing:
    """Keys to seal with: JWE ``dir`` with A256GCM (RFC 7516, RFC 7518 §4.5, §5.3).

    A ring does not change, and a store and its clients go by the one that they were made with: another ring takes
    another store and other clients, as after a restart.

    Args:
        *keys: 32 random bytes each, the newest first. To rotate, put a new one behind the old one on all machines
            first, then in front of it, and take the old one away when what it sealed has ended or was read: after all
            have had the new one in front for as long as a session may be idle.
        users: 32 random bytes that users' pseudonyms are made with; they do not rotate.

    Raises:
        UsageError: A key is not 32 bytes, or there is none.
    """

    __slots__ = ("_keys", "_newest", "_users")

    def __init__(self, *keys: bytes, users: bytes) -> None:
        keys, users = _seal.concealed_keys(keys), _seal.concealed_keys(users)
        self._keys = _seal.sealing_keys(keys)
        self._newest = next(iter(self._keys))
        self._users = _seal.sealing_key(users)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a key ring as ``passwordless-async sessions keys`` writes it to a file.

        Args:
            text: The file's text, one JSON object: ``keys``, the newest first, and ``users``, each 32 bytes in
                base64url without padding; and ``added``, true while the second key is not to seal yet.

        Raises:
            UsageError: It is of another form; nothing of it is in the message.
        """
        text = conceal(text)
        file = KeyFile.from_json(text)
        return cls(*file.keys, users=file.users)

    def pseudonym(self, user: str) -> str:
        """Return what a user is called in the store: HMAC-SHA-256 (RFC 2104), 43 characters."""
        return _base64url.encode_text(hmac.digest(self._users, user.encode(), hashlib.sha256))

    @staticmethod
    def shard(pseudonym: str) -> str:
        """Return what all keys of a user have in common."""
        return pseudonym[:_SHARD]

    def seal(self, content: SecretBytes, bound_to: Mapping[str, str]) -> str:
        """Seal some content, bound to a place: with other words for it, it does not open."""
        return _seal.seal(content, self._keys[self._newest], bound_to, kid=self._newest)

    def open(self, sealed: str, bound_to: Mapping[str, str]) -> Opened:
        """Open what :meth:`seal` made.

        Raises:
            BrokenSeal: It is no sealed value, was changed or moved, or its key is not on the ring.
        """
        read = _seal.read(sealed)
        if read is None:
            raise BrokenSeal("form")
        header = read.header
        key = self._keys.get(header.get("kid", ""))
        if key is None:
            raise BrokenSeal("key")
        if not bound_to.items() <= header.items():
            raise BrokenSeal("place")
        content = _seal.unseal(read, key)
        if content is None:
            raise BrokenSeal("seal")
        return Opened(content, header, stale=header["kid"] != self._newest)

    def __repr__(self) -> str:
        return f"<KeyRing of {len(self._keys)} keys>"
