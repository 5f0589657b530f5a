"""The client: the one object that an application keeps. Its methods delegate; the rules are in the layers below."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, Self

from passwordless_async._common import arguments as _check
from passwordless_async._common.origin import origin_of
from passwordless_async._common.secret import always_printable, conceal, conceal_mapping, hide
from passwordless_async.auth0.application import ID_TOKEN_ALGORITHMS, Application
from passwordless_async.auth0.client_auth import ClientAuth, ForwardedFor, NoClientAuth, TlsClientAuth
from passwordless_async.auth0.clocks import CLOCK_SKEW
from passwordless_async.auth0.identity import AuthSession, Email, Login, Phone
from passwordless_async.auth0.link import PendingLink
from passwordless_async.auth0.tenant import DPoPMode, Tenant
from passwordless_async.client.api.handovers import Handovers, OnRefresh
from passwordless_async.client.api.user_sessions import UserSessions
from passwordless_async.client.bulk import Batch, Item, Result, outcomes
from passwordless_async.client.codes import Codes
from passwordless_async.client.events import Emitter, OnEvent
from passwordless_async.client.logins import Logins
from passwordless_async.client.logouts import Logouts
from passwordless_async.client.mfa import MfaClient
from passwordless_async.client.orphans import OnOrphan, Orphans
from passwordless_async.client.outcomes import ClosingReport, Outcome, Progress, Start, StartOutcome
from passwordless_async.client.profile import INTERACTIVE, Profile
from passwordless_async.client.refreshes import Refreshes
from passwordless_async.client.sessions.records import SessionRecords
from passwordless_async.client.sessions.sessions import Sessions
from passwordless_async.client.sessions.values import Lifetimes
from passwordless_async.client.shared.peers import Peers
from passwordless_async.client.starts import Starts
from passwordless_async.client.traffic.dispatcher import Dispatcher
from passwordless_async.client.traffic.transport import Transport
from passwordless_async.client.userinfo import fetch_userinfo
from passwordless_async.dpop import DPoPKey, NonceCache
from passwordless_async.errors import UsageError
from passwordless_async.stores import KeyRing, MemoryStore, Store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from aiohttp import ClientResponse, ClientSession

    from passwordless_async._common.user_address import IpAddress
    from passwordless_async.auth0.database import DeliveryMethod
    from passwordless_async.auth0.logout_token import LogoutToken
    from passwordless_async.auth0.start import Send
    from passwordless_async.auth0.tokens import StartReceipt, TokenSet
    from passwordless_async.client.api.user_session import UserSession


@always_printable
class PasswordlessClient:
    """Logs users in at one tenant; create one for the lifetime of the application.

    Use it as ``async with PasswordlessClient(...) as client``. Tasks of one event loop may share it.

    Besides the errors that it documents, each method that calls the service raises:

    - ``UsageError``: an argument is invalid, or the client is not open; nothing was sent. ``InvalidInput`` if a user
      typed it, ``ClientClosed`` once the client is being closed
    - ``OAuthError``: the service refused
    - ``MalformedAnswer``: the response violates the protocol
    - ``QuotaExceeded``: the quota has no room in time; nothing was sent
    - ``NotSent``: nothing was sent
    - ``OutcomeUnknown``: the request was sent, but there was no usable response

    Args:
        domain: The tenant's domain (``acme.eu.auth0.com``) or its URL; plain http on loopback only.
        client_id: The application's identifier.
        client_auth: How the application authenticates itself: :class:`NoClientAuth` for a public client,
            :class:`ClientSecretPost`, :class:`ClientSecretBasic`, :class:`PrivateKeyJwt` or :class:`TlsClientAuth` for
            a confidential one.
        session: An aiohttp session to use for connections, with its proxy. It must verify certificates. The client
            ignores its cookies, default headers and middlewares, and does not close it. By default, the client makes
            its own.
        profile: The behaviour under load and in outages: :data:`INTERACTIVE`, :data:`BULK`, :data:`TESTING`, or one of
            them with changed numbers.
        on_event: Receives events, for metrics and traces: one function or several, in order; see
            :mod:`passwordless_async.events`.
        on_orphan: Receives the result of a login or refresh that was sent before all its callers were cancelled;
            awaited if it is a coroutine function. Without it, the tokens of such a login are revoked.
        nonces: The cache of server nonces, to share it or to bind nonces to keys; by default, the client makes its own.
        store: Keeps ``client.sessions`` and the state that the machines of an application share: users' codes, the
            quota and the nonces. By default, a new :class:`MemoryStore`.
        lifetimes: How long stored sessions last.
        proxy: The URL of an http or https proxy for https requests, with credentials if it needs them:
            ``http://user:password@proxy.internal:3128``. By default, the proxy of the session, or that of
            ``HTTPS_PROXY`` if the session has ``trust_env``.
        discovery: Whether to use the endpoints in the tenant's metadata, which is read before the first request,
            instead of those at the domain. Always true with :class:`TlsClientAuth`: its endpoints may be elsewhere (RFC
            8705 §5). Auth0's own endpoints, which metadata does not list, are next to the token endpoint. The issuer is
            still that of the domain.
        refresh_token_rotation: Whether the tenant replaces a refresh token at each use. If False, a refresh token is
            never spent: after a lost response, it is sent again.
        refresh_token_leeway: The tenant's rotation overlap period, in seconds, in which a replaced refresh token is
            still accepted. Within it, counted from the first attempt, a refresh with a lost or unusable response is
            sent again; after it, never. Do not exceed the tenant's setting, or the tenant revokes the login.
        id_token_algorithms: The accepted signature algorithms of ID tokens: RS256, PS256, ES256 or, for an application
            with a client secret, HS256. Name the one that the application is registered with.
        clock_skew: Seconds by which this machine's clock and the tenant's may differ when the times of an ID token are
            checked: from 0 to 600.
        dpop: Whether tokens must be bound to a key (RFC 9449): ``required``, ``preferred`` or ``off``. ``required``
            refuses unbound tokens. ``preferred`` sends a proof and accepts bound and unbound tokens; unbound ones have
            ``bound`` False, and the client emits :class:`.events.UnboundTokens`. ``off`` makes no key, sends no proof
            and refuses bound tokens. In every mode, bound tokens are sent with a proof, and refreshed only to bound
            ones.

    Raises:
        UsageError: An argument is invalid.
    """

    def __init__(  # noqa: PLR0913 - what a client is made of, each with its default
        self,
        domain: str,
        client_id: str,
        *,
        client_auth: ClientAuth = NoClientAuth(),  # noqa: B008 - a frozen value
        session: ClientSession | None = None,
        profile: Profile = INTERACTIVE,
        on_event: OnEvent | Sequence[OnEvent] | None = None,
        on_orphan: OnOrphan | None = None,
        nonces: NonceCache | None = None,
        store: Store | None = None,
        lifetimes: Lifetimes = Lifetimes(),  # noqa: B008 - a frozen value
        proxy: str | None = None,
        discovery: bool = False,
        refresh_token_rotation: bool = True,
        refresh_token_leeway: float = 0.0,
        id_token_algorithms: Iterable[str] = ID_TOKEN_ALGORITHMS,
        clock_skew: float = CLOCK_SKEW,
        dpop: DPoPMode = "required",
    ) -> None:
        domain, client_auth, proxy = conceal(domain), hide(client_auth, ClientAuth), conceal(proxy)
        nonces = NonceCache() if nonces is None else nonces
        application = Application(domain, client_id, client_auth, id_token_algorithms)
        self._tenant = Tenant(application, nonces, clock_skew, dpop=dpop)
        self._tenant.metadata.wanted = _check.boolean("discovery", discovery) or isinstance(client_auth, TlsClientAuth)
        _require_values(profile, nonces, lifetimes, on_orphan)
        _require_store(store)
        self._overlap = _overlap(refresh_token_leeway, rotation=refresh_token_rotation)
        self._profile = profile
        self._transport = self._made_transport(session, proxy)
        events, shared_store = Emitter(on_event), MemoryStore() if store is None else store
        self._peers = Peers.of(shared_store, self._tenant, events, alone=store is None)
        self._dispatcher = Dispatcher(
            self._tenant, self._transport, profile, events, peers=self._peers.nonces, peer_quota=self._peers.quota
        )
        orphans = Orphans(on_orphan, self._tenant, self._dispatcher, events)
        self._make_services(orphans, shared_store, lifetimes)
        self._closing: asyncio.Task[ClosingReport] | None = None

    def _made_transport(self, session: ClientSession | None, proxy: str | None) -> Transport:
        application = self._tenant.application
        auth = application.client_auth
        return Transport(
            session,
            timeout=self._profile.timeout,
            ssl=auth.context if isinstance(auth, TlsClientAuth) else None,
            proxy=proxy,
            checks=application.base.scheme == "https",
        )

    def _make_services(self, orphans: Orphans, store: Store, lifetimes: Lifetimes) -> None:
        """Make what the methods call: each service gets the objects below it, and none of them this client."""
        tenant, dispatcher = self._tenant, self._dispatcher
        codes = Codes(self._peers.availability, issuer=self.issuer, client_id=self.client_id, profile=self._profile)
        self._logouts = Logouts(tenant, dispatcher)
        self._starts = Starts(tenant, dispatcher, codes, self._profile)
        self._logins = Logins(tenant, dispatcher, codes, orphans, self._profile, self._peers.nonces)
        self._refreshes = Refreshes(tenant, dispatcher, orphans, self._profile.single, overlap=self._overlap)
        self._handovers = Handovers(self._refreshes)
        self._store: Store = store
        records = SessionRecords(
            self.issuer, self.client_id, store=store, lifetimes=lifetimes, refreshes=self._refreshes
        )
        self._user_sessions = UserSessions(tenant, self._transport, self._handovers)
        self._sessions = Sessions(
            records, logins=self._logins, orphans=orphans, refreshes=self._refreshes, user_sessions=self._user_sessions
        )
        self._mfa = MfaClient(tenant, dispatcher, orphans)

    async def __aenter__(self) -> Self:
        """Open; a client that was closed can be opened again, in this or another event loop."""
        await self._transport.__aenter__()
        if self._closing is not None:
            self._closing = None
            self._dispatcher.reopen()
            self._peers.reopen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self, *, grace: float | None = None) -> ClosingReport:
        """Finish the requests on the wire, and close the connections. Closing twice does nothing.

        Calls that were not sent raise :class:`NotSent` at once. Calls that were sent and get no response in time raise
        :class:`OutcomeUnknown`.

        Args:
            grace: Seconds for the requests on the wire; by default, the profile's.

        Returns:
            The calls that were abandoned.
        """
        self._transport.require_own_loop()
        grace = self._profile.grace if grace is None else _check.at_least_zero("grace", grace)
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(grace))
        # All callers, however late, wait for the same end.
        return await asyncio.shield(self._closing)

    async def _close(self, grace: float) -> ClosingReport:
        loop = asyncio.get_running_loop()
        ends = loop.time() + grace
        self._dispatcher.refuse_calls()  # before anything is ended, so that nothing begins after that
        async with asyncio.TaskGroup() as closing:
            calls = closing.create_task(self._dispatcher.drain(grace))
            closing.create_task(self._handovers.aclose(grace=grace))
            closing.create_task(self._sessions.aclose(grace=grace))
            logins = closing.create_task(self._logins.aclose(grace=grace))
            refreshes = closing.create_task(self._refreshes.aclose(grace=grace))
            factors = closing.create_task(self._mfa.aclose(grace=grace))
        await self._sessions.aclose_logins(grace=max(ends - loop.time(), 0.0))
        await self._dispatcher.aclose()
        await self._peers.aclose(grace=max(ends - loop.time(), 0.0))
        await self._transport.aclose()
        known = len(logins.result()) + refreshes.result() + factors.result()
        return ClosingReport(
            exchanges=logins.result(),
            refreshes=refreshes.result(),
            factors=factors.result(),
            others=max(0, calls.result() - known),
        )

    @property
    def issuer(self) -> str:
        """The tenant's issuer: its URL with a trailing slash."""
        return self._tenant.application.issuer

    @property
    def client_id(self) -> str:
        """The application's identifier."""
        return self._tenant.application.client_id

    @property
    def dpop(self) -> DPoPMode:
        """Whether tokens must be bound to a key."""
        return self._tenant.dpop

    @property
    def forwards_addresses(self) -> bool:
        """Whether calls accept ``forwarded_for``; for a public client, they raise: the service would ignore it."""
        return self._tenant.application.client_auth.forwarded_for is not ForwardedFor.IGNORED

    @property
    def store(self) -> Store:
        """The store that the machines of an application share; by default, a store of this process only."""
        return self._store

    @property
    def sessions(self) -> Sessions:
        """Stored sessions. They outlive this process if the store does."""
        return self._sessions

    @property
    def mfa(self) -> MfaClient:
        """Continues logins that need a second factor."""
        return self._mfa

    async def start(
        self,
        who: Email | Phone,
        *,
        send: Send = "code",
        language: str | None = None,
        forwarded_for: IpAddress | str | None = None,
        captcha: str | None = None,
        auth_params: Mapping[str, str] | None = None,
    ) -> StartReceipt:
        """Ask the service to send a one-time code.

        Only the newest code is valid: a second start invalidates the first code.

        Args:
            who: The user.
            send: ``code``, or ``link`` for an e-mail that carries a link instead.
            language: The language of the message, a BCP 47 tag.
            forwarded_for: The end user's IP address, a string or an ``ipaddress`` object, to which the service then
                applies its rate limits. Needs a confidential application with *Trust Token Endpoint IP Header* turned
                on. A loopback, multicast or unspecified address raises ``UsageError``, and so does a private one unless
                the profile has ``allow_private_addresses``.
            captcha: The solution of the captcha, after :class:`VerificationRequired`.
            auth_params: The parameters of a link: ``redirect_uri``, ``scope``, ``state`` and so on; :meth:`start_link`
                makes them all. Other names are refused.

        Raises:
            CoolingDown: The user was sent a code within the cool-down; nothing was sent.
            OutcomeUnknown: There was no response; a code may be on its way.
        """
        captcha, auth_params = conceal(captcha), conceal_mapping(auth_params)
        return await self._starts.start(
            who, forwarded_for, send=send, language=language, captcha=captcha, auth_params=auth_params
        )

    async def start_link(
        self,
        who: Email,
        *,
        redirect_uri: str,
        scope: str | None = None,
        audience: str | None = None,
        key: DPoPKey | None = None,
        language: str | None = None,
        forwarded_for: IpAddress | str | None = None,
        captcha: str | None = None,
    ) -> PendingLink:
        """Ask the service to send an e-mail with a link that leads to a callback of the application.

        Raises as :meth:`start`.

        Args:
            who: The user.
            redirect_uri: The callback, registered for the application.
            scope: As for :meth:`exchange`.
            audience: As for :meth:`exchange`.
            key: The key to bind the tokens to; the link's code works only with it (RFC 9449 §10). By default, a new
                one, or none if ``dpop`` is ``off``.
            language: As for :meth:`start`.
            forwarded_for: As for :meth:`start`.
            captcha: As for :meth:`start`.

        Returns:
            The pending login for :meth:`exchange_link`. Store it with the browser's session, and keep it secret.
        """
        key, captcha = hide(key), conceal(captcha)
        return await self._starts.start_link(
            who,
            forwarded_for,
            redirect_uri=redirect_uri,
            scope=scope,
            audience=audience,
            key=key,
            language=language,
            captcha=captcha,
        )

    async def exchange_link(self, pending: PendingLink, callback_url: str) -> TokenSet:
        """Exchange the code of a link's callback for tokens (RFC 6749 §4.1.3, RFC 7636, RFC 9449 §10).

        Args:
            pending: The result of :meth:`start_link`.
            callback_url: The complete URL that the browser was redirected to.

        Raises:
            InvalidCallback: The callback belongs to another login, or has no code; nothing was sent.
            BindingRequired: The login was started without a key, by a client with ``dpop="off"``; nothing was sent.
            OAuthError: The callback says that the login failed, or the service refused the code.
            PasswordlessError: Otherwise as :meth:`exchange`.
        """
        pending, callback_url = hide(pending), conceal(callback_url)
        _check.instance("pending", pending, PendingLink, named="a PendingLink")
        return await self._logins.exchange_link(pending, callback_url)

    async def start_database(
        self,
        who: Email | Phone,
        *,
        connection: str,
        allow_signup: bool = False,
        delivery_method: DeliveryMethod = "text",
        forwarded_for: IpAddress | str | None = None,
    ) -> AuthSession:
        """Ask for a code for a user of a database connection (early access at Auth0). Raises as :meth:`start`.

        Args:
            who: The user.
            connection: The name of the connection.
            allow_signup: Whether to sign up a user that the connection does not know.
            delivery_method: ``text`` or, for a phone, ``voice``.
            forwarded_for: As for :meth:`start`.

        Returns:
            The handle to pass to :meth:`exchange` instead of the user.
        """
        return await self._starts.start_database(
            who, forwarded_for, connection=connection, allow_signup=allow_signup, delivery_method=delivery_method
        )

    def start_many(
        self,
        starts: Iterable[Start] | AsyncIterable[Start],
        *,
        concurrency: int = 64,
        progress: Callable[[Progress], None] | None = None,
    ) -> AsyncGenerator[StartOutcome, None]:
        """Ask for codes for many users. Works like :meth:`exchange_many`, and yields the outcome of each start."""
        batch = Batch("starts", Start, self._starts.outcome, lambda outcome: outcome.error)
        return _outcomes(batch, starts, concurrency, progress)

    async def exchange(  # noqa: PLR0913 - the parameters are the grant's
        self,
        who: Email | Phone | AuthSession,
        otp: str,
        *,
        scope: str | None = None,
        audience: str | None = None,
        resource: str | None = None,
        redirect_uri: str | None = None,
        max_age: int | None = None,
        key: DPoPKey | None = None,
        extra_parameters: Mapping[str, str] | None = None,
        forwarded_for: IpAddress | str | None = None,
    ) -> TokenSet:
        """Exchange a code for tokens, bound to a key (RFC 9449 §5) as the client's ``dpop`` requires.

        A code is presented once. Concurrent calls with the same code share one request and get the same tokens; if one
        of them is ``sessions.login``, the later call raises :class:`UsageError`. Two codes of one user are sent one
        after the other. An exchange that was sent is finished even if its caller is cancelled: its tokens go to
        ``on_orphan``.

        Args:
            who: The user, exactly as given to :meth:`start`, or what :meth:`start_database` returned.
            otp: The code that the user typed. It is spent once it is sent.
            scope: The scope (RFC 6749 §3.3): ``openid`` for an ID token, ``offline_access`` for a refresh token.
            audience: The identifier of the API that the access token is for.
            resource: The API, instead of ``audience``, if the tenant's compatibility profile requires it (RFC 8707).
            redirect_uri: A callback URL of the application, for tenants that require one.
            max_age: The maximum age of the ID token's ``auth_time``, in seconds. The grant cannot request
                ``auth_time``: use this with a tenant that always sends it. It does not help with an API that demands a
                newer login (RFC 9470): exchange a new code.
            key: The key to bind the tokens to; by default, a new one. Not allowed with ``dpop="off"``.
            extra_parameters: Further parameters of the token request, by name, for the tenant's own code (an Action
                reads them from ``event.request.body``). They cannot replace the grant's own (RFC 6749 §3.2).
            forwarded_for: As for :meth:`start`.

        Returns:
            The tokens, with a validated ID token.

        Raises:
            OAuthError: The service refused: :class:`WrongCode`, :class:`CodeExpired`, :class:`MfaRequired` and so on.
            DPoPRequired: The API's policy requires a proof, and the client has ``dpop="off"``; nothing is spent.
            NotSenderConstrained: The tokens are not bound to the key; they were discarded and revoked.
            SenderConstrained: The tokens are bound, and the client has ``dpop="off"``; they were discarded and revoked.
            InvalidIdToken: The ID token failed a check; the tokens were discarded and revoked.
            CodeSpent: The code was presented before, or has no attempts left; nothing was sent. A wrong code that is
                repeated raises :class:`WrongCode` again, and is not sent again.
            OutcomeUnknown: The code was sent, but there was no usable response: it may be spent.
        """
        # An auth_session that is given bare is a secret.
        who, otp, key, extra_parameters = hide(who), conceal(otp), hide(key), conceal_mapping(extra_parameters)
        login = Login(
            who,
            otp,
            scope=scope,
            audience=audience,
            resource=resource,
            redirect_uri=redirect_uri,
            max_age=max_age,
            key=key,
            extra_parameters=extra_parameters,
        )
        return await self._logins.exchange(login, forwarded_for=forwarded_for)

    def exchange_many(
        self,
        logins: Iterable[Login] | AsyncIterable[Login],
        *,
        concurrency: int = 256,
        progress: Callable[[Progress], None] | None = None,
    ) -> AsyncGenerator[Outcome, None]:
        """Exchange many codes at once, with the profile's policy ``many``.

        Args:
            logins: The logins, read lazily.
            concurrency: How many may be in flight at once, or finished and not yet consumed.
            progress: Called with the progress after each consumed outcome.

        Returns:
            An outcome for each login, in order of completion. A failed login is an outcome with an ``error``; it does
            not raise. To leave the loop early, use ``contextlib.aclosing``: requests that were not sent are dropped
            without an outcome, those on the wire are finished, and what was sent goes to ``on_orphan``, tokens or
            error. To have an outcome for each login that was read, end ``logins`` instead.

        Raises:
            UsageError: ``concurrency`` is below 1, ``progress`` is not a plain function, or an item of ``logins`` is
                not a :class:`Login`.
        """
        each = self._logins
        batch = Batch("logins", Login, each.outcome, lambda outcome: outcome.error, each.taken, each.untaken)
        return _outcomes(batch, logins, concurrency, progress)

    async def refresh(self, tokens: TokenSet, *, scope: str | None = None) -> TokenSet:
        """Spend a refresh token for new tokens, bound to the same key (RFC 6749 §6, RFC 9449 §5).

        Unbound tokens stay unbound, unless ``dpop`` is ``preferred`` and the API's policy binds new ones.

        Concurrent callers with the same refresh token share one request; so do callers up to 30 seconds later.
        Cancelling one caller affects neither the request nor the others.

        Args:
            tokens: The tokens. Replace them with the result: their refresh token may be spent.
            scope: A narrower scope; by default, the granted one.

        Raises:
            UsageError: The tokens belong to another tenant or application, or have no refresh token; nothing was sent.
            KeyMissing: They are bound and have no key; nothing was sent.
            KeyMismatch: They are bound to another key; nothing was sent.
            BindingRequired: They are not bound, and ``dpop`` is ``required``; nothing was sent.
            InvalidRefreshToken: The refresh token is unknown, expired, revoked or used: the user must log in again.
            ProtocolError: The response must not be trusted.
            OutcomeUnknown: This or an earlier call sent the refresh token, but there was no usable response. It may be
                spent, and is not sent again.
        """
        tokens = hide(tokens)
        return await self._refreshes.refresh(tokens, scope=scope)

    async def revoke(self, tokens: TokenSet) -> None:
        """Revoke the refresh token, and with it the session at the service: the logout (RFC 7009).

        Raises:
            UsageError: The tokens belong to another tenant or application, or have no refresh token; nothing was sent.
        """
        tokens = hide(tokens)
        await self._refreshes.revoke(tokens)

    async def read_logout_token(self, token: str) -> LogoutToken:
        """Check a logout token, with which the tenant ends sessions (OpenID Connect Back-Channel Logout 1.0 §2.6).

        This method does not compare its ``jti`` with earlier ones; the gateway does. To end the sessions that it names,
        call ``client.sessions.close_at_provider``.

        Raises:
            InvalidLogoutToken: The token failed a check.
            TransportError: Its key could not be fetched, so the token may be valid.
        """
        token = concealed = conceal(token)
        _check.instance("token", token, str, named="a str")
        return await self._logouts.read(concealed)

    async def fetch_signing_keys(self) -> None:
        """Fetch the tenant's signing keys if they are missing or old, for example in a health check.

        Raises:
            NotSent: They could not be fetched, and no cached keys are still usable.
        """
        await self._logouts.fetch_keys()

    async def userinfo(self, tokens: TokenSet) -> Mapping[str, Any]:
        """Ask the service for the user's claims (OpenID Connect Core §5.3).

        Raises:
            UsageError: The tokens belong to another tenant or application; nothing was sent.
            KeyMissing: They are bound and have no key; nothing was sent.
            KeyMismatch: They are bound to another key; nothing was sent.
            BindingRequired: They are not bound, and ``dpop`` is ``required``; nothing was sent.
            InvalidToken: The access token is expired or revoked.
            MalformedAnswer: The response violates the protocol, or is about another user.
        """
        tokens = hide(tokens)
        return await fetch_userinfo(self._tenant, self._dispatcher, tokens)

    def before_closing(self, close: Callable[[], Awaitable[None]]) -> None:
        """Register a coroutine function to call at closing: after the calls end, before the connections close.

        Use it for resources that need the open client, such as a gateway's connections to its upstreams. The function
        is called once, even if it is registered twice.

        Args:
            close: The function; it should not raise. If it does, the rest is closed, and the closing raises its error.

        Raises:
            UsageError: It is no function.
        """
        self._transport.dependents[_check.function("close", close)] = None

    def session(self, tokens: TokenSet, *, origins: Iterable[str], on_refresh: OnRefresh | None = None) -> UserSession:
        """Return an object that calls APIs for one user and refreshes the tokens automatically.

        It sends bound tokens as ``DPoP`` with a proof, others as ``Bearer``. For a stored session, use
        ``client.sessions.api``. Tokens of a stored session are refreshed through that session, which keeps the new ones
        too.

        Args:
            tokens: The user's tokens.
            origins: The origins that the access token is for, for example ``["https://api.example"]``.
            on_refresh: Called with each new token set exactly once, and awaited if it is a coroutine function. Without
                it, nothing is refreshed, because the new refresh token would be lost.

        Raises:
            UsageError: The tokens belong to another tenant or application, an origin or ``on_refresh`` is invalid, or
                the client is not open.
            KeyMissing: The tokens are bound and have no key.
            KeyMismatch: The tokens are bound to another key.
            BindingRequired: The tokens are not bound, and ``dpop`` is ``required``.
        """
        tokens = hide(tokens)
        return self._user_sessions.of(tokens, origins, on_refresh)

    def request(
        self,
        tokens: TokenSet,
        method: str,
        url: str,
        *,
        on_refresh: OnRefresh | None = None,
        **parameters: Any,  # noqa: ANN401 - aiohttp's own
    ) -> AbstractAsyncContextManager[ClientResponse]:
        """Call an API once: ``async with client.request(tokens, "GET", "https://api.example/me") as response``.

        The token is sent only to the URL's origin, and does not follow a redirect to another one.

        Args:
            tokens: The user's tokens.
            method: The method.
            url: The absolute URL.
            on_refresh: As for :meth:`session`.
            **parameters: As for :meth:`aiohttp.ClientSession.request`.

        Raises:
            UsageError: The URL is not absolute, or another reason of :meth:`session`.
            PasswordlessError: The tokens could not be refreshed, or a nonce challenge could not be answered.
            aiohttp.ClientError: The API call failed.
            TimeoutError: The API did not answer in time: within the client's ``timeout``, or that of the call.
        """
        tokens = hide(tokens)
        return self.session(tokens, origins=[origin_of(url)], on_refresh=on_refresh).request(method, url, **parameters)

    def __repr__(self) -> str:
        application = self._tenant.application
        return f"<PasswordlessClient {application.client_id} at {application.origin}>"


