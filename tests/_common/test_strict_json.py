"""JSON that every reader reads alike."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import strict_json
from passwordless_async._common.base64url import encode_text
from passwordless_async._common.secret import SecretDict
from passwordless_async._common.strict_json import read_claims, read_segment, read_strictly

STRICT = b'{"a":"x","b":{"c":[1]},"d":"\\u00e9\\ud83e\\uddee"}'


@pytest.mark.parametrize(
    "data",
    [
        STRICT.decode().encode("utf-16"),
        b"\xef\xbb\xbf" + STRICT,
        STRICT[:-1] + b',"a":"x"}',
        STRICT[:-1] + b',"e":{"c":1,"c":1}}',
        STRICT[:-1] + b',"e":NaN}',
        STRICT[:-1] + b',"e":-Infinity}',
        STRICT[:-1] + b',"e":1e999}',
        STRICT[:-1] + b',"e":"\\ud800"}',
        STRICT[:-1] + b',"\\udc00":1}',
        b"[]",
        b"",
        b'{"a":' * 100_000,
        b"\xff",
    ],
)
def test_what_readers_could_read_differently_is_refused(data: bytes) -> None:
    """RFC 8259 §4, §8.1, §8.2: UTF-8 without a mark, no member twice, no lone surrogate, no NaN."""
    assert read_strictly(data) is None
    assert read_segment(encode_text(data)) is None
    assert read_strictly(STRICT) == read_segment(encode_text(STRICT)) == json.loads(STRICT)


AROUND = st.text(" \t\n\r\x0b\x0c\xa0\u2028,{}0", max_size=2)


@given(before=AROUND, after=AROUND)
def test_white_space_around_is_that_of_json(before: str, after: str) -> None:
    """RFC 8259 §2: four characters, before and after the one object; anything else is not JSON."""
    expected = None if (before + after).strip(" \t\n\r") else json.loads(STRICT)
    assert read_strictly(before.encode() + STRICT + after.encode()) == expected


@pytest.mark.parametrize("form", ["{0}{1}=", " {0}{1}", "{0}{1}\n", "{0} {1}"])
def test_segments_have_one_form(form: str) -> None:
    """RFC 7515 §2: no padding, no blanks."""
    segment = encode_text(STRICT)
    changed = form.format(segment[:4], segment[4:])
    assert read_segment(changed) is None


@pytest.mark.parametrize("nested", [b"[" * 8 + b"]" * 8, b'{"a":' * 8 + b"1" + b"}" * 8, b"[]," * 7 + b"[]"])
def test_brackets_are_bounded(nested: bytes) -> None:
    """Where a bound is given, it counts all objects and arrays, the outermost included."""
    data = b'{"a":[' + nested + b"]}"
    assert read_strictly(data) == read_strictly(data, most_brackets=10) == json.loads(data)
    assert read_strictly(data, most_brackets=9) is None


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_claims_are_nested_within_a_bound(opening: bytes, closing: bytes) -> None:
    """A hundred levels, the outermost included; how many objects and arrays there are beside one another is free."""
    flat = b'"a":[' + b"[]," * 500 + b"{}]"
    for levels, is_read in ((98, True), (99, False), (500, False)):
        data = b'{"b":[' + opening * levels + b"1" + closing * levels + b"]," + flat + b"}"
        assert (read_segment(encode_text(data)) is not None, read_claims(data) is not None) == (is_read, is_read)


def test_what_is_read_is_hidden() -> None:
    """Claims are personal data: objects print redacted, at every depth."""
    value = read_strictly(STRICT)
    assert isinstance(value, SecretDict)
    assert repr(value) == repr(value["b"]) == "<redacted>"


@given(
    st.text('{}[]":,0123456789eE+-. \t\r\n\\u\x00\ud800abfnrtulse', max_size=30)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    ).map(json.dumps)
)
def test_reads_what_the_standard_says(text: str) -> None:
    """RFC 8259, as a slow reader of no shared code reads it: the same value, or both refuse."""
    data = text.encode("utf-8", "surrogatepass")
    expected: Any
    try:
        expected = strict_json.read(data)
    except (ValueError, RecursionError):
        expected = None
    assert read_strictly(data) == (expected if isinstance(expected, dict) else None)
