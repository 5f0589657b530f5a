"""The query of a URL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passwordless_async.gateway.queries import read_query


@pytest.mark.parametrize(
    ("query", "read"),
    [
        (b"", {}),
        (b"a=1&b=%2Fx", {"a": "1", "b": "/x"}),
        (b"a=1&a=2&b=3", {"b": "3"}),
        (b"a", {"a": ""}),
        (b"a=\xff", {}),
        (b"a=" + b"x" * 9000, {}),
        (b"&".join(b"a%d=1" % n for n in range(40)), {}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_reading(query: bytes, read: dict[str, str]) -> None:
    """Each name once; what cannot be read is none."""
    assert read_query(query) == read


@given(st.binary(max_size=100))
def test_any_bytes(query: bytes) -> None:
    """Nothing raises."""
    assert all(isinstance(value, str) for value in read_query(query).values())
