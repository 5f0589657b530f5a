"""joserfc is imported where keys are made ready, not where this library is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest
from joserfc import errors, jwk, jws, jwt

from passwordless_async.auth0 import jose

LOADED = "print('joserfc.jwk' in sys.modules, 'joserfc.jwt' in sys.modules)"


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
    assert _fresh("from passwordless_async import PasswordlessClient") == "False False"


def test_a_client_that_is_made_has_loaded_the_keys() -> None:
    """The first login does not wait for joserfc: a client has it from the start, and assertions when it needs them."""
    made = "import passwordless_async as p; p.PasswordlessClient('tenant.example', 'client')"
    assert _fresh(made) == "True False"
