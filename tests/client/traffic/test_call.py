"""A call as a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from passwordless_async import INTERACTIVE
from passwordless_async.client.events import Operation
from passwordless_async.client.traffic.call import Call

if TYPE_CHECKING:
    from passwordless_async.auth0.tenant import Flow


class Flows:
    """Makes flows that return a secret; its repr shows the secret."""

    def __init__(self, secret: str) -> None:
        self.secret = secret

    def __repr__(self) -> str:
        return f"<Flows with {self.secret}>"

    def __call__(self) -> Flow[str]:
        yield from ()
        return self.secret


def test_a_call_is_neither_proven_nor_bound_to_a_policy_unless_it_says_so() -> None:
    """Then it takes no part in the first nonce, and the profile decides how patient it is."""
    call = Call(Operation.REVOKE, Flows("4711"))
    assert (call.is_proven, call.policy) == (False, None)


def test_a_call_makes_its_flow_anew_for_each_try() -> None:
    """A flow is a generator, which runs once."""
    call = Call(Operation.EXCHANGE, Flows("4711"), is_proven=True, policy=INTERACTIVE.many)
    first, second = call.flow(), call.flow()
    assert first is not second
    for flow in (first, second):
        with pytest.raises(StopIteration) as end:
            next(flow)
        assert end.value.value == "4711"


@pytest.mark.parametrize("operation", Operation)
def test_a_call_prints_its_operation_alone(operation: Operation) -> None:
    """What its flow holds is secret."""
    assert repr(Call(operation, Flows("4711"), policy=INTERACTIVE.many)) == f"<Call {operation}>"


def test_a_call_does_not_change() -> None:
    """The dispatcher may try it again as it is."""
    call = Call(Operation.START, Flows("4711"))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        call.is_proven = True  # type: ignore[misc] # what is tested
