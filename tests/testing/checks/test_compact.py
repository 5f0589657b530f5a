"""Reading JSON and compact JWTs without trust."""

from __future__ import annotations

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from passwordless_async.testing.checks.compact import read_compact, read_json

KEY = ECKey.generate_key("P-256")
GOOD = jwt.encode({"alg": "ES256"}, {"a": 1}, KEY, algorithms=["ES256"])
HEADER, CLAIMS, SIGNATURE = GOOD.split(".")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"NaN",
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"b":2}}',
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-32-le"),
        b"\xff",
        b"{} x",
        b"[" * 257,
        b'{"a":' * 257 + b"1" + b"}" * 257,
        b"9" * 5000,
        b'{"a":1e999}',
        b'{"a":"\\ud800"}',
        b'{"\\udfff":1}',
    ],
)
def test_what_is_not_json(raw: bytes) -> None:
    """NaN, a name twice, another encoding, a byte order mark and endless nesting are refused (RFC 8259)."""
    with pytest.raises(ValueError, match=r".*"):
        read_json(raw)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "..",
        f"{HEADER}.{CLAIMS}",
        f"{GOOD}.{SIGNATURE}",
        f"{HEADER}=.{CLAIMS}.{SIGNATURE}",
        f"{HEADER}.{CLAIMS}.{SIGNATURE}\n",
        f"{HEADER}.{CLAIMS}.",
        f"{HEADER}.eyJhIjoxfR.{SIGNATURE}",  # unused bits that are not zero
        f"{HEADER}.e.{SIGNATURE}",
        f"{HEADER}.Int4Ig.{SIGNATURE}",  # a string
        f"W10.{CLAIMS}.{SIGNATURE}",  # an array
        f"\u00e9{GOOD}",
        f"{HEADER}.{CLAIMS}.+{SIGNATURE[1:]}",
    ],
)
def test_what_is_not_a_compact_jwt(text: str) -> None:
    """Another number of segments, a second spelling of base64url, and parts that are no objects are refused."""
    with pytest.raises(ValueError, match=r".*"):
        read_compact(text)


def test_a_jwt() -> None:
    """Header and claims are read, and the signature is checked by an algorithm of the caller's choice."""
    read = read_compact(GOOD)

    assert (read.header["alg"], read.claims) == ("ES256", {"a": 1})
    assert read.is_signed_by(KEY, "ES256")
    assert not read.is_signed_by(ECKey.generate_key("P-256"), "ES256")
