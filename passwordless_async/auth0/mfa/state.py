"""A login between its first factor and its second, to continue here or in another process.

Invariants of a sealed state:

- It can be neither read nor changed without the sealing key.
- Its header, which is authenticated, names tenant, application and DPoP key; only that client can unseal it.
- It expires with its ``mfa_token``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async._common import clock as _clock
from passwordless_async._common import sealing
from passwordless_async._common.secret import (
    Secret,
    SecretDict,
    always_printable,
    conceal,
    hide,
    redacted,
)
from passwordless_async.auth0.id_token import ExpectedIdToken
from passwordless_async.auth0.identity import AuthSession, Email, Phone, Recipient
from passwordless_async.auth0.mfa.values import MfaChallenge, MfaRequirements
from passwordless_async.auth0.tokens import TokenSet
from passwordless_async.dpop import DPoPKey
from passwordless_async.errors import BrokenSeal, InvalidMfaState, OAuthError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self


LIFETIME = 600  # seconds that an mfa_token is valid
_MAX_MFA_TOKEN = 16_384  # characters
_TYPE = "mfa-state+jwe"
_HEADER = frozenset({"alg", "enc", "kid", "typ", "iss", "client_id", "jkt"})
_BROKEN = {
    "form": "it is not a sealed MFA state",
    "key": "it was sealed with another key",
    "seal": "it was changed after it was sealed",
}


class Registered(Protocol):
    """An application at a tenant: a :class:`~passwordless_async.PasswordlessClient`."""

    @property
    def issuer(self) -> str:
        """The tenant's issuer."""

    @property
    def client_id(self) -> str:
        """The application's identifier."""


@attrs.frozen
class MfaTokenSet(TokenSet):
    """The tokens of a login with a second factor.

    Attributes:
        recovery_code: The user's new recovery code if the old one was used: show it to the user, the service sends it
            once. None otherwise.
    """

    recovery_code: Secret | None = attrs.field(default=None, kw_only=True, repr=redacted)


@always_printable
@attrs.frozen(kw_only=True)
class MfaState:
    """A login that needs a second factor: ``client.mfa`` continues with it.

    Attributes:
        mfa_token: The service's handle of the login.
        requirements: The factors that the service accepts.
        key: The key of the login: the tokens will be bound to it. None if it began without a proof.
        jkt: The key's thumbprint when the login began; None without a key.
        issuer: The tenant.
        client_id: The application.
        expires_at: When the ``mfa_token`` expires: seconds since the UNIX epoch.
        who: The user; None if a refresh led here.
        scope: The requested scope.
        audience: The requested API.
        expected: The values that the ID token must have.
        challenge: The factor challenge that :meth:`with_challenge` added.
        replaces_bound: Whether a refresh of bound tokens led here: the new ones must be bound too.
    """

    mfa_token: Secret = attrs.field(repr=redacted)
    requirements: MfaRequirements
    key: DPoPKey | None
    jkt: str | None
    issuer: str
    client_id: str
    expires_at: int
    who: Recipient | None = None
    scope: str | None = None
    audience: str | None = None
    expected: ExpectedIdToken = attrs.field(factory=ExpectedIdToken)
    challenge: MfaChallenge | None = None
    replaces_bound: bool = False

    def with_challenge(self, challenge: MfaChallenge) -> MfaState:
        """Return the same state with a factor challenge, so that the process that unseals it can answer that."""
        challenge = hide(challenge)
        _check.instance("challenge", challenge, MfaChallenge, named="an MfaChallenge")
        return attrs.evolve(self, challenge=challenge)

    def seal(self, keys: bytes | Sequence[bytes] | sealing.Ring) -> str:
        """Seal the state and its private key, for another process or a later request.

        The sealed state and the sealing key together give access to the login: store them separately.

        Args:
            keys: 32 random bytes, or several such keys while they rotate, the first of which seals; or a ``KeyRing``.

        Returns:
            About 900 characters of base64url and dots, which reveal only tenant, application and the DPoP key's
            thumbprint.

        Raises:
            UsageError: A key is not 32 bytes.
        """
        keys = sealing.concealed_keys(keys)
        shown = {"iss": self.issuer, "client_id": self.client_id, "jkt": self.jkt or ""}
        return sealing.seal_members(self._members(), keys, _TYPE, **shown)

    @classmethod
    def unseal(cls, text: str, keys: bytes | Sequence[bytes] | sealing.Ring, *, client: Registered) -> Self:
        """Open a state that :meth:`seal` sealed.

        Args:
            text: The sealed state.
            keys: The sealing key, several while keys rotate, or a ``KeyRing``.
            client: The client that continues with it.

        Raises:
            UsageError: A key is not 32 bytes.
            InvalidMfaState: The text is not a sealed state, or the state was sealed with another key, was changed, has
                expired, or is another tenant's or application's; ``failed`` names the check.
        """
        text, keys = conceal(text), sealing.concealed_keys(keys)
        try:
            members = sealing.unseal_members(text, keys, _TYPE)
        except BrokenSeal as error:
            failed = "form" if error.failed == "place" else error.failed
        else:
            state = cls._from(members, sealing.parse(text))
            if state is None:
                raise InvalidMfaState("form", "it was sealed by another version")
            state.require_usable(client)
            return state
        raise InvalidMfaState(failed, _BROKEN[failed])

    def require_usable(self, client: Registered) -> None:
        """Check that a client can continue with this state.

        Raises:
            InvalidMfaState: The state has expired, is another tenant's or application's, or has another key.
        """
        if self.issuer != client.issuer:
            raise InvalidMfaState("issuer", "it is another tenant's")
        if self.client_id != client.client_id:
            raise InvalidMfaState("client_id", "it is another application's")
        if (self.key.thumbprint if isinstance(self.key, DPoPKey) else self.key) != self.jkt:
            raise InvalidMfaState("jkt", "its key is missing, or not the one that the login began with")
        if _clock.now() >= self.expires_at:
            raise InvalidMfaState("expires_at", "it has expired: the user must log in again")

    def _members(self) -> SecretDict:
        return SecretDict(
            mfa_token=self.mfa_token,
            challenge=self.requirements.challenge,
            enroll=self.requirements.enroll,
            key=None if self.key is None else self.key.to_jwk(private=True),
            expires_at=self.expires_at,
            who=_who_members(self.who),
            scope=self.scope,
            audience=self.audience,
            expected=attrs.asdict(self.expected),
            sent=None if self.challenge is None else attrs.asdict(self.challenge),
            replaces_bound=self.replaces_bound,
        )

    @classmethod
    def _from(cls, members: SecretDict, sealed: sealing.Sealed | None) -> Self | None:
        """Return the state that was sealed; None if :meth:`seal` did not write its members and its header."""
        header = {} if sealed is None else sealed.header
        if header.keys() != _HEADER:
            return None
        try:
            return cls(
                mfa_token=Secret(members["mfa_token"]),
                requirements=MfaRequirements(tuple(members["challenge"]), tuple(members["enroll"])),
                key=None if members["key"] is None else DPoPKey.from_jwk(SecretDict(members["key"])),
                jkt=header["jkt"] or None,
                issuer=header["iss"],
                client_id=header["client_id"],
                expires_at=int(members["expires_at"]),
                who=_who(SecretDict(members["who"])),
                scope=members["scope"],
                audience=members["audience"],
                expected=ExpectedIdToken(**members["expected"]),
                challenge=None if members["sent"] is None else _challenge(SecretDict(members["sent"])),
                replaces_bound=bool(members.get("replaces_bound")),
            )
        except (KeyError, TypeError, ValueError, OverflowError, UsageError):
            return None


