"""Throw-away certificates."""

from __future__ import annotations

import pytest

from passwordless_async.testing import (
    ThrowAwayCa,
)


@pytest.fixture
def ca() -> ThrowAwayCa:
    """Make an authority."""
    return ThrowAwayCa()


def test_certificates_keep_their_keys(ca: ThrowAwayCa) -> None:
    """A certificate's private key does not print."""
    certificate = ca.issue("tls-client")

    assert repr(certificate) == f"<ClientCertificate {certificate.thumbprint}>"
    assert "PRIVATE" not in f"{certificate.key_pem!r} {certificate.key_pem!s}"
    assert ca.pem.startswith(b"-----BEGIN CERTIFICATE-----")
