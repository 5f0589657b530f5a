"""The key ring's file: its forms, its steps, and that no error holds a key."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest

from helpers.leaks import lines_with, shown
from passwordless_async import KeyRing, UsageError
from passwordless_async._common import base64url as _base64url
from passwordless_async.stores.key_file import KeyFile

FIRST, SECOND, USERS = (_base64url.encode_text(secrets.token_bytes(32)) for _ in range(3))


SHORT = _base64url.encode_text(secrets.token_bytes(31))


def test_the_oldest_key_is_dropped() -> None:
    """Of three keys the one that sealed first goes."""
    first = KeyFile.random()
    second = first.add().promote()
    third = second.add().promote()
    assert third.drop().keys == (third.keys[0], second.keys[0])
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
def test_a_text_that_is_no_ring_is_refused(text: Any, problem: str) -> None:
    """The error says what is wrong, and no key is in it or in its traceback with locals."""
    with pytest.raises(UsageError) as refused:
        KeyRing.from_json(text)
    assert refused.value.argument == "text"
    assert problem in str(refused.value)
    assert lines_with([FIRST, SECOND, USERS, SHORT, FIRST[1:20]], shown(refused.value)) == []


def test_a_file_does_not_show_its_keys() -> None:
    """Neither its repr nor that of its text does."""
    file = KeyFile.from_json(json.dumps({"keys": [FIRST, SECOND], "users": USERS}))
    assert lines_with([FIRST, SECOND, USERS], f"{file!r} {file.to_json()!r}") == []
