"""The gateway's cookies: the session's identifier, the pending login, and the language that the user chose.

Invariants:

- Over https a cookie has the prefix ``__Host-``: no other host, and no page over http, can set or shadow it
  (RFC 6265bis §4.1.3.2). Plain http is for loopback, where browsers refuse that prefix.
- All are ``HttpOnly`` and ``SameSite=Lax``. The login's cookie is sealed with the store's keys and bound to this
  deployment.
- Each cookie fits into the 4096 bytes that browsers keep (RFC 6265bis §5.6); they silently drop a longer one. A login
  with a second factor may be longer, because it has tokens of the service: it is split, and valid only as a whole.
- All cookies share one header field, of which common servers read 8 KB: if a login needs three cookies, its
  ``return_to`` is dropped first.
- A cookie that is duplicated, too long, changed, of another deployment or expired counts as none.
- The process caches logins by the whole text of their cookie, so it does not unseal a cookie again.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Final

import attrs

from passwordless_async._common import sealing
from passwordless_async._common.bounded import Bounded
from passwordless_async._common.secret import Secret
from passwordless_async.errors import BrokenSeal, UsageError
from passwordless_async.gateway.replies import Keep
from passwordless_async.gateway.state import LoginState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from multidict import CIMultiDictProxy

    from passwordless_async.gateway.replies import Reply

_MAX_COOKIE_CHARACTERS = 16_384  # of all Cookie fields with one of our names, together
_MAX_KNOWN = 1024  # cookies of pending logins, about 2 KB each; the least recently used is evicted
_LANGUAGE_SECONDS = 365 * 86_400
_ATTRIBUTES: Final = "Path=/; HttpOnly; SameSite=Lax"
_TYPE = "gateway-login+jwe"
_MAX_VALUE = 3900  # characters: with name and attributes below 4096
_MAX_PARTS = 4  # that a login is read from
_WANTED_PARTS = 2
_NUMBERS = frozenset(map(str, range(2, _MAX_PARTS + 1)))
_COUNT = "~"  # follows the number of parts in the first one; no sealed text has it
# RFC 9110 §5.6.3. A name that begins with another blank, such as U+2000, has no prefix for browsers: any host may set
# it.
_BLANKS = " \t"


@attrs.frozen
class Cookies:
    """Reads and writes the cookies of one deployment.

    Args:
        keys: Seals the login's cookie.
        deployment: The deployment that the login's cookie is bound to: the tenant, the application and the site.
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
        return self._full_name("session")

    @property
    def login_names(self) -> tuple[str, ...]:
        """The names of the login's cookie: the first, and those of its further parts."""
        name = self._full_name("login")
        return (name, *(f"{name}-{number}" for number in range(2, _MAX_PARTS + 1)))

    @property
    def language_name(self) -> str:
        """The name of the language's cookie."""
        return self._full_name("language")

    def _full_name(self, name: str) -> str:
        return f"__Host-{name}" if self.secure else name

    def session_of(self, headers: CIMultiDictProxy[str]) -> Secret | None:
        """Return the identifier of the browser's session; None if it has none."""
        return _value(headers, self.session_name)

    def language_of(self, headers: CIMultiDictProxy[str]) -> str | None:
        """Return the language that the user chose; None if they chose none. It may be one that does not exist."""
        return _value(headers, self.language_name)

    def language(self, tag: str) -> tuple[str, str]:
        """Return the ``Set-Cookie`` field that remembers a language."""
        return self._set(self.language_name, tag, _LANGUAGE_SECONDS)

    def _logins_in(self, headers: CIMultiDictProxy[str]) -> tuple[str, ...]:
        """Return the names of the login's cookies that the browser has, valid or not."""
        return tuple(name for name in self.login_names if _value(headers, name) is not None)

    def _sealed_login(self, headers: CIMultiDictProxy[str]) -> Secret | None:
        """Return the login's cookie as a whole; None if the browser has none, or not all of it."""
        first = _value(headers, self.login_names[0])
        if first is None or _COUNT not in first:
            return first
        number, _, begin = first.partition(_COUNT)
        names = self.login_names[1 : int(number)] if number in _NUMBERS else ()
        parts = [begin, *takewhile(lambda part: part is not None, (_value(headers, name) for name in names))]
        return Secret("".join(map(str, parts)))

    def login_of(self, headers: CIMultiDictProxy[str], now: float) -> LoginState | None:
        """Return the browser's pending login; None if it has none, or it has ended."""
        sealed = self._sealed_login(headers)
        if sealed is None:
            return None
        state = self._known.get(sealed) or self._unseal(sealed)
        return state if state is not None and now < state.expires_at else None

    def _unseal(self, sealed: Secret) -> LoginState | None:
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

    def _seal(self, state: LoginState) -> Secret:
        sealed = Secret(sealing.seal_members(state.members(deployment=self.deployment), self.keys, _TYPE))
        self._known[sealed] = state
        return sealed

    def set_cookie_fields(
        self,
        reply: Reply,
        *,
        headers: CIMultiDictProxy[str],
        login: LoginState | None = None,
        had_session: bool,
        now: float,
    ) -> Iterator[tuple[str, str]]:
        """Yield the ``Set-Cookie`` fields of a reply; ``login`` is the browser's, as it came with its header fields."""
        # An unchanged login is not sealed again: its cookie expires as before.
        if isinstance(reply.login, LoginState) and reply.login != login:
            yield from self._login(reply.login, headers, now)
        elif reply.login is None:
            yield from (self._set(name, "", 0) for name in self._logins_in(headers))
        yield from self._session(reply, had_session=had_session)

    def _login(self, login: LoginState, headers: CIMultiDictProxy[str], now: float) -> Iterator[tuple[str, str]]:
        parts, seconds = self._parts(login), max(int(login.expires_at - now), 0)
        yield from (self._set(name, part, seconds) for name, part in parts.items())
        yield from (self._set(name, "", 0) for name in self._logins_in(headers) if name not in parts)

    def _parts(self, login: LoginState) -> Mapping[str, str]:
        """Return the login's cookies, by their names."""
        sealed = self._seal(login)
        number = -(-len(sealed) // _MAX_VALUE)
        if number > _WANTED_PARTS and login.return_to is not None:
            return self._parts(attrs.evolve(login, return_to=None))
        parts = [sealed[at : at + _MAX_VALUE] for at in range(0, len(sealed), _MAX_VALUE)]
        if number > 1:
            parts[0] = Secret(f"{number}{_COUNT}{parts[0]}")
        return dict(zip(self.login_names, parts, strict=False))

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
            key, equals, value = pair.strip(_BLANKS).partition("=")
            if equals:
                yield key, value.strip('"')
