"""No secret gets out by an error: not by its message, its attributes, its context, its traceback's locals or a log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from helpers.leaks import in_shapes, lines_with, shown
from helpers.remote_store import RemoteStore
from helpers.values import present
from passwordless_async import (
    TESTING,
    ClientSecretPost,
    DPoPKey,
    DPoPMiddleware,
    Email,
    Login,
    MemoryStore,
    PasswordlessClient,
    PasswordlessError,
    PendingLink,
    Secret,
    StoreUnavailable,
    TokenSet,
    UsageError,
)
from passwordless_async.adapters.httpx2 import DPoPAuth
from passwordless_async.testing import BOUND_API, PLAIN_API, Fault, LocalTenant, TenantSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from passwordless_async.client.sessions.sessions import Sessions

SECRET = "a-client-secret-that-must-not-show"
ADA = Email("ada@example.com")
FAULTS = sorted(
    set(Fault) - {Fault.SLOW, Fault.CHALLENGE_SPENDS_CODE, Fault.ID_TOKEN_OF_OTHER_USER, Fault.ACCESS_TOKEN_EXPIRED}
)
# One of four is for the edit loop.
FAULT_PARAMETERS = [
    pytest.param(fault, marks=pytest.mark.slow if number % 4 else ()) for number, fault in enumerate(FAULTS)
]


def secrets_on_the_wire(tenant: LocalTenant) -> Iterator[str]:
    """What the tenant was sent: codes, assertions and proofs."""
    for request in tenant.requests:
        if request.body and request.path == "/oauth/token":
            yield request.form["otp"]
        if request.proof:
            yield request.proof


@pytest.mark.parametrize("fault", FAULT_PARAMETERS)
async def test_no_fault_of_the_server_leaks(fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the server does, what is raised and what is logged shows neither code, secret, proof nor key."""
    caplog.set_level(logging.DEBUG)
    settings = TenantSettings(confidential_client_secret=SECRET)
    auth = ClientSecretPost(SECRET)
    key = DPoPKey.generate()
    async with (
        LocalTenant(settings) as tenant,
        PasswordlessClient(tenant.url, settings.confidential_client_id, client_auth=auth, profile=TESTING) as client,
    ):
        await client.start(ADA)
        otp = tenant.outbox.code_for(ADA)
        tenant.faults.add(fault)
        with pytest.raises(PasswordlessError) as caught:
            await client.exchange(ADA, otp, scope="openid offline_access", audience=BOUND_API, key=key)
        tenant.faults.clear()
        tenant.faults.add(fault, path="/oauth/token")
        await client.start(ADA)
        otp = tenant.outbox.code_for(ADA)
        with pytest.raises(PasswordlessError) as caught_later:
            await client.exchange(ADA, otp, scope="openid offline_access", audience=BOUND_API, key=key)
        everything = shown(caught.value) + shown(caught_later.value) + caplog.text
        forbidden = {SECRET, otp, key.to_jwk(private=True)["d"], *secrets_on_the_wire(tenant)}
    assert lines_with(forbidden, everything) == []


async def test_a_refused_bearer_token_does_not_show(tenant: LocalTenant) -> None:
    """The token that was thrown away is not in the error either."""
    async with PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as client:
        await client.start(ADA)
        with pytest.raises(PasswordlessError) as caught:
            await client.exchange(ADA, tenant.outbox.code_for(ADA), audience=PLAIN_API)
    assert "eyJ" not in shown(caught.value)


@pytest.mark.parametrize(
    ("call", "secret"),
    [
        (lambda client: client.exchange(ADA, "12 345 678"), "12 345 678"),
        (lambda client: client.exchange(ADA, "secret-code", scope="a\\b"), "secret-code"),
        (lambda client: client.exchange("ada", "secret-code"), "secret-code"),
        (lambda client: client.start(ADA, captcha="secret-captcha" * 1000), "secret-captcha"),
    ],
)
async def test_a_wrong_argument_does_not_show(tenant: LocalTenant, call: Any, secret: str) -> None:
    """The code beside a wrong argument, or the wrong argument itself, is not in the error."""
    async with PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as client:
        with pytest.raises(PasswordlessError) as caught:
            await call(client)
    assert secret not in shown(caught.value)


