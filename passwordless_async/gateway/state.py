"""The pending login: its state between two pages, sealed in its own cookie.

Invariants:

- It is sealed with the store's key ring and bound to this gateway: another deployment cannot open it, and a changed one
  counts as none.
- It expires, and contains no code and no token. The client, the store and ``submissions.py`` decide what may happen
  only once, so an old copy of the cookie opens nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import attrs

from passwordless_async._common.secret import Secret, SecretDict, redacted
from passwordless_async.auth0.identity import Email, Phone
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import UnionType

    from passwordless_async.auth0.identity import User


@attrs.frozen(kw_only=True)
class LoginState:
    """A pending login.

    Attributes:
        id: 128 random bits; the CSRF token of its forms is made from it. It changes with the user, so the token of a
            form that was left open in another tab no longer matches.
        expires_at: When it ends: seconds since the UNIX epoch.
        return_to: The path to return to after the login; None: the gateway's own home.
        who: The user, once they have typed an address or a number.
        sent_at: When their last code or link was sent: seconds since the UNIX epoch; None if none was, or it is spent.
        attempts_left: How many codes they may try; None if that is not known.
        mfa: The sealed :class:`~passwordless_async.MfaState`, once a second factor is demanded.
        factor: The kind of the factor that is asked for: ``otp``, ``sms``, ``voice``, ``email``, ``push`` or
            ``recovery``.
        factor_name: Where its code was sent, masked; None if it was not sent.
        enrolment: What a new factor needs, until the user has confirmed it: a JSON object.
        recovery_codes: Codes that the user has not confirmed to have saved: a JSON array. They may be of an earlier
            login of the same user.
        link: The sealed :class:`~passwordless_async.PendingLink`, if a link was sent.
        remember: Whether the user asked to stay logged in.
        stepping_up: The public name of the session that steps up; None for a login.
        demands: The demands on the session after a step-up: ``max_age``, ``acr_values`` (RFC 9470);
            None for a login.
    """

    id: Secret = attrs.field(repr=redacted)
    expires_at: int
    return_to: str | None = None
    who: User | None = attrs.field(default=None, repr=redacted)
    sent_at: float | None = None
    attempts_left: int | None = None
    mfa: Secret | None = attrs.field(default=None, repr=redacted)
    factor: str | None = None
    factor_name: str | None = attrs.field(default=None, repr=redacted)
    enrolment: Secret | None = attrs.field(default=None, repr=redacted)
    recovery_codes: Secret | None = attrs.field(default=None, repr=redacted)
    link: Secret | None = attrs.field(default=None, repr=redacted)
    remember: bool = False
    stepping_up: str | None = None
    demands: Mapping[str, Any] | None = None

    def members(self, **more: str) -> SecretDict:
        """Return the state as the members of a JSON object."""
        given = ((name, getattr(self, name), default) for name, default in _DEFAULTS.items())
        plain = SecretDict((name, value) for name, value, default in given if value != default)
        if self.who is not None:
            plain["who"] = [self.who.realm, self.who.username]
        plain.update(more)
        return plain

    @classmethod
    def from_members(cls, members: SecretDict) -> Self | None:
        """Return the state that :meth:`members` wrote; None if they are malformed, or of another version."""
        try:
            who = members.pop("who", None)
            if not all(isinstance(value, _TYPES[name]) for name, value in members.items()):
                return None
            members.update((name, Secret(members[name])) for name in _SECRETS if name in members)
            return cls(**members, who=None if who is None else _USERS[who[0]](who[1]))
        except (KeyError, IndexError, TypeError, UsageError):
            return None


_DEFAULTS: Mapping[str, Any] = {field.name: field.default for field in attrs.fields(LoginState)}
_SECRETS = ("id", "mfa", "link", "enrolment", "recovery_codes")
_TYPES: Mapping[str, type | UnionType] = {  # in JSON; a member that is None is not written
    **dict.fromkeys((*_SECRETS, "return_to", "factor", "factor_name", "stepping_up"), str),
    **dict.fromkeys(("expires_at", "attempts_left"), int),
    "sent_at": int | float,
    "remember": bool,
    "demands": dict,
}
_USERS: Mapping[str, type[Email | Phone]] = {"email": Email, "sms": Phone}  # by their realms
