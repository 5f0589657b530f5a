"""The current user, for the application's own handlers: in FastAPI, Starlette, aiohttp.web and other frameworks."""

from __future__ import annotations

import inspect
import sys
from http import HTTPStatus
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import attrs
from multidict import CIMultiDict, CIMultiDictProxy

from passwordless_async._common.secret import Secret, redacted
from passwordless_async.errors import BrokenSeal, InvalidSession
from passwordless_async.gateway.demands import login_time

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from passwordless_async.client.sessions.sessions import Sessions
    from passwordless_async.client.sessions.values import StoredSession
    from passwordless_async.gateway.cookies import Cookies

U_co = TypeVar("U_co", covariant=True)


class Connection(Protocol):
    """A request, or a WebSocket, of a framework: Starlette, FastAPI, aiohttp.web, Quart, Django, and others."""

    @property
    def headers(self) -> object:
        """The header fields: a mapping with ``items()``."""


@attrs.frozen(kw_only=True)
class CurrentUser:
    """A user who is logged in.

    Attributes:
        user: The account: the ``sub`` of the ID token.
        claims: The claims of the ID token that the session was opened with; read-only. A user who logged in by phone
            has no ``email``.
        data: The application's own data of the session, with the browser's device; read-only. Change it with
            ``client.sessions.update(user.identifier, data=…)``.
        name: The session's public name, which opens nothing.
        logged_in_at: When the user last proved who they are, by a login or a step-up: seconds since the UNIX epoch. It
            is the claim ``auth_time`` of the tokens (OpenID Connect Core 1.0 §2), or the time at which the session was
            opened if there is none; a refresh does not change it. Compare it with ``time.time()``, and send the user to
            ``/auth/step-up`` if the login is too old.
        identifier: The session's identifier, for ``client.sessions.api(user.identifier, origins=[…])``.
    """

    user: str = attrs.field(repr=redacted)
    claims: Mapping[str, Any] = attrs.field(repr=redacted)
    data: Mapping[str, Any] = attrs.field(repr=redacted)
    name: str
    logged_in_at: float
    identifier: Secret = attrs.field(repr=redacted)

    @classmethod
    def of(cls, session: StoredSession) -> CurrentUser:
        """Return the user of a session."""
        return cls(
            user=session.user,
            claims=session.tokens.claims or {},
            data=session.data,
            name=session.name,
            logged_in_at=login_time(session),
            identifier=session.id,
        )


class UserOf(Generic[U_co]):
    """Returns a request's user: ``await gateway.current_user(request)``, in FastAPI ``Depends(gateway.current_user)``.

    It raises ``StoreUnavailable`` if the store is unreachable.
    """

    def __init__(self, find: Callable[[Connection], Awaitable[U_co]]) -> None:
        self._find = find

    @property
    def __signature__(self) -> inspect.Signature:
        """The signature, which tells FastAPI to pass the request."""
        try:
            annotation: Any = import_module("starlette.requests").HTTPConnection
        except ModuleNotFoundError:
            annotation = Connection
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        return inspect.Signature([inspect.Parameter("connection", kind, annotation=annotation)])

    async def __call__(self, connection: Connection) -> U_co:
        """Return the user of a request."""
        return await self._find(connection)


@attrs.frozen
class Users:
    """Finds users by their session's cookie."""

    _sessions: Sessions
    _cookies: Cookies

    async def find(self, connection: Connection) -> CurrentUser | None:
        """Return the user of a request; None if they are not logged in."""
        headers: Any = connection.headers  # by its items, of each framework's own type
        fields = CIMultiDict([(name, value) for name, value in headers.items() if name.lower() == "cookie"])
        identifier = self._cookies.session_of(CIMultiDictProxy(fields))
        if identifier is None:
            return None
        try:
            return CurrentUser.of(await self._sessions.get(identifier))
        except (InvalidSession, BrokenSeal):
            return None

    async def require(self, connection: Connection) -> CurrentUser:
        """Return the user of a request; raise the framework's own 401, or InvalidSession, if they are not logged in."""
        user = await self.find(connection)
        if user is None:
            raise _unauthorized(connection)
        return user


# The class of a framework's requests and WebSockets, and its exception for a response with a status.
_FRAMEWORKS = (
    (("starlette.requests", "HTTPConnection"), ("starlette.exceptions", "HTTPException"), (HTTPStatus.UNAUTHORIZED,)),
    (("aiohttp.web_request", "BaseRequest"), ("aiohttp.web_exceptions", "HTTPUnauthorized"), ()),
)


def _unauthorized(connection: Connection) -> Exception:
    for (module, name), (raised_from, raised), arguments in _FRAMEWORKS:
        # If its module is not imported, the request is not of that framework.
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None and isinstance(connection, kind):
            error: Exception = getattr(import_module(raised_from), raised)(*arguments)
            return error
    return InvalidSession("the request has no session, or one that has ended")