async def test_an_outcome_of_many_does_not_show(tenant: LocalTenant) -> None:
    """Outcomes and their errors are printed without the code."""
    async with PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as client:
        await client.start(ADA)
        (outcome,) = [o async for o in client.exchange_many([Login(ADA, "wrong-code-31")])]
    assert "wrong-code-31" not in repr(outcome) + shown(present(outcome.error))


async def test_tokens_print_redacted(tenant: LocalTenant) -> None:
    """A token set prints without tokens and private key; each token is plain text when it is formatted by itself."""
    async with PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as client:
        await client.start(ADA)
        tokens = await client.exchange(ADA, tenant.outbox.code_for(ADA), scope="openid offline_access")
    printed = f"{tokens!r} {tokens}"
    secrets = [
        tokens.access_token,
        tokens.refresh_token,
        tokens.id_token,
        present(tokens.key).to_jwk(private=True)["d"],
    ]
    assert [secret for secret in secrets if str(secret) in printed] == []
    assert "redacted" not in f"{tokens.access_token}"


LINK = PendingLink(ADA, "https://app.example/", None, None, None, issuer="https://other.example/", client_id="client")
TOKENS = TokenSet(Secret("a"), "DPoP", None, "", None, None, None, DPoPKey.generate())
# Each method that takes tokens, with something else in their place.
TOKEN_DOORS: dict[str, Callable[[PasswordlessClient, Any], Any]] = {
    "refresh": lambda client, given: client.refresh(given),
    "revoke": lambda client, given: client.revoke(given),
    "userinfo": lambda client, given: client.userinfo(given),
    "session": lambda client, given: client.session(given, origins=["https://api.example"]),
    "request": lambda client, given: client.request(given, "GET", "https://api.example/me"),
    "exchange_link": lambda client, given: client.exchange_link(given, "https://app.example/?code=1"),
    "the URL of exchange_link": lambda client, given: client.exchange_link(LINK, given),
    "the key of start_link": lambda client, given: client.start_link(
        ADA, redirect_uri="https://app.example/", key=given
    ),
    "sessions.open": lambda client, given: client.sessions.open(given),
    "sessions.keep": lambda client, given: client.sessions.keep(given),
    "the user of sessions.keep": lambda client, given: client.sessions.keep(TOKENS, who=given, user="ada"),
    "the user of sessions.login": lambda client, given: client.sessions.login(given, "123456", user="ada"),
    "the user of exchange": lambda client, given: client.exchange(given, "123456"),
    "the user of a Login": lambda _, given: Login(given, "123456"),
    "DPoPMiddleware": lambda _, given: DPoPMiddleware(given, origins=["https://api.example"]),
    "DPoPAuth": lambda _, given: DPoPAuth(given, origins=["https://api.example"]),
}
SHAPES = in_shapes(SECRET)


async def lines_of_refusal(
    call: Callable[[PasswordlessClient, Any], Any], given: object, refusal: type[PasswordlessError]
) -> list[str]:
    """Return what shows the secret of a refusal."""
    async with PasswordlessClient("tenant.example", "client", profile=TESTING) as client:
        with pytest.raises(refusal) as caught:
            await call(client, given)
    return lines_with({SECRET}, shown(caught.value))


