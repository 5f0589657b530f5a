"""What the MFA API speaks of, as values: what is asked for, factors, challenges and new factors."""

from __future__ import annotations

import re
from typing import Literal

import attrs

from passwordless_async._common.secret import Secret, redacted

ChallengeType = Literal["otp", "oob"]
OobChannel = Literal["sms", "voice", "email", "auth0"]

_MAX_TYPES = 32
_TYPE = re.compile(r"[\x21-\x7E]{1,64}")
# The service's own word for a factor, and the type of challenge that it takes: "push-notification" is out of band.
_BY_ITSELF = ("otp", "recovery-code")


@attrs.frozen
class MfaRequirements:
    """What the service accepts as a second factor, read from either of its shapes.

    Attributes:
        challenge: The types of factors that the user has, in the service's words: ``otp``, ``oob``, ``sms``, ``email``,
            ``push-notification``, ``recovery-code`` and so on; empty where the user has none or the service is silent.
        enroll: The types that the user may associate, in the same words.
    """

    challenge: tuple[str, ...] = ()
    enroll: tuple[str, ...] = ()

    @classmethod
    def read(cls, given: object) -> MfaRequirements:
        """Read ``{"challenge": [{"type"}], "enroll": [{"type"}]}`` or ``{"challenge_types": […]}``.

        What is not of these forms is left out: a login must not end by it.
        """
        if not isinstance(given, dict):
            return cls()
        challenge = _types(given.get("challenge")) or _types(given.get("challenge_types"))
        return cls(challenge, _types(given.get("enroll")))

    @property
    def challenge_types(self) -> tuple[ChallengeType, ...]:
        """The types to ask a challenge for; both where the service did not say."""
        kinds = {kind if kind in _BY_ITSELF else "oob" for kind in self.challenge}
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
        id: Its identifier, to challenge it by.
        authenticator_type: ``otp``, ``oob`` or ``recovery-code``.
        active: Whether it has been confirmed.
        oob_channel: How it is reached out of band: ``sms``, ``voice``, ``email`` or ``auth0`` (a push message).
        name: Where that is, masked by the service; personal all the same, and so not in the repr.
    """

    id: str
    authenticator_type: str
    active: bool
    oob_channel: str | None = None
    name: str | None = attrs.field(default=None, repr=redacted)


@attrs.frozen
class MfaChallenge:
    """What was sent to a factor, or that its code is to be read off.

    Attributes:
        challenge_type: ``otp`` or ``oob``.
        oob_code: The handle of what was sent out of band; None for ``otp``.
        binding_method: ``prompt`` where the user types a code that was sent (the ``binding_code``); None otherwise.
        expires_at: Until when it is good, five minutes: seconds since the UNIX epoch.
    """

    challenge_type: str
    oob_code: Secret | None = attrs.field(repr=redacted)
    binding_method: str | None
    expires_at: int

    @property
    def prompts(self) -> bool:
        """Whether the user types a code; otherwise they approve on another device, which is polled for."""
        return self.binding_method == "prompt"


@attrs.frozen
class Association:
    """A new factor; it counts once the login is finished with it.

    Attributes:
        authenticator_type: ``otp`` or ``oob``.
        secret: The shared secret for an authenticator app, base32; None for ``oob``.
        barcode_uri: The same as a URI, to show as a QR code; for ``auth0`` what enrols the push application.
        recovery_codes: New recovery codes: they are told this once, so show them to the user.
        oob_channel: How the factor is reached; None for ``otp``.
        challenge: What to finish the login with: by ``verify_otp`` for ``otp``, else by ``verify_oob`` or ``poll_oob``.
    """

    authenticator_type: str
    secret: Secret | None = attrs.field(repr=redacted)
    barcode_uri: Secret | None = attrs.field(repr=redacted)
    recovery_codes: tuple[Secret, ...] = attrs.field(repr=lambda codes: f"<{len(codes)} codes>")
    oob_channel: str | None
    challenge: MfaChallenge

    @property
    def oob_code(self) -> Secret | None:
        """The handle of what was sent out of band; None for ``otp``."""
        return self.challenge.oob_code
