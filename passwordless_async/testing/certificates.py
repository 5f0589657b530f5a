"""Throw-away certificates, for a tenant over TLS (RFC 8705).

.. code-block:: python

    ca = ThrowAwayCa()
    certificate = ca.issue("tls-client")
    async with LocalTenant(ssl=ca.server_context()) as tenant:   # https://127.0.0.1:…
        context = ca.client_context(certificate)  # trusts the tenant, sends the certificate
        client = PasswordlessClient(tenant.url, "tls-client", client_auth=TlsClientAuth(context))
"""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import pathlib
import ssl
import tempfile
from typing import TYPE_CHECKING

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from passwordless_async._common.secret import SecretBytes, always_printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

_LIFETIME = dt.timedelta(days=1)
_BACKDATED = dt.timedelta(hours=1)  # the clocks of two machines differ
_ENCRYPTING = ("key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only")
_DENIED_USES = ("content_commitment", *_ENCRYPTING)
_HOSTS = [
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    x509.IPAddress(ipaddress.ip_address("::1")),
    x509.DNSName("localhost"),
]


@always_printable
@attrs.frozen(repr=False)
class ClientCertificate:
    """A certificate and its private key.

    Args:
        pem: The certificate.
        key_pem: The private key, PKCS #8, not encrypted.
        thumbprint: The base64url SHA-256 of the certificate (``x5t#S256``).
    """

    pem: bytes
    key_pem: bytes = attrs.field(converter=SecretBytes)
    thumbprint: str

    def load_into(self, context: ssl.SSLContext) -> None:
        """Make a context send this certificate."""
        with tempfile.TemporaryDirectory() as folder:  # load_cert_chain() reads files only
            path = pathlib.Path(folder) / "chain.pem"
            path.touch(mode=0o600)
            path.write_bytes(bytes(self.key_pem) + self.pem)
            context.load_cert_chain(path)

    def __repr__(self) -> str:
        return f"<ClientCertificate {self.thumbprint}>"


class ThrowAwayCa:
    """A certificate authority that lives as long as this object; nothing is stored."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = _certificate("Throw-away CA", self._key, None, authority=True)

    @property
    def pem(self) -> bytes:
        """The authority's own certificate."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, common_name: str, *, hosts: Iterable[str] = ()) -> ClientCertificate:
        """Issue a certificate.

        Args:
            common_name: Its subject is ``CN=<common_name>``.
            hosts: Names and addresses that it is for, beside those of this machine's loopback.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        return _bundle(_certificate(common_name, key, (self._certificate, self._key), hosts=hosts), key)

    @staticmethod
    def self_signed(common_name: str) -> ClientCertificate:
        """Make a certificate that no authority signs."""
        key = ec.generate_private_key(ec.SECP256R1())
        return _bundle(_certificate(common_name, key, None), key)

    def server_context(self, *, trusted: Iterable[ClientCertificate] = (), hosts: Iterable[str] = ()) -> ssl.SSLContext:
        """Return a context for ``LocalTenant(ssl=…)``; a client certificate is optional.

        Args:
            trusted: Self-signed certificates that pass the handshake, as those of this authority do.
            hosts: Names and addresses that the tenant is reached by, beside those of this machine's loopback.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.issue("tenant", hosts=hosts).load_into(context)
        context.verify_mode = ssl.CERT_OPTIONAL
        for pem in (self.pem, *(certificate.pem for certificate in trusted)):
            context.load_verify_locations(cadata=pem.decode())
        return context

    def client_context(self, certificate: ClientCertificate | None = None) -> ssl.SSLContext:
        """Return a client's context that trusts this authority alone, and sends a certificate if one is given."""
        context = ssl.create_default_context(cadata=self.pem.decode())
        if certificate is not None:
            certificate.load_into(context)
        return context


def subject_of(certificate: bytes) -> str:
    """Return the subject of a certificate in DER, as RFC 4514 writes it."""
    return x509.load_der_x509_certificate(certificate).subject.rfc4514_string()


def thumbprint_of(certificate: bytes) -> str:
    """Return the thumbprint of a certificate in DER (RFC 8705 §3.1: ``x5t#S256``)."""
    digest = x509.load_der_x509_certificate(certificate).fingerprint(hashes.SHA256())
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _bundle(certificate: x509.Certificate, key: EllipticCurvePrivateKey) -> ClientCertificate:
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    thumbprint = thumbprint_of(certificate.public_bytes(serialization.Encoding.DER))
    return ClientCertificate(certificate.public_bytes(serialization.Encoding.PEM), key_pem, thumbprint)


def _certificate(
    common_name: str,
    key: EllipticCurvePrivateKey,
    issuer: tuple[x509.Certificate, EllipticCurvePrivateKey] | None,
    *,
    authority: bool = False,
    hosts: Iterable[str] = (),
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    issuer_name, issuer_key = (subject, key) if issuer is None else (issuer[0].subject, issuer[1])
    builder = (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer_name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(_key_usage(authority=authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if not authority:
        builder = builder.add_extension(x509.SubjectAlternativeName([*_HOSTS, *map(_host, hosts)]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    denied = dict.fromkeys(_DENIED_USES, False)
    return x509.KeyUsage(digital_signature=True, key_cert_sign=authority, crl_sign=authority, **denied)
