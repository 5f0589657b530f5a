"""A key ring as the text of a file, and the steps by which its keys rotate without a stop.

A new key is added behind the one that seals, so that all machines can open with it, then promoted, so that they seal
with it, and when nothing that the oldest sealed is left, that one is dropped.
"""

from __future__ import annotations

import json
import secrets
from typing import Any, Self

import attrs

from passwordless_async._common import base64url as _base64url
from passwordless_async._common.secret import Secret, SecretBytes, SecretDict, conceal, redacted
from passwordless_async.errors import UsageError

_KEY = 32  # bytes
_KEY_FORM = f"must be {_KEY} bytes in base64url without padding: 43 characters"
_FORM = 'must be one JSON object: {"keys": [the newest, ...], "users": ...}'
_NEEDED, _KNOWN = ("keys", "users"), {"keys", "users", "added"}


@attrs.frozen
class KeyFile:
    """The keys in a file.

    Attributes:
        keys: Those of a :class:`~passwordless_async.KeyRing`, in its order: the first seals, and all open.
        users: What users' pseudonyms are made with.
        added: Whether the second of the keys was added and not promoted yet.
    """

    keys: tuple[SecretBytes, ...] = attrs.field(repr=redacted)
    users: SecretBytes = attrs.field(repr=redacted)
    added: bool = False

    @classmethod
    def random(cls) -> Self:
        """Make a ring of one key."""
        return cls((_random(),), _random())

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the text of a file.

        Raises:
            UsageError: It is none of a key ring; nothing of it is in the message.
        """
        text = conceal(text)
        members = _members(text)
        for name in _NEEDED:
            if name not in members:
                raise _wrong(f"{name} is missing; it {_FORM}")
        if not members.keys() <= _KNOWN:
            raise _wrong(f"there is more in it than keys and users; it {_FORM}")
        if not isinstance(members["keys"], list) or not members["keys"]:
            raise _wrong("keys must be a list of at least one key, the newest first")
        given = tuple(map(conceal, members["keys"]))
        keys = tuple(_key(f"number {number} of keys", key) for number, key in enumerate(given, start=1))
        added = "added" in members
        if added and (members["added"] is not True or len(keys) == 1):
            raise _wrong("added must be true, and there must be two keys or more then")
        return cls(keys, _key("users", conceal(members["users"])), added)

    def to_json(self) -> Secret:
        """Return the text of a file."""
        encoded = Secret(", ".join(f'"{_base64url.encode_text(key)}"' for key in self.keys))
        users = Secret(_base64url.encode_text(self.users))
        added = ',\n  "added": true' if self.added else ""
        return Secret(f'{{\n  "keys": [{encoded}],\n  "users": "{users}"{added}\n}}\n')

    def add(self) -> Self:
        """Put a new key behind the one that seals.

        Raises:
            UsageError: The one that was added before has not been promoted.
        """
        if self.added:
            raise UsageError("keys", "a key was added and does not seal yet: promote it first")
        return attrs.evolve(self, keys=(self.keys[0], _random(), *self.keys[1:]), added=True)

    def promote(self) -> Self:
        """Bring the key that was added to the front.

        Raises:
            UsageError: None was added.
        """
        if not self.added:
            raise UsageError("keys", "there is no key to promote: add one first")
        first, second, *others = self.keys
        return attrs.evolve(self, keys=(second, first, *others), added=False)

    def drop(self) -> Self:
        """Take the oldest key away.

        Raises:
            UsageError: It is the only one, or the one that was added has not been promoted.
        """
        if self.added:
            raise UsageError("keys", "a key was added and does not seal yet: promote it first")
        if len(self.keys) == 1:
            raise UsageError("keys", "there is one key, which seals: it cannot be dropped")
        return attrs.evolve(self, keys=self.keys[:-1])


def _random() -> SecretBytes:
    return SecretBytes(secrets.token_bytes(_KEY))


def _members(text: Any) -> SecretDict:  # noqa: ANN401 - whatever it was given
    # Never in a variable as it is read: that would show in a traceback with locals.
    read = SecretDict()
    try:
        read["whole"] = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        read["whole"] = None
    if not isinstance(read["whole"], dict):
        raise _wrong(f"it {_FORM}")
    return SecretDict(read["whole"])


def _key(name: str, given: object) -> SecretBytes:
    key = SecretBytes(_base64url.decode(given) if isinstance(given, str) else b"")
    if len(key) != _KEY:
        raise _wrong(f"{name} {_KEY_FORM}")
    return key


def _wrong(problem: str) -> UsageError:
    return UsageError("text", problem)
