"""base64url without padding (RFC 7515 §2), for what is encoded and decoded in every proof."""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64

_TO_URL = bytes.maketrans(b"+/", b"-_")
# "+" and "/" are no base64url: they become what the decoder does not know.
_FROM_URL = bytes.maketrans(b"-_+/", b"+/**")


def encode(data: bytes) -> bytes:
    """Encode as bytes, to be signed or sent."""
    return b2a_base64(data, newline=False).translate(_TO_URL, b"=")


def encode_text(data: bytes) -> str:
    """Encode as text."""
    return encode(data).decode()


def decode(segment: str) -> bytes:
    """Decode the one form that there is: no padding, no white space, unused bits zero.

    Returns:
        The bytes; none where the segment is empty or of another form.
    """
    try:
        standard = segment.encode("ascii").translate(_FROM_URL)
        decoded = a2b_base64(standard + b"==")
    except ValueError:
        return b""
    # The decoder skips what it does not know. What it kept must be all there was.
    return decoded if b2a_base64(decoded, newline=False).rstrip(b"=") == standard else b""
