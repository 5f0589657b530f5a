"""Sealed texts: stored sessions, token sets, MFA states and pending links; changed as sealed, or within the seal."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING, Any

import attrs

from fuzz.engine import Target
from fuzz.mutator import b64
from passwordless_async import BrokenSeal, DPoPKey, Email, KeyRing, MfaState, PendingLink, TokenSet
from passwordless_async._common.secret import Secret, SecretBytes
from passwordless_async.auth0.mfa.values import MfaChallenge, MfaRequirements
from passwordless_async.client.sessions.encoding import decode, encode
from passwordless_async.errors import InvalidMfaState, UsageError

if TYPE_CHECKING:
    from fuzz.mutator import Mutator

ISSUER, ADA = "https://tenant.example/", Email("ada@example.com")
KNOWN = {"issuer": ISSUER, "client_id": "client", "token_type": "DPoP"}
MEMBERS = {"user": "ada", "opened_at": 1.5, "ends_at": 2.5, "data": {"a": [1]}}
NEAR = [
    *("session+jwe", "tokens+jwe", "mfa-state+jwe", "pending-link+jwe", "s", "u", "dir", "A256GCM", "email", "sms"),
    *(64, 96, [32, 64], [10**9], 2**40, -1, "+4930901820", "ada@example.com", ["email", "ada@example.com"]),
]


@attrs.frozen
class Client:
    """What a state is opened for."""

    issuer: str = ISSUER
    client_id: str = "client"


@attrs.frozen
class Given:
    """A sealed text, as what it is read, and whether it was changed after it was sealed."""

    kind: str
    sealed: str
    changed: bool


class Session:
    """A ring of two keys, and what is sealed with it."""

    def __init__(self) -> None:
        self.ring = KeyRing(b"n" * 32, b"o" * 32, users=b"u" * 32)
        self.others = KeyRing(b"o" * 32, users=b"u" * 32), KeyRing(b"s" * 32, users=b"u" * 32)
        key = DPoPKey.generate()
        token = Secret(
            ".".join(b64(json.dumps(part).encode()).decode() for part in ({"alg": "x"}, {"sub": "ada"}, "x"))
        )
        tokens = TokenSet(token, "DPoP", 1, "openid", Secret("r"), token, {"sub": "ada"}, key)
        state = MfaState(
            mfa_token=token,
            requirements=MfaRequirements(("otp",), ()),
            key=key,
            jkt=key.thumbprint,
            issuer=ISSUER,
            client_id="client",
            expires_at=253_402_300_799,
            who=ADA,
            challenge=MfaChallenge(challenge_type="oob", oob_code=token, binding_method="prompt", expires_at=1),
        )
        link = PendingLink(ADA, "https://app.example/", "openid", None, key, issuer=ISSUER, client_id="client")
        place = {"typ": "session+jwe", "sid": "s", "usr": "u"}
        self.sealed = {
            "tokens": tokens.seal(self.ring),
            "MFA state": state.seal(self.ring),
            "link": link.seal(self.ring),
            "session": self.ring.seal(encode(tokens, KNOWN, **MEMBERS), place),
        }

    def draw(self, mutator: Mutator) -> Given:
        kind = mutator.choice((*self.sealed, "session"))
        unsealed = self.ring.unseal(self.sealed[kind], {})
        plain, end, tail = bytes(unsealed.content).partition(b"\0")
        content = mutator.encoded(mutator.value(json.loads(plain), NEAR)) + end + tail
        if mutator.often(0.2):
            content = mutator.raw(content, unsealed.content)
        header = {name: value for name, value in unsealed.header.items() if name not in {"alg", "enc", "kid"}}
        if mutator.often(0.1):
            header = {name: mutator.text(value) if mutator.often() else value for name, value in header.items()}
        ring = self.others[mutator.often()] if mutator.often(0.1) else self.ring
        try:
            sealed = ring.seal(SecretBytes(content), header)
        except (UnicodeEncodeError, UsageError):  # what is sealed is not hostile
            sealed, ring = self.sealed[kind], self.ring
        changed = sealed if mutator.often(0.7) else edited(mutator, sealed)
        return Given(kind, changed, changed != sealed or ring is self.others[1])

    def check(self, given: Given) -> str:
        try:
            outcome = self._unsealed(given)
        except (BrokenSeal, InvalidMfaState) as error:
            return f"{given.kind}: {type(error).__name__}, {error.failed}"
        assert not given.changed, "a text is unsealed that was changed"
        return outcome

    def _unsealed(self, given: Given) -> str:
        text, ring = given.sealed, self.ring
        if given.kind == "session":
            unsealed = ring.unseal(text, {"typ": "session+jwe", "sid": "s", "usr": "u"})
            return "no session" if decode(unsealed.content, KNOWN) is None else "session"
        value: Any
        if given.kind == "MFA state":
            value = MfaState.unseal(text, ring, client=Client())
        else:
            value = (TokenSet if given.kind == "tokens" else PendingLink).unseal(text, ring)
        repr(value)
        return type(value).__name__


def edited(mutator: Mutator, sealed: str) -> str:
    """Return a sealed text with an edit, or with another header."""
    if mutator.often():
        return mutator.text(sealed)
    protected, *rest = sealed.split(".")
    header = mutator.value(json.loads(urlsafe_b64decode(protected + "==")), NEAR)
    return ".".join([b64(mutator.encoded(header)).decode(), *rest])


def make() -> Target:
    """Return the target."""
    session = Session()
    return Target(session.draw, session.check)
