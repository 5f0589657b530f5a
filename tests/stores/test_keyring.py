"""The key ring's file: what it is read from, and that nothing of it is told."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest

from helpers.leaks import lines_with, shown
from passwordless_async import BrokenSeal, KeyRing, UsageError
from passwordless_async._common import base64url as _base64url
from passwordless_async._common.secret import SecretBytes
from passwordless_async.stores.key_file import KeyFile

FIRST, SECOND, USERS = (_base64url.encode_text(secrets.token_bytes(32)) for _ in range(3))
SHORT = _base64url.encode_text(secrets.token_bytes(31))
CONTENT, PLACE = SecretBytes(b"tokens"), {"sid": "here"}


def ring_of(**members: Any) -> KeyRing:
    return KeyRing.from_json(json.dumps({"keys": [FIRST], "users": USERS, **members}))


def test_a_ring_from_its_text():
    """The first key seals, all open, and users' names are made with the other."""
    bare = KeyRing(_base64url.decode(FIRST), users=_base64url.decode(USERS))
    ring = ring_of(keys=[SECOND, FIRST])
    assert bare.pseudonym("ada") == ring.pseudonym("ada")
    assert ring.unseal(bare.seal(CONTENT, PLACE), PLACE).is_stale
    sealed = ring.seal(CONTENT, PLACE)
    assert (CONTENT, False) == (ring.unseal(sealed, PLACE).content, ring.unseal(sealed, PLACE).is_stale)
    with pytest.raises(BrokenSeal):
        bare.unseal(sealed, PLACE)


def test_a_key_that_was_added_opens_and_does_not_seal():
    """What the next step seals is read by who has made this one."""
    added = KeyFile.from_json(KeyFile.random().to_json()).add()
    before, after = (KeyRing.from_json(file.to_json()) for file in (added, added.promote()))
    assert before.unseal(after.seal(CONTENT, PLACE), PLACE).is_stale
    assert after.unseal(before.seal(CONTENT, PLACE), PLACE).is_stale
    assert added == KeyFile.from_json(added.to_json())


def test_the_oldest_is_dropped():
    """Of three keys the one that sealed first goes."""
    first = KeyFile.random()
    second = first.add().promote()
    third = second.add().promote()
    assert (third.keys[0], second.keys[0]) == third.drop().keys
    assert third.drop().drop().keys == third.keys[:1]


WRONG = [
    ("", "it must be one JSON object"),
    (FIRST, "it must be one JSON object"),
    (f'["{FIRST}"]', "it must be one JSON object"),
    (f'{{"{FIRST}": ', "it must be one JSON object"),
    ("[" * 5000, "it must be one JSON object"),
    (FIRST.encode(), "it must be one JSON object"),
    (None, "it must be one JSON object"),
    (json.dumps({"keys": [FIRST]}), "users is missing"),
    (json.dumps({"keys": [FIRST], "users": USERS, SECOND: 1}), "there is more in it"),
    (json.dumps({"keys": FIRST, "users": USERS}), "keys must be a list"),
    (json.dumps({"keys": [FIRST, SHORT], "users": USERS}), "number 2 of keys must be 32 bytes"),
    (json.dumps({"keys": [FIRST, {FIRST: 1}], "users": USERS}), "number 2 of keys must be 32 bytes"),
    (json.dumps({"keys": [FIRST], "users": [USERS]}), "users must be 32 bytes"),
    (json.dumps({"keys": [FIRST], "users": USERS, "added": True}), "added must be true"),
    (json.dumps({"keys": [FIRST, SECOND], "users": USERS, "added": SECOND}), "added must be true"),
]


@pytest.mark.parametrize(("text", "problem"), WRONG, ids=range(len(WRONG)))
def test_a_text_that_is_no_ring(text: Any, problem: str):
    """What is wrong is said, and no key shows in what a log may have of that, locals included."""
    with pytest.raises(UsageError) as refused:
        KeyRing.from_json(text)
    assert "text" == refused.value.argument
    assert problem in str(refused.value)
    assert [] == lines_with([FIRST, SECOND, USERS, SHORT, FIRST[1:20]], shown(refused.value))


def test_a_file_does_not_show_its_keys():
    """Neither its repr nor that of its text does."""
    file = KeyFile.from_json(json.dumps({"keys": [FIRST, SECOND], "users": USERS}))
    assert [] == lines_with([FIRST, SECOND, USERS], f"{file!r} {file.to_json()!r}")
