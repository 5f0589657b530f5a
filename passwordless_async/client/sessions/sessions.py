"""The stored sessions of a client: opening, reading, refreshing, listing and closing them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async._common.secret import Secret, SecretDict, conceal, conceal_mapping, hide
from passwordless_async.auth0.identity import Login, recipient
from passwordless_async.auth0.tokens import TokenSet
from passwordless_async.client.sessions.opening import Opening, Openings
from passwordless_async.client.sessions.records import SessionRecords, Wanted, place_of
from passwordless_async.client.sessions.refreshing import SessionRefreshes
from passwordless_async.client.traffic.single_flight import Departure, SingleFlight
from passwordless_async.errors import BrokenSeal, InvalidSession, PasswordlessError, StoreUnavailable, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from passwordless_async._common.user_address import IpAddress
    from passwordless_async.auth0.identity import Recipient
    from passwordless_async.client.api.user_session import UserSession
    from passwordless_async.client.api.user_sessions import UserSessions
    from passwordless_async.client.logins import Logins
    from passwordless_async.client.orphans import Orphans
    from passwordless_async.client.refreshes import Refreshes
    from passwordless_async.client.sessions.values import SessionInfo, StoredSession
    from passwordless_async.dpop import DPoPKey
    from passwordless_async.stores import Place
    from passwordless_async.stores.keyring import KeyRing

_MAX_DATA = 4096  # characters of JSON
_MAX_APIS = 8  # objects for API calls that a session keeps for its next calls, one for each set of origins
T = TypeVar("T")


class _NotRevoked(Exception):
    """A session is closed, and its tokens could not be revoked."""

    def __init__(self, error: PasswordlessError) -> None:
        super().__init__()
        self.error = error


class Sessions:
    """The stored sessions of a client; a client has one, as ``client.sessions``.

    Every method raises ``StoreUnavailable`` if the store is unreachable.
    """

    def __init__(
        self,
        records: SessionRecords,
        *,
        logins: Logins,
        orphans: Orphans,
        refreshes: Refreshes,
        user_sessions: UserSessions,
    ) -> None:
        self._store = records.store
        self._records = records
        self._refreshes = refreshes
        self._user_sessions = user_sessions
        self._openings = Openings(records, logins, orphans)
        self._session_refreshes = SessionRefreshes(records, refreshes)
        refreshes.renew_stored = self._session_refreshes.renew
        self._closings: SingleFlight[tuple[Secret, bool], bool] = SingleFlight()

    @property
    def keys(self) -> KeyRing:
        """The key ring of the store. Use it to seal other values of a login too, such as a cookie."""
        return self._records.keys

    async def login(  # noqa: PLR0913 - the parameters are the grant's
        self,
        who: Recipient,
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
        user: str | None = None,
        data: Mapping[str, Any] | None = None,
        lifetime: float | None = None,
        by_sid: bool = False,
    ) -> StoredSession:
        """Exchange a code and store the tokens as a session, in one step.

        Concurrent calls with the same code get the same session. If the session cannot be stored within 5 seconds, or
        the caller is cancelled after the code was spent, the tokens go to ``on_orphan`` or are revoked.

        Args:
            who: As for ``client.exchange``.
            otp: The code that the user typed. It is spent once it is sent.
            scope: The scope. It must have ``openid``, unless ``user`` is given.
            audience: As for ``client.exchange``.
            resource: As for ``client.exchange``.
            redirect_uri: As for ``client.exchange``.
            max_age: As for ``client.exchange``.
            key: As for ``client.exchange``.
            extra_parameters: As for ``client.exchange``.
            forwarded_for: As for ``client.exchange``.
            user: As for :meth:`open`.
            data: As for :meth:`open`.
            lifetime: As for :meth:`open`.
            by_sid: As for :meth:`open`.

        Raises:
            UsageError: An argument is invalid, or the code is already being exchanged with other arguments; nothing was
                sent.
            StoreError: The session could not be stored; the code is spent, so the error is not ``retryable``.
            PasswordlessError: As ``client.exchange``.
        """
        who, otp, key, data = hide(who), conceal(otp), hide(key), _concealed_data(data)
        extra_parameters = conceal_mapping(extra_parameters)
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
        if user is None and "openid" not in (login.scope or "").split():
            raise UsageError("scope", "must have openid, unless user is given: the session would have no user")
        wanted = _wanted(user, data, lifetime, by_sid=by_sid)
        session = await self._openings.run(
            login, lambda tokens: _user_of(tokens, user), forwarded_for=forwarded_for, wanted=wanted
        )
        self._refreshes.note_stored(session.tokens, session.id)
        return session

    async def open(
        self,
        tokens: TokenSet,
        *,
        user: str | None = None,
        data: Mapping[str, Any] | None = None,
        lifetime: float | None = None,
        by_sid: bool = False,
    ) -> Secret:
        """Store tokens as a session.

        Args:
            tokens: The tokens.
            user: The user; by default, the ``sub`` of the ID token.
            data: Your application's data, sealed with the session: a JSON object of at most 4096 characters, for
                example ``{"device": "Firefox on Linux"}``.
            lifetime: Seconds until the session ends even if it is used, for example for a user who asked to stay logged
                in; at most ``Lifetimes.absolute``. A session never outlasts the ``session_expiry`` of its ID token.
            by_sid: Whether the ``sid`` of the ID token leads to the session, for :meth:`close_at_provider`. That takes
                one more entry in the store.

        Returns:
            The session's identifier: 256 random bits, and 8 characters that say where it is stored.

        Raises:
            UsageError: The tokens have no ID token and no user is given, or ``data`` is invalid.
            KeyMissing: The tokens are bound and have no key.
            StoreError: A store in memory is full.
        """
        tokens, data = hide(tokens), _concealed_data(data)
        _check.instance("tokens", tokens, TokenSet, named="a TokenSet")
        wanted = _wanted(user, data, lifetime, by_sid=by_sid)
        new = self._records.new(tokens, _user_of(tokens, user), wanted)
        await self._records.keep(new)
        self._refreshes.note_stored(tokens, new.session.id)
        return new.session.id

    async def keep(
        self,
        tokens: TokenSet,
        *,
        who: Recipient | None = None,
        user: str | None = None,
        data: Mapping[str, Any] | None = None,
        lifetime: float | None = None,
        by_sid: bool = False,
    ) -> StoredSession:
        """Store the tokens of a login by a second factor or a link as a session, in place of :meth:`open`.

        Calls with the same tokens within 30 seconds get the same session: a form that is sent twice opens one. If the
        session cannot be stored within 5 seconds, or the caller is cancelled, the tokens go to ``on_orphan`` or are
        revoked.

        Args:
            tokens: The tokens; no session must have them.
            who: The user, for ``on_orphan``.
            user: As for :meth:`open`.
            data: As for :meth:`open`.
            lifetime: As for :meth:`open`.
            by_sid: As for :meth:`open`.

        Raises:
            UsageError, KeyMissing, StoreError: As for :meth:`open`.
        """
        tokens, data, who = hide(tokens), _concealed_data(data), hide(who)
        _check.instance("tokens", tokens, TokenSet, named="a TokenSet")
        who = None if who is None else recipient(who)
        wanted = _wanted(user, data, lifetime, by_sid=by_sid)
        session = await self._openings.keep(Opening(who, tokens), lambda tokens: _user_of(tokens, user), wanted)
        self._refreshes.note_stored(session.tokens, session.id)
        return session

    def api(self, identifier: str, *, origins: Iterable[str]) -> AbstractAsyncContextManager[UserSession]:
        """Call APIs for a stored session: ``async with client.sessions.api(identifier, origins=[...]) as api``.

        Its tokens are refreshed 30 seconds before they expire, and once when an API refuses them. The new ones are
        stored before a call uses them, and tokens that another process has refreshed are used.

        Args:
            identifier: The session.
            origins: The origins that the access token is for.

        Raises:
            InvalidSession: It is unknown, has ended or was closed. API calls raise it too, once the access token has
                expired.
            BrokenSeal: As for :meth:`get`.
            BindingRequired: Its tokens are not bound, and the client's ``dpop`` is ``required``.
            UsageError: An origin is invalid, or the client is not open.
        """
        identifier = conceal(identifier)
        concealed = _checked(identifier)
        return _ApiContext(lambda: self._api_of(concealed, origins))

    async def _api_of(self, identifier: Secret, origins: Iterable[str]) -> UserSession:
        """Return what calls APIs for a session; the same for each use while the store has the same tokens."""
        unsealed = await self._records.use(identifier)
        # The usual type first: checking against the abstract one takes a microsecond.
        is_list = isinstance(origins, tuple | list) or (isinstance(origins, Iterable) and not isinstance(origins, str))
        origins = tuple(origins) if is_list else origins
        named = tuple(map(str, origins)) if is_list else None  # anything but a list is refused below
        api = unsealed.apis.get(named)
        if api is None:
            api = self._user_sessions.of_stored(
                unsealed.tokens, origins, lambda stale: self._session_refreshes.renew(identifier, stale)
            )
            if len(unsealed.apis) < _MAX_APIS:
                unsealed.apis[named] = api
        return api

    async def get(self, identifier: str, *, counts_as_use: bool = True) -> StoredSession:
        """Return a session, and restart its idle time.

        Args:
            identifier: The session.
            counts_as_use: If False, the idle time is not restarted, for example for a script that shows the remaining
                time.

        Raises:
            InvalidSession: It is unknown, has ended or was closed.
            BrokenSeal: The stored value was changed, moved, or sealed with a key that is not on the ring.
        """
        identifier = conceal(identifier)
        identifier = _checked(identifier)
        _check.boolean("counts_as_use", counts_as_use)
        return (await self._records.find(identifier, counts_as_use=counts_as_use)).session

    async def update(self, identifier: str, *, data: Mapping[str, Any]) -> StoredSession:
        """Change your application's data of a session, and restart its idle time.

        Each member replaces the one of the same name, and None removes it; others stay. So concurrent changes of
        different members are both kept, also during a refresh.

        Args:
            identifier: The session.
            data: The changes: a JSON object, as for :meth:`open`; its limit applies to all members together.

        Returns:
            The session with all its data.

        Raises:
            InvalidSession: It is unknown, has ended or was closed.
            BrokenSeal: As for :meth:`get`.
            UsageError: ``data`` is invalid, or too large together with the existing data; nothing was changed.
        """
        identifier, data = conceal(identifier), _concealed_data(data)
        identifier = _checked(identifier)
        changes = _data(data)
        while True:
            record = await self._records.find(identifier)
            changed = self._records.with_data(record, _data(_merged(record.session.data, changes)))
            # Another change, or a refresh, may come between: then this change is applied to its result.
            if await self._store.reseal(record.place, record.sealed, changed.sealed):
                return changed.session

    async def refresh(self, identifier: str) -> StoredSession:
        """Refresh a session's tokens. Concurrent callers, in any process, share one refresh.

        So do sessions that were opened with the tokens of one login.

        Args:
            identifier: The session.

        Raises:
            InvalidSession: The session is unknown, has ended or was closed.
            BrokenSeal: As for :meth:`get`.
            InvalidRefreshToken: The service no longer accepts the refresh token. It is not sent again.
            OutcomeUnknown: The refresh token was sent before, by this process or one that has died, and its outcome is
                unknown. It is sent again only within ``refresh_token_leeway``.
            StoreUnavailable: The store is unreachable. If nothing was sent yet, the next call sends the refresh token.
                If new tokens could not be stored within 20 seconds, they are lost, and the next call raises
                ``OutcomeUnknown``.
            PasswordlessError: As ``client.refresh``. After a response that fails a check, the refresh token counts as
                spent and is not sent again.
        """
        identifier = conceal(identifier)
        identifier = _checked(identifier)
        return await self._session_refreshes.refresh(identifier)

    async def close(self, identifier: str, *, revoke: bool = True) -> bool:
        """End a session; does nothing if it has already ended.

        If the caller is cancelled after the session was closed, its tokens are still revoked.

        Args:
            identifier: The session.
            revoke: Whether to revoke the refresh token at the service too: the logout. A session that cannot be
                unsealed, because its key is not on the ring or it was changed, is closed but not revoked.

        Returns:
            Whether there was a session.

        Raises:
            PasswordlessError: As ``client.revoke``; the session is closed.
        """
        identifier = conceal(identifier)
        concealed = _checked(identifier)
        _check.boolean("revoke", revoke)
        return await self._closings.run(
            (concealed, revoke), lambda departure: self._close(concealed, departure, revoke=revoke)
        )

    async def _close(self, identifier: Secret, departure: Departure, *, revoke: bool) -> bool:
        """End a session; return whether there was one."""
        try:
            record = await self._records.find(identifier)
        except InvalidSession:
            return False
        except BrokenSeal:
            record = None
        departure.on_wire = True
        if record is None:
            return await self._records.close(place_of(identifier), None)
        existed = await self._records.close(record.place, record.members)
        if revoke and record.session.tokens.refresh_token is not None:
            await self._refreshes.revoke(record.session.tokens)
        return existed

    async def close_all(self, user: str) -> int:
        """End all sessions of a user, without revoking their tokens at the service.

        Args:
            user: The user, as for :meth:`open`; without it, the ``sub`` of the ID token.

        Returns:
            The number of sessions. A session that is opened at the same moment may stay.
        """
        return sum(await _all(self._records.close_at(place) for place in await self._records.places(user)))

    async def keep_newest(self, user: str, number: int) -> Mapping[str, PasswordlessError | None]:
        """Log out a user's oldest sessions until ``number`` are left.

        Simultaneous logins may all call it: the newest sessions stay, in any order of the calls. Sessions that cannot
        be unsealed count and stay, because during a key rotation they may be the newest.

        Args:
            user: As for :meth:`close_all`.
            number: How many sessions stay, at least one.

        Returns:
            As :meth:`log_out`.
        """
        _check.positive("number", number)
        return await self.log_out(user, [info.name for info in (await self.list(user))[:-number]])

    async def close_at_provider(self, *, user: str | None = None, sid: str | None = None) -> tuple[str, ...]:
        """End the sessions that have ended at the provider (OpenID Connect Back-Channel Logout 1.0 §2.7).

        Their tokens are not revoked, because the provider has already ended the login.

        Args:
            user: The ``sub``: the user of sessions that were opened without ``user``.
            sid: The session at the provider. Ends all sessions that were opened ``by_sid``, and those of a named user.
                None: all of the user. A session without a ``sid`` in its ID token ends with any session of its user.

        Returns:
            Their public names.

        Raises:
            UsageError: Neither is given, or one is empty, too long or no text.
        """
        if user is None and sid is None:
            raise UsageError("user", "must be given, or sid")
        if sid is None:
            return await self._close_at(await self._records.places(user or ""))
        sid = _check.encodable("sid", sid, at_most=_check.MAX_AUDIENCE)
        user = await self._records.user_of(sid) if user is None else user
        return await self._close_at(await self._of_sid(user, sid))

    async def _close_at(self, places: Iterable[Place]) -> tuple[str, ...]:
        """End sessions, and return the public names of those that there were."""
        places = tuple(places)
        existed = await _all(self._records.close_at(place) for place in places)
        return tuple(place.session for place, was_there in zip(places, existed, strict=True) if was_there)

    async def _of_sid(self, user: str | None, sid: str) -> tuple[Place, ...]:
        """Return where the sessions of a user are that have a ``sid``, or none at all."""
        places = () if user is None else await self._records.places(user)
        sids = await _all(self._records.sid_at(place) for place in places)
        return tuple(place for place, found in zip(places, sids, strict=True) if found in {None, sid})

    async def close_named(self, user: str, name: str) -> bool:
        """End one session of a user by its public name, as :meth:`list` returns it; False if there is none.

        Its tokens are not revoked at the service.

        Args:
            user: As for :meth:`close_all`.
            name: The ``name`` of a :class:`~passwordless_async.SessionInfo`. Another user's ends nothing.
        """
        name = _check.instance("name", name, str, named="a str, such as a SessionInfo's name")
        return bool(await self._close_at(await self._named(user, [name])))

    async def log_out(self, user: str, names: Iterable[str]) -> Mapping[str, PasswordlessError | None]:
        """End a user's sessions by their public names, as :meth:`list` returns them, and revoke their tokens.

        Each session is closed before its refresh token is revoked. A cancellation does not stop the revocation.

        Args:
            user: As for :meth:`close_all`.
            names: As for :meth:`close_named`, one or several.

        Returns:
            The names of the sessions that existed, each with the error of its revocation. None: the token was revoked,
            or there was none, or the session could not be unsealed.
        """
        named = await self._named(user, names)
        ended = await _all(self._log_out(place) for place in named)
        return {place.session: error for place, (existed, error) in zip(named, ended, strict=True) if existed}

    async def _named(self, user: str, names: Iterable[str]) -> tuple[Place, ...]:
        """Return a user's sessions of these public names."""
        # Only from the user's own list: a name from outside must not end another user's session.
        given = dict.fromkeys(_check.texts("names", names))
        places = {place.session: place for place in await self._records.places(user)}
        return tuple(places[name] for name in given if name in places)

    async def _log_out(self, place: Place) -> tuple[bool, PasswordlessError | None]:
        """End a session; return whether there was one, and the error of its revocation."""

        async def end(departure: Departure) -> bool:
            unsealed = await self._records.peek(place)
            departure.on_wire = True
            existed = await self._records.close(place, None if unsealed is None else unsealed.members)
            if existed and unsealed is not None and unsealed.tokens.refresh_token is not None:
                try:
                    await self._refreshes.revoke(unsealed.tokens)
                except PasswordlessError as error:
                    raise _NotRevoked(error) from None
            return existed

        try:
            return await self._closings.run((Secret(place.session), True), end), None
        except _NotRevoked as failed:
            return True, failed.error

    async def list(self, user: str) -> tuple[SessionInfo, ...]:
        """Return a user's sessions, for operators and for the user. This does not count as use.

        A session that cannot be unsealed, because its key is not on the ring or it was changed, is listed without its
        sealed times.

        Args:
            user: As for :meth:`close_all`.

        Returns:
            The public information about each: the oldest first, and those that cannot be unsealed last.
        """
        places = await self._records.places(user)
        known = await _all(self._records.info(place) for place in places)
        ended = [place for place, info in zip(places, known, strict=True) if info is None]
        # Names of ended sessions do no harm if they stay in the list this time.
        with suppress(StoreUnavailable):
            await _all(self._records.close(place, None) for place in ended)
        return tuple(sorted((info for info in known if info is not None), key=_age))

    async def aclose_logins(self, *, grace: float) -> None:
        """Wait up to ``grace`` seconds for logins that open sessions, then cancel them; the client calls it."""
        await self._openings.aclose(grace=grace)

    async def aclose(self, *, grace: float) -> None:
        """Wait up to ``grace`` seconds for refreshes and closings, then cancel them; the client calls it."""
        await asyncio.gather(
            self._session_refreshes.aclose(grace=grace),
            self._closings.aclose(grace=grace),
        )
        self._records.cache.clear()


