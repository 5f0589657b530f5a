"""A verifier, a token to show, and the conformance table for tests that take a ``case``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import strategies as st

from helpers import conformance
from passwordless_async.dpop.server.nonce_issuer import NonceIssuer
from passwordless_async.dpop.server.replay import MemoryReplayStore
from passwordless_async.dpop.server.verifier import DPoPVerifier

if TYPE_CHECKING:
    from collections.abc import Mapping

BASE = "https://api.example"

# Header fields as a hostile client may combine them. A text in capitals stands for a value that is right.
NAMES = st.sampled_from(["DPoP", "dpop", "DPOP", "Authorization", "authorization", "Host", "X-Other"])
TOKENS = [
    "DPoP",
    "DPoP ",
    "Bearer unbound",
    "dpop bound",
    "DPoP bound,",
    "DPoP  bound",
    "DPoP =",
    "Basic eDp5",
    "DPoP \xe9",
]
PROOFS = ["..", "e30.e30.", "a.b.c", "{}", "eyJhIjoxfQ.eyJhIjoxfQ." + "A" * 86, "IiI.IiI." + "A" * 86, "null"]
VALUES = st.sampled_from(["TOKEN", "PROOF", "TWICE", "", *TOKENS, *PROOFS]) | st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=40
)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=6)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes a ``case`` once for every row of the table."""
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", conformance.CASES, ids=lambda case: case.name)


@attrs.define
class World:
    """A verifier that the adapters stand on, and a client with a bound token and an unbound one."""

    prover: Any = attrs.field(factory=conformance.Prover)
    now: float = attrs.field(factory=time.time)
    nonces: NonceIssuer | None = None
    seen: list[str] = attrs.field(factory=list)
    verifier: DPoPVerifier = attrs.field(init=False)

    base = BASE
    absent = conformance.ABSENT

    def __attrs_post_init__(self) -> None:
        replay = MemoryReplayStore(clock=self.clock)
        self.verifier = DPoPVerifier(replay=replay, base_url=BASE, nonces=self.nonces, clock=self.clock)

    def clock(self) -> float:
        """Return the time that the test set."""
        return self.now

    def issue_nonces(self) -> NonceIssuer:
        """Demand nonces from now on."""
        self.nonces = NonceIssuer(clock=self.clock)
        self.__attrs_post_init__()
        return self.nonces

    def token_info(self, access_token: str) -> Mapping[str, Any] | None:
        """Validate a token, as an application would."""
        self.seen.append(access_token)
        known: dict[str, dict[str, Any]] = {
            "bound": {"sub": "ada", "cnf": {"jkt": self.prover.thumbprint}},
            "unbound": {"sub": "bob"},
        }
        return known.get(access_token)

    def headers(self, url: str = "/me", *, bound: bool = True, scheme: str = "DPoP", **claims: Any) -> dict[str, str]:
        """Return the header fields of a GET request with a token and its proof, with changes to the claims."""
        token = "bound" if bound else "unbound"
        right = self.prover.claims("GET", f"{BASE}{url}", self.now, token)
        return {"Authorization": f"{scheme} {token}", "DPoP": self.prover.proof({}, {**right, **claims})}

    def hostile(self, fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return drawn header fields with what stands for right values in its place."""
        right = self.headers()
        twice = f"{right['DPoP']},{right['DPoP']}"
        values = {"TOKEN": right["Authorization"], "PROOF": right["DPoP"], "TWICE": twice}
        return [(name, values.get(value, value)) for name, value in fields]

    def table(self, case: Any) -> list[tuple[list[tuple[str, str]], bool]]:
        """Return the requests of a row and whether each is to pass."""
        target = conformance.Target("GET", f"{BASE}/me", self.now, "bound")
        jti = "twice" if case.twice else None
        requests = [(case.fields(self.prover, target, jti), case.passes)]
        return [(case.fields(self.prover, target, jti), True), *requests] if case.twice else requests


@pytest.fixture(scope="session")
def hostile_fields() -> st.SearchStrategy[list[tuple[str, str]]]:
    """Return what draws the header fields of a hostile request."""
    return FIELDS


@pytest.fixture(scope="session")
def make_world() -> type[World]:
    """Return what makes a world, for tests that need one for each example."""
    return World


@pytest.fixture
def world() -> World:
    """Return a world without nonces; ``issue_nonces`` changes that."""
    return World()
