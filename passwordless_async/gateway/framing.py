"""The framing of a request's body. If it is ambiguous, the request is refused and its connection closed.

Invariant: two servers could interpret two lengths, a length with a transfer coding, or another coding than ``chunked``
differently (RFC 9112 §6.3, §11.2). They must not disagree about where the next request begins.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from multidict import MultiMapping

_LENGTH = re.compile(r"[0-9]{1,15}")


@attrs.frozen
class Framing:
    """Whether a request has a body, and its length, if it has a ``Content-Length``."""

    has_body: bool
    length: int | None


def framing_of(headers: MultiMapping[str]) -> Framing | None:
    """Return how a request is framed by its header fields; None if that is not clear."""
    lengths, codings = headers.getall("Content-Length", ()), headers.getall("Transfer-Encoding", ())
    if codings:
        is_clear = not lengths and [coding.strip().lower() for coding in codings] == ["chunked"]
        return _CHUNKS if is_clear else None
    if not lengths:
        return _NO_BODY
    if len(lengths) > 1 or _LENGTH.fullmatch(lengths[0]) is None:
        return None
    length = int(lengths[0])
    return Framing(has_body=length > 0, length=length)


_CHUNKS, _NO_BODY = Framing(has_body=True, length=None), Framing(has_body=False, length=None)
