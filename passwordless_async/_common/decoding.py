"""Bodies that a server, or a gateway in between, compressed although ``identity`` was requested (RFC 9110 §8.4).

The code is spent by then, so the body is decoded if possible, within the bound for all bodies. gzip and deflate always
work. zstd and Brotli need a module that this package does not require: ``compression.zstd`` (Python 3.14)
or ``backports.zstd``; ``brotli`` or ``brotlicffi`` from 1.2, which can bound what they decode.
"""

from __future__ import annotations

import zlib
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from passwordless_async._common.secret import SecretBytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

_MAX_CODINGS = 2  # applied one after the other; more would be an attack
_IDENTITY = "identity"
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS  # by the header that is found
_RAW = -zlib.MAX_WBITS  # what some servers send as ``deflate``
_MAX_ZSTD_WINDOW = 23  # 8 MB, as the logarithm to base 2: no more may be needed to decode (RFC 9659 §3)


def decoded(body: SecretBytes, content_encoding: str, *, at_most: int) -> SecretBytes | None:
    """Return a body without its codings; None: one is unknown, the body is broken, or longer than ``at_most`` bytes."""
    codings = [name for part in content_encoding.split(",") if (name := part.strip().lower()) not in {"", _IDENTITY}]
    if len(codings) > _MAX_CODINGS:
        return None
    result: SecretBytes | None = body
    # They are listed in the order in which they were applied. No body at all is not encoded.
    for coding in reversed(codings):
        decode = _DECODERS.get(coding)
        if result:
            result = None if decode is None else decode(result, at_most)
    return result


def _inflated(body: SecretBytes, at_most: int, *, formats: tuple[int, ...]) -> SecretBytes | None:
    for wbits in formats:
        decoder = zlib.decompressobj(wbits)
        try:
            # One more than allowed, to detect a body that is too long.
            result = SecretBytes(decoder.decompress(body, at_most + 1))
        except zlib.error:
            continue
        return result if decoder.eof and len(result) <= at_most and not decoder.unused_data else None
    return None


def _from_zstd(body: SecretBytes, at_most: int) -> SecretBytes | None:
    module = _first_of("compression.zstd", "backports.zstd")
    if module is None:
        return None
    decoder = module.ZstdDecompressor(options={module.DecompressionParameter.window_log_max: _MAX_ZSTD_WINDOW})
    try:
        result = SecretBytes(decoder.decompress(body, max_length=at_most + 1))
    except module.ZstdError:
        return None
    return result if decoder.eof and len(result) <= at_most and not decoder.unused_data else None


def _from_brotli(body: SecretBytes, at_most: int) -> SecretBytes | None:
    module = _first_of("brotli", "brotlicffi")
    if module is None:
        return None
    decoder = module.Decompressor()
    try:
        result = SecretBytes(decoder.process(body, output_buffer_limit=at_most + 1))
    except (TypeError, module.error):  # TypeError: an older release, which knows no limit
        return None
    return result if decoder.is_finished() and len(result) <= at_most else None


def _first_of(*names: str) -> ModuleType | None:
    """Return the first module that is installed."""
    for name in names:
        try:
            return import_module(name)
        except ImportError:
            continue
    return None


_DECODERS: dict[str, Callable[[SecretBytes, int], SecretBytes | None]] = {
    "gzip": partial(_inflated, formats=(_GZIP_OR_ZLIB,)),
    "x-gzip": partial(_inflated, formats=(_GZIP_OR_ZLIB,)),
    "deflate": partial(_inflated, formats=(_GZIP_OR_ZLIB, _RAW)),
    "zstd": _from_zstd,
    "br": _from_brotli,
}
