"""One request on its way through a step."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from helpers.sites import request
from passwordless_async._common.secret import Secret, SecretDict
from passwordless_async.gateway.visit import Visit


def visit(address: str | None, services: Any = None) -> Visit:
    return Visit(
        request=request(),
        form=SecretDict(code=Secret("123456")),
        login=None,
        session=Secret("identifier"),
        address=None if address is None else ip_address(address),
        device="Firefox on Linux",
        language="en",
        services=services,
    )


@pytest.mark.parametrize(
    ("address", "told"), [("203.0.113.7", "203.0.113.7"), ("10.0.0.1", None), ("fd00::1", None), (None, None)]
)
def test_the_service_is_told_public_addresses_alone(address: str | None, told: str | None) -> None:
    """A private one is a proxy's, or of a network of one's own."""
    forwarded = visit(address).forwarded_for
    assert (forwarded and str(forwarded)) == told


def test_what_a_session_remembers() -> None:
    """The device, and the address if it is known."""
    assert visit("10.0.0.1").session_data == {"device": "Firefox on Linux", "place": "10.0.0.1"}
    assert visit(None).session_data == {"device": "Firefox on Linux"}


def test_its_repr_shows_no_secret() -> None:
    """Neither the form nor the session nor the address."""
    shown = repr(visit("203.0.113.7"))
    assert [secret for secret in ("123456", "identifier", "203.0.113.7") if secret in shown] == []
