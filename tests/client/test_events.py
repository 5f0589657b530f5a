"""Events: small frozen values that show no secret."""

from __future__ import annotations

import asyncio
from typing import Any, get_args

import attrs
import pytest

from passwordless_async.client import events
from passwordless_async.client.events import (
    Challenged,
    Done,
    Operation,
    Orphaned,
    Paced,
    Retried,
    Sent,
    StoreLost,
    StoreRegained,
    UnboundTokens,
    Use,
)

EXAMPLES = [
    Sent(Operation.EXCHANGE, "POST", "https://acme.example", "/oauth/token", 200, None, 0.2, 1),
    Challenged(Operation.EXCHANGE),
    Paced(Operation.START, 1.5),
    Retried(Operation.REFRESH, 1, "rate_limited", 0.5),
    Done(Operation.USERINFO, None, 0.2, 2),
    Orphaned(Operation.MFA, "not_sent"),
    UnboundTokens(Operation.EXCHANGE, "https://plain.example"),
    StoreLost(Use.QUOTA),
    StoreRegained(Use.NONCES),
]


def test_all_are_shown() -> None:
    """An event is one of those that follow, each of which has its example here."""
    assert set(get_args(events.Event)) == {type(event) for event in EXAMPLES}


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_they_are_values(event: Any) -> None:
    """An event is equal to its copy, may be counted in a set, and does not change."""
    assert {attrs.evolve(event)} == {event}
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(event, attrs.fields(type(event))[0].name, None)


def test_operations_are_texts() -> None:
    """An operation is the label of a metric as it stands."""
    names = ["start", "exchange", "refresh", "revoke", "userinfo", "mfa", "keys"]
    assert [str(operation) for operation in Operation] == names
    assert all(isinstance(operation, str) for operation in Operation)


async def test_several_functions_are_told() -> None:
    """In order; one that fails takes the event from no other one, and is reported to the loop."""
    told: list[tuple[int, events.Event]] = []
    reported: list[Any] = []

    def fails(_event: events.Event) -> None:
        raise ValueError

    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context["exception"]))
    hooks: list[events.OnEvent] = [lambda event: told.append((1, event)), fails, lambda event: told.append((2, event))]
    event = Challenged(Operation.EXCHANGE)
    events.Emitter(hooks).emit(event)
    assert told == [(1, event), (2, event)]
    assert list(map(type, reported)) == [ValueError]


@pytest.mark.parametrize("on_event", [None, [], ()])
def test_without_a_function_no_event_is_made(on_event: Any) -> None:
    """It costs nothing then."""
    assert events.Emitter(on_event).is_wanted is False