class MfaRequired(OAuthError, code="mfa_required", advice="Continue with client.mfa and the error's state."):
    """The code was right and a second factor is required.

    Attributes:
        mfa_token: The token of the MFA endpoints; a secret.
        mfa_requirements: The factors that the server accepts, as it sent them.
        state: The state for ``client.mfa``; None if the response had no usable ``mfa_token``. It has the private key,
            so a pickle of the error omits it: use :meth:`MfaState.seal`.
        recovery_code: The user's new recovery code, if the old one was used and another factor is required: show it to
            the user. None otherwise.
    """

    recovery_code: str | None = None

    def __init__(
        self,
        *,
        status: int,
        error: str,
        error_description: str = "",
        mfa_token: str | None = None,
        mfa_requirements: dict[str, Any] | None = None,
        state: MfaState | None = None,
    ) -> None:
        super().__init__(status=status, error=error, error_description=error_description)
        self.mfa_token = mfa_token
        self.mfa_requirements: dict[str, Any] = mfa_requirements or {}
        self.state = state

    def __copy__(self) -> MfaRequired:
        return self.with_facts()

    def __deepcopy__(self, _memo: object) -> MfaRequired:
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        restore, (kind, args, facts) = super().__reduce__()
        return restore, (kind, args, {**facts, "state": None})


def usable_token(value: object) -> Secret | None:
    """Return the value if it can be sent as ``mfa_token``; None otherwise."""
    try:
        return _check.secret("mfa_token", value, at_most=_MAX_MFA_TOKEN)
    except UsageError:
        return None


def _challenge(members: SecretDict) -> MfaChallenge:
    oob_code = conceal(members.pop("oob_code"))
    return MfaChallenge(oob_code=oob_code, **members)


def _who_members(who: Recipient | None) -> SecretDict:
    if isinstance(who, AuthSession):
        return SecretDict(auth_session=who.auth_session, **_who_members(who.who))
    return SecretDict() if who is None else SecretDict({who.realm: who.username})


def _who(members: SecretDict) -> Recipient | None:
    who: Any = None
    if "email" in members:
        who = Email(members["email"])
    elif "sms" in members:
        who = Phone(members["sms"])
    return AuthSession(conceal(members["auth_session"]), who) if "auth_session" in members else who
