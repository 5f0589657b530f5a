"""The tenant: a server on a loopback port, for the duration of its ``async with``."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self

from aiohttp import ClientSession, web

from passwordless_async._common.secret import always_printable
from passwordless_async.errors import UsageError
from passwordless_async.testing.checks.clients import ClientCredentials, ReadyClient, ready_client
from passwordless_async.testing.endpoints.application import TenantApplication
from passwordless_async.testing.faults import Faults
from passwordless_async.testing.listening import listen, url_of
from passwordless_async.testing.settings import TenantSettings
from passwordless_async.testing.state.clock import TenantClock
from passwordless_async.testing.state.mfa import Mfa
from passwordless_async.testing.state.names import TenantNames, public_origins
from passwordless_async.testing.state.records import Outbox, RequestLog, TenantStats
from passwordless_async.testing.state.tenant_state import TenantState
from passwordless_async.testing.state.users import User, Users

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Iterable
    from ssl import SSLContext

    from passwordless_async.testing.state.tokens import RefreshFamily
    from passwordless_async.testing.state.users import HasUsername

_SHUTDOWN_SECONDS = 0.2  # that requests in flight are given when the tenant closes


class TenantAddress:
    """The address of a tenant, and its applications."""

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
    def confidential_client(self) -> ClientCredentials:
        """The application with a secret."""
        return ClientCredentials(self.settings.confidential_client_id, self.settings.confidential_client_secret)


@always_printable
class LocalTenant(TenantAddress):
    """An Auth0 tenant on this machine that verifies every proof.

    It runs in the caller's event loop. One tenant is used once: after it is closed, make another.

    For each request it uses the name in the ``Host`` field: any of this machine's loopback, such as ``localhost``, or
    one of ``public_url``. Proofs (``htu``), tokens (``iss``), assertions (``aud``), links and discovery agree on it.

    It grants every scope that a login asks for. For a user who lacks a scope, let the login of the test ask for fewer.

    Args:
        settings: How it behaves; by default as Auth0 does.
        host: The address to listen on; None: 127.0.0.1 and, where this machine has it, ::1. Leave it on loopback:
            anyone who reaches the tenant can log in.
        port: The port; 0 takes a free one.
        ssl: Serve over TLS with this context, for example ``ThrowAwayCa().server_context()``; None: plain HTTP.
        public_url: One or several further URLs that it is reached by, for example ``https://tenant.test:8443`` in a
            network of containers. It uses the first one for an unknown name. A proxy must pass ``Host`` on.

    Attributes:
        settings: How it behaves.
        outbox: The messages that it "sent".
        requests: The requests that arrived, secrets included.
        faults: The faults that are switched on.
        stats: Its counters.
        clock: Its clock, which tests can move.
        users: The accounts and their second factors.
        mfa: The users' side of their second factors.

    Raises:
        UsageError: A ``public_url`` is no URL without a path, ``host`` is empty, or ``mtls_alias`` is set without TLS.
            On entering: the tenant was entered before.
        OSError: On entering: the port is taken, or the host is not this machine's.
    """

    def __init__(
        self,
        settings: TenantSettings | None = None,
        *,
        host: str | None = None,
        port: int = 0,
        ssl: SSLContext | None = None,
        public_url: str | Iterable[str] = (),
    ) -> None:
        super().__init__(settings or TenantSettings())
        if self.settings.mtls_alias and ssl is None:
            raise UsageError("ssl", "mtls_alias needs TLS")
        if host is not None and not host.strip():
            raise UsageError("host", "must not be empty")
        self._public_urls = public_origins(public_url)
        self.clock: TenantClock = TenantClock()
        self.clock.go_wrong(self.settings.clock_wrong_by)
        self.outbox: Outbox = Outbox(self.settings.messages_kept)
        self.requests: RequestLog = RequestLog(self.settings.requests_kept)
        self.stats: TenantStats = TenantStats()
        self.users: Users = Users()
        self.mfa: Mfa = Mfa(self.settings, self.clock, self.users, self.stats)
        self.faults: Faults = Faults()
        self._host = host
        self._port = port
        self._mtls_port: int | None = 0 if self.settings.mtls_alias else None
        self._ssl = ssl
        self._state: TenantState | None = None
        self._runner: web.AppRunner | None = None
        self._sites: list[web.BaseSite] = []

    @property
    def disagreements(self) -> tuple[str, ...]:
        """Proofs on which the tenant and the library's verifier disagree: one of the two has a defect."""
        return () if self._state is None else tuple(self._state.second_opinion.disagreements)

    @property
    def refresh_families(self) -> tuple[RefreshFamily, ...]:
        """The families of refresh tokens, oldest first: their keys, rotations and revocation."""
        return () if self._state is None else self._state.refresh.families

    def revoke_access_tokens(self, who: HasUsername | None = None) -> None:
        """Make ``/userinfo`` refuse the present access tokens of a user, or of all users; refresh tokens stay valid."""
        if self._state is not None:
            self._state.tokens.revoke_access_tokens(None if who is None else User.of(who))

    def rotate_signing_key(self, *, revoke: bool = False) -> None:
        """Sign tokens with another key from now on.

        Args:
            revoke: Remove the earlier keys from ``/.well-known/jwks.json``; otherwise the newest of them stay.
        """
        if self._state is None:
            raise RuntimeError("the tenant has no keys before it is entered with async with")
        self._state.keys.rotate(revoke=revoke)

    def logout_token(self, who: HasUsername, **claims: object) -> str:
        """Return a logout token for the newest login of a user (OpenID Connect Back-Channel Logout 1.0 §2.4).

        Args:
            who: The user; they have logged in with the scope ``openid``.
            **claims: Claims to replace; None leaves one out: ``sid=None`` ends all sessions of the user, ``sub=None``
                those of the session alone.
        """
        if self._state is None:
            raise RuntimeError("the tenant has no keys before it is entered with async with")
        try:
            return self._state.tokens.logout_token(User.of(who), self.issuer, **claims)
        except KeyError:
            raise LookupError(f"no ID token was issued to {who!r}") from None

    async def backchannel_logout(self, who: HasUsername, url: str, **claims: object) -> int:
        """Tell an application that a user's session has ended, as if an administrator had ended it; return the status.

        Args:
            who: As for :meth:`logout_token`.
            url: The application's, to which the token is posted: that of a gateway ends with ``/backchannel-logout``.
            **claims: As for :meth:`logout_token`.
        """
        fields = {"logout_token": self.logout_token(who, **claims)}
        async with ClientSession() as http, http.post(url, data=fields) as response:
            return response.status

    def client_for(self, method: str, alg: str = "RS256") -> ReadyClient:
        """Return the application of an authentication method, with its secret or key.

        Args:
            method: ``none``, ``client_secret_post``, ``client_secret_basic``, ``private_key_jwt``,
                ``tls_client_auth`` or ``self_signed_tls_client_auth``.
            alg: The algorithm of a ``private_key_jwt``: RS256, RS384, PS256 or ES256.

        Raises:
            ValueError: There is no such method.
        """
        return ready_client(self.settings, method, alg)

    async def __aenter__(self) -> Self:
        if self._state is not None:
            raise UsageError("tenant", "was entered before: a tenant is used once, so make another")
        listeners = self._bind()
        self._url = url_of(self._host, self._port, tls=self._ssl is not None)
        names = TenantNames(self._url, self._public_urls, self._mtls_port)
        self._state = TenantState(
            names, self.settings, self.clock, self.outbox, self.stats, self.requests, self.users, self.mfa
        )
        application = TenantApplication(self._state, self.faults).build()
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        await self._runner.setup()
        await self._accept(self._runner, listeners)
        return self

    def _bind(self) -> list[socket.socket]:
        """Listen; a second call listens on the same ports again."""
        listeners = listen(self._host, self._port)
        self._port = listeners[0].getsockname()[1]
        if self._mtls_port is not None:
            try:
                for_certificates = listen(self._host, self._mtls_port)
            except OSError:
                for listener in listeners:
                    listener.close()
                raise
            self._mtls_port = for_certificates[0].getsockname()[1]
            listeners += for_certificates
        return listeners

    async def _accept(self, runner: web.AppRunner, listeners: list[socket.socket]) -> None:
        self._sites = [web.SockSite(runner, listener, ssl_context=self._ssl) for listener in listeners]
        for site in self._sites:
            await site.start()

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        """Refuse connections while the context lasts, like a service that its load balancer has taken out.

        An open connection is served one last request and closed with its response. A tenant that is closed meanwhile
        stays closed.

        Raises:
            RuntimeError: The tenant does not listen, or is in an outage already.
        """
        if self._state is None or not self._sites or self._runner is None or self._state.draining:
            raise RuntimeError("the tenant does not listen")
        for site in self._sites:
            await site.stop()
        self._state.draining = True
        try:
            yield
        finally:
            self._state.draining = False
            if self._runner is not None:
                await self._accept(self._runner, self._bind())

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop listening and close every connection; a second call does nothing."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def __repr__(self) -> str:
        return f"<LocalTenant {self._url or 'not listening'}>"
