"""What the tests of Auth0's wire share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from joserfc.jwk import RSAKey
from multidict import CIMultiDict

from passwordless_async import ClientSecretPost, NoClientAuth
from passwordless_async._common.http import HttpResponse
from passwordless_async.auth0.application import Application

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="session")
def answer() -> Callable[..., HttpResponse]:
    """Make answers: a status, what is JSON or bytes, and header fields."""

    def make(status: int, body: Any = None, **headers: str) -> HttpResponse:
        fields = CIMultiDict({"Content-Type": "application/json"})
        fields.update({name.replace("_", "-"): value for name, value in headers.items()})
        return HttpResponse(status, fields, body if isinstance(body, bytes) else json.dumps(body).encode())

    return make


@pytest.fixture(scope="session")
def public() -> Application:
    """Return a public client."""
    return Application("tenant.example", "client", NoClientAuth())


@pytest.fixture(scope="session")
def confidential() -> Application:
    """Return a confidential client."""
    return Application("tenant.example", "client", ClientSecretPost("client-secret"))


@pytest.fixture(scope="session")
def signing_key() -> RSAKey:
    """Make the tenant's signing key."""
    return RSAKey.generate_key(2048, {"kid": "k1"})
