"""DPoP proofs through the guard of a resource server, signed so that the mutations get behind the signature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from fuzz.engine import Target
from passwordless_async.dpop import DPoPKey, token_hash
from passwordless_async.dpop.server.nonce_issuer import NonceIssuer
from passwordless_async.dpop.server.refusal import refusal_headers
from passwordless_async.dpop.server.replay import MemoryReplayStore
from passwordless_async.dpop.server.verifier import DPoPVerifier
from passwordless_async.resource_server.guard import REFUSALS, Guard

if TYPE_CHECKING:
    from fuzz.mutator import Mutator
    from passwordless_async.resource_server.guard import Refusal

NOW = 1_700_000_000
URL = "https://api.example/me"
TOKEN = "test"
HEADER = {"typ": "dpop+jwt", "alg": "ES256"}
CLAIMS = {"htm": "GET", "htu": URL, "iat": NOW, "ath": token_hash(TOKEN)}
NEAR = [
    *(NOW, NOW - 61, NOW + 60.5, URL, f"{URL}?x", "HTTPS://API.example:443/%6de", "/me", "GET", "P-256", "ES256"),
    *("A" * 43, "\ud800", "dpop+jwt", CLAIMS["ath"]),
]
EXTRA = ("nonce", "exp", "nbf", "crit", "b64", "kid", "x5c", "d", "k", "oth")
UNTIMELY = "iat is too far from this server's clock"


@attrs.frozen
class Given:
    """A request.

    Attributes:
        policy: The number of the verifier.
        changed: Whether the proof was changed after it was signed.
    """

    policy: int
    target: str
    fields: list[tuple[str, str]]
    changed: bool


class Proof:
    """Verifiers of each policy, and a client with two keys."""

    def __init__(self) -> None:
        self.keys = DPoPKey.generate(), DPoPKey.generate()
        self.nonces = NonceIssuer(clock=lambda: NOW)
        common: dict[str, Any] = {
            "replay": MemoryReplayStore(max_entries=1_000_000, clock=lambda: NOW),
            "base_url": "https://api.example",
            "clock": lambda: NOW,
        }
        verifiers = (
            DPoPVerifier(**common),
            DPoPVerifier(nonces=self.nonces, require_nonce=False, **common),
            DPoPVerifier(nonces=self.nonces, nonce_time=True, **common),
        )
        self.guards = [Guard.of("preferred", verifier, "https://api.example") for verifier in verifiers]

    def draw(self, mutator: Mutator) -> Given:
        key = self.keys[mutator.often(0.1)]
        header: Any = {**HEADER, "jwk": self.keys[mutator.often(0.1)].to_jwk() if mutator.often(0.1) else key.to_jwk()}
        claims: Any = {**CLAIMS, "jti": str(mutator.index // mutator.choice((1, 1, 1, 2)))}
        if mutator.often():
            claims["nonce"] = self.nonces.issue()
        if mutator.often(0.2):
            part = mutator.choice((header, header["jwk"], claims))
            part[mutator.choice(EXTRA)] = mutator.other("1", NEAR)
        if mutator.often(0.7):
            header, claims = mutator.value(header, NEAR), mutator.value(claims, NEAR)
        proof = mutator.jwt(header, claims, lambda data: bytes(key.sign(data)))
        changed = proof if mutator.often(0.85) else mutator.text(proof)
        authorization = mutator.choice((f"DPoP {TOKEN}",) * 9 + (f"Bearer {TOKEN}", mutator.text(f"DPoP {TOKEN}")))
        fields = [("Authorization", authorization), *[("dPoP", changed)] * mutator.choice((1,) * 9 + (0, 2))]
        target = "/me" if mutator.often(0.9) else mutator.text("/me")
        return Given(mutator.random.randrange(3), target, fields, changed != proof)

    def check(self, given: Given) -> str:
        try:
            self.guards[given.policy].authorize(
                "GET", given.target, given.fields, lambda _token: {"cnf": {"jkt": self.keys[0].thumbprint}}
            ).send(None)
        except StopIteration as stopped:
            assert not given.changed, "a proof that was changed after it was signed is accepted"
            return type(stopped.value.proof).__name__
        except REFUSALS as error:
            return described(error)
        raise AssertionError("the guard waits for something")


def described(error: Refusal) -> str:
    """Return what a refusal says, without the seconds in it; it fits in a header."""
    assert all(value.isprintable() for value in refusal_headers(error).values())
    description = error.error_description
    return UNTIMELY if description.startswith("iat is ") and "this server's clock" in description else description


def make() -> Target:
    """Return the target."""
    proof = Proof()
    return Target(proof.draw, proof.check)
