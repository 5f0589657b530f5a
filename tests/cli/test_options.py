"""How the application authenticates itself: each way with a tenant, and options that do not go together."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from helpers.people import Person
from passwordless_async import Email
from passwordless_async.cli.app import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from passwordless_async.testing import ClientCertificate, LocalTenant, ThrowAwayCa

ADA = Email("ada@example.com")
WRONG_SECRET = "not-the-secret-of-anybody"
PASSWORD = b"of the key"


@pytest.fixture
def examined(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[str, str]]:
    """Return what runs ``doctor``: what became of the authentication, and what to do about it."""

    def examine(tenant: LocalTenant, client_id: str, *options: str) -> tuple[str, str]:
        status = run(["doctor", "--domain", tenant.url, "--client-id", client_id, "--json", *options])
        out, err = capsys.readouterr()
        found = {check["check"]: check for check in json.loads(out)["checks"]}["client_authentication"]
        assert (err, int(found["status"] == "failed")) == ("", status)
        assert "PRIVATE KEY" not in out
        return found["status"], found["advice"]

    return examine


def _written(path: Path, content: bytes | str) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


@pytest.mark.parametrize("method", ["client_secret_post", "client_secret_basic"])
def test_secrets(
    method: str, tenant: LocalTenant, examined: Callable[..., tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The secret goes in the body or by HTTP Basic; a wrong one fails and says where the right one is."""
    client_id, right = tenant.confidential_client
    options = (client_id, "--client-auth", method, "--client-secret-from", "env:IT")
    monkeypatch.setenv("IT", right)
    assert examined(tenant, *options) == ("ok", "")
    sent = tenant.requests.to("/oauth/token")[-1]
    assert (method == "client_secret_basic") == sent.headers.get("Authorization", "").startswith("Basic ")
    assert (method == "client_secret_post") == ("client_secret" in sent.form)
    monkeypatch.setenv("IT", WRONG_SECRET)
    status, advice = examined(tenant, *options)
    assert status == "failed"
    assert "Credentials tab" in advice


