"""Second factors: what a user has besides the e-mail address or phone number."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Any
from urllib.parse import quote, urlencode

import attrs

from passwordless_async._common.secret import redacted

OTP, SMS, VOICE, EMAIL, PUSH, RECOVERY = "otp", "sms", "voice", "email", "push", "recovery-code"
BY_CODE = (SMS, VOICE, EMAIL)  # out of band; the user types the code that was sent (binding_method "prompt")
KINDS = (OTP, *BY_CODE, PUSH, RECOVERY)
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
    id: str = attrs.field(init=False)
    _secret: bytes = attrs.field(factory=lambda: secrets.token_bytes(_SECRET_BYTES), init=False, repr=redacted)
    _recovery: str = attrs.field(factory=recovery_code, init=False, repr=redacted)
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
    def recovery(self) -> str:
        """The recovery code."""
        return self._recovery

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
        if not hmac.compare_digest(self._recovery.encode(), code.encode()):
            return None
        self._recovery = recovery_code()
        return self._recovery


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
