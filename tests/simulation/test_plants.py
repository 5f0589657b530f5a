"""Defects that are planted on purpose: the short run of the simulations finds each of them."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import pytest

from passwordless_async.client.codes import Codes
from passwordless_async.client.orphans import Orphans
from passwordless_async.client.sessions.records import SessionRecords
from passwordless_async.client.traffic import dispatcher, retries
from passwordless_async.client.traffic.dispatcher import Dispatcher
from passwordless_async.client.traffic.feedback import Feedback
from passwordless_async.client.traffic.gate import Gate
from passwordless_async.client.traffic.single_flight import SingleFlight
from passwordless_async.dpop.proof import ProofGenerator
from passwordless_async.errors import NotSent, OutcomeUnknown
from passwordless_async.stores.memory.sessions import MemorySessions
from passwordless_async.stores.protocols import RefreshLease, RefreshTurn
from simulation.command import Tally
from simulation.test_short_run import SEEDS

if TYPE_CHECKING:
    from collections.abc import Callable

    Plant = Callable[[pytest.MonkeyPatch], None]


def code_again_after_an_unknown_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    stock = retries.retry_delay

    def retry_delay(operation: Any, policy: Any, tries: int, failure: Any, **more: Any) -> float | None:
        failure = NotSent("it is taken for unsent") if isinstance(failure, OutcomeUnknown) else failure
        return stock(operation, policy, tries, failure, **more)

    monkeypatch.setattr(dispatcher, "retry_delay", retry_delay)


def code_of_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    async def count_in_store(*_: Any) -> int:
        return 1

    monkeypatch.setattr(Codes, "_count_in_store", count_in_store)


def refresh_by_two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def begin_refresh(*_: Any, **_more: Any) -> RefreshTurn:
        return RefreshTurn(RefreshLease.GRANTED)

    monkeypatch.setattr(MemorySessions, "begin_refresh", begin_refresh)


def orphans_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    async def take(*_: Any) -> None:
        pass

    monkeypatch.setattr(Orphans, "take", take)


def session_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async def keep(*_: Any) -> None:
        pass

    monkeypatch.setattr(SessionRecords, "keep", keep)


def slot_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    stock, calls = Gate.leave, iter(range(1_000_000))

    def leave(gate: Gate, priority: Any) -> None:
        if next(calls) % 50 != 9:
            stock(gate, priority)

    monkeypatch.setattr(Gate, "leave", leave)


def queue_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SingleFlight, "_clear_queue", lambda *_: None)


def flights_left_by_closing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def aclose(*_: Any, **_more: Any) -> tuple[()]:
        return ()

    monkeypatch.setattr(SingleFlight, "aclose", aclose)


def proof_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = itertools.count()
    defaults = ProofGenerator.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "jti", lambda: f"{next(numbers) // 2:032}")


def one_transmission_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """One user's request that hangs holds back all others."""
    stock, locks = Dispatcher._transmit, WeakKeyDictionary[Dispatcher, asyncio.Lock]()

    async def transmit(dispatcher: Dispatcher, request: Any, state: Any) -> Any:
        async with locks.setdefault(dispatcher, asyncio.Lock()):
            return await stock(dispatcher, request, state)

    monkeypatch.setattr(Dispatcher, "_transmit", transmit)


def all_pause_after_one_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    stock = Feedback.failed

    def failed(feedback: Feedback, *about: Any) -> None:
        stock(feedback, *about)
        feedback._gate.pause(20.0)

    monkeypatch.setattr(Feedback, "failed", failed)


# Each with the first seed that finds it; all are among those of the short run.
PLANTS = {
    code_again_after_an_unknown_outcome: 24,
    code_of_another_process: 35,
    refresh_by_two_processes: 16,
    orphans_dropped: 36,
    session_not_kept: 0,
    slot_kept: 0,
    queue_kept: 0,
    flights_left_by_closing: 0,
    proof_used_twice: 0,
    one_transmission_at_a_time: 5,
    all_pause_after_one_failure: 9,
}


@pytest.mark.parametrize(("plant", "seed"), PLANTS.items(), ids=lambda given: getattr(given, "__name__", ""))
def test_the_short_run_finds_planted_defects(plant: Plant, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulations that find nothing are of no use."""
    assert seed < SEEDS
    tally = Tally()
    assert tally.run(seed) == ""
    plant(monkeypatch)
    assert tally.run(seed).startswith(f"seed {seed} failed")
    assert (tally.seeds, tally.failed) == (2, 1)
