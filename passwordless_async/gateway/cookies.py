"""The gateway's cookies: the session's identifier, the login under way, and the language that the user chose.

Invariants:

- Over https a cookie has the prefix ``__Host-``: no other host, and no page over http, can set or shadow it
  (RFC 6265bis §4.1.3.2). Plain http is for loopback, where browsers refuse that prefix.
- All are ``HttpOnly`` and ``SameSite=Lax``. The login's is sealed with the store's keys and bound to this deployment.
- What is set fits into the 4096 bytes that browsers keep (RFC 6265bis §5.6); a longer one would be lost in silence.
- A cookie that comes twice, is too long, was changed, belongs elsewhere or has ended counts as none.
- A login's cookie that this process has sealed or unsealed is known by its whole text: it is not unsealed again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from passwordless_async._common import sealing
from passwordless_async._common.bounded import Bounded
from passwordless_async._common.secret import Secret
from passwordless_async.errors import BrokenSeal, UsageError
from passwordless_async.gateway.replies import Keep
from passwordless_async.gateway.state import LoginState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from multidict import CIMultiDictProxy

    from passwordless_async.gateway.replies import Reply

_MAX_COOKIE_CHARACTERS = 16_384  # of all Cookie fields together that have a name in question
_MAX_KNOWN = 1024  # cookies of logins under way, of some 2 KB each; the one longest unused makes room
_LANGUAGE_SECONDS = 365 * 86_400
_ATTRIBUTES: Final = "Path=/; HttpOnly; SameSite=Lax"
_TYPE = "gateway-login+jwe"


@attrs.frozen
class Cookies:
    """Reads and writes the cookies of one deployment.

    Args:
        keys: Seals the login's cookie.
        deployment: What the login's cookie is bound to: the tenant, the application and the site.
        secure: Whether the site is https.
    """

    keys: sealing.Ring = attrs.field(repr=False)
    deployment: str
    secure: bool
    _known: Bounded[str, LoginState] = attrs.field(
        init=False, repr=False, eq=False, factory=lambda: Bounded(_MAX_KNOWN)
    )

    @property
    def session_name(self) -> str:
        """The name of the session's cookie."""
        return self._named("session")

    @property
    def login_name(self) -> str:
        """The name of the login's cookie."""
        return self._named("login")

    @property
    def language_name(self) -> str:
        """The name of the language's cookie."""
        return self._named("language")

    def _named(self, name: str) -> str:
        return f"__Host-{name}" if self.secure else name

    def session_of(self, headers: CIMultiDictProxy[str]) -> Secret | None:
        """Return the identifier of the browser's session; None if it has none."""
        return _value(headers, self.session_name)

    def language_of(self, headers: CIMultiDictProxy[str]) -> str | None:
        """Return the language that the user chose; None if they chose none. It may be one that there is not."""
        return _value(headers, self.language_name)

    def language(self, tag: str) -> tuple[str, str]:
        """Return the ``Set-Cookie`` field that remembers a language."""
        return self._set(self.language_name, tag, _LANGUAGE_SECONDS)

    def has_login(self, headers: CIMultiDictProxy[str]) -> bool:
        """Return whether the browser has a login's cookie, valid or not."""
        return _value(headers, self.login_name) is not None

    def login_of(self, headers: CIMultiDictProxy[str], now: float) -> LoginState | None:
        """Return the browser's login under way; None if it has none, or it has ended."""
        sealed = _value(headers, self.login_name)
        if sealed is None:
            return None
        state = self._known.get(sealed) or self._unsealed(sealed)
        return state if state is not None and now < state.expires_at else None

    def _unsealed(self, sealed: Secret) -> LoginState | None:
        try:
            members = sealing.unseal_members(sealed, self.keys, _TYPE)
        except (BrokenSeal, UsageError):
            return None
        if members.pop("deployment", None) != self.deployment:
            return None
        state = LoginState.from_members(members)
        if state is not None:
            self._known[sealed] = state
        return state

    def _sealed(self, state: LoginState) -> Secret:
        sealed = Secret(sealing.seal_members(state.members(deployment=self.deployment), self.keys, _TYPE))
        self._known[sealed] = state
        return sealed

    def written(
        self, reply: Reply, *, login: LoginState | None = None, had_login: bool, had_session: bool, now: float
    ) -> Iterator[tuple[str, str]]:
        """Yield the ``Set-Cookie`` fields of a reply; ``login`` is the browser's, as it came."""
        # A login that is as it was is not sealed again: its cookie ends when it did.
        if isinstance(reply.login, LoginState) and reply.login != login:
            seconds = max(int(reply.login.expires_at - now), 0)
            yield self._set(self.login_name, self._sealed(reply.login), seconds)
        elif reply.login is None and had_login:
            yield self._set(self.login_name, "", 0)
        yield from self._session(reply, had_session=had_session)

    def _session(self, reply: Reply, *, had_session: bool) -> Iterator[tuple[str, str]]:
        if isinstance(reply.session, Secret):
            lasts = None if reply.session_seconds is None else int(reply.session_seconds)
            yield self._set(self.session_name, reply.session, lasts)
        elif not isinstance(reply.session, Keep) and had_session:
            yield self._set(self.session_name, "", 0)

    def _set(self, name: str, value: str, seconds: int | None) -> tuple[str, str]:
        lasts = "" if seconds is None else f"; Max-Age={seconds}"
        return "Set-Cookie", f"{name}={value}; {_ATTRIBUTES}{'; Secure' if self.secure else ''}{lasts}"


def _value(headers: CIMultiDictProxy[str], name: str) -> Secret | None:
    fields = [field for field in headers.getall("Cookie", ()) if name in field]
    if not fields or sum(map(len, fields)) > _MAX_COOKIE_CHARACTERS:
        return None
    found = [value for key, value in _pairs(fields) if key == name and value]
    return Secret(found[0]) if len(found) == 1 else None


def _pairs(fields: Iterable[str]) -> Iterator[tuple[str, str]]:
    for field in fields:
        for pair in field.split(";"):
            key, equals, value = pair.strip().partition("=")
            if equals:
                yield key, value.strip('"')