def _overlap(leeway: object, *, rotation: object) -> float:
    """Return for how many seconds a refresh token may be sent again after its first use."""
    leeway = _check.at_least_zero("refresh_token_leeway", leeway)
    return leeway if _check.boolean("refresh_token_rotation", rotation) else math.inf


def _require_values(profile: object, nonces: object, lifetimes: object, on_orphan: object) -> None:
    _check.instance("profile", profile, Profile, named="a Profile")
    _check.instance("nonces", nonces, NonceCache, named="a NonceCache")
    _check.instance("lifetimes", lifetimes, Lifetimes, named="a Lifetimes")
    if on_orphan is not None:
        _check.function("on_orphan", on_orphan)


def _require_store(store: object) -> None:
    if store is not None and not isinstance(getattr(store, "keys", None), KeyRing):
        raise UsageError("store", f"must be a MemoryStore or another Store, not {type(store).__name__}")


def _outcomes(
    batch: Batch[Item, Result],
    items: Iterable[Item] | AsyncIterable[Item],
    concurrency: int,
    progress: Callable[[Progress], None] | None,
) -> AsyncGenerator[Result, None]:
    """Check the options at once: a generator runs nothing before its first item is asked for."""
    concurrency = _check.positive("concurrency", concurrency)
    if progress is not None:
        _check.plain_function("progress", progress)
    return outcomes(batch, items, concurrency=concurrency, progress=progress)
