"""Who the tenant knows."""

from __future__ import annotations

import hashlib
from typing import Any, Protocol

import attrs


class Named(Protocol):
    """Whoever has a realm and a username: :class:`~passwordless_async.Email`, :class:`~passwordless_async.Phone`."""

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
    def of(cls, who: Named) -> User:
        """Return the user behind an address or a number."""
        return cls(who.realm, who.username)

    @property
    def id(self) -> str:
        """The ``_id`` of start's answer: 24 hexadecimal digits, the same at every tenant."""
        return hashlib.sha256(f"{self.realm}|{self.username}".encode()).hexdigest()[:24]

    @property
    def subject(self) -> str:
        """The ``sub`` claim, for example ``email|6f1ed002ab5595859014ebf0``."""
        return f"{self.realm}|{self.id}"

    @property
    def claims(self) -> dict[str, Any]:
        """The claims that say who it is (OpenID Connect Core §5.1); a login proves the address or number."""
        if self.realm == "email":
            return {"email": self.username, "email_verified": True}
        return {"phone_number": self.username, "phone_number_verified": True}

    def __repr__(self) -> str:
        return f"User({self.subject!r})"


@attrs.define
class Users:
    """The accounts: whoever logged in once, or was added by a test."""

    _known: set[User] = attrs.field(factory=set, init=False, repr=False)

    def add(self, who: Named) -> None:
        """Give somebody an account, as if they had logged in before."""
        self._known.add(User.of(who))

    def __contains__(self, user: User) -> bool:
        return user in self._known
