"""Bodies that a server, or a gateway between, compressed although ``identity`` was asked for (RFC 9110 §8.4).

The request is spent by then: a body that can be decoded is, within the bound that holds for all bodies.
"""

from __future__ import annotations

import zlib

from passwordless_async._common.secret import SecretBytes

_MAX_CODINGS = 2  # applied one after the other; more is no accident
_IDENTITY = "identity"
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS  # by the header that is found
_RAW = -zlib.MAX_WBITS  # what some servers send as ``deflate``
_FORMATS = {"gzip": (_GZIP_OR_ZLIB,), "x-gzip": (_GZIP_OR_ZLIB,), "deflate": (_GZIP_OR_ZLIB, _RAW)}


def decoded(body: SecretBytes, content_encoding: str, *, at_most: int) -> SecretBytes | None:
    """Return a body without its codings; None: one is unknown, the body is broken, or longer than ``at_most`` bytes."""
    codings = [name for part in content_encoding.split(",") if (name := part.strip().lower()) not in {"", _IDENTITY}]
    if len(codings) > _MAX_CODINGS:
        return None
    # They are listed in the order in which they were applied.
    for coding in reversed(codings):
        formats = _FORMATS.get(coding, ())
        results = (_inflated(body, wbits, at_most) for wbits in formats)
        result = next((each for each in results if each is not None), None)
        if result is None:
            return None
        body = result
    return body


def _inflated(body: SecretBytes, wbits: int, at_most: int) -> SecretBytes | None:
    decoder = zlib.decompressobj(wbits)
    try:
        # One more than allowed, which tells a body that is too long.
        result = SecretBytes(decoder.decompress(body, at_most + 1))
    except zlib.error:
        return None
    return result if decoder.eof and len(result) <= at_most and not decoder.unused_data else None
