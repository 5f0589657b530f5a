"""base64url in its one form, against the standard library's."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passwordless_async._common.base64url import decode, encode, encode_text

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@given(st.binary())
def test_there_and_back(data: bytes) -> None:
    """RFC 7515 §2: the URL-safe alphabet, without padding; what was encoded is decoded."""
    expected = base64.urlsafe_b64encode(data).rstrip(b"=")
    assert (expected, expected.decode()) == (encode(data), encode_text(data))
    assert data == decode(expected.decode())


@given(st.text(ALPHABET + "+/=*. \n\r\t\0é", max_size=9))
def test_only_what_encoding_gives_is_decoded(segment: str) -> None:
    """Of all texts that a lax decoder takes for the same bytes one is right."""
    decoded = decode(segment)
    assert decoded == b"" or encode_text(decoded) == segment


@pytest.mark.parametrize("data", [b"\xfb\xff", b"\xfb\xff\xfe", b"\x00", b"m"])
def test_other_spellings_are_refused(data: bytes) -> None:
    """Padding, the other alphabet, white space, set unused bits and cut texts decode to nothing."""
    right = encode_text(data)
    last = ALPHABET[ALPHABET.index(right[-1]) | 1]
    spellings = {
        right + "=",
        right + "==",
        right + "\n",
        " " + right,
        right[:1],
        right + "*",
        right + "é",
        "",
        "\ud800",
    }
    spellings.add(right.translate({ord("-"): "+", ord("_"): "/"}))
    if len(right) % 4:
        spellings.add(right[:-1] + last)
    assert {decode(spelling) for spelling in spellings - {right}} == {b""}
