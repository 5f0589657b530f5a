"""The values of the MFA API: requirements, factors, factor challenges and new factors."""

from __future__ import annotations

import re
from typing import Literal

import attrs

from passwordless_async._common.secret import Secret, redacted

ChallengeType = Literal["otp", "oob"]
OobChannel = Literal["sms", "voice", "email", "auth0"]

_MAX_TYPES = 32
_TYPE = re.compile(r"[\x21-\x7E]{1,64}")
# Factors with a challenge type of their own name; all others, such as "push-notification", are out of band.
_NAMED_TYPES = ("otp", "recovery-code")


@attrs.frozen
class MfaRequirements:
    """The factors that the service accepts.

    Attributes:
        challenge: The types of the user's factors, in the service's words: ``otp``, ``oob``, ``sms``, ``email``,
            ``push-notification``, ``recovery-code`` and so on; empty if the user has none or the service does not say.
        enroll: The types that the user may associate, in the same words.
    """

    challenge: tuple[str, ...] = ()
    enroll: tuple[str, ...] = ()

    @classmethod
    def read(cls, given: object) -> MfaRequirements:
        """Read ``{"challenge": [{"type"}], "enroll": [{"type"}]}`` or ``{"challenge_types": […]}``.

        Anything else is ignored: it must not end a login.
        """
        if not isinstance(given, dict):
            return cls()
        challenge = _types(given.get("challenge")) or _types(given.get("challenge_types"))
        return cls(challenge, _types(given.get("enroll")))

    @property
    def challenge_types(self) -> tuple[ChallengeType, ...]:
        """The types of challenge to request; both if the service did not say."""
        kinds = {kind if kind in _NAMED_TYPES else "oob" for kind in self.challenge}
        wanted: tuple[ChallengeType, ...] = ("otp", "oob")
        return tuple(kind for kind in wanted if kind in kinds) or wanted


def _types(given: object) -> tuple[str, ...]:
    if not isinstance(given, list):
        return ()
    kinds = (entry.get("type") if isinstance(entry, dict) else entry for entry in given[:_MAX_TYPES])
    return tuple(dict.fromkeys(kind for kind in kinds if isinstance(kind, str) and _TYPE.fullmatch(kind)))


@attrs.frozen
class Authenticator:
    """A factor of the user.

    Attributes:
        id: Its identifier, for ``challenge``.
        authenticator_type: ``otp``, ``oob`` or ``recovery-code``.
        active: Whether it has been confirmed.
        oob_channel: Its channel, if out of band: ``sms``, ``voice``, ``email`` or ``auth0`` (a push message).
        name: Its phone number or address, masked by the service; personal data, so not in the repr.
    """

    id: str
    authenticator_type: str
    active: bool
    oob_channel: str | None = None
    name: str | None = attrs.field(default=None, repr=redacted)


@attrs.frozen
class MfaChallenge:
    """A factor challenge: a message that was sent to a factor, or the request to read a code from an app.

    Attributes:
        challenge_type: ``otp`` or ``oob``.
        oob_code: The handle of the message that was sent out of band; None for ``otp``.
        binding_method: ``prompt`` if the user types the code that was sent (the ``binding_code``); None otherwise.
        expires_at: When it expires, after five minutes: seconds since the UNIX epoch.
    """

    challenge_type: str
    oob_code: Secret | None = attrs.field(repr=redacted)
    binding_method: str | None
    expires_at: int

    @property
    def prompts(self) -> bool:
        """Whether the user types a code; otherwise they approve the login on another device, and the client polls."""
        return self.binding_method == "prompt"


@attrs.frozen
class Association:
    """A new factor; it is confirmed when the login is finished with it.

    Attributes:
        authenticator_type: ``otp`` or ``oob``.
        secret: The shared secret for an authenticator app, base32; None for ``oob``.
        barcode_uri: The secret as a URI, to show as a QR code; for ``auth0``, the URI that enrols the push application.
        recovery_codes: New recovery codes: show them to the user, the service sends them once.
        oob_channel: The factor's channel; None for ``otp``.
        challenge: Finishes the login: by ``verify_otp`` for ``otp``, otherwise by ``verify_oob`` or ``poll_oob``.
    """

    authenticator_type: str
    secret: Secret | None = attrs.field(repr=redacted)
    barcode_uri: Secret | None = attrs.field(repr=redacted)
    recovery_codes: tuple[Secret, ...] = attrs.field(repr=lambda codes: f"<{len(codes)} codes>")
    oob_channel: str | None
    challenge: MfaChallenge

    @property
    def oob_code(self) -> Secret | None:
        """The handle of the message that was sent out of band; None for ``otp``."""
        return self.challenge.oob_code
