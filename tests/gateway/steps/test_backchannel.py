"""Logouts that the tenant tells of: signed requests that end sessions, on every mount."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession

from helpers.sites import ADA, BOB
from passwordless_async.gateway.audit import AuditEvent, AuditKind
from passwordless_async.testing import Fault

if TYPE_CHECKING:
    from helpers.sites import Browser, Site

KEYS = "/.well-known/jwks.json"


def url(site: Site) -> str:
    return f"{site.origin}{site.mount}/backchannel-logout"


async def post(site: Site, token: str | None, *, data: Any = None, **headers: str) -> tuple[int, Any, Any]:
    """Post a logout token as a tenant does; return status, JSON and header fields."""
    fields = data if data is not None else {} if token is None else {"logout_token": token}
    async with ClientSession() as http, http.post(url(site), data=fields, headers=headers) as response:
        return response.status, await response.json(), response.headers


async def logged_in(browser: Browser) -> bool:
    seen = await browser.get("/session", {"Accept": "application/json"})
    return bool(seen.json["logged_in"])


async def browsers(site: Site, *users: Any) -> list[Browser]:
    """Return browsers that are logged in, in this order."""
    made = [await site.browser() for _ in users]
    for browser, who in zip(made, users, strict=True):
        await browser.log_in(who)
    return made


@pytest.mark.parametrize(
    ("claims", "left"),
    [
        ({}, [True, False, True]),  # the newest login of the user, by sub and sid
        ({"sub": None}, [True, False, True]),
        ({"sid": None}, [False, False, True]),
    ],
)
async def test_a_logout_token_ends_the_sessions_that_it_names(
    site: Site, claims: dict[str, Any], left: list[bool]
) -> None:
    """§2.7: by sid, by sub, by both; another user's stay."""
    made = await browsers(site, ADA, ADA, BOB)
    assert await site.tenant.backchannel_logout(ADA, url(site), **claims) == 200
    assert [await logged_in(browser) for browser in made] == left


async def test_the_response(site: Site) -> None:
    """§2.8: 200, or 400 with an error, and never stored; no cookie is touched."""
    await browsers(site, ADA)
    for token, status, error in ((site.tenant.logout_token(ADA), 200, None), ("x", 400, "invalid_request")):
        code, members, headers = await post(site, token)
        assert (code, members.get("error")) == (status, error)
        assert headers["Cache-Control"] == "no-store"
        assert "Set-Cookie" not in headers


@pytest.mark.parametrize(
    "claims",
    [
        {"events": None},
        {"events": {}},
        {"nonce": "n"},
        {"aud": "another"},
        {"iss": "https://evil.example/"},
        {"exp": 1},
        {"iat": None},
        {"jti": None},
        {"sub": None, "sid": None},
    ],
    ids=str,
)
async def test_bad_tokens_end_nothing(site: Site, claims: dict[str, Any]) -> None:
    """Each is answered 400, and says which claim."""
    (browser,) = await browsers(site, ADA)
    status, members, _ = await post(site, site.tenant.logout_token(ADA, **claims))
    assert (status, members["error"]) == (400, "invalid_request")
    assert members["error_description"].startswith("logout token, ")
    assert await logged_in(browser)


