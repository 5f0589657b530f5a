"""Reading the metadata before what needs its endpoints: by hand, and for client certificates at another host."""

from __future__ import annotations

import ssl
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs
import pytest
from aiohttp import web

from helpers import flows
from passwordless_async import TESTING, Email, NotSent, OutcomeUnknown, PasswordlessClient, TlsClientAuth
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.application import Application
from passwordless_async.auth0.discovery import with_endpoints
from passwordless_async.auth0.metadata import Metadata
from passwordless_async.auth0.mfa.state import MfaState
from passwordless_async.auth0.mfa.values import MfaRequirements
from passwordless_async.auth0.otp import exchange
from passwordless_async.auth0.tenant import Tenant
from passwordless_async.testing import ThrowAwayCa

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from passwordless_async._common.http import HttpRequest
    from passwordless_async.auth0.tenant import Flow
    from passwordless_async.auth0.tokens import TokenSet

ISSUER = "https://tenant.example/"
ALIAS = "https://mtls.tenant.example/oauth/token"
DOCUMENT = {"issuer": ISSUER, "mtls_endpoint_aliases": {"token_endpoint": ALIAS}}


@pytest.fixture
def tenant() -> Tenant:
    """Return a tenant whose metadata is wanted and not read."""
    auth = TlsClientAuth(ssl.create_default_context())
    return Tenant(Application("tenant.example", "client", auth), metadata=Metadata(wanted=True))


def begin(tenant: Tenant) -> tuple[Flow[TokenSet], HttpRequest]:
    """Begin an exchange; gives its flow and its first request."""
    flow = with_endpoints(tenant, lambda: exchange(tenant, flows.login()))
    return flow, next(flow)


def test_the_metadata_is_read_before_the_code_is_sent(tenant: Tenant) -> None:
    """The code goes to the endpoint that is named, the proof names it too, and the next login asks no more."""
    flow, asked = begin(tenant)
    assert str(asked.url) == f"{ISSUER}.well-known/openid-configuration"
    sent = flow.send(flows.answer(200, DOCUMENT))
    assert str(sent.url) == ALIAS
    assert flows.proof(sent)["htu"] == ALIAS
    assert tenant.application.issuer == ISSUER
    assert str(begin(tenant)[1].url) == ALIAS


def test_nonces_are_kept_for_the_origin_that_is_called(tenant: Tenant) -> None:
    """The nonce of the endpoint for client certificates is none of the tenant's own origin."""
    flow, _ = begin(tenant)
    flow.send(flows.answer(200, DOCUMENT))
    again = flow.send(flows.answer(400, flows.CHALLENGE, "nonce-1"))
    assert flows.proof(again)["nonce"] == "nonce-1"
    assert tenant.nonces.get("https://mtls.tenant.example") == "nonce-1"
    assert tenant.nonces.get("https://tenant.example") is None


def test_unwanted_metadata_is_not_read() -> None:
    """Without a client certificate the endpoints are at the domain, unless they are asked for."""
    assert str(begin(flows.new_tenant())[1].url) == flows.TOKEN_URL


def test_nothing_is_sent_without_the_metadata(tenant: Tenant) -> None:
    """At the domain's own endpoint the certificate may not be seen, and the code would be spent for nothing."""
    flow, _ = begin(tenant)
    with pytest.raises(NotSent, match="metadata could not be fetched") as caught:
        flow.throw(OutcomeUnknown("no answer came"))
    assert caught.value.retryable
    flow, _ = begin(tenant)
    refused = NotSent("the certificate was refused").with_facts(retryable=False)
    with pytest.raises(NotSent, match="the certificate was refused") as caught:
        flow.throw(refused)
    assert not caught.value.retryable


def test_keys_that_cannot_be_fetched_say_why() -> None:
    """The key set comes before the code as the metadata does: a refused certificate is no reason to try again."""
    tenant = flows.new_tenant()
    flow = exchange(tenant, flows.login("openid"))
    assert str(next(flow).url) == flows.JWKS_URL
    refused = NotSent("the certificate was refused").with_facts(retryable=False, advice="Check the certificate.")
    with pytest.raises(NotSent, match=r"signing keys could not be fetched.*the certificate was refused") as caught:
        flow.throw(refused)
    assert (caught.value.retryable, caught.value.advice) == (False, "Check the certificate.")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_failing_server_is_no_wrong_domain(tenant: Tenant, status: int) -> None:
    """The metadata may be read later: the call may be tried again, and the domain needs no check."""
    flow, _ = begin(tenant)
    with pytest.raises(NotSent, match="metadata could not be fetched") as caught:
        flow.send(flows.answer(status, b"<html>"))
    assert (caught.value.retryable, caught.value.advice) == (True, NotSent.advice)


