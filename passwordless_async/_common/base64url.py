"""base64url without padding (RFC 7515 §2), fast enough for every proof."""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64

_TO_URL = bytes.maketrans(b"+/", b"-_")
# "+", "/" and "=" are not base64url: they become a character that the decoder refuses.
_FROM_URL = bytes.maketrans(b"-_+/=", b"+/***")
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
# By the number of characters after the last four: those that may be the last one, since unused bits are zero (RFC 4648
# §3.5), and the padding. One such character has too few bits for a byte.
_LAST = (_ALPHABET, b"", _ALPHABET[::16], _ALPHABET[::4])
_PADDING = (b"", b"", b"==", b"=")


def encode(data: bytes) -> bytes:
    """Encode as bytes."""
    return b2a_base64(data, newline=False).translate(_TO_URL, b"=")


def encode_text(data: bytes) -> str:
    """Encode as text."""
    # Does not call encode(): a login calls this so often that a further call would show in its count of frames.
    return b2a_base64(data, newline=False).translate(_TO_URL, b"=").decode()


def decode(segment: str) -> bytes:
    """Decode the canonical form: no padding, no white space, unused bits zero. Any other segment returns no bytes."""
    try:
        standard = segment.encode("ascii").translate(_FROM_URL)
        left = len(standard) % 4
        # The decoder ignores the unused bits. Encoding the result again would show them too, but takes longer.
        if left and standard[-1] not in _LAST[left]:
            return b""
        return a2b_base64(standard + _PADDING[left], strict_mode=True)
    except ValueError:
        return b""