async def test_an_id_token_is_no_logout_token(site: Site) -> None:
    """It is signed by the same key, for the same application."""
    await site.client.start(ADA)
    tokens = await site.client.exchange(ADA, site.code(), scope="openid")
    status, members, _ = await post(site, str.__str__(tokens.id_token or ""))
    assert (status, members["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("data", [{}, {"token": "x"}, b"\xff", {"logout_token": "x" * 100_000}], ids=repr)
async def test_other_bodies(site: Site, data: Any) -> None:
    """No token, no text, too long: refused."""
    async with ClientSession() as http, http.post(url(site), data=data) as response:
        assert response.status in {400, 413}


async def test_a_token_counts_once(site: Site) -> None:
    """A replay ends no session that was opened since."""
    await browsers(site, ADA)
    token = site.tenant.logout_token(ADA, sid=None)
    assert (await post(site, token))[0] == 200
    (again,) = await browsers(site, ADA)
    status, members, _ = await post(site, token)
    assert (status, "jti" in members["error_description"]) == (400, True)
    assert await logged_in(again)


async def test_of_many_at_once_one_counts(site: Site) -> None:
    """The same token, posted twenty times."""
    (browser,) = await browsers(site, ADA)
    token = site.tenant.logout_token(ADA)
    told = await asyncio.gather(*(post(site, token) for _ in range(20)))
    assert sorted(status for status, _, _ in told) == [200] + [400] * 19
    assert not await logged_in(browser)


async def test_an_unreachable_store(site: Site) -> None:
    """Nothing is ended; the tenant sends the same token again, and it counts. It learns nothing of the store."""
    (browser,) = await browsers(site, ADA)
    token = site.tenant.logout_token(ADA)
    site.store.is_unreachable = True
    status, members, _ = await post(site, token)
    assert (status, members["error"]) == (400, "temporarily_unavailable")
    assert members["error_description"] == "The sessions could not be ended. Send the token again."
    site.store.is_unreachable = False
    assert (await post(site, token))[0] == 200
    assert not await logged_in(browser)


async def test_sessions_that_could_not_be_ended(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store fails between the check against replay and the end: the token counts again."""
    (browser,) = await browsers(site, ADA)
    token, sessions = site.tenant.logout_token(ADA), site.client.sessions
    with monkeypatch.context() as patched:

        async def fail(**_named: Any) -> tuple[str, ...]:
            site.store.is_unreachable = True
            try:
                return await type(sessions).close_at_provider(sessions, user="x")
            finally:
                site.store.is_unreachable = False

        patched.setattr(sessions, "close_at_provider", fail)
        assert (await post(site, token))[1]["error"] == "temporarily_unavailable"
    assert (await post(site, token))[0] == 200
    assert not await logged_in(browser)


async def test_keys_that_cannot_be_fetched(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token may be valid: the tenant sends it again."""
    monkeypatch.setattr("passwordless_async.auth0.jwks._PAUSES_SECONDS", (0.0,))
    (browser,) = await browsers(site, ADA)
    site.tenant.rotate_signing_key()
    site.tenant.faults.add(Fault.SERVICE_UNAVAILABLE, path=KEYS)
    assert (await post(site, site.tenant.logout_token(ADA)))[1]["error"] == "temporarily_unavailable"
    assert await logged_in(browser)


async def test_a_refreshed_session_ends_too(site: Site) -> None:
    """The sid is that of its opening."""
    (browser,) = await browsers(site, ADA)
    (name,) = [value for value in (browser.cookie("session"), browser.cookie("__Host-session")) if value]
    await site.client.sessions.refresh(name)
    assert await site.tenant.backchannel_logout(ADA, url(site), sub=None) == 200
    assert not await logged_in(browser)


async def test_methods(site: Site) -> None:
    """POST alone; a browser's cookies and a missing Sec-Fetch-Site do not matter."""
    browser = await site.browser()
    assert (await browser.get("/backchannel-logout")).status == 405
    await browser.log_in(ADA)
    token = site.tenant.logout_token(ADA)
    seen = await browser.request(
        "POST", "/backchannel-logout", headers={"Sec-Fetch-Site": "cross-site"}, data={"logout_token": token}
    )
    assert seen.status == 200


async def test_the_audit_log_is_told(serve: Any) -> None:
    """Each session that ended, with the reason."""
    events: list[AuditEvent] = []
    site = await serve(on_audit=events.append, max_sessions=2)
    await browsers(site, ADA, ADA, ADA)
    assert await site.tenant.backchannel_logout(ADA, url(site), sid=None) == 200
    ended = [event for event in events if event.kind is AuditKind.ENDED]
    assert [event.reason for event in ended] == ["limit", "provider", "provider"]
    assert len({event.session for event in ended}) == 3
    assert len({event.user for event in ended}) == 1


async def test_the_audit_log_is_told_of_refusals(serve: Any) -> None:
    """Forged, replayed, or not to be carried out: each once, with the reason, and without the token."""
    events: list[AuditEvent] = []
    site = await serve(on_audit=events.append)
    await browsers(site, ADA)
    token = site.tenant.logout_token(ADA)
    forged = site.tenant.logout_token(ADA, aud="another")
    events.clear()
    await post(site, forged)
    site.store.is_unreachable = True
    await post(site, token)
    site.store.is_unreachable = False
    await post(site, token)
    await post(site, token)
    async with ClientSession() as http:
        await http.post(url(site), data=b"\xff")
    told = [(str(event.kind), event.reason, event.user) for event in events]
    assert [(kind, reason) for kind, reason, _ in told] == [
        ("refused", "invalid_logout_token"),
        ("refused", "store_unavailable"),
        ("ended", "provider"),
        ("refused", "invalid_logout_token"),
        ("refused", "malformed_form"),
    ]
    assert [text for text in (token, forged) if text in repr(events)] == []
