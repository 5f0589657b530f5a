"""The findings of ``doctor``, as its tests compare them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async.auth0.application import Application
from passwordless_async.auth0.client_auth import ClientSecretPost, NoClientAuth, PrivateKeyJwt

if TYPE_CHECKING:
    from passwordless_async.auth0.client_auth import ClientAuth
    from passwordless_async.cli.doctor.findings import Finding
    from passwordless_async.testing import LocalTenant


def application(tenant: LocalTenant, method: str = "none", secret: str | None = None) -> Application:
    """Return an application of a tenant's, which authenticates itself by a method."""
    ready = tenant.client_for(method)
    auth: ClientAuth = NoClientAuth()
    if method == "client_secret_post":
        auth = ClientSecretPost(secret or str(ready.secret))
    if method == "private_key_jwt" and ready.private_pem is not None and ready.private_jwk is not None:
        auth = PrivateKeyJwt(ready.private_pem, key_id=ready.private_jwk["kid"])
    return Application(tenant.url, ready.client_id, auth)


def statuses(found: tuple[Finding, ...]) -> dict[str, str]:
    """Return the status of each check by its name."""
    assert len({finding.title for finding in found}) == len(found)
    return {finding.title: finding.status.value for finding in found}


def of(found: tuple[Finding, ...], name: str) -> Finding:
    """Return the finding of a check."""
    return next(finding for finding in found if finding.title == name)