@pytest.mark.parametrize("form", ["pem", "jwk"])
@pytest.mark.parametrize("alg", [None, "PS256", "ES256"])
def test_keys(
    form: str, alg: str | None, tenant: LocalTenant, examined: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    """An assertion is signed with the key, PEM or JWK, whose ``kid`` is named; a wrong key fails with advice."""
    ready = tenant.client_for("private_key_jwt", alg or "RS256")
    assert ready.private_pem is not None
    assert ready.private_jwk is not None
    content = ready.private_pem if form == "pem" else json.dumps(ready.private_jwk)
    key = _written(tmp_path / "key", content)
    named = ("--client-key-id", ready.private_jwk["kid"]) if form == "pem" else ()
    with_alg = ("--client-key-alg", alg) if alg else ()
    options = ("--client-auth", "private_key_jwt", "--client-key-from", f"file:{key}", *named, *with_alg)
    assert examined(tenant, ready.client_id, *options) == ("ok", "")
    sent = tenant.requests.to("/oauth/token")[-1].form["client_assertion"]
    assert jws.extract_compact(sent.encode()).headers()["kid"] == ready.private_jwk["kid"]
    other = ECKey.generate_key("P-256") if alg == "ES256" else RSAKey.generate_key(2048)
    _written(tmp_path / "key", other.as_pem(private=True))
    status, advice = examined(tenant, ready.client_id, *options)
    assert status == "failed"
    assert "certificate with its Credentials tab" in advice


def test_a_key_in_the_environment(
    tenant: LocalTenant, examined: Callable[..., tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``env:NAME`` holds a key as well as a secret."""
    ready = tenant.client_for("private_key_jwt")
    monkeypatch.setenv("KEY", bytes(ready.private_pem or b"").decode())
    options = ("--client-auth", "private_key_jwt", "--client-key-from", "env:KEY")
    assert examined(tenant, ready.client_id, *options) == ("ok", "")


def _split(certificate: ClientCertificate, folder: Path) -> tuple[str, ...]:
    cert, key = _written(folder / "cert.pem", certificate.pem), _written(folder / "key.pem", certificate.key_pem)
    return ("--client-auth", "tls_client_auth", "--client-certificate", cert, "--client-certificate-key", key)


def test_certificates(
    tls_tenant: LocalTenant, ca: ThrowAwayCa, examined: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    """The connection shows the certificate, its key in a file of its own or not; another subject's fails."""
    client_id = tls_tenant.client_for("tls_client_auth").client_id
    own = ca.issue(client_id)
    assert examined(tls_tenant, client_id, *_split(own, tmp_path)) == ("ok", "")
    both = _written(tmp_path / "both.pem", bytes(own.key_pem) + own.pem)
    options = ("--client-auth", "tls_client_auth", "--client-certificate", both)
    assert examined(tls_tenant, client_id, *options) == ("ok", "")
    status, advice = examined(tls_tenant, client_id, *_split(ca.issue("somebody-else"), tmp_path))
    assert status == "failed"
    assert "certificate" in advice


@pytest.mark.parametrize(
    ("typed", "status", "shown"),
    [
        (PASSWORD.decode(), 0, "client authentication"),
        ("another", 2, "--client-certificate-key: cannot be loaded"),
        ("x" * 1500, 2, "--client-certificate-key: cannot be loaded"),
    ],
)
def test_a_certificate_whose_key_has_a_password(
    typed: str,
    status: int,
    shown: str,
    tls_tenant: LocalTenant,
    ca: ThrowAwayCa,
    terminal: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """The password is asked for, and typed unseen; a wrong one is wrong usage."""
    client_id = tls_tenant.client_for("tls_client_auth").client_id
    own = ca.issue(client_id)
    encrypted = serialization.load_pem_private_key(bytes(own.key_pem), None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(PASSWORD),
    )
    options = _split(own, tmp_path)
    _written(tmp_path / "key.pem", encrypted)
    screen = terminal("doctor", "--domain", tls_tenant.url, "--client-id", client_id, *options)
    screen.until("Password of the certificate's key: ")
    screen.type(f"{typed}\n")
    assert screen.end() == status
    assert shown in screen.shown
    assert typed not in screen.shown


def test_login(
    tenant: LocalTenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``login`` takes the same options, and authenticates the start as well as the exchange."""
    ready = tenant.client_for("private_key_jwt")
    monkeypatch.setattr(sys, "stdin", Person(tenant, ADA))
    key = _written(tmp_path / "key", json.dumps(ready.private_jwk))
    named = ("--domain", tenant.url, "--client-id", ready.client_id, "--email", ADA.address)
    assert run(["login", *named, "--client-auth", "private_key_jwt", "--client-key-from", f"file:{key}"]) == 0
    assert "Binding" in capsys.readouterr().out


SECRET = ("--client-secret-from", "env:IT")
KEY = ("--client-key-from", "env:IT")
CERTIFICATE = ("--client-certificate", __file__)
JWT = ("--client-auth", "private_key_jwt")
TLS = ("--client-auth", "tls_client_auth")

WRONG = [
    (("--client-auth", "basic"), "'--client-auth': 'basic' is not one of"),
    (("--client-auth", "none", *SECRET), "--client-secret-from: needs --client-auth client_secret_post or "),
    (("--client-auth", "client_secret_post"), "--client-auth: client_secret_post needs --client-secret-from"),
    (("--client-auth", "client_secret_basic"), "--client-auth: client_secret_basic needs --client-secret-from"),
    (("--client-auth", "client_secret_basic", *SECRET, *KEY), "--client-key-from: needs --client-auth private"),
    (KEY, "--client-key-from: must be a private key for RS256"),
    ((*KEY, *SECRET), "--client-key-from: needs --client-auth private_key_jwt, not client_secret_post"),
    (JWT, "--client-auth: private_key_jwt needs --client-key-from"),
    ((*JWT, *KEY, *SECRET), "--client-secret-from: needs"),
    ((*SECRET, "--client-key-alg", "ES256"), "--client-key-alg: needs --client-auth private_key_jwt, not cl"),
    ((*JWT, *KEY, "--client-key-alg", "HS256"), "'--client-key-alg': 'HS256' is not one of"),
    ((*JWT, "--client-key-from", "prompt"), "--client-key-from: must be env:NAME or file:PATH"),
    ((*JWT, "--client-key-from", "hunter2"), "--client-key-from: must be env:NAME or file:PATH"),
    ((*JWT, *KEY), "--client-key-from: must be a private key for RS256"),
    ((*JWT, "--client-key-from", "env:JWK"), "--client-key-from: must hold a private key: PEM, or one JWK"),
    ((*JWT, "--client-key-from", "env:JSON"), "--client-key-from: must hold a private key: PEM, or one JWK"),
    (CERTIFICATE, "--client-certificate: cannot be loaded: it must be PEM"),
    (TLS, "--client-auth: tls_client_auth needs --client-certificate"),
    ((*TLS, "--client-certificate-key", __file__), "--client-auth: tls_client_auth needs --client-certificate"),
    ((*TLS, *CERTIFICATE), "--client-certificate: cannot be loaded: it must be PEM"),
    ((*TLS, "--client-certificate", "nowhere"), "'--client-certificate': File 'nowhere' does not exist"),
]


@pytest.mark.parametrize("command", [("doctor",), ("login", "--email", ADA.address)])
@pytest.mark.parametrize(("options", "problem"), WRONG)
def test_wrong_usage(
    command: tuple[str, ...],
    options: tuple[str, ...],
    problem: str,
    tenant: LocalTenant,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Options that do not go together are refused by the name of one of them; nothing is sent or repeated."""
    monkeypatch.setenv("IT", "hunter2")
    monkeypatch.setenv("JWK", json.dumps(RSAKey.generate_key(2048).as_dict(private=False)))
    monkeypatch.setenv("JSON", '{"hunter2"')
    assert run([*command, "--domain", tenant.url, "--client-id", "app", *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert problem in err.splitlines()[-1]
    assert "hunter2" not in err
    assert tenant.stats.wire_requests == 0


def test_certificates_that_do_not_fit(
    tenant: LocalTenant, ca: ThrowAwayCa, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key of another certificate is refused by its option, and a certificate does not go with plain http."""
    doctor = ["doctor", "--domain", tenant.url, "--client-id", "app"]
    options = _split(ca.issue("one"), tmp_path)
    assert run([*doctor, *options]) == 2
    assert "--client-auth: TlsClientAuth needs https" in capsys.readouterr().err
    _written(tmp_path / "key.pem", ca.issue("two").key_pem)
    assert run([*doctor, *options]) == 2
    assert "--client-certificate-key: the key does not belong to the certificate" in capsys.readouterr().err
    assert tenant.stats.wire_requests == 0
