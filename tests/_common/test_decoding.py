"""Bodies that were compressed unasked."""

from __future__ import annotations

import gzip
import sys
import zlib
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passwordless_async._common.decoding import decoded
from passwordless_async._common.secret import SecretBytes

_AT_MOST = 1_000


def raw_deflate(body: bytes) -> bytes:
    """Compress without a header, as some servers do for ``deflate``."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


def gzipped(body: bytes) -> bytes:
    """Compress without the time, which would make the names of tests differ from run to run."""
    return gzip.compress(body, mtime=0)


class BackwardsError(Exception):
    """What the decoders of the modules below raise."""


class Backwards:
    """A decoder with the methods of ``ZstdDecompressor`` and of Brotli's ``Decompressor``: it turns texts around."""

    error = ZstdError = BackwardsError
    DecompressionParameter = SimpleNamespace(window_log_max="window_log_max")
    eof = False
    unused_data = b""

    def __init__(self, options: dict[str, int] | None = None) -> None:
        assert options in (None, {"window_log_max": 23})

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Turn as much around as is asked for."""
        if data == b"broken":
            raise BackwardsError
        body, _, self.unused_data = data.partition(b" and ")
        self.eof = data != b"cut" and len(body) <= max_length
        return body[::-1][:max_length]

    def process(self, data: bytes, output_buffer_limit: int) -> bytes:
        """Turn around, and overshoot as Brotli does."""
        return self.decompress(data, output_buffer_limit + 10)

    def is_finished(self) -> bool:
        """Return whether that was all."""
        return self.eof

    Decompressor = ZstdDecompressor = property(lambda _self: Backwards)


@pytest.fixture(params=[("backports.zstd", "brotlicffi"), ("compression.zstd", "brotli")])
def modules(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install decoders under these names alone."""
    for name in ("compression.zstd", "backports.zstd", "brotli", "brotlicffi"):
        monkeypatch.setitem(sys.modules, name.split(".")[0], None)
        monkeypatch.setitem(sys.modules, name, None)
    for name in request.param:
        if "." in name:
            monkeypatch.setitem(sys.modules, name.split(".")[0], ModuleType(name.split(".")[0]))
        monkeypatch.setitem(sys.modules, name, Backwards())


@pytest.mark.usefixtures("modules")
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
        ("zstd", b"{}"[::-1]),
        ("br", b"{}"[::-1]),
        ("gzip, br", gzipped(b"{}")[::-1]),
    ],
)
def test_known_codings_are_decoded(coding: str, encoded: bytes) -> None:
    """One coding, or two, the last of them taken off first (RFC 9110 §8.4)."""
    assert decoded(SecretBytes(encoded), coding, at_most=_AT_MOST) == b"{}"


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize(
    ("coding", "encoded"),
    [
        ("lzma", b"{}"),
        ("zstd", b"broken"),
        ("zstd", b"cut"),
        ("zstd", b"}{ and more"),
        ("br", b"broken"),
        ("br", b"cut"),
        ("gzip", b"{}"),
        ("gzip", gzipped(b"{}")[:-1]),
        ("gzip", gzipped(b"{}") + b"{}"),
        ("gzip, gzip, gzip", gzipped(gzipped(gzipped(b"{}")))),
    ],
)
def test_what_cannot_be_decoded_is_refused(coding: str, encoded: bytes) -> None:
    """An unknown coding, a broken or cut body, more after its end, or too many layers."""
    assert decoded(SecretBytes(encoded), coding, at_most=_AT_MOST) is None


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "lzma"])
def test_no_body_is_not_encoded(coding: str) -> None:
    """Some gateways name a coding where there is no body, and a start needs none."""
    assert decoded(SecretBytes(b""), coding, at_most=_AT_MOST) == b""


@pytest.mark.parametrize("coding", ["br", "zstd"])
def test_codings_without_a_module(coding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are unknown where nothing is installed, and where Brotli's module cannot bound what it decodes."""
    for name in ("compression.zstd", "backports.zstd", "brotli", "brotlicffi"):
        monkeypatch.setitem(sys.modules, name, None)
    assert decoded(SecretBytes(b"}{"), coding, at_most=_AT_MOST) is None
    old = SimpleNamespace(Decompressor=lambda: SimpleNamespace(process=lambda _data: b"{}"), error=BackwardsError)
    monkeypatch.setitem(sys.modules, "brotli", old)
    assert decoded(SecretBytes(b"}{"), coding, at_most=_AT_MOST) is None


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize("coding", ["br", "zstd"])
def test_the_bound_holds_for_every_module(coding: str) -> None:
    """A body of the bound passes, one more byte does not."""
    assert decoded(SecretBytes(b" " * _AT_MOST), coding, at_most=_AT_MOST) == b" " * _AT_MOST
    assert decoded(SecretBytes(b" " * (_AT_MOST + 1)), coding, at_most=_AT_MOST) is None


@given(st.integers(0, 3 * _AT_MOST))
def test_the_bound_holds_for_what_is_decoded(size: int) -> None:
    """A body up to the bound passes, and a longer one does not, however small it came."""
    body = decoded(SecretBytes(gzipped(b" " * size)), "gzip", at_most=_AT_MOST)
    assert (body is None) is (size > _AT_MOST)


def test_a_decoded_body_is_redacted() -> None:
    """It holds tokens."""
    assert repr(decoded(SecretBytes(gzipped(b"token")), "gzip", at_most=_AT_MOST)) == repr(SecretBytes(b"token"))
