"""Throw-away certificates."""

from __future__ import annotations

import ssl

import attrs
import pytest
from cryptography import x509

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


def test_a_context_takes_a_certificate_with_its_key(ca: ThrowAwayCa) -> None:
    """OpenSSL checks that they are a pair; one without its key is refused."""
    certificate = ca.issue("tls-client")
    certificate.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    with pytest.raises(ssl.SSLError):
        attrs.evolve(certificate, key_pem=b"").load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


def test_certificates_are_for_what_they_are_used_for(ca: ThrowAwayCa) -> None:
    """RFC 5280 §4.2.1.3: each signs, and only an authority signs certificates."""
    for pem, is_authority in ((ca.pem, True), (ca.issue("tls-client").pem, False)):
        usage = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(x509.KeyUsage).value
        assert (usage.digital_signature, usage.key_cert_sign, usage.crl_sign) == (True, is_authority, is_authority)
        assert (usage.content_commitment, usage.key_encipherment, usage.data_encipherment) == (False, False, False)
