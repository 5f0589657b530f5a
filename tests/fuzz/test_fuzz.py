"""A short run of each fuzz target, and the engine with targets that break their promise."""

from __future__ import annotations

import logging
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from fuzz.engine import Finding, Hang, Target, run
from fuzz.mutator import Mutator

TARGETS = {
    "access_token": (400, {"accepted", "unknown key", "the access token has a wrong signature"}),
    "api_request": (300, {"asgi 200", "asgi 401", "aiohttp 200", "aiohttp 401"}),
    "cookie": (400, {"login, session, True", "no login, no session, False"}),
    "id_token": (500, {"login", "logout", "InvalidIdToken: signature", "InvalidLogoutToken: events"}),
    "jwks": (300, {"1 keys or more", "2 keys or more", "the answer is not a JSON object (status 200)"}),
    "metadata": (500, {"9 endpoints", "the metadata's issuer is not https://tenant.example/ (status 200)"}),
    "nonce": (400, {"answered after 1", "answered after 2", "NonceChallengeRepeated after 2"}),
    "proof": (900, {"CheckedProof", "the signature is wrong", "typ is not dpop+jwt", "the proof was used before"}),
    "gateway": (300, {"asgi 200", "asgi 303", "asgi 405", "aiohttp 200", "aiohttp 303", "aiohttp 400"}),
    "redis_answers": (300, {"begin_attempt: StoreUnavailable", "read: StoreUnavailable", "close: bool"}),
    "session": (400, {"session", "no session", "TokenSet", "PendingLink", "MfaState", "session: BrokenSeal, seal"}),
    "token_answer": (400, {"tokens, bound, an ID token", "MfaRequired", "OutcomeUnknown", "MalformedAnswer"}),
}
"""How many inputs each is checked with here, and outcomes that are among theirs: without these it tests nothing."""

SLOW = {"gateway": pytest.mark.slow}


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW.get(name, ())) for name in TARGETS])
def test_every_outcome_is_a_value_or_a_typed_error(name: str) -> None:
    """Any input has one of the outcomes that its part of the library names; ``python -m tests.fuzz`` tries more.

    The next test reads the library's log again.
    """
    inputs, wanted = TARGETS[name]
    seen = run(import_module(f"fuzz.targets.{name}").make, inputs, seed=1)
    assert wanted - seen.keys() == set()
    assert seen.total() == inputs
    assert not logging.getLogger("passwordless_async").disabled


def test_every_target_has_a_short_run() -> None:
    """A target that is added is run here too."""
    assert {path.stem for path in (Path(__file__).parent / "targets").glob("*.py")} == TARGETS.keys()


def numbers(mutator: Mutator) -> int:
    """Draw one number of a hundred."""
    return mutator.random.randrange(100)


def fails_at_7(number: int) -> str:
    """Break the promise for one number."""
    if number == 7:
        raise KeyError("seven")
    return "even" if number % 2 == 0 else "odd"


def test_a_finding_names_its_seed_and_index() -> None:
    """The same input comes again by these two, alone."""
    with pytest.raises(Finding, match=r"^seed 3, input (\d+): KeyError: 'seven'\n7$") as found:
        run(lambda: Target(numbers, fails_at_7), 10_000, seed=3)
    index = int(str(found.value).split("input ")[1].split(":")[0])
    assert isinstance(found.value.__cause__, KeyError)
    with pytest.raises(Finding, match=f"^seed 3, input {index}:"):
        run(lambda: Target(numbers, fails_at_7), 1, seed=3, first=index)
    assert run(lambda: Target(numbers, fails_at_7), index, seed=3).total() == index


def test_an_acceptance_that_must_not_be_is_a_finding() -> None:
    """A check asserts what may be accepted."""

    def check(number: int) -> str:
        assert number != 7, "accepted"
        return "refused"

    with pytest.raises(Finding, match="AssertionError: accepted"):
        run(lambda: Target(numbers, check), 10_000, seed=0)


def test_a_hang_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its CPU is bounded, even where the code catches every exception."""
    monkeypatch.setattr("fuzz.engine._MAX_CPU_SECONDS", 0.05)

    def check(_number: int) -> str:
        while True:
            try:
                int("7")
            except Exception:  # noqa: BLE001, S112 - what a hang must get through
                continue

    with pytest.raises(Finding, match="input 0: Hang") as found:
        run(lambda: Target(numbers, check), 1, seed=0)
    assert isinstance(found.value.__cause__, Hang)


def test_targets_are_made_anew_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one remembers does not grow, also where an input is found."""
    monkeypatch.setattr("fuzz.engine._INPUTS_OF_ONE_TARGET", 10)
    steps: list[str] = []

    def make() -> Target:
        steps.append("made")
        return Target(numbers, fails_at_7, lambda: steps.append("closed"))

    with pytest.raises(Finding, match="input 25:"):
        run(make, 10_000, seed=15)
    assert steps == ["made", "closed"] * 3


def test_inputs_are_drawn_from_seed_and_index_alone() -> None:
    """Each edit of the mutator, without a word from elsewhere."""

    def drawn(mutator: Mutator) -> Any:
        value = mutator.value({"a": [1, "x", {"b": None}], "c": 1.5}, ["near"])
        return repr(value), mutator.encoded({"a": {"b": 1}}), mutator.text("text"), mutator.raw(b"bytes", b"other")

    again = [drawn(Mutator(5, index)) for index in range(500)]
    assert [drawn(Mutator(5, index)) for index in range(500)] == again
    assert len(Counter(map(str, again))) > 450
