"""Which outbound proxy a request goes through.

Invariants:

- The client's ``proxy`` has priority, then the proxy of the application's session, then that of the environment, which
  is read only if the session has ``trust_env``.
- Plain http uses no proxy: it is only for this machine, and a proxy would see the secrets in the clear.
- A proxy's credentials are secrets: they are removed from its URL at once.
"""

from __future__ import annotations

import base64
import urllib.request
from typing import Self

import attrs
from yarl import URL

from passwordless_async._common import arguments as _check
from passwordless_async._common.bounded import Bounded
from passwordless_async._common.secret import Secret, conceal, redacted
from passwordless_async.errors import UsageError

_MAX_URL = 2048  # characters
_MAX_HOSTS = 256  # that a proxy is remembered for


@attrs.frozen
class Proxy:
    """A proxy: its URL, and the header field with its credentials, if it has any."""

    url: URL
    credentials: Secret | None = attrs.field(default=None, repr=redacted)

    @classmethod
    def parse(cls, argument: str, value: object) -> Self:
        """Read a proxy's URL; anything but an http or https URL with a host raises :class:`UsageError`."""
        proxy = cls._of_text(_check.printable(argument, conceal(value), at_most=_MAX_URL))
        if proxy is None:
            # Without the value: it may have credentials.
            raise UsageError(
                argument, "must be the URL of an http or https proxy, such as 'http://proxy.internal:3128'"
            )
        return proxy

    @classmethod
    def _of_text(cls, text: str) -> Self | None:
        # Nothing may raise in this frame: the repr of the URL shows its password.
        try:
            url = URL(text)
        except ValueError:
            return None
        if url.scheme not in {"http", "https"} or not url.host or url.path not in {"", "/"} or url.query_string:
            return None
        return cls(url.origin(), _credentials(url.user, url.password))


def _credentials(user: str | None, password: str | None) -> Secret | None:
    if not user and not password:
        return None
    pair = f"{user or ''}:{password or ''}".encode()
    return Secret(f"Basic {base64.b64encode(pair).decode()}")


def _lent_credentials(session: object) -> Secret | None:
    auth = getattr(session, "_default_proxy_auth", None)
    return None if auth is None else _credentials(auth.login, auth.password)


@attrs.define(eq=False)
class Proxies:
    """The proxies of a client; kept for its lifetime. ``fixed`` counts before ``by_environment``."""

    fixed: Proxy | None = None
    by_environment: bool = False
    _known: Bounded[tuple[str, int | None], Proxy | None] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._known = Bounded(_MAX_HOSTS)

    @classmethod
    def of(cls, proxy: object, session: object) -> Proxies:
        """Return the proxies of a client with a ``proxy`` or an aiohttp session; raises ``UsageError``."""
        if proxy is not None:
            return cls(Proxy.parse("proxy", proxy))
        # aiohttp has no public names for a session's own proxy.
        if getattr(session, "_default_proxy", None) is not None:
            lent = Proxy.parse("session", Secret(vars(session)["_default_proxy"]))
            credentials = lent.credentials or _lent_credentials(session)
            return cls(attrs.evolve(lent, credentials=credentials))
        return cls(by_environment=True) if getattr(session, "trust_env", False) else NO_PROXIES

    def of_url(self, url: URL) -> Proxy | None:
        """Return the proxy that a request for a URL goes through."""
        if url.scheme not in {"https", "wss"}:
            return None
        if self.fixed is not None or not self.by_environment:
            return self.fixed
        place = url.host or "", url.port
        if place not in self._known:
            self._known[place] = _of_environment(*place)
        return self._known[place]


NO_PROXIES = Proxies()


def _of_environment(host: str, port: int | None) -> Proxy | None:
    named = urllib.request.getproxies().get("https")
    if not named or urllib.request.proxy_bypass(f"{host}:{port}"):
        return None
    return Proxy.parse("HTTPS_PROXY", Secret(named if "://" in named else f"http://{named}"))
