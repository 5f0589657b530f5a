"""A call as a value."""

from __future__ import annotations

import attrs
import pytest

from passwordless_async.client.events import Operation
from passwordless_async.client.profile import INTERACTIVE
from passwordless_async.client.traffic.call import Call


def test_a_call_prints_its_operation_only() -> None:
    """The closure of its flow may hold a code: neither the flow nor the policy is in the repr."""
    secret = "123456"
    call: Call[str] = Call(Operation.EXCHANGE, lambda: iter(secret), policy=INTERACTIVE.single)  # type: ignore[arg-type, return-value]
    assert repr(call) == "<Call exchange>"


def test_a_call_cannot_be_changed() -> None:
    """Retries run the same call: its operation, flow and policy stay."""
    call: Call[None] = Call(Operation.START, lambda: iter(()))  # type: ignore[arg-type, return-value]
    assert (call.is_proven, call.policy) == (False, None)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        call.policy = INTERACTIVE.single  # type: ignore[misc]
