"""base64url without padding (RFC 7515 §2), fast enough for every proof."""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64

_TO_URL = bytes.maketrans(b"+/", b"-_")
# "+" and "/" are not base64url: they become a character that the decoder skips.
_FROM_URL = bytes.maketrans(b"-_+/", b"+/**")


def encode(data: bytes) -> bytes:
    """Encode as bytes."""
    return b2a_base64(data, newline=False).translate(_TO_URL, b"=")


def encode_text(data: bytes) -> str:
    """Encode as text."""
    return encode(data).decode()


def decode(segment: str) -> bytes:
    """Decode the canonical form: no padding, no white space, unused bits zero. Any other segment gives no bytes."""
    try:
        standard = segment.encode("ascii").translate(_FROM_URL)
        decoded = a2b_base64(standard + b"==")
    except ValueError:
        return b""
    # The decoder skips unknown characters: encoding the result again shows whether it skipped any.
    return decoded if b2a_base64(decoded, newline=False).rstrip(b"=") == standard else b""
