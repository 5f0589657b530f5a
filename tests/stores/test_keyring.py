"""Key rings: what they unseal, and how they are read from text."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest

from helpers.leaks import in_shapes, lines_with, shown
from passwordless_async import BrokenSeal, KeyRing, UsageError
from passwordless_async._common import base64url as _base64url
from passwordless_async._common.secret import SecretBytes
from passwordless_async.stores.key_file import KeyFile

FIRST, SECOND, USERS = (_base64url.encode_text(secrets.token_bytes(32)) for _ in range(3))


SHORT = _base64url.encode_text(secrets.token_bytes(31))


SECRET = "what-must-not-show"
CONTENT, PLACE = SecretBytes(b"tokens"), {"sid": "here"}


def ring_of(**members: Any) -> KeyRing:
    return KeyRing.from_json(json.dumps({"keys": [FIRST], "users": USERS, **members}))


def test_a_ring_from_its_text() -> None:
    """The first key seals, all unseal, and pseudonyms are made with the other."""
    bare = KeyRing(_base64url.decode(FIRST), users=_base64url.decode(USERS))
    ring = ring_of(keys=[SECOND, FIRST])
    assert bare.pseudonym("ada") == ring.pseudonym("ada")
    assert ring.unseal(bare.seal(CONTENT, PLACE), PLACE).is_stale
    sealed = ring.seal(CONTENT, PLACE)
    assert (ring.unseal(sealed, PLACE).content, ring.unseal(sealed, PLACE).is_stale) == (CONTENT, False)
    with pytest.raises(BrokenSeal):
        bare.unseal(sealed, PLACE)


def test_an_added_key_unseals_and_does_not_seal() -> None:
    """A value sealed after the next step is read before it."""
    added = KeyFile.from_json(KeyFile.random().to_json()).add()
    before, after = (KeyRing.from_json(file.to_json()) for file in (added, added.promote()))
    assert before.unseal(after.seal(CONTENT, PLACE), PLACE).is_stale
    assert after.unseal(before.seal(CONTENT, PLACE), PLACE).is_stale
    assert added == KeyFile.from_json(added.to_json())


@pytest.mark.parametrize("given", [each for name, each in in_shapes(SECRET).items() if name != "bytes"])
def test_what_is_not_bytes_is_refused_and_does_not_show(given: Any) -> None:
    """A cookie's text must be encoded first. Neither the error nor a local variable of its traceback has it."""
    with pytest.raises(UsageError, match=r"^content: must be bytes, not ") as caught:
        KeyRing(bytes(32), users=bytes(32)).seal(given, {"typ": "cookie"})
    assert lines_with({SECRET}, shown(caught.value)) == []
