"""The client: the one object that an application keeps."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING

from passwordless_async._common import arguments as _check
from passwordless_async._common.origin import origin_of
from passwordless_async._common.secret import always_printable, conceal, hide
from passwordless_async.auth0 import life_cycle, link
from passwordless_async.auth0.application import ID_TOKEN_ALGORITHMS, Application
from passwordless_async.auth0.client_auth import ClientAuth, NoClientAuth, TlsClientAuth
from passwordless_async.auth0.database import start_database
from passwordless_async.auth0.identity import Login, user
from passwordless_async.auth0.link import PendingLink
from passwordless_async.auth0.start import start
from passwordless_async.auth0.tenant import Tenant, own_key
from passwordless_async.client.api.handovers import Handovers
from passwordless_async.client.api.user_session import UserSession
from passwordless_async.client.bulk import Batch, outcomes
from passwordless_async.client.codes import Codes
from passwordless_async.client.events import Emitter, Operation
from passwordless_async.client.logins import Logins
from passwordless_async.client.mfa import MfaClient
from passwordless_async.client.orphans import Orphans
from passwordless_async.client.outcomes import ClosingReport, Outcome, Start, StartOutcome
from passwordless_async.client.profile import INTERACTIVE, Profile
from passwordless_async.client.refreshes import Refreshes
from passwordless_async.client.sessions import Lifetimes, Sessions
from passwordless_async.client.shared import Shared
from passwordless_async.client.starts import Starts
from passwordless_async.client.traffic.call import Call
from passwordless_async.client.traffic.dispatcher import Dispatcher
from passwordless_async.client.traffic.transport import Transport
from passwordless_async.dpop import NonceCache
from passwordless_async.errors import UsageError
from passwordless_async.stores import KeyRing, MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType
    from typing import Any, Self

    from aiohttp import ClientResponse, ClientSession

    from passwordless_async.auth0.database import DeliveryMethod
    from passwordless_async.auth0.identity import AuthSession, Email, Phone
    from passwordless_async.auth0.requests import IpAddress
    from passwordless_async.auth0.start import Send
    from passwordless_async.auth0.tokens import StartReceipt, TokenSet
    from passwordless_async.client.api.handovers import OnRefresh
    from passwordless_async.client.events import OnEvent
    from passwordless_async.client.orphans import OnOrphan
    from passwordless_async.client.outcomes import Progress
    from passwordless_async.dpop import DPoPKey
    from passwordless_async.stores import Store


@always_printable
class PasswordlessClient:
    """Logs users in at one tenant; lives as long as the application.

    Use it as ``async with PasswordlessClient(...) as client``; it is safe to share between tasks of one event loop.

    Args:
        domain: The tenant's domain (``acme.eu.auth0.com``) or its URL; plain http on loopback only.
        client_id: The application's identifier.
        client_auth: How the application authenticates itself: :class:`NoClientAuth` for a public client,
            :class:`ClientSecretPost`, :class:`ClientSecretBasic`, :class:`PrivateKeyJwt` or :class:`TlsClientAuth` for
            a confidential one.
        session: A session whose connections are to be used; its cookies, default headers and middlewares are not,
            and it is not closed. One is made and closed unless given.
        profile: How to behave under load and in trouble: :data:`INTERACTIVE`, :data:`BULK`, :data:`TESTING`, or one of
            them with other numbers.
        on_event: Is told what happens, to make metrics of: see :mod:`passwordless_async.client.events`.
        on_orphan: Is given, and awaited where it is a coroutine function, what became of a login or refresh that had
            left when the last one who waited for it was cancelled. Without it the tokens of such a login are revoked.
        nonces: The server's nonces, to share them or to say that they are bound to keys; of this client's own unless
            given.
        store: Where ``client.sessions`` are kept, and what all who have it share: a user's codes, the quota and the
            nonces. In this process, and with nobody, unless given.
        lifetimes: How long they last.
        id_token_algorithms: What ID tokens may be signed with: some of RS256, PS256, ES256 and, for an application
            that authenticates itself with a client secret alone, HS256. Name the one that the application is
            registered with, and no other is taken.

    Raises:
        UsageError: An argument is not of its form.
    """

    def __init__(  # noqa: PLR0913 - what a client is made of, each with its default
        self,
        domain: str,
        client_id: str,
        *,
        client_auth: ClientAuth = NoClientAuth(),  # noqa: B008 - a frozen value
        session: ClientSession | None = None,
        profile: Profile = INTERACTIVE,
        on_event: OnEvent | None = None,
        on_orphan: OnOrphan | None = None,
        nonces: NonceCache | None = None,
        store: Store | None = None,
        lifetimes: Lifetimes = Lifetimes(),  # noqa: B008 - a frozen value
        id_token_algorithms: Iterable[str] = ID_TOKEN_ALGORITHMS,
    ) -> None:
        domain, client_auth = conceal(domain), hide(client_auth)
        nonces = NonceCache() if nonces is None else nonces
        self._tenant = Tenant(Application(domain, client_id, client_auth, id_token_algorithms), nonces)
        _require(profile=(profile, Profile), nonces=(nonces, NonceCache), lifetimes=(lifetimes, Lifetimes))
        _require_store(store)
        _require_hooks(on_event=on_event, on_orphan=on_orphan)
        self._profile = profile
        context = client_auth.context if isinstance(client_auth, TlsClientAuth) else None
        self._transport = Transport(session, timeout=profile.timeout, ssl=context)
        events, own_store = Emitter(on_event), MemoryStore() if store is None else store
        self._shared = Shared.of(own_store, self._tenant, events, alone=store is None)
        nonces_of_peers, quota = self._shared.nonces, self._shared.quota
        self._dispatcher = Dispatcher(
            self._tenant, self._transport, profile, events, peers=nonces_of_peers, peer_quota=quota
        )
        orphans = Orphans(on_orphan, tenant=self._tenant, dispatcher=self._dispatcher, events=events)
        codes = Codes(self._shared.availability, issuer=self.issuer, client_id=client_id, profile=profile)
        self._starts = Starts(self._tenant, self._dispatcher, codes, profile)
        self._logins = Logins(self._tenant, self._dispatcher, codes, orphans, profile, nonces=nonces_of_peers)
        self._refreshes = Refreshes(self._tenant, self._dispatcher, orphans)
        self._handovers = Handovers(self._refreshes)
        self._sessions = Sessions(
            self.issuer,
            client_id,
            store=own_store,
            lifetimes=lifetimes,
            refreshes=self._refreshes,
        )
        self._mfa = MfaClient(self._tenant, self._dispatcher, orphans)
        self._api_nonces = NonceCache()
        self._closing: asyncio.Task[ClosingReport] | None = None

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self, *, grace: float | None = None) -> ClosingReport:
        """Finish what has left, and close the connections; closing twice does nothing.

        What has not left ends at once: whoever waits for it gets :class:`NotSent`. What has left and is not answered
        in time ends with :class:`OutcomeUnknown`.

        Args:
            grace: Seconds for what has left; the profile's unless given.

        Returns:
            What had to be abandoned.
        """
        grace = self._profile.grace if grace is None else _check.at_least_zero("grace", grace)
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(grace))
        # Whoever closes at the same time, or again, waits for the same end.
        return await asyncio.shield(self._closing)

    async def _close(self, grace: float) -> ClosingReport:
        async with asyncio.TaskGroup() as closing:
            calls = closing.create_task(self._dispatcher.drain(grace))
            closing.create_task(self._handovers.aclose(grace=grace))
            closing.create_task(self._sessions.aclose(grace=grace))
            logins = closing.create_task(self._logins.aclose(grace=grace))
            refreshes = closing.create_task(self._refreshes.aclose(grace=grace))
            factors = closing.create_task(self._mfa.aclose(grace=grace))
        await self._dispatcher.aclose()
        await self._shared.aclose(grace=grace)
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
    def sessions(self) -> Sessions:
        """Sessions that are kept in the store, and outlive this process where the store does."""
        return self._sessions

    @property
    def mfa(self) -> MfaClient:
        """What goes on with a login that needs a second factor."""
        return self._mfa

    async def start(
        self,
        who: Email | Phone,
        *,
        send: Send = "code",
        language: str | None = None,
        forwarded_for: IpAddress | None = None,
        captcha: str | None = None,
        auth_params: Mapping[str, str] | None = None,
    ) -> StartReceipt:
        """Ask the service to send a one-time code. The newest code alone is valid: a second start kills the first.

        Args:
            who: The user.
            send: ``code``, or ``link`` for an e-mail that carries a link instead.
            language: The language of the message, a BCP 47 tag.
            forwarded_for: The end user's address, which the service's rate limits then count; for an application
                that authenticates itself, with *Trust Token Endpoint IP Header* switched on.
            captcha: The answer to the captcha, after :class:`VerificationRequired`.
            auth_params: What a link carries: ``redirect_uri``, ``scope``, ``state`` and so on; :meth:`start_link`
                makes them all. Any other name is refused.

        Raises:
            UsageError: An argument is not of its form; nothing was sent.
            CoolingDown: The user was sent a code just now; nothing was sent.
            QuotaExceeded: There is no room in the quota in time; nothing was sent.
            OAuthError: The service refused.
            MalformedAnswer: The answer is not what the protocol allows.
            NotSent: Nothing left this machine.
            OutcomeUnknown: No answer came; a code may be on its way.
        """
        captcha = conceal(captcha)
        call = Call(
            Operation.START,
            lambda: start(
                self._tenant,
                user("who", who),
                send=send,
                language=language,
                forwarded_for=forwarded_for,
                captcha=captcha,
                auth_params=auth_params,
            ),
        )
        return await self._starts.run(who, forwarded_for, call)

    async def start_link(
        self,
        who: Email,
        *,
        redirect_uri: str,
        scope: str | None = None,
        audience: str | None = None,
        key: DPoPKey | None = None,
        language: str | None = None,
        forwarded_for: IpAddress | None = None,
    ) -> PendingLink:
        """Ask the service to send an e-mail with a link that ends at a callback of the application.

        Args:
            who: The user.
            redirect_uri: The callback, registered for the application.
            scope: As for :meth:`exchange`.
            audience: As for :meth:`exchange`.
            key: As for :meth:`exchange`; the link's code is of use with this key alone (RFC 9449 §10).
            language: As for :meth:`start`.
            forwarded_for: As for :meth:`start`.

        Returns:
            What :meth:`exchange_link` needs; keep it with the browser's session, closed to others.

        Raises:
            As :meth:`start`.
        """
        call = Call(
            Operation.START,
            lambda: link.start_link(
                self._tenant,
                who,
                redirect_uri=redirect_uri,
                scope=scope,
                audience=audience,
                key=key,
                language=language,
                forwarded_for=forwarded_for,
            ),
        )
        return await self._starts.run(who, forwarded_for, call)

    async def exchange_link(self, pending: PendingLink, callback_url: str) -> TokenSet:
        """Exchange the code of a link's callback for tokens (RFC 6749 §4.1.3, RFC 7636, RFC 9449 §10).

        Args:
            pending: What :meth:`start_link` gave.
            callback_url: The whole URL that the browser was sent to.

        Raises:
            UsageError: An argument is not of its form; nothing was sent.
            InvalidCallback: The callback is not this login's, or has no code; nothing was sent.
            OAuthError: The callback says that the login failed, or the service refused the code.
            As :meth:`exchange` for the rest.
        """
        callback_url = conceal(callback_url)
        if not isinstance(pending, PendingLink):
            raise UsageError("pending", f"must be a PendingLink, not {type(pending).__name__}")
        return await self._logins.exchange_link(pending, callback_url)

    async def start_database(
        self,
        who: Email | Phone,
        *,
        connection: str,
        allow_signup: bool = False,
        delivery_method: DeliveryMethod = "text",
        forwarded_for: IpAddress | None = None,
    ) -> AuthSession:
        """Ask for a code for a user of a database connection (early access at Auth0).

        Args:
            who: The user.
            connection: The name of the connection.
            allow_signup: Whether a user whom the connection does not know is signed up.
            delivery_method: ``text`` or, for a phone, ``voice``.
            forwarded_for: As for :meth:`start`.

        Returns:
            What to give to :meth:`exchange` in the place of the user.

        Raises:
            As :meth:`start`.
        """
        call = Call(
            Operation.START,
            lambda: start_database(
                self._tenant,
                user("who", who),
                connection=connection,
                allow_signup=allow_signup,
                delivery_method=delivery_method,
                forwarded_for=forwarded_for,
            ),
        )
        return await self._starts.run(who, forwarded_for, call)

    def start_many(
        self,
        starts: Iterable[Start] | AsyncIterable[Start],
        *,
        concurrency: int = 64,
        progress: Callable[[Progress], None] | None = None,
    ) -> AsyncGenerator[StartOutcome, None]:
        """Ask for codes for many users.

        Args:
            starts: The users, read lazily.
            concurrency: As for :meth:`exchange_many`.
            progress: As for :meth:`exchange_many`.

        Returns:
            As :meth:`exchange_many`, with the outcome of each start.

        Raises:
            As :meth:`exchange_many`.
        """
        concurrency = _check.positive("concurrency", concurrency)
        batch = Batch("starts", Start, self._starts.outcome, lambda outcome: outcome.error, _nothing_to_keep)
        return outcomes(batch, starts, concurrency=concurrency, progress=progress)

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
        forwarded_for: IpAddress | None = None,
    ) -> TokenSet:
        """Exchange a code for tokens that are bound to a key (RFC 9449 §5).

        Where the same code of the same user is exchanged twice at once, it is presented once and both get the tokens;
        two codes of one user go one after the other. An exchange that has left when its caller is cancelled ends all
        the same, and its tokens go to ``on_orphan``.

        Args:
            who: The user, exactly as given to :meth:`start`, or what :meth:`start_database` gave.
            otp: The code that the user typed; it is spent once it is sent.
            scope: The scope: ``openid`` for an ID token, ``offline_access`` for a refresh token.
            audience: The identifier of the API that the access token is for.
            resource: The API in place of ``audience``, where the tenant's compatibility profile says so (RFC 8707).
            redirect_uri: A callback URL of the application, for tenants that insist on one.
            max_age: The ID token must say, by ``auth_time``, that the user logged in at most so many seconds ago. The
                grant has no parameter to ask the service for ``auth_time``: this is for a tenant that always gives it.
            key: The key to bind the tokens to; one is made for this login unless given.
            forwarded_for: As for :meth:`start`.

        Returns:
            The tokens, their ID token validated.

        Raises:
            UsageError: An argument is not of its form; nothing was sent.
            OAuthError: The service refused: :class:`WrongCode`, :class:`CodeExpired`, :class:`MfaRequired` and so on.
            NotSenderConstrained: The tokens that came back are not bound to the key; they were thrown away.
            InvalidIdToken: The ID token failed a check; the tokens were thrown away.
            MalformedAnswer: The answer is not what the protocol allows.
            QuotaExceeded: There is no room in the quota in time; nothing was sent.
            NotSent: Nothing of the login left this machine.
            OutcomeUnknown: The code left and no usable answer came: it may be spent.
        """
        otp, key = conceal(otp), hide(key)
        login = Login(
            who,
            otp,
            scope=scope,
            audience=audience,
            resource=resource,
            redirect_uri=redirect_uri,
            max_age=max_age,
            key=key,
        )
        return await self._logins.exchange(login, forwarded_for=forwarded_for)

    def exchange_many(
        self,
        logins: Iterable[Login] | AsyncIterable[Login],
        *,
        concurrency: int = 256,
        progress: Callable[[Progress], None] | None = None,
    ) -> AsyncGenerator[Outcome, None]:
        """Exchange many codes at once, as patiently as the profile says for ``many``.

        Args:
            logins: The logins, read lazily.
            concurrency: How many may be in flight at once, or finished and not yet taken.
            progress: Is told how far it has come, after each outcome that was taken.

        Returns:
            An outcome for each login, in order of completion. A login that fails is an outcome with an error.
            Leave the loop early with ``contextlib.aclosing``, and everything in flight has ended when it is left: what
            had not left is not sent, and what had ends, its tokens given to ``on_orphan``.

        Raises:
            UsageError: ``concurrency`` is below 1, or ``logins`` holds something else than logins.
        """
        concurrency = _check.positive("concurrency", concurrency)
        batch = Batch("logins", Login, self._logins.outcome, lambda outcome: outcome.error, self._logins.untaken)
        return outcomes(batch, logins, concurrency=concurrency, progress=progress)

    async def refresh(self, tokens: TokenSet, *, scope: str | None = None) -> TokenSet:
        """Spend a refresh token for new tokens, bound to the same key (RFC 6749 §6, RFC 9449 §5).

        All who ask at once with the same refresh token, and those who come with it up to half a minute later, get the
        tokens of one request; a caller that is cancelled disturbs neither the request nor the others.

        Args:
            tokens: The tokens; keep what comes back in their place, for their refresh token may be spent.
            scope: A narrower scope; the granted one unless given.

        Raises:
            UsageError: The tokens are another tenant's or application's, or have no refresh token; nothing was sent.
            KeyMissing: Their key was stripped; nothing was sent.
            KeyMismatch: Their key is not the one they are bound to; nothing was sent.
            InvalidRefreshToken: The refresh token is unknown, expired, revoked or was used before: log in again.
            OAuthError: The service refused for another reason.
            ProtocolError: The answer must not be trusted.
            NotSent: Nothing left this machine.
            OutcomeUnknown: The refresh token left and no usable answer came: it may be spent.
        """
        return await self._refreshes.refresh(tokens, scope=scope)

    async def revoke(self, tokens: TokenSet) -> None:
        """Revoke the refresh token and, at the service, the session that it stands for: the logout (RFC 7009).

        Raises:
            UsageError: The tokens are another tenant's or application's, or have no refresh token; nothing was sent.
            OAuthError: The service refused.
            MalformedAnswer: The answer is not what the protocol allows.
            NotSent: Nothing left this machine.
            OutcomeUnknown: No answer came.
        """
        await self._refreshes.revoke(tokens)

    async def userinfo(self, tokens: TokenSet) -> Mapping[str, Any]:
        """Ask the service for the user's claims (OpenID Connect Core §5.3).

        Raises:
            UsageError: The tokens are another tenant's or application's; nothing was sent.
            KeyMissing: Their key was stripped; nothing was sent.
            KeyMismatch: Their key is not the one they are bound to; nothing was sent.
            InvalidToken: The access token is expired or revoked.
            OAuthError: The service refused for another reason.
            MalformedAnswer: The answer is not what the protocol allows, or is about another user.
            NotSent: Nothing left this machine.
            OutcomeUnknown: No answer came.
        """
        call = Call(Operation.USERINFO, lambda: life_cycle.userinfo(self._tenant, tokens), is_proven=True)
        return await self._dispatcher.run(call)

    def session(self, tokens: TokenSet, *, origins: Iterable[str], on_refresh: OnRefresh | None = None) -> UserSession:
        """Make a session that calls APIs for one user and refreshes the tokens on its own.

        Args:
            tokens: The user's tokens.
            origins: The origins that the access token is for, for example ``["https://api.example"]``.
            on_refresh: Called, and awaited where it is a coroutine function, with each new token set exactly once.
                Without it nothing is refreshed: nobody would keep the new refresh token.

        Raises:
            UsageError: The tokens are another tenant's or application's or not bound, an origin is not one, or the
                client is not open.
            KeyMissing: Their key was stripped.
            KeyMismatch: Their key is not the one they are bound to.
        """
        own_key(self._tenant, tokens)
        return UserSession(
            tokens,
            http=self._transport.api,
            origins=origins,
            handovers=self._handovers,
            on_refresh=on_refresh,
            nonces=self._api_nonces,
        )

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

        The URL's origin is the one that the token is sent to; it does not follow a redirect to another.

        Args:
            tokens: The user's tokens.
            method: The method.
            url: The absolute URL.
            on_refresh: As for :meth:`session`.
            **parameters: As for :meth:`aiohttp.ClientSession.request`.

        Raises:
            UsageError: The URL is not absolute, or as for :meth:`session`.
            PasswordlessError: The tokens could not be refreshed, or a nonce challenge not be answered.
            aiohttp.ClientError: The call itself failed.
        """
        return self.session(tokens, origins=[origin_of(url)], on_refresh=on_refresh).request(method, url, **parameters)

    def __repr__(self) -> str:
        application = self._tenant.application
        return f"<PasswordlessClient {application.client_id} at {application.origin}>"


def _require(**arguments: tuple[object, type]) -> None:
    for name, (value, kind) in arguments.items():
        if not isinstance(value, kind):
            raise UsageError(name, f"must be a {kind.__name__}, not {type(value).__name__}")


def _require_store(store: object) -> None:
    if store is not None and not isinstance(getattr(store, "keys", None), KeyRing):
        raise UsageError("store", f"must be a MemoryStore or another Store, not {type(store).__name__}")


def _require_hooks(**hooks: object) -> None:
    for name, hook in hooks.items():
        if hook is not None and not callable(hook):
            raise UsageError(name, f"must be a function, not {type(hook).__name__}")
    if inspect.iscoroutinefunction(hooks["on_event"]):
        raise UsageError("on_event", "must be a plain function: nobody waits for it")


async def _nothing_to_keep(_outcome: StartOutcome) -> None:
    return None
