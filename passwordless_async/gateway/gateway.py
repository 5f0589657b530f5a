"""The gateway: an application creates one, and mounts it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from passwordless_async._common import arguments as _check
from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import always_printable
from passwordless_async.client.client import PasswordlessClient
from passwordless_async.gateway import mounts
from passwordless_async.gateway.budgets import Budgets, Sms
from passwordless_async.gateway.cookies import Cookies
from passwordless_async.gateway.handling import Handler
from passwordless_async.gateway.hooks import Hooks
from passwordless_async.gateway.ledger import Ledger
from passwordless_async.gateway.pages.renderer import Pages
from passwordless_async.gateway.proxy.forwarding import Forwarding
from passwordless_async.gateway.proxy.upstream import Upstream, checked_upstreams
from passwordless_async.gateway.proxy_handling import ProxyHandler
from passwordless_async.gateway.routes import RESERVED
from passwordless_async.gateway.services import Services
from passwordless_async.gateway.settings import KINDS, Settings
from passwordless_async.gateway.users import CurrentUser, UserOf, Users

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from aiohttp.web import Application as WebApplication
    from yarl import URL

    from passwordless_async.gateway.audit import OnAudit
    from passwordless_async.gateway.captcha import Captcha
    from passwordless_async.gateway.hooks import AfterLogin, BeforeEnd, BeforeStart
    from passwordless_async.gateway.messages import Request, Response
    from passwordless_async.gateway.mounts.asgi import ASGIGateway
    from passwordless_async.gateway.texts.catalogs import Texts

_BUDGETS, _SMS = Budgets(), Sms()


@always_printable
class Gateway:
    """Login pages and sessions for browsers. Create one for the lifetime of the application, within its client.

    Args:
        client: Logs users in, and keeps their sessions in its store.
        base_url: The site's origin, as browsers see it: ``https://app.example``; plain http on loopback only. Forms are
            accepted from its pages only (``Origin``), links by e-mail lead to it, and cookies are bound to it.
        scope: The scope of logins; it must contain ``openid``.
        audience: The API that the access tokens are for.
        upstreams: The services behind the gateway, several or one: each call gets the user's token and a proof.
        identifiers: What users log in with: ``email``, ``phone``, or a list of both.
        magic_link: Whether users may choose a link by e-mail instead of a code. It leads to ``/link`` below the mount,
            which must be among the application's Allowed Callback URLs, and logs in only the browser that asked for it.
        captcha: The widget to show if the tenant's bot detection requires a captcha.
        return_to: The path prefixes that a login may return to, several or one; otherwise it returns to ``home``.
        home: The path of your application's home page, such as ``/``. A login that names no path to return to ends
            there, and *Back* and the page after a logout link to it. None: the gateway's own home page.
        trusted_proxies: The number of your proxies that a request passes.
        budgets: How many codes one address and one user may request and guess per hour.
        sms: Which phones may get codes, and how many: list the calling codes of your users.
        session_for: Seconds that a session lasts if the user does not ask to stay logged in. None: as long as the
            client's sessions last (``lifetimes``), which no session exceeds.
        remember_for: Seconds that the session and its cookie last if the user asks to stay logged in; None: the page
            does not offer it.
        max_sessions: The maximum number of sessions per user: a further login ends the oldest. None: any number.
        brand: The name at the top of each page.
        texts: The texts, to change them or to add languages.
        templates: A folder with templates that replace the built-in ones of the same name.
        css: A style sheet to add to the built-in one.
        on_audit: A function, or several, that get an :class:`AuditEvent` for each login and each change of a session,
            for example :class:`JsonLines`. They must not block.
        before_start: A function, async or not, that is called before a code is sent; it refuses by raising
            :class:`Refused`. One that is not async must not block, in each of these hooks.
        after_login: A function, async or not, that is called with each new session; if it raises :class:`Refused`, the
            session ends.
        before_end: A function, async or not, that is called before a user ends sessions; it refuses by raising
            :class:`Refused`.
        clock: The wall clock, which only tests replace: seconds since the UNIX epoch. It dates pending logins, cookies
            and audit events, and step-up compares it with the time of the login. Sessions do not follow it: they are
            opened, and end, by the machine's clock. To test a step-up, add ``ClaimFault.ID_TOKEN_OF_AN_OLD_LOGIN`` to
            the local tenant instead.

    Raises:
        UsageError: An argument has a wrong type or value.
    """

    def __init__(  # noqa: PLR0913 - what a gateway is made of, each with its default
        self,
        client: PasswordlessClient,
        *,
        base_url: str | URL,
        scope: str = "openid profile email offline_access",
        audience: str | None = None,
        upstreams: Iterable[Upstream] = (),
        identifiers: Iterable[str] = KINDS,
        magic_link: bool = False,
        captcha: Captcha | None = None,
        return_to: Iterable[str] = ("/",),
        home: str | None = None,
        trusted_proxies: int = 0,
        budgets: Budgets = _BUDGETS,
        sms: Sms = _SMS,
        session_for: float | None = None,
        remember_for: float | None = None,
        max_sessions: int | None = None,
        brand: str = "",
        texts: Texts | None = None,
        templates: str | None = None,
        css: str | None = None,
        on_audit: OnAudit | Sequence[OnAudit] | None = None,
        before_start: BeforeStart | None = None,
        after_login: AfterLogin | None = None,
        before_end: BeforeEnd | None = None,
        clock: Callable[[], float] = _clock.now,
    ) -> None:
        users = {"identifiers": identifiers, "magic_link": magic_link, "return_to": return_to}
        users |= {"home": home, "captcha": captcha, "trusted_proxies": trusted_proxies}
        lasting = {"session_for": session_for, "remember_for": remember_for, "max_sessions": max_sessions}
        more: dict[str, Any] = {**users, **lasting, "budgets": budgets, "sms": sms}
        settings = Settings(base_url=base_url, scope=scope, audience=audience, **more)
        hooks = Hooks(before_start=before_start, after_login=after_login, before_end=before_end)
        services = _services(client, settings, hooks, on_audit, clock)
        pages = Pages(texts=texts, brand=brand, templates=templates, css=css, home=settings.home)
        self._settings, self._users = settings, Users(client.sessions, cookies := _cookies(services))
        self._handler = Handler(services, cookies, pages)
        self._proxy = _proxy_handler(services, cookies, upstreams, self._handler)

    @property
    def current_user(self) -> UserOf[CurrentUser | None]:
        """Returns the user of a request, by the session cookie; None if no user is logged in.

        ``await gateway.current_user(request)`` in Starlette, aiohttp.web and others;
        ``user: Annotated[CurrentUser | None, Depends(gateway.current_user)]`` in FastAPI.
        """
        return UserOf(self._users.find)

    @property
    def required_user(self) -> UserOf[CurrentUser]:
        """As :attr:`current_user`, but raises the framework's own 401 if no user is logged in.

        That is ``HTTPException`` in Starlette and FastAPI, and ``HTTPUnauthorized`` in aiohttp.web. In every other
        framework it is :class:`~passwordless_async.InvalidSession`, which an error handler answers 401.
        """
        return UserOf(self._users.require)

    async def handle(self, request: Request) -> Response:
        """Answer a request to the gateway's own routes; for adapters to other frameworks."""
        return await self._handler.handle(request)

    def asgi(self) -> ASGIGateway:
        """Return an ASGI application to mount: ``app.mount("/auth", gateway.asgi())``."""
        return mounts.ASGIGateway(self.handle, self._proxy)

    def aiohttp(self) -> WebApplication:
        """Return an application of aiohttp.web to mount: ``app.add_subapp("/auth", gateway.aiohttp())``."""
        return mounts.application(self.handle, self._proxy)

    async def aclose(self) -> None:
        """Close the connections to the upstreams, which the client does too; the next call opens others."""
        if self._proxy is not None:
            await self._proxy.aclose()

    def __repr__(self) -> str:
        return f"<Gateway for {self._settings.base_url}>"


