"""Plants: faults that are put into the engine on purpose, so that a test can show that random programs find them.

Each is a function that patches the real code for one test.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from passwordless_async.client.events import Operation
from passwordless_async.client.logins import Logins
from passwordless_async.client.refreshes import Refreshes
from passwordless_async.client.traffic import retries, single_flight
from passwordless_async.client.traffic.gate import Gate
from passwordless_async.client.traffic.single_flight import SingleFlight, cancellations
from passwordless_async.dpop import NonceCache
from passwordless_async.errors import OutcomeUnknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest import MonkeyPatch  # noqa: PT013 - a type

    Plant = Callable[[MonkeyPatch], None]


def code_again_after_an_unknown_outcome(patch: MonkeyPatch) -> None:
    retryable = retries._RETRYABLE[Operation.EXCHANGE]
    patch.setitem(retries._RETRYABLE, Operation.EXCHANGE, (*retryable, OutcomeUnknown))


def all_users_in_one_flight(patch: MonkeyPatch) -> None:
    async def share(self: Any, code: Any, call: Any) -> Any:
        key = "everyone"
        return await self._flights.run(key, lambda departure: self._present(code, call, departure), detail=code)

    patch.setattr(Logins, "_share", share)


def nonces_not_kept(patch: MonkeyPatch) -> None:
    patch.setattr(NonceCache, "_keep", lambda _self, _place, _ticket, _nonce: False)


def codes_of_a_user_at_once(patch: MonkeyPatch) -> None:
    run = SingleFlight.run

    async def at_once(self: Any, key: Any, call: Any, **more: Any) -> Any:
        return await run(self, key, call, **{**more, "queue": None})

    patch.setattr(SingleFlight, "run", at_once)


def refresh_token_again_after_an_unknown_outcome(patch: MonkeyPatch) -> None:
    patch.setattr(Refreshes, "_may_send_again", lambda _self, _key, _request: True)


def orphans_not_handed_over(patch: MonkeyPatch) -> None:
    async def dropped(self: Any, code: Any, result: Any) -> None:
        del self, code, result

    patch.setattr(Logins, "_orphaned", dropped)


def slot_kept_by_a_cancelled_call(patch: MonkeyPatch) -> None:
    leave = Gate.leave

    def kept(self: Gate, priority: Any) -> None:
        if not cancellations():
            leave(self, priority)

    patch.setattr(Gate, "leave", kept)


def sent_request_ended_with_its_caller(patch: MonkeyPatch) -> None:
    abandon = SingleFlight._abandon

    async def ended(self: Any, flight: Any, *, finish: bool) -> None:
        await abandon(self, flight, finish=finish)
        if not flight.waiters:
            flight.task.cancel()

    patch.setattr(SingleFlight, "_abandon", ended)


def older_nonce_over_a_newer_one(patch: MonkeyPatch) -> None:
    keep = NonceCache._keep

    def kept(self: Any, place: Any, _ticket: int, nonce: str) -> bool:
        return keep(self, place, self.ticket(), nonce)

    patch.setattr(NonceCache, "_keep", kept)


def no_turn_before_hand_overs(patch: MonkeyPatch) -> None:
    """Have closing wait for flights alone, not for their callers, which may yet make an orphan."""

    async def end(self: Any) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    patch.setattr(single_flight._Flight, "end", end)


# Those that programs find. No order of tasks on real sockets shows the last one: a trial of single flight finds it.
PLANTS: list[Plant] = [
    code_again_after_an_unknown_outcome,
    all_users_in_one_flight,
    nonces_not_kept,
    codes_of_a_user_at_once,
    refresh_token_again_after_an_unknown_outcome,
    orphans_not_handed_over,
    slot_kept_by_a_cancelled_call,
    sent_request_ended_with_its_caller,
    older_nonce_over_a_newer_one,
]
