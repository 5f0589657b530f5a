"""A clock to set, a client that can make any proof, and the conformance table for tests that take a ``case``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest

from helpers import conformance
from passwordless_async.dpop.server.replay import MemoryReplayStore
from passwordless_async.dpop.server.verifier import DPoPVerifier
from passwordless_async.errors import InvalidDPoPProof, UseDPoPNonce

if TYPE_CHECKING:
    from passwordless_async.dpop.server.checked import CheckedProof

BASE = "https://api.example"
TOKEN = "eyJ.access.token-1"
NOW = 1_700_000_000.0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes a ``case`` once for every row; a ``token_case`` is one without an access token."""
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", conformance.CASES, ids=lambda case: case.name)
    if "token_case" in metafunc.fixturenames:
        rows = [case for case in conformance.CASES if not case.resource]
        metafunc.parametrize("token_case", rows, ids=lambda case: case.name)


@attrs.define
class Clock:
    """A wall clock that stands still until it is set."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


@attrs.define
class Server:
    """A verifier and a client with a token for it."""

    clock: Clock = attrs.field(factory=Clock)
    prover: Any = attrs.field(factory=conformance.Prover)
    options: dict[str, Any] = attrs.field(factory=dict)
    replay: MemoryReplayStore = attrs.field(init=False)
    verifier: DPoPVerifier = attrs.field(init=False)

    base = BASE
    token = TOKEN
    absent = conformance.ABSENT
    compact = staticmethod(conformance.compact)
    base64url = staticmethod(conformance.base64url)
    Prover = conformance.Prover
    Target = conformance.Target

    def __attrs_post_init__(self) -> None:
        self.replay = MemoryReplayStore(clock=self.clock)
        settings = {"replay": self.replay, "base_url": BASE, "clock": self.clock, **self.options}
        self.verifier = DPoPVerifier(**settings)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return right claims for GET /me, with changes."""
        return {**self.prover.claims("GET", f"{BASE}/me", self.clock.now, TOKEN), **changes}

    def proof(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Return a proof for GET /me, with changes."""
        proof: str = self.prover.proof(header or {}, self.claims(**claims))
        return proof

    async def get(self, proof: Any, url: str = "/me", **changes: Any) -> CheckedProof:
        """Verify a request for a resource; a str is the one DPoP header, anything else all the headers."""
        headers = [("DPoP", proof)] if isinstance(proof, str) else proof
        arguments = {"confirmation": {"jkt": self.prover.thumbprint}, "access_token": TOKEN, **changes}
        return await self.verifier.verify(arguments.pop("method", "GET"), url, headers, **arguments)

    def verdict(self, proof: Any, url: str = "/me", **changes: Any) -> CheckedProof | InvalidDPoPProof | UseDPoPNonce:
        """Return the proof or the refusal, without a loop: the store waits for nothing. Anything else is raised."""
        call = self.get(proof, url, **changes)
        try:
            call.send(None)
        except StopIteration as stopped:
            checked: CheckedProof = stopped.value
            return checked
        except (InvalidDPoPProof, UseDPoPNonce) as error:
            return error
        raise AssertionError("the verifier waited for something")

    def untimely(self, ahead: float) -> str:
        """Return why a proof is refused that is so many seconds ahead, or behind, by the default settings."""
        where = "ahead of" if ahead > 0 else "behind"
        return f"iat is {abs(ahead)} seconds {where} this server's clock: 10 ahead to 60 behind are accepted"

    async def post(self, proof: Any) -> CheckedProof:
        """Verify a request to a token endpoint."""
        return await self.verifier.verify("POST", "/oauth/token", [("DPoP", proof)])

    async def refusal(self, proof: Any, url: str = "/me", **changes: Any) -> str:
        """Return why a request is refused."""
        with pytest.raises((InvalidDPoPProof, UseDPoPNonce)) as caught:
            await self.get(proof, url, **changes)
        return caught.value.error_description


@pytest.fixture
def server() -> Server:
    """Return a verifier with the default settings."""
    return Server()


@pytest.fixture(scope="session")
def server_with() -> type[Server]:
    """Return what makes a verifier with settings of the test's own."""
    return Server
