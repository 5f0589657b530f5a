"""joserfc is imported where keys are made ready, not where this library is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest
from joserfc import errors, jwk, jws, jwt

from passwordless_async.auth0 import jose

LOADED = "print(*(name for name in ('jwk', 'jws', 'jwt') if f'joserfc.{name}' in sys.modules))"
CLIENT = "import passwordless_async as p; p.PasswordlessClient('tenant.example', 'client')"
KEY = """
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from passwordless_async import PrivateKeyJwt
key = ec.generate_private_key(ec.SECP256R1())
pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
PrivateKeyJwt(pem, algorithm="ES256")
"""


def _fresh(code: str) -> str:
    command = [sys.executable, "-c", f"import sys\n{code}\n{LOADED}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()  # noqa: S603


def test_names_are_those_of_joserfc() -> None:
    """Each name is the object of joserfc's module."""
    assert jose.jwt is jwt
    assert (jose.JoseError, jose.JWSRegistry) == (errors.JoseError, jws.JWSRegistry)
    assert (jose.ECKey, jose.OctKey, jose.RSAKey) == (jwk.ECKey, jwk.OctKey, jwk.RSAKey)
    with pytest.raises(AttributeError, match="has no attribute 'JsonWebKey'"):
        jose.JsonWebKey  # type: ignore[attr-defined] # noqa: B018 - the look-up is the test


def test_an_import_of_the_client_loads_no_joserfc() -> None:
    """What only imports the client does not wait for joserfc."""
    assert _fresh("from passwordless_async import PasswordlessClient") == ""


@pytest.mark.parametrize(("made", "loaded"), [(CLIENT, "jwk jws"), (KEY, "jwk jws jwt")], ids=["client", "key"])
def test_the_first_login_does_not_wait_for_joserfc(made: str, loaded: str) -> None:
    """A client has loaded what checks ID tokens of every algorithm, and a key what makes assertions."""
    assert _fresh(made) == loaded
