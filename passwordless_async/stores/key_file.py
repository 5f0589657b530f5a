"""A key ring as the text of a file, and the steps that rotate its keys without downtime.

A new key is added second, so that all machines can unseal with it. Then it is promoted to the first place, so that they
seal with it. The oldest is dropped when nothing that it sealed is left.
"""

from __future__ import annotations

import json
import secrets
from typing import Self

import attrs

from passwordless_async._common import base64url as _base64url
from passwordless_async._common.secret import Secret, SecretBytes, SecretDict, conceal, redacted
from passwordless_async.errors import UsageError

_KEY_BYTES = 32
_KEY_FORM = f"must be {_KEY_BYTES} bytes in base64url without padding: 43 characters"
_FORM = 'must be one JSON object: {"keys": [the newest, ...], "users": ...}'
_REQUIRED, _KNOWN = ("keys", "users"), {"keys", "users", "added"}


@attrs.frozen
class KeyFile:
    """The keys in a file."""

    keys: tuple[SecretBytes, ...] = attrs.field(repr=redacted)  # of a KeyRing, in its order: the first seals
    users: SecretBytes = attrs.field(repr=redacted)  # what users' pseudonyms are made with
    added: bool = False  # whether the second key was added and not promoted yet

    @classmethod
    def random(cls) -> Self:
        """Make a ring of one key."""
        return cls((_random_key(),), _random_key())

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the text of a file. The ``UsageError`` for another text quotes nothing of it."""
        text = conceal(text)
        members = _members(text)
        keys = _keys(members["keys"])
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
        """Add a new key in the second place; refused while the key that was added before is not promoted."""
        if self.added:
            raise UsageError("keys", "a key was added and does not seal yet: promote it first")
        return attrs.evolve(self, keys=(self.keys[0], _random_key(), *self.keys[1:]), added=True)

    def promote(self) -> Self:
        """Move the added key to the first place; refused if no key was added."""
        if not self.added:
            raise UsageError("keys", "there is no key to promote: add one first")
        first, second, *others = self.keys
        return attrs.evolve(self, keys=(second, first, *others), added=False)

    def drop(self) -> Self:
        """Drop the oldest key; refused if it is the only one, or while the added key is not promoted."""
        if self.added:
            raise UsageError("keys", "a key was added and does not seal yet: promote it first")
        if len(self.keys) == 1:
            raise UsageError("keys", "there is one key, which seals: it cannot be dropped")
        return attrs.evolve(self, keys=self.keys[:-1])


def _random_key() -> SecretBytes:
    return SecretBytes(secrets.token_bytes(_KEY_BYTES))


def _members(text: object) -> SecretDict:
    # Never in a local by itself: a traceback with locals would show it.
    read = SecretDict()
    try:
        read["whole"] = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        read["whole"] = None
    if not isinstance(read["whole"], dict):
        raise _wrong(f"it {_FORM}")
    members = SecretDict(read["whole"])
    for name in _REQUIRED:
        if name not in members:
            raise _wrong(f"{name} is missing; it {_FORM}")
    if not members.keys() <= _KNOWN:
        raise _wrong(f"there is more in it than keys and users; it {_FORM}")
    return members


def _keys(keys: object) -> tuple[SecretBytes, ...]:
    # Each is wrapped as a secret before a frame holds it separately.
    keys = tuple(map(conceal, keys)) if isinstance(keys, list) else ()
    if not keys:
        raise _wrong("keys must be a list of at least one key, the newest first")
    return tuple(_key(f"number {number} of keys", key) for number, key in enumerate(keys, start=1))


def _key(name: str, given: object) -> SecretBytes:
    key = SecretBytes(_base64url.decode(given) if isinstance(given, str) else b"")
    if len(key) != _KEY_BYTES:
        raise _wrong(f"{name} {_KEY_FORM}")
    return key


def _wrong(problem: str) -> UsageError:
    return UsageError("text", problem)
