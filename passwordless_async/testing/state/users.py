"""The users that the tenant knows, and their second factors: what they have besides an address or phone number."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async._common.bounded import Bounded
from passwordless_async._common.secret import always_printable, redacted
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

OTP, SMS, VOICE, EMAIL, PUSH, RECOVERY = "otp", "sms", "voice", "email", "push", "recovery-code"
BY_CODE = (SMS, VOICE, EMAIL)  # out of band; the user types the code that was sent (binding_method "prompt")
KINDS = (OTP, *BY_CODE, PUSH, RECOVERY)
_MAX_LOGGED_IN = 200_000  # users whom no test added; the least recently used goes first
_MAX_FAILING = 100_000  # users with wrong codes in a row; the least recent goes first
_SECRET_BYTES = 20  # RFC 4226 §4: "We RECOMMEND a shared secret length of 160 bits"
_TOTP_DIGITS = 6
_TOTP_PERIOD_SECONDS = 30
_RECOVERY_CHARACTERS = 24
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_ACCEPTED_STEPS = (0, 1, -1)  # relative to the present time step (RFC 6238 §5.2)
_CHANNELS = {PUSH: "auth0"}
_REQUIREMENTS = {PUSH: "push-notification"}
_ID_PREFIXES = {OTP: "totp"}


def recovery_code() -> str:
    """Return a new recovery code."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_RECOVERY_CHARACTERS))


