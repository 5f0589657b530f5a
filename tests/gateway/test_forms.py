"""Bodies: forms and JSON objects of few short texts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.sites import request
from passwordless_async.gateway.forms import FORM, JSON, MalformedForm, TooLarge, content_type, read_form
from passwordless_async.gateway.messages import MAX_BODY_BYTES, Request


def posted(body: bytes, kind: str | None) -> Request:
    return request("POST", headers=[] if kind is None else [("Content-Type", kind)], body=body)


@pytest.mark.parametrize(
    ("body", "kind", "fields"),
    [
        (b"a=1&b=", FORM, {"a": "1", "b": ""}),
        (b"a=%C3%A9+x", f"{FORM}; charset=utf-8", {"a": "é x"}),
        (b'{"a": "1"}', JSON, {"a": "1"}),
        (b'{"a": "1"}', "Application/JSON; charset=utf-8", {"a": "1"}),
        (b"{}", JSON, {}),
        (b'{"a": true, "b": false, "c": null}', JSON, {"a": "1"}),
        (b"", None, {}),
        (b"", JSON, {}),
    ],
)
def test_fields(body: bytes, kind: str | None, fields: dict[str, str]) -> None:
    """Their repr shows nothing."""
    read = read_form(posted(body, kind))
    assert read == fields
    assert repr(read) == "<redacted>"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"a=1&a=2", FORM),
        (b"a", FORM),
        (b"a=%00", FORM),
        (b"a=\xff", FORM),
        (b"a=" + b"x" * 5000, FORM),
        (b"&".join(b"a%d=1" % n for n in range(40)), FORM),
        (b'{"a": "1", "a": "2"}', JSON),
        (b'{"a": 1}', JSON),
        (b'{"a": {"b": "1"}}', JSON),
        (b'{"a": ["1"]}', JSON),
        (b'["a"]', JSON),
        (b'"a"', JSON),
        (b"{", JSON),
        (b'{"a": "\\ud800"}', JSON),
        (b'{"a": NaN}', JSON),
        (b"[" * 60_000, JSON),
        (json.dumps({str(n): "1" for n in range(40)}).encode(), JSON),
        (b"a=1", "text/plain"),
        (b"a=1", "multipart/form-data; boundary=x"),
        (b"a=1", None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_malformed(body: bytes, kind: str | None) -> None:
    """A body that readers could take differently, or that no page sends."""
    with pytest.raises(MalformedForm):
        read_form(posted(body, kind))


def test_what_is_too_large() -> None:
    """Whatever it is."""
    with pytest.raises(TooLarge):
        read_form(posted(b"a" * (MAX_BODY_BYTES + 1), None))


def test_content_type_twice() -> None:
    """It is none: readers could take either."""
    sent = request("POST", headers=[("Content-Type", JSON), ("Content-Type", FORM)], body=b"a=1")
    assert content_type(sent) == ""


@given(st.binary(max_size=200), st.sampled_from([FORM, JSON, "text/plain"]))
def test_any_bytes(body: bytes, kind: str) -> None:
    """Texts, or malformed."""
    try:
        read: dict[str, Any] = read_form(posted(body, kind))
    except MalformedForm:
        return
    assert all(isinstance(value, str) for value in read.values())
