"""The two forms of a signature, against cryptography's own way from one to the other."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import example, given
from hypothesis import strategies as st

from passwordless_async.dpop.signature import der_from_raw, raw_from_der

ES256 = ec.ECDSA(hashes.SHA256())
KEY = ec.generate_private_key(ec.SECP256R1())
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# Evenly over all lengths: among numbers below the order those with a zero byte in front would be one in 256.
numbers = st.integers(1, 32).flatmap(lambda length: st.integers(1, min(256**length, ORDER) - 1))


@given(numbers, numbers)
@example(1, ORDER - 1)
@example(0x7F, 0x80)
@example(2**255 - 1, 2**255)
@example(2**248 - 1, 2**248)
def test_both_ways_for_numbers_of_every_length(r: int, s: int) -> None:
    """Leading zeros are kept in the one form and spared in the other, as cryptography does it."""
    raw, der = r.to_bytes(32) + s.to_bytes(32), encode_dss_signature(r, s)
    assert (raw_from_der(der), der_from_raw(raw)) == (raw, der)


def test_both_ways_for_ten_thousand_signatures() -> None:
    """Real signatures, those with leading zeros among them: 64 bytes that are r and s, and the same DER again."""
    ders = [KEY.sign(b"message", ES256) for _ in range(10_000)]
    raws = [raw_from_der(der) for der in ders]
    assert [decode_dss_signature(der) for der in ders] == [
        (int.from_bytes(raw[:32]), int.from_bytes(raw[32:])) for raw in raws
    ]
    assert {len(raw) for raw in raws} == {64}
    assert ders == [der_from_raw(raw) for raw in raws]
    assert any(raw[0] == 0 or raw[32] == 0 for raw in raws)


@pytest.mark.parametrize("raw", [bytes(64), bytes(63) + b"\1", b"\1" + bytes(63), b"\xff" * 64])
def test_numbers_that_no_signature_has(raw: bytes) -> None:
    """Zero and what is beyond the order become DER, which cryptography reads and refuses."""
    der = der_from_raw(raw)
    assert decode_dss_signature(der) == (int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    with pytest.raises(InvalidSignature):
        KEY.public_key().verify(der, b"message", ES256)
