"""How a request's body is framed."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from passwordless_async.gateway.framing import Framing, framing_of


@pytest.mark.parametrize(
    ("pairs", "framing"),
    [
        ([], Framing(has_body=False, length=None)),
        ([("Content-Length", "0")], Framing(has_body=False, length=0)),
        ([("Content-Length", "7")], Framing(has_body=True, length=7)),
        ([("Transfer-Encoding", "Chunked")], Framing(has_body=True, length=None)),
        ([("Content-Length", "7"), ("Transfer-Encoding", "chunked")], None),
        ([("Content-Length", "7"), ("content-length", "7")], None),
        ([("Content-Length", "7, 7")], None),
        ([("Content-Length", "+7")], None),
        ([("Content-Length", "\u0667")], None),
        ([("Transfer-Encoding", "gzip, chunked")], None),
        ([("Transfer-Encoding", "")], None),
    ],
)
def test_framing(pairs: list[tuple[str, str]], framing: Framing | None) -> None:
    """One way, or none."""
    assert framing_of(CIMultiDict(pairs)) == framing
