"""What a client needs of a tenant, in this process or in another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from passwordless_async.testing.settings import TenantSettings


class TenantAddress:
    """Where a tenant listens, and the applications that it knows.

    Attributes:
        settings: How the tenant behaves.
    """

    def __init__(self, settings: TenantSettings) -> None:
        self.settings = settings
        self._url: str | None = None

    @property
    def url(self) -> str:
        """Its URL without a trailing slash, for example ``http://127.0.0.1:49152``; https with TLS.

        Raises:
            RuntimeError: The tenant does not listen yet.
        """
        if self._url is None:
            raise RuntimeError("the tenant has no URL before it is entered with async with")
        return self._url

    @property
    def issuer(self) -> str:
        """The issuer: the URL with a trailing slash."""
        return f"{self.url}/"

    @property
    def public_client_id(self) -> str:
        """The ``client_id`` of the application without a secret."""
        return self.settings.public_client_id

    @property
    def confidential_client(self) -> tuple[str, str]:
        """The application with a secret: ``client_id`` and ``client_secret``."""
        return self.settings.confidential_client_id, self.settings.confidential_client_secret
