"""The messages that the tenant "sent"."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from helpers.tenant_wire import ADA, Wire

if TYPE_CHECKING:
    from passwordless_async.testing import Message


async def test_code_and_link_are_not_confused(warm: Wire) -> None:
    """A message holds a code or a link, and the error names which."""
    with pytest.raises(LookupError, match="holds a code"):
        warm.tenant.outbox.link_for(ADA)
    await warm.start(send="link")
    with pytest.raises(LookupError, match="holds a link"):
        warm.tenant.outbox.code_for(ADA)


async def test_asking_for_a_code_that_was_never_sent_raises(wire: Wire) -> None:
    """Asking for a code that was never sent is a LookupError that says so."""
    with pytest.raises(LookupError, match="no message was sent"):
        wire.tenant.outbox.code_for(ADA)


async def test_on_send_is_called_with_each_message(wire: Wire) -> None:
    """``on_send`` is called with each message."""
    heard: list[Message] = []
    wire.tenant.outbox.on_send = heard.append

    await wire.start()

    assert [message.code for message in heard] == [wire.tenant.outbox.code_for(ADA)]
