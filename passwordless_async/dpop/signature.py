"""The two forms of a signature by ES256: r and s side by side, as a JWT has it, and DER, as cryptography has it.

Bytes are cut and joined here: the way over two ints of Python, which is the one of cryptography, takes three times as
long, and every proof goes one of the two ways.
"""

from __future__ import annotations

_INTEGER = 32  # bytes of r and of s (RFC 7518 §3.4)
_SIGN = 0x80  # the bit that makes an ASN.1 integer negative


def raw_from_der(der: bytes) -> bytes:
    """Return r and s in 32 bytes each, leading zeros kept (RFC 7518 §3.4).

    Args:
        der: A signature that was made here: its form is not checked.
    """
    # X.690 §8.9, §8.3: a sequence of two integers, each behind its tag and its length. All lengths are one byte, as
    # nothing here is longer than 70. An integer has at most one zero more than the 32 bytes, which makes it positive,
    # or as many less as it begins with.
    end_of_r = 4 + der[3]
    r, s = der[4:end_of_r], der[end_of_r + 2 :]
    return r[-_INTEGER:].rjust(_INTEGER, b"\0") + s[-_INTEGER:].rjust(_INTEGER, b"\0")


def der_from_raw(raw: bytes) -> bytes:
    """Return a signature of 64 bytes as DER; zeros are encoded too, and are for the verification to refuse."""
    r, s = _integer(raw[:_INTEGER]), _integer(raw[_INTEGER:])
    return b"\x30%c%b%b" % (len(r) + len(s), r, s)


def _integer(fixed: bytes) -> bytes:
    # X.690 §8.3.2: no needless zeros in front, and one where the number would be negative without.
    shortest = fixed.lstrip(b"\0") or b"\0"
    if shortest[0] & _SIGN:
        shortest = b"\0" + shortest
    return b"\x02%c%b" % (len(shortest), shortest)