@attrs.define(eq=False)
class Factor:
    """A factor of a user: ``otp``, ``sms``, ``voice``, ``email``, ``push`` or ``recovery-code``."""

    kind: str
    name: str | None = None  # its address or number, masked
    active: bool = True  # whether it has been confirmed
    _secret: bytes = attrs.field(factory=lambda: secrets.token_bytes(_SECRET_BYTES), kw_only=True, repr=redacted)
    recovery: str = attrs.field(factory=recovery_code, kw_only=True, repr=redacted)
    id: str = attrs.field(init=False)
    _last_step: int = attrs.field(default=-1, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.id = f"{_ID_PREFIXES.get(self.kind, self.kind)}|dev_{secrets.token_urlsafe(12)}"

    @property
    def challenge_type(self) -> str:
        """The ``challenge_type``: ``otp``, ``oob`` or ``recovery-code``."""
        return self.kind if self.kind in (OTP, RECOVERY) else "oob"

    @property
    def requirement(self) -> str:
        """Its type in ``mfa_requirements``."""
        return _REQUIREMENTS.get(self.kind, self.kind)

    @property
    def channel(self) -> str | None:
        """Its ``oob_channel``."""
        return _CHANNELS.get(self.kind, self.kind) if self.challenge_type == "oob" else None

    @property
    def shared_secret(self) -> str:
        """The secret for an authenticator app, in base32."""
        return base64.b32encode(self._secret).decode().rstrip("=")

    def barcode_uri(self, username: str) -> str:
        """Return what an authenticator app scans."""
        facts = {"secret": self.shared_secret, "issuer": "local-tenant", "algorithm": "SHA1", "digits": 6, "period": 30}
        return f"otpauth://totp/local-tenant:{quote(username)}?{urlencode(facts)}"

    def authenticator(self) -> dict[str, Any]:
        """Return its row in ``GET /mfa/authenticators``."""
        listed: dict[str, Any] = {"id": self.id, "authenticator_type": self.challenge_type, "active": self.active}
        if self.channel is not None:
            listed |= {"oob_channel": self.channel, "name": self.name}
        return listed

    def otp_at(self, step: int) -> str:
        """Return a one-time password that passes now and is unused."""
        usable = [step + shift for shift in _ACCEPTED_STEPS if step + shift > self._last_step]
        return totp(self._secret, usable[0] if usable else step)

    def takes_otp(self, otp: str, step: int) -> bool:
        """Return whether a one-time password passes; it passes once (RFC 6238 §5.2)."""
        for shift in _ACCEPTED_STEPS:
            expected = totp(self._secret, step + shift).encode()
            if step + shift > self._last_step and hmac.compare_digest(expected, otp.encode()):
                self._last_step = step + shift
                return True
        return False

    def takes_recovery(self, code: str) -> str | None:
        """Return the successor of the right recovery code, or None for a wrong one."""
        if not hmac.compare_digest(self.recovery.encode(), code.encode()):
            return None
        self.recovery = recovery_code()
        return self.recovery


def totp(secret: bytes, step: int) -> str:
    """Return the time-based one-time password of a time step (RFC 6238, RFC 4226 §5.3): SHA-1, six digits."""
    digest = hmac.digest(secret, step.to_bytes(8, "big"), hashlib.sha1)
    offset = digest[-1] & 0xF
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return str(number % 10**_TOTP_DIGITS).zfill(_TOTP_DIGITS)


def step_at(seconds: float) -> int:
    """Return the time step of thirty seconds at a time since the UNIX epoch."""
    return int(seconds // _TOTP_PERIOD_SECONDS)


def masked(place: str) -> str:
    """Return an address or number, masked for a list."""
    local, at, domain = place.partition("@")
    return f"{local[:1]}****@{domain}" if at else f"XXXXXXXX{place[-4:]}"


class HasUsername(Protocol):
    """A realm and a username: :class:`~passwordless_async.Email`, :class:`~passwordless_async.Phone`."""

    @property
    def realm(self) -> str:
        """The connection: ``email`` or ``sms``."""

    @property
    def username(self) -> str:
        """The address or number, exactly as given."""


@always_printable
@attrs.frozen(repr=False)
class User:
    """A user of a connection.

    Args:
        realm: ``email`` or ``sms``.
        username: The address or number, exactly as given to start. Addresses that differ in case alone are one user's.
    """

    realm: str
    username: str = attrs.field(eq=str.casefold)

    @classmethod
    def of(cls, who: HasUsername) -> User:
        """Return the user behind an address or a number; anything else raises :class:`UsageError`."""
        if not isinstance(getattr(who, "username", None), str):
            raise UsageError("who", f"must be an Email or a Phone, not {type(who).__name__}")
        return cls(who.realm, who.username)

    @property
    def id(self) -> str:
        """The ``_id`` in start's response: 24 hexadecimal digits, the same at every tenant."""
        return hashlib.sha256(f"{self.realm}|{self.username.casefold()}".encode()).hexdigest()[:24]

    @property
    def subject(self) -> str:
        """The ``sub`` claim, for example ``email|6f1ed002ab5595859014ebf0``."""
        return f"{self.realm}|{self.id}"

    @property
    def claims(self) -> dict[str, Any]:
        """The identity claims (OpenID Connect Core §5.1); a login proves the address or number."""
        if self.realm == "email":
            return {"email": self.username.casefold(), "email_verified": True}
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
    """The accounts: users who logged in once, or were added by a test.

    Whom a test added is never forgotten. Of more than 200,000 others, the least recently used one is, with the factors
    that it enrolled: a tenant in use for days does not grow.
    """

    _added: dict[User, Account] = attrs.field(factory=dict, init=False, repr=False)
    _logged_in: Bounded[User, Account] = attrs.field(factory=lambda: Bounded(_MAX_LOGGED_IN), init=False, repr=False)
    _failures: Bounded[User, int] = attrs.field(factory=lambda: Bounded(_MAX_FAILING), init=False, repr=False)

    def add(
        self,
        who: HasUsername,
        *,
        mfa: Iterable[str] = (),
        blocked: bool = False,
        database: bool = False,
        otp_secret: str | None = None,
    ) -> None:
        """Add an account, as if the user had logged in before.

        Args:
            who: The user.
            mfa: Second factors to add: ``otp``, ``sms``, ``voice``, ``email``, ``push``, ``recovery-code``.
            blocked: Whether the user is blocked.
            database: Whether the database connections know the user too.
            otp_secret: The secret of the factor ``otp``, in base32; random unless given.

        Raises:
            ValueError: There is no such factor, or the secret is malformed.
        """
        user = User.of(who)
        fixed = {} if otp_secret is None else {OTP: _base32(otp_secret)}
        factors = [_factor(kind, user, fixed.get(kind)) for kind in _check.texts("mfa", mfa)]
        account = self._added[user] = self.account(user)
        self._logged_in.pop(user, None)
        account.factors += factors
        account.blocked = account.blocked or blocked
        account.database = account.database or database

    def note_login(self, user: User, *, database: bool = False) -> None:
        """Note that a user has logged in, perhaps by a database connection: from now on the user is known."""
        account = self.account(user)
        account.database = account.database or database
        if user not in self._added:
            self._logged_in[user] = account

    def block(self, who: HasUsername) -> None:
        """Block a user: each login from now on is refused with 401 "user is blocked"."""
        self.add(who, blocked=True)

    def unblock(self, who: HasUsername) -> None:
        """Lift a block, the one by brute-force protection included."""
        self.account(User.of(who)).blocked = False
        self.succeeded(User.of(who))

    def account(self, user: User) -> Account:
        """Return a user's account; an empty one for an unknown user."""
        return self._known(user) or Account()

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
        return self._known(user) is not None

    def _known(self, user: User) -> Account | None:
        return self._added.get(user) or self._logged_in.get(user)


def _factor(kind: str, user: User, secret: bytes | None) -> Factor:
    if kind not in KINDS:
        raise ValueError(f"there is no factor {kind!r}; there are {', '.join(KINDS)}")
    name = masked(user.username) if kind in BY_CODE else None
    return Factor(kind, name) if secret is None else Factor(kind, name, secret=secret)


def _base32(text: str) -> bytes:
    compact = text.replace(" ", "").upper().rstrip("=")
    try:
        secret = base64.b32decode(compact + "=" * (-len(compact) % 8))
    except ValueError:
        secret = b""
    if not secret:
        raise ValueError("the secret of an authenticator app must be base32")
    return secret
