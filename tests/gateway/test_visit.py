"""One request on its way through a step."""

from __future__ import annotations

from ipaddress import ip_address
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from helpers.sites import request
from passwordless_async import ClientSecretPost, MemoryStore, PasswordlessClient
from passwordless_async._common.secret import Secret, SecretDict
from passwordless_async.gateway.visit import Visit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from helpers.sites import Site


def services(**options: Any) -> Any:
    return SimpleNamespace(client=PasswordlessClient("acme.eu.auth0.com", "id", store=MemoryStore(), **options))


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
    forwarded = visit(address, services(client_auth=ClientSecretPost("secret"))).forwarded_for
    assert (forwarded and str(forwarded)) == told


def test_the_service_of_a_public_client_is_told_no_address() -> None:
    """It ignores them, so the client refuses them."""
    assert visit("203.0.113.7", services()).forwarded_for is None


async def test_a_login_from_the_internet(serve: Callable[..., Awaitable[Site]]) -> None:
    """With a public client too, whose service is told no address."""
    site = await serve(trusted_proxies=1)
    browser = await site.browser(**{"X-Forwarded-For": "203.0.113.7"})
    assert (await browser.log_in()).title == "You are signed in"


def test_what_a_session_remembers() -> None:
    """The device, and the address if it is known."""
    assert visit("10.0.0.1").session_data == {"device": "Firefox on Linux", "place": "10.0.0.1"}
    assert visit(None).session_data == {"device": "Firefox on Linux"}


def test_its_repr_shows_no_secret() -> None:
    """Neither the form nor the session nor the address."""
    shown = repr(visit("203.0.113.7"))
    assert [secret for secret in ("123456", "identifier", "203.0.113.7") if secret in shown] == []