def _services(
    client: PasswordlessClient,
    settings: Settings,
    hooks: Hooks,
    on_audit: OnAudit | Sequence[OnAudit] | None,
    clock: Callable[[], float],
) -> Services:
    """Return what the steps share."""
    _check.instance("client", client, PasswordlessClient, named="a PasswordlessClient")
    sinks = _check.plain_functions("on_audit", on_audit)
    keys, is_behind_proxies = client.sessions.keys, settings.trusted_proxies > 0
    ledger = Ledger.of(client, settings.budgets, settings.sms, is_behind_proxies=is_behind_proxies)
    return Services(
        client=client, settings=settings, keys=keys, ledger=ledger, hooks=hooks, on_audit=sinks, clock=clock
    )


def _cookies(services: Services) -> Cookies:
    client, settings = services.client, services.settings
    deployment = f"{client.issuer} {client.client_id} {settings.base_url}"
    return Cookies(services.keys, deployment, settings.secure)


def _proxy_handler(
    services: Services, cookies: Cookies, upstreams: Iterable[Upstream], handler: Handler
) -> ProxyHandler | None:
    """Return what handles calls to upstreams; None without upstreams."""
    client, settings = services.client, services.settings
    usable = checked_upstreams(upstreams, audience=settings.audience, reserved=RESERVED)
    if not usable:
        return None
    forwarding = Forwarding(client, settings, cookies, usable, services.clock)
    return ProxyHandler(forwarding, handler, RESERVED, str(settings.base_url))