def test_metadata_of_another_issuer_lets_nothing_be_sent(tenant: Tenant) -> None:
    """Trying again does not help."""
    flow, _ = begin(tenant)
    with pytest.raises(NotSent, match=r"issuer is not https://tenant\.example/") as caught:
        flow.send(flows.answer(200, {**DOCUMENT, "issuer": "https://evil.example/"}))
    assert not caught.value.retryable


def test_old_metadata_stays_in_use(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """If it cannot be read again after a day, logins go on by what is known."""
    clock = flows.stop_clocks(monkeypatch)
    flow, _ = begin(tenant)
    flow.send(flows.answer(200, DOCUMENT))
    clock.time += 86_400
    flow, asked = begin(tenant)
    assert asked.method == "GET"
    assert str(flow.send(flows.answer(503)).url) == ALIAS
    assert str(begin(tenant)[1].url) == ALIAS


@attrs.define
class TwoHosts:
    """A tenant that takes client certificates at a host of their own."""

    issuer: str = ""
    alias: str = ""
    seen: list[tuple[str, bool]] = attrs.field(factory=list)  # the paths asked there, and whether with a certificate

    async def discovery(self, _request: web.Request) -> web.Response:
        """Name the aliases."""
        aliases = {
            "token_endpoint": f"{self.alias}/oauth/token",
            "revocation_endpoint": f"{self.alias}/oauth/revoke",
            "userinfo_endpoint": f"{self.alias}/userinfo",
        }
        return web.json_response({"issuer": f"{self.issuer}/", "mtls_endpoint_aliases": aliases})

    async def keys(self, _request: web.Request) -> web.Response:
        """Give the key set."""
        return web.json_response({"keys": [flows.SIGNING_KEY.as_dict(private=False)]})

    async def token(self, request: web.Request) -> web.Response:
        """Give tokens for any code."""
        self._note(request)
        return web.json_response({**flows.TOKENS, "refresh_token": "refresh"})

    async def other(self, request: web.Request) -> web.Response:
        """Take a revocation, and give claims."""
        self._note(request)
        return web.json_response({"sub": "ada"})

    async def associate(self, request: web.Request) -> web.Response:
        """Give a new factor."""
        self._note(request)
        return web.json_response({"authenticator_type": "otp", "secret": "ABCDEFGH"})

    def _note(self, request: web.Request) -> None:
        certificate = request.get_extra_info("ssl_object").getpeercert(binary_form=True)
        self.seen.append((request.path, certificate is not None))


@asynccontextmanager
async def two_hosts(ca: ThrowAwayCa) -> AsyncIterator[TwoHosts]:
    """Run the two on loopback."""
    hosts = TwoHosts()
    issuing, certified = web.Application(), web.Application()
    issuing.router.add_get("/.well-known/openid-configuration", hosts.discovery)
    issuing.router.add_get("/.well-known/jwks.json", hosts.keys)
    certified.router.add_post("/oauth/token", hosts.token)
    certified.router.add_post("/oauth/revoke", hosts.other)
    certified.router.add_get("/userinfo", hosts.other)
    certified.router.add_post("/passwordless/start", hosts.other)
    certified.router.add_post("/mfa/associate", hosts.associate)
    runners = [web.AppRunner(issuing), web.AppRunner(certified)]
    places = []
    for runner in runners:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ca.server_context()).start()
        places.append(f"https://127.0.0.1:{runner.addresses[0][1]}")
    hosts.issuer, hosts.alias = places
    yield hosts
    for runner in runners:
        await runner.cleanup()


async def test_what_follows_a_login_goes_to_the_alias_too() -> None:
    """All that is asked goes where the certificate is seen; metadata is read once."""
    ca = ThrowAwayCa()
    auth = TlsClientAuth(ca.client_context(ca.issue("client")))
    async with (
        two_hosts(ca) as hosts,
        PasswordlessClient(hosts.issuer, "client", client_auth=auth, profile=TESTING) as client,
    ):
        await client.start(Email("ada@example.com"))
        tokens = await client.exchange(Email("ada@example.com"), "111111", key=flows.KEY)
        assert tokens.issuer == f"{hosts.issuer}/"
        await client.userinfo(tokens)
        tokens = await client.refresh(attrs.evolve(tokens, refresh_token=Secret("refresh-1")))
        await client.revoke(tokens)
        state = MfaState(
            mfa_token=Secret("mfa-token"),
            requirements=MfaRequirements(),
            key=flows.KEY,
            jkt=flows.KEY.thumbprint,
            issuer=f"{hosts.issuer}/",
            client_id="client",
            expires_at=int(time.time()) + 600,
        )
        await client.mfa.associate(state)
    assert hosts.seen == [
        ("/passwordless/start", True),
        ("/oauth/token", True),
        ("/userinfo", True),
        ("/oauth/token", True),
        ("/oauth/revoke", True),
        ("/mfa/associate", True),
    ]
