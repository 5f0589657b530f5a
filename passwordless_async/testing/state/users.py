"""The users that the tenant knows."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from passwordless_async.testing.state.factors import BY_CODE, KINDS, RECOVERY, Factor, masked

if TYPE_CHECKING:
    from collections.abc import Iterable


class HasUsername(Protocol):
    """A realm and a username: :class:`~passwordless_async.Email`, :class:`~passwordless_async.Phone`."""

    @property
    def realm(self) -> str:
        """The connection: ``email`` or ``sms``."""

    @property
    def username(self) -> str:
        """The address or number, exactly as given."""


@attrs.frozen(repr=False)
class User:
    """A user of a connection.

    Args:
        realm: ``email`` or ``sms``.
        username: The address or number, exactly as given to start.
    """

    realm: str
    username: str

    @classmethod
    def of(cls, who: HasUsername) -> User:
        """Return the user behind an address or a number."""
        return cls(who.realm, who.username)

    @property
    def id(self) -> str:
        """The ``_id`` in start's response: 24 hexadecimal digits, the same at every tenant."""
        return hashlib.sha256(f"{self.realm}|{self.username}".encode()).hexdigest()[:24]

    @property
    def subject(self) -> str:
        """The ``sub`` claim, for example ``email|6f1ed002ab5595859014ebf0``."""
        return f"{self.realm}|{self.id}"

    @property
    def claims(self) -> dict[str, Any]:
        """The identity claims (OpenID Connect Core §5.1); a login proves the address or number."""
        if self.realm == "email":
            return {"email": self.username, "email_verified": True}
        return {"phone_number": self.username, "phone_number_verified": True}

    def __repr__(self) -> str:
        return f"User({self.subject!r})"


@attrs.define(eq=False)
class Account:
    """What the tenant knows about a user."""

    factors: list[Factor] = attrs.field(factory=list)
    blocked: bool = False  # by an administrator
    database: bool = False  # whether the database connections know the user too

    @property
    def active(self) -> list[Factor]:
        """The factors that were confirmed."""
        return [factor for factor in self.factors if factor.active]

    @property
    def enrolled(self) -> bool:
        """Whether there is a second factor; a recovery code alone is none."""
        return any(factor.kind != RECOVERY for factor in self.active)


@attrs.define
class Users:
    """The accounts: users who logged in once, or were added by a test."""

    _accounts: dict[User, Account] = attrs.field(factory=dict, init=False, repr=False)
    _failures: dict[User, int] = attrs.field(factory=dict, init=False, repr=False)

    def add(self, who: HasUsername, *, mfa: Iterable[str] = (), blocked: bool = False, database: bool = False) -> None:
        """Add an account, as if the user had logged in before.

        Args:
            who: The user.
            mfa: Second factors to add: ``otp``, ``sms``, ``voice``, ``email``, ``push``, ``recovery-code``.
            blocked: Whether the user is blocked.
            database: Whether the database connections know the user too.

        Raises:
            ValueError: There is no such factor.
        """
        user = User.of(who)
        factors = [_factor(kind, user) for kind in mfa]
        account = self._accounts.setdefault(user, Account())
        account.factors += factors
        account.blocked = account.blocked or blocked
        account.database = account.database or database

    def block(self, who: HasUsername) -> None:
        """Block a user: each login from now on is refused with 401 "user is blocked"."""
        self.add(who, blocked=True)

    def unblock(self, who: HasUsername) -> None:
        """Lift a block, the one by brute-force protection included."""
        self.account(User.of(who)).blocked = False
        self.succeeded(User.of(who))

    def account(self, user: User) -> Account:
        """Return a user's account; an empty one for an unknown user."""
        return self._accounts.get(user, Account())

    def failures(self, user: User) -> int:
        """Return how many codes in a row were wrong."""
        return self._failures.get(user, 0)

    def failed(self, user: User) -> None:
        """Count a wrong code."""
        self._failures[user] = self.failures(user) + 1

    def succeeded(self, user: User) -> None:
        """Forget the wrong codes after a right one."""
        self._failures.pop(user, None)

    def __contains__(self, user: User) -> bool:
        return user in self._accounts


def _factor(kind: str, user: User) -> Factor:
    if kind not in KINDS:
        raise ValueError(f"there is no factor {kind!r}; there are {', '.join(KINDS)}")
    return Factor(kind, masked(user.username) if kind in BY_CODE else None)