@pytest.mark.parametrize("given", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("call", TOKEN_DOORS.values(), ids=TOKEN_DOORS)
async def test_a_value_in_place_of_tokens_does_not_show(
    call: Callable[[PasswordlessClient, Any], Any], given: object
) -> None:
    """It is refused, and neither the error nor a local variable of its traceback has it."""
    assert await lines_of_refusal(call, given, UsageError) == []


# Each method that takes a live secret as text, of which the store or the tenant knows nothing.
TEXT_DOORS: dict[str, Callable[[PasswordlessClient, Any], Any]] = {
    "sessions.get": lambda client, given: client.sessions.get(given),
    "sessions.refresh": lambda client, given: client.sessions.refresh(given),
    "sessions.update": lambda client, given: client.sessions.update(given, data={}),
    "sessions.update with data that is refused": lambda client, given: client.sessions.update(given, data={"a": ...}),
    "sessions.api": lambda client, given: client.sessions.api(given, origins=["https://api.example"]).__aenter__(),
    "read_logout_token": lambda client, given: client.read_logout_token(given),
}


@pytest.mark.parametrize("given", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("call", TEXT_DOORS.values(), ids=TEXT_DOORS)
async def test_a_session_identifier_or_a_token_that_is_refused_does_not_show(
    call: Callable[[PasswordlessClient, Any], Any], given: object
) -> None:
    """Neither the error nor a local variable of its traceback has it, whatever its type."""
    assert await lines_of_refusal(call, given, PasswordlessError) == []


# Each method that takes data of the application, which may have tokens of other services, and another wrong argument.
DATA_DOORS: dict[str, Callable[[PasswordlessClient, Any], Any]] = {
    "sessions.login": lambda client, given: client.sessions.login(ADA, "123456", data=given),
    "extra_parameters": lambda client, given: client.sessions.login(ADA, "123456", extra_parameters=given),
    "sessions.open": lambda client, given: client.sessions.open(TOKENS, data=given),
    "sessions.keep": lambda client, given: client.sessions.keep(TOKENS, data=given),
    "sessions.update": lambda client, given: client.sessions.update("unknown", data=given),
}


@pytest.mark.parametrize("given", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("call", DATA_DOORS.values(), ids=DATA_DOORS)
async def test_data_of_a_session_does_not_show(call: Callable[[PasswordlessClient, Any], Any], given: object) -> None:
    """Neither if it is refused, nor if the call fails for another reason."""
    assert await lines_of_refusal(call, given, PasswordlessError) == []


async def test_changed_data_of_a_session_does_not_show(tenant: LocalTenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the old nor the new, if that is too large or the store is lost before it is written."""
    store = MemoryStore()
    async with PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING, store=store) as client:
        await client.start(ADA)
        data = {"another service": {"token": SECRET}}
        session = await client.sessions.login(ADA, tenant.outbox.code_for(ADA), scope="openid", data=data)
        assert session.data == (await client.sessions.get(session.id)).data == data
        assert repr(session.data) == f"mappingproxy({data})"
        monkeypatch.setattr(store, "reseal", unreachable)
        for new in ({"a": SECRET}, {"a": SECRET * 200}):
            with pytest.raises(PasswordlessError) as caught:
                await client.sessions.update(session.id, data=new)
            assert lines_with({SECRET}, shown(caught.value)) == []


async def unreachable(*_arguments: object) -> bool:
    raise StoreUnavailable("unreachable")


@pytest.mark.parametrize(
    "call",
    [
        lambda sessions, identifier: sessions.get(identifier),
        lambda sessions, identifier: sessions.refresh(identifier),
        lambda sessions, identifier: sessions.update(identifier, data={}),
        lambda sessions, identifier: sessions.close(identifier),
        lambda sessions, identifier: sessions.api(identifier, origins=["https://api.example"]).__aenter__(),
    ],
)
async def test_a_live_session_does_not_show_if_the_store_is_unreachable(
    tenant: LocalTenant, call: Callable[[Sessions, str], Any]
) -> None:
    """Who reads the report of such an error must not be able to use the session."""
    store: Any = RemoteStore()
    async with PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING, store=store) as client:
        await client.start(ADA)
        session = await client.sessions.login(ADA, tenant.outbox.code_for(ADA), scope="openid offline_access")
        cookie = str.__str__(session.identifier)
        store.is_unreachable = True
        with pytest.raises(StoreUnavailable) as caught:
            await call(client.sessions, cookie)
    assert lines_with({cookie}, shown(caught.value)) == []
