"""Simulations: processes, a tenant and a store on a virtual clock and a network in memory, as a seed decides."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import commands
from passwordless_async import Email
from simulation import command, promises
from simulation.command import Tally, main
from simulation.program import trial_of
from simulation.trial import Outcome, simulate
from simulation.world import Presented

SEEDS = 120
NOTHING = Outcome(callbacks=0, seconds=0.0, logins=0, users=0, rotations=0, orphans=0, errors=())


@pytest.mark.slow
def test_any_simulation_keeps_the_promises() -> None:
    """Users have their own tokens, nothing is sent twice, lost or left, and every call ends; and much was done."""
    tally = Tally()
    assert "".join(map(tally.run, range(SEEDS))) == ""
    assert (tally.seeds, tally.failed) == (SEEDS, 0)
    assert tally.tokens >= SEEDS / 2
    assert tally.users >= SEEDS / 3
    assert tally.rotations >= SEEDS / 4
    assert tally.orphans >= SEEDS / 10


@pytest.mark.parametrize("seed", range(3))
def test_a_seed_is_the_same_simulation_each_time(seed: int) -> None:
    """A failure can be looked at again."""
    assert simulate(trial_of(seed)) == simulate(trial_of(seed))


@pytest.mark.parametrize("seed", [20_876, 25_418, 26_144, 50_252])
def test_a_seed_that_failed_once_does_not_fail_again(seed: int) -> None:
    """An API call while the client closes (two); a refused refresh whose caller had gone; an API that says nothing."""
    assert Tally().run(seed) == ""


def test_the_command_tells_how_many_failed(capsys: pytest.CaptureFixture[str]) -> None:
    """It exits with 0 if none did."""
    assert main(["--first", "7", "--seeds", "1"]) == 0
    assert capsys.readouterr().out.startswith("seeds 1, failed 0; tokens in ")


@pytest.mark.parametrize("during", ["simulate", "trial_of"])
def test_an_interrupted_command_tells_what_it_has_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], during: str
) -> None:
    """A run of hours that someone stops has its counts; the status is neither that of success nor of a failure."""
    stop = {"simulate": trial_of(2), "trial_of": 2}[during]

    def interrupt(given: object) -> Outcome:
        if given == stop:
            raise KeyboardInterrupt
        return NOTHING

    monkeypatch.setattr(command, "simulate", interrupt)
    monkeypatch.setattr(command, during, interrupt)
    monkeypatch.setattr(sys, "stderr", sys.stderr)  # restored: this process goes on
    assert main(["--seeds", "9"]) == 130
    assert capsys.readouterr().out.startswith("seeds 2, failed 0; tokens in 0, two users in 0, ")


def test_a_signal_that_a_simulation_swallows_ends_the_command_after_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a destructor does: what it raises is not raised where it was called."""

    def swallow(_trial: object) -> Outcome:
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        return NOTHING

    monkeypatch.setattr(command, "simulate", swallow)
    monkeypatch.setattr(commands, "_signals", [])
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    before = signal.getsignal(signal.SIGTERM)
    try:
        commands.end_by_sigterm_as_by_ctrl_c()
        assert main(["--seeds", "9"]) == 130
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr().out.startswith("seeds 1, failed 0; ")


@pytest.mark.parametrize(("arrivals", "outdated"), [([], False), ([1.0], False), ([1.0, 3.0], True)])
def test_a_code_is_outdated_if_it_arrived_after_a_newer_one_was_sent(arrivals: list[float], *, outdated: bool) -> None:
    """One that never arrived excuses nothing."""
    form = {"username": "ada@example.com", "otp": "111111"}
    requests = [SimpleNamespace(path="/oauth/token", at=at, form=form) for at in arrivals]
    codes = [(0.5, "111111"), (2.0, "222222")]
    messages = [SimpleNamespace(username="ada@example.com", code=code, factor=None, at=at) for at, code in codes]
    world: Any = SimpleNamespace(tenant=SimpleNamespace(requests=requests, outbox=SimpleNamespace(messages=messages)))
    assert promises._is_outdated(Presented(Email("ada@example.com"), "111111"), world) == outdated


@pytest.mark.parametrize("arguments", [["--seeds", "0"], ["--seeds", "-1"], ["--first", "-1"]])
def test_a_run_without_seeds_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It would pass, and nothing would have been checked."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert f"argument {arguments[0]}: must be at least" in capsys.readouterr().err
