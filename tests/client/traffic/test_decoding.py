"""Bodies that were compressed unasked."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passwordless_async._common.secret import SecretBytes
from passwordless_async.client.traffic.decoding import decoded

_AT_MOST = 1_000


def raw_deflate(body: bytes) -> bytes:
    """Compress without a header, as some servers do for ``deflate``."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


def gzipped(body: bytes) -> bytes:
    """Compress without the time, which would make the names of tests differ from run to run."""
    return gzip.compress(body, mtime=0)


@pytest.mark.parametrize(
    ("coding", "encoded"),
    [
        ("gzip", gzipped(b"{}")),
        ("X-GZip", gzipped(b"{}")),
        ("deflate", zlib.compress(b"{}")),
        ("deflate", raw_deflate(b"{}")),
        ("identity, gzip", gzipped(b"{}")),
        ("deflate, gzip", gzipped(zlib.compress(b"{}"))),
        ("identity", b"{}"),
        ("", b"{}"),
    ],
)
def test_known_codings_are_decoded(coding: str, encoded: bytes) -> None:
    """One coding, or two, the last of them taken off first (RFC 9110 §8.4)."""
    assert decoded(SecretBytes(encoded), coding, at_most=_AT_MOST) == b"{}"


@pytest.mark.parametrize(
    ("coding", "encoded"),
    [
        ("br", b"{}"),
        ("gzip", b"{}"),
        ("gzip", b""),
        ("gzip", gzipped(b"{}")[:-1]),
        ("gzip", gzipped(b"{}") + b"{}"),
        ("gzip, gzip, gzip", gzipped(gzipped(gzipped(b"{}")))),
    ],
)
def test_what_cannot_be_decoded_is_refused(coding: str, encoded: bytes) -> None:
    """An unknown coding, a broken or cut body, more after its end, or too many layers."""
    assert decoded(SecretBytes(encoded), coding, at_most=_AT_MOST) is None


@given(st.integers(0, 3 * _AT_MOST))
def test_the_bound_holds_for_what_is_decoded(size: int) -> None:
    """A body up to the bound passes, and a longer one does not, however small it came."""
    body = decoded(SecretBytes(gzipped(b" " * size)), "gzip", at_most=_AT_MOST)
    assert (body is None) is (size > _AT_MOST)


def test_a_decoded_body_is_redacted() -> None:
    """It holds tokens."""
    assert repr(decoded(SecretBytes(gzipped(b"token")), "gzip", at_most=_AT_MOST)) == repr(SecretBytes(b"token"))
