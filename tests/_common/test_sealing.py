"""Sealed texts: as joserfc seals and unseals them, with one spelling and one algorithm."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwk import OctKey

from passwordless_async import UsageError
from passwordless_async._common import base64url, sealing
from passwordless_async._common.secret import SecretBytes

KEY = SecretBytes(bytes(range(32)))
HEADER = {"typ": "test+jwe", "iss": "https://tenant.example/"}
REGISTRY = jwe.JWERegistry(algorithms=["dir", "A256GCM", "A256KW", "A128GCM", "DEF"], strict_check_header=False)


def sealed_by_joserfc(header: dict[str, Any], content: bytes = b"content", key: bytes = KEY) -> str:
    return jwe.encrypt_compact(header, content, OctKey.import_key(bytes(key)), registry=REGISTRY)


def content_of(text: object, key: SecretBytes = KEY) -> SecretBytes | None:
    parsed = sealing.parse(text)
    return None if parsed is None else sealing.unseal(parsed, key)


@given(content=st.binary(max_size=300))
def test_joserfc_unseals_what_we_seal(content: bytes) -> None:
    """Header and content are those that were given."""
    opened = jwe.decrypt_compact(
        sealing.seal(SecretBytes(content), KEY, HEADER), OctKey.import_key(bytes(KEY)), registry=REGISTRY
    )
    assert opened.plaintext == content
    assert opened.protected == {"alg": "dir", "enc": "A256GCM", "kid": sealing.key_id(KEY), **HEADER}


@given(content=st.binary(max_size=300))
def test_we_unseal_what_joserfc_seals(content: bytes) -> None:
    """With the header that it wrote."""
    text = sealed_by_joserfc({"alg": "dir", "enc": "A256GCM", **HEADER}, content)
    parsed = sealing.parse(text)
    assert parsed is not None
    assert parsed.header == {"alg": "dir", "enc": "A256GCM", **HEADER}
    assert sealing.unseal(parsed, KEY) == content


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "dir", "enc": "A256GCM", "zip": "DEF"},
        {"alg": "A256KW", "enc": "A256GCM"},
    ],
    ids=["zip", "wrapped key"],
)
def test_another_algorithm_is_refused(header: dict[str, Any]) -> None:
    """No compression and no wrapped key: joserfc makes such a text, and it is none of ours."""
    assert sealing.parse(sealed_by_joserfc(header)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"crit": ["exp"]},
        {"crit": "exp"},
        {"zip": "DEF"},
        {"enc": "A128GCM"},
        {"alg": "none"},
        {"exp": 1},
        {"kid": None},
    ],
    ids=str,
)
def test_another_header_is_refused(change: dict[str, Any]) -> None:
    """Neither an extension, nor another algorithm, nor a member that is no text."""
    rest = sealing.seal(SecretBytes(b"content"), KEY, HEADER).partition(".")[2]
    header = json.dumps({"alg": "dir", "enc": "A256GCM", **change}).encode()
    assert sealing.parse(f"{base64url.encode_text(header)}.{rest}") is None


def test_there_is_one_spelling() -> None:
    """A text with padding, white space or unused bits that are not zero is refused in each of its parts."""
    text = sealing.seal(SecretBytes(b"content"), KEY, {"typ": "a"})
    parts = text.split(".")
    accepted = []
    for place, part in enumerate(parts):
        spellings = {f"{part}=", f"{part} ", f"{part}\n", f"{part}A", part[:-1]}
        spellings |= {part[:-1] + last for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"}
        for spelling in spellings - {part}:
            other = ".".join([*parts[:place], spelling, *parts[place + 1 :]])
            if content_of(other) is not None:
                accepted.append(other)
    assert accepted == []
    assert content_of(text) == b"content"


@given(text=st.text() | st.binary() | st.none() | st.text(alphabet="AB.=").map(lambda text: f"{text}..{text}.{text}"))
def test_any_other_value_is_no_sealed_text(text: object) -> None:
    """None is returned, and nothing raised."""
    assert sealing.parse(text) is None


def test_another_key_does_not_unseal() -> None:
    """Nor does the right key after a change of any part."""
    text = sealing.seal(SecretBytes(b"content"), KEY, HEADER)
    assert content_of(text, SecretBytes(bytes(32))) is None
    parsed = sealing.parse(text)
    assert parsed is not None
    assert sealing.unseal(sealing.Sealed({}, parsed.protected + b"A", parsed.vector, parsed.content), KEY) is None


def test_each_seal_has_its_own_vector() -> None:
    """A thousand seals of one content are a thousand texts."""
    assert len({sealing.seal(SecretBytes(b"content"), KEY, HEADER).split(".")[2] for _ in range(1000)}) == 1000


@pytest.mark.parametrize("keys", [(), [], b"short", ("x" * 32,), (bytes(32), bytes(31)), None, 5])
def test_wrong_keys_are_refused(keys: Any) -> None:
    """A key is 32 bytes, and there is at least one."""
    with pytest.raises(UsageError, match="32 random bytes"):
        sealing.sealing_keys(sealing.concealed_keys(keys))


def test_keys_are_known_by_an_identifier_that_reveals_nothing() -> None:
    """It is short, stable, and no part of the key."""
    keys = sealing.sealing_keys(sealing.concealed_keys([bytes(KEY), bytes(32)]))
    assert list(keys) == [sealing.key_id(KEY), sealing.key_id(SecretBytes(bytes(32)))]
    assert {len(name) for name in keys} == {16}
    assert repr(sealing.concealed_keys([bytes(KEY)])) == "(<redacted>,)"


def test_what_is_too_large_to_be_unsealed_is_not_sealed() -> None:
    """Content at the bound comes back; one byte more, and a header over its own bound, are refused."""
    overhead = len(sealing.seal(SecretBytes(b""), KEY, HEADER))
    largest = SecretBytes(b"x" * ((sealing._MAX_CHARACTERS - overhead) * 3 // 4))
    assert content_of(sealing.seal(largest, KEY, HEADER)) == largest
    with pytest.raises(UsageError, match="too large"):
        sealing.seal(SecretBytes(largest + b"xxx"), KEY, HEADER)
    with pytest.raises(UsageError, match="too large"):
        sealing.seal(SecretBytes(b"x"), KEY, {**HEADER, "sid": "s" * 2048})
