"""The two forms of an ES256 signature: r and s side by side in a JWT, DER in cryptography.

Bytes are sliced and joined: converting through two Python ints, as cryptography's helpers do, takes three times as
long, and every proof is converted once.
"""

from __future__ import annotations

_INTEGER = 32  # bytes of r and of s (RFC 7518 §3.4)
_SIGN = 0x80  # the bit that makes an ASN.1 integer negative


def raw_from_der(der: bytes) -> bytes:
    """Return r and s of a signature that this process made, in 32 bytes each, leading zeros kept (RFC 7518 §3.4)."""
    # X.690 §8.9, §8.3: a sequence of two integers, each after its tag and its length. Lengths are one byte: nothing
    # here is longer than 70. An integer has 32 bytes, plus a zero that makes it positive, or minus its leading zeros.
    # The form is not checked.
    end_of_r = 4 + der[3]
    r, s = der[4:end_of_r], der[end_of_r + 2 :]
    return r[-_INTEGER:].rjust(_INTEGER, b"\0") + s[-_INTEGER:].rjust(_INTEGER, b"\0")


def der_from_raw(raw: bytes) -> bytes:
    """Return a signature of 64 bytes as DER; the verification refuses r or s of zero."""
    r, s = _integer(raw[:_INTEGER]), _integer(raw[_INTEGER:])
    return b"\x30%c%b%b" % (len(r) + len(s), r, s)


def _integer(fixed: bytes) -> bytes:
    # X.690 §8.3.2: no needless leading zeros, but one if the number would be negative without it.
    shortest = fixed.lstrip(b"\0") or b"\0"
    if shortest[0] & _SIGN:
        shortest = b"\0" + shortest
    return b"\x02%c%b" % (len(shortest), shortest)