@attrs.frozen
class _ApiContext:
    """A context manager that returns the object that calls APIs for a session."""

    _api: Callable[[], Awaitable[UserSession]]

    async def __aenter__(self) -> UserSession:
        return await self._api()

    async def __aexit__(self, *_: object) -> None:
        pass


async def _all(questions: Iterable[Awaitable[T]]) -> tuple[T, ...]:
    """Ask the store several things in one batch. Raises the first error once all have ended."""
    answers = await asyncio.gather(*questions, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return tuple(answer for answer in answers if not isinstance(answer, BaseException))


def _age(info: SessionInfo) -> tuple[bool, float, str]:
    return info.opened_at is None, info.opened_at or 0.0, info.name


def _checked(identifier: object) -> Secret:
    """Return a concealed identifier; for None, an absent cookie, an empty one, which opens no session."""
    if identifier is None:
        return Secret("")
    # A session in place of its id would open nothing, and a close would silently end nothing.
    return _check.instance("identifier", identifier, Secret, named="a str, such as the session's id")


def _wanted(user: str | None, data: object, lifetime: float | None, *, by_sid: bool) -> Wanted:
    if user is not None:
        _checked_user(user)
    if lifetime is not None:
        _check.seconds("lifetime", lifetime)
    return Wanted(user=user, data=_data(data), lifetime=lifetime, by_sid=_check.boolean("by_sid", by_sid))


def _concealed_data(data: T) -> T:
    """Return the application's data with a redacted repr: it may have tokens of other services."""
    concealed: Any = SecretDict(data) if isinstance(data, Mapping) else hide(data)
    return concealed  # type: ignore[no-any-return] # what it was given


def _data(data: object) -> SecretDict:
    """Return the application's data, as it comes back from the store."""
    if data is None:
        return SecretDict()
    try:
        text = Secret(json.dumps(dict(data), allow_nan=False)) if isinstance(data, Mapping) else ""
    except (TypeError, ValueError, RecursionError):
        text = ""
    if not 0 < len(text) <= _MAX_DATA:
        raise UsageError("data", f"must be a JSON object of {_MAX_DATA} characters at most")
    return SecretDict(json.loads(text))


def _merged(data: Mapping[str, object], changes: Mapping[str, object]) -> SecretDict:
    removed = {name for name, value in changes.items() if value is None}
    return SecretDict((name, value) for name, value in {**data, **changes}.items() if name not in removed)


def _user_of(tokens: TokenSet, user: str | None) -> str:
    if user is None and tokens.claims is not None:
        user = tokens.claims.get("sub")
    if user is None:
        raise UsageError("user", "must be given: the tokens have no ID token that names one")
    return _checked_user(user)


def _checked_user(user: object) -> str:
    return _check.encodable("user", user, at_most=_check.MAX_AUDIENCE)
