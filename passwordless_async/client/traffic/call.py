"""A call of the client as a value: what to run, for which operation, and how long to go on trying."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

    from passwordless_async.auth0.tenant import Flow
    from passwordless_async.client.events import Operation
    from passwordless_async.client.profile import Policy

T = TypeVar("T")


@attrs.frozen(repr=False)
class Call(Generic[T]):
    """One call.

    Attributes:
        operation: What it is for.
        flow: Makes the flow, anew for each try.
        is_proven: Whether its requests carry DPoP proofs: then it waits for a first nonce that another call fetches.
        policy: How long to go on trying; the profile's policy for single calls unless given.
    """

    operation: Operation
    flow: Callable[[], Flow[T]]
    is_proven: bool = attrs.field(default=False, kw_only=True)
    policy: Policy | None = attrs.field(default=None, kw_only=True)

    def __repr__(self) -> str:
        # The flow's closure holds codes and tokens.
        return f"<Call {self.operation}>"
