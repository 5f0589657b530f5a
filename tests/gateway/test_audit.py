"""The audit log: what it is told, and what it never has."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import attrs

from helpers import sites
from helpers.sites import ADA, BOB
from passwordless_async.gateway import AuditEvent, AuditKind, JsonLines, Refused, Sms, Starting
from passwordless_async.testing import TenantSettings, User

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    import pytest

    from helpers.sites import Site


async def test_a_login_and_its_end(serve: Callable[..., Awaitable[Site]]) -> None:
    """Each step once; one user is one pseudonym, whatever the spelling; and no secret is in a line."""
    told: list[AuditEvent] = []
    site = await serve(on_audit=told.append)
    browser = await site.browser()
    await browser.post("/login", {"identifier": "Ada@Example.com"})
    await browser.post("/code", {"code": "000000" if site.code() != "000000" else "111111"})
    await browser.post("/code", {"code": site.code()})
    first = browser.cookie("session") or ""
    await browser.log_in()
    second = browser.cookie("session") or ""
    await browser.post("/logout")
    kinds = [(event.kind.value, event.reason) for event in told]
    assert kinds == [
        ("started", None),
        ("refused", "wrong_code"),
        ("logged_in", None),
        ("started", None),
        ("logged_in", None),
        ("ended", "replaced"),
        ("ended", "logout"),
    ]
    assert len({event.who for event in told if event.who}) == 1
    assert len({event.user for event in told if event.user}) == 1
    assert {event.device for event in told} == {"Firefox on Linux"}
    assert told[2].session == told[5].session
    lines = io.StringIO()
    for event in told:
        JsonLines(lines)(event)
    secrets = [first, second, site.code(), "ada", "example.com"]
    assert [secret for secret in secrets if secret in lines.getvalue().lower() or secret in repr(told)] == []


async def test_users_are_told_apart(serve: Callable[..., Awaitable[Site]]) -> None:
    """By their pseudonyms; sessions that a user ends from the list have their names."""
    told: list[AuditEvent] = []
    site = await serve(on_audit=told.append)
    here, there = await site.browser(), await site.browser()
    await here.log_in(ADA)
    await there.log_in(ADA)
    await (await site.browser()).log_in(BOB)
    opened = [event for event in told if event.kind is AuditKind.LOGGED_IN]
    assert [len({event.user for event in opened}), len({event.session for event in opened})] == [2, 3]
    await here.post("/sessions/end-others")
    assert attrs.evolve(told[-1], at=0.0) == AuditEvent(
        kind=AuditKind.ENDED,
        at=0.0,
        user=opened[0].user,
        session=opened[1].session,
        reason="by_user",
        device="Firefox on Linux",
    )


async def test_the_lines_of_one_user_are_found_by_the_key_ring(serve: Callable[..., Awaitable[Site]]) -> None:
    """Those who have the ring compute the pseudonyms that the guide names: of an account, and of what was typed."""
    told: list[AuditEvent] = []
    site = await serve(on_audit=told.append)
    await (await site.browser()).log_in(ADA)
    subject = User.of(ADA).subject
    assert (told[0].who, told[-1].user) == (
        site.store.keys.pseudonym("gateway email ada@example.com"),
        site.store.keys.pseudonym(f"gateway user {subject}"),
    )


async def test_a_refusal_of_another_site(serve: Callable[..., Awaitable[Site]]) -> None:
    """It is told with its reason, and who the browser's login is about."""
    told: list[AuditEvent] = []
    site = await serve(on_audit=told.append)
    browser = await site.browser()
    await browser.request("POST", "/login", headers={"Sec-Fetch-Site": "cross-site"}, data={"identifier": "x"})
    assert [(event.kind, event.reason) for event in told] == [(AuditKind.REFUSED, "csrf")]


async def test_a_sink_that_fails_costs_no_login(
    serve: Callable[..., Awaitable[Site]], caplog: pytest.LogCaptureFixture
) -> None:
    """The log has a line."""

    def fails(_event: AuditEvent) -> None:
        raise OSError("the disk is full")

    site = await serve(on_audit=fails)
    assert (await (await site.browser()).log_in()).path == "/"
    expected = (
        f"on_audit failed: OSError. Raised in {__name__}.test_a_sink_that_fails_costs_no_login.<locals>.fails, line "
    )
    assert expected in caplog.text


def test_json_lines() -> None:
    """One object a line, without what is not known."""
    stream = io.StringIO()
    sink = JsonLines(stream)
    sink(AuditEvent(kind=AuditKind.STARTED, at=1.5, who="pseudonym"))
    sink(AuditEvent(kind=AuditKind.ENDED, at=2.5, reason="logout", device="a\nb"))
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [
        {"kind": "started", "at": 1.5, "who": "pseudonym"},
        {"kind": "ended", "at": 2.5, "reason": "logout", "device": "a\nb"},
    ]


def test_a_line_is_written_at_once(tmp_path: Path) -> None:
    """A reader that follows the file has it before the process ends."""
    path = tmp_path / "audit.jsonl"
    with path.open("w", encoding="utf-8") as stream:
        JsonLines(stream)(AuditEvent(kind=AuditKind.ENDED, at=2.5))
        assert path.read_text(encoding="utf-8") == '{"kind": "ended", "at": 2.5}\n'


async def test_a_refused_start_has_its_user() -> None:
    """Also the first of a browser, and one that a hook refuses."""
    told: list[AuditEvent] = []

    async def before_start(starting: Starting) -> None:
        if starting.who == BOB:
            raise Refused

    async with sites.opened(on_audit=told.append, sms=Sms(calling_codes="49"), before_start=before_start) as site:
        for typed in (str(BOB.address), "+33 1 23 45 67 89", "+33123456789"):
            await (await site.browser()).post("/login", {"identifier": typed})
        assert [event.reason for event in told] == ["refused", *["region_not_allowed"] * 2]
        bob, phone, again = [event.who for event in told]
        assert (phone, None in {bob, phone}, bob == phone) == (again, False, False)


async def test_a_start_that_the_service_refuses() -> None:
    """The page does not tell it, the log does."""
    told: list[AuditEvent] = []
    async with sites.opened(settings=TenantSettings(allow_signup=False), on_audit=told.append) as site:
        seen = await (await site.browser()).start()
        assert (seen.path, [(event.kind, event.reason) for event in told]) == (
            "/code",
            [(AuditKind.REFUSED, "access_denied")],
        )
