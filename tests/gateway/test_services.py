"""What all steps share."""

from __future__ import annotations

from passwordless_async import MemoryStore, PasswordlessClient
from passwordless_async.gateway.budgets import Budgets, Sms
from passwordless_async.gateway.ledger import Ledger
from passwordless_async.gateway.services import Services
from passwordless_async.gateway.settings import Settings


def test_it_shows_no_key() -> None:
    """The ring seals cookies."""
    client = PasswordlessClient("acme.eu.auth0.com", "client", store=MemoryStore())
    ledger = Ledger.of(client, Budgets(), Sms(), is_behind_proxies=False)
    services = Services(
        client=client, settings=Settings(base_url="https://app.example"), keys=client.sessions.keys, ledger=ledger
    )
    assert "KeyRing" not in repr(services)
    assert services.clock() > 1e9
