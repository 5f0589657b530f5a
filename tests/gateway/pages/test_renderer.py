"""Pages: escaped, complete, and the team's own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import jinja2
import pytest

from helpers.sites import request
from passwordless_async import MemoryStore, PasswordlessClient
from passwordless_async._common.secret import Secret
from passwordless_async.errors import UsageError
from passwordless_async.gateway import Gateway, Texts
from passwordless_async.gateway.pages.renderer import Pages
from passwordless_async.gateway.replies import Page, Problem, Reply
from passwordless_async.gateway.steps.problem_pages import fault
from passwordless_async.gateway.texts.catalogs import built_in

if TYPE_CHECKING:
    from pathlib import Path

CLIENT = PasswordlessClient("acme.eu.auth0.com", "client", store=MemoryStore())


async def test_values_are_escaped() -> None:
    """Whatever a user types."""
    gateway = Gateway(CLIENT, base_url="https://app.example")
    body = b"identifier=%22%3E%3Cscript%3Ealert(1)%3C/script%3E"
    headers = [("Sec-Fetch-Site", "same-origin"), ("Content-Type", "application/x-www-form-urlencoded")]
    page = await gateway.handle(request("POST", headers=headers, body=body))
    assert (page.status, b"<script>alert" in page.body, b"&lt;script&gt;alert" in page.body) == (400, False, True)


async def test_own_templates_and_style(tmp_path: Path) -> None:
    """A team's folder comes first, and may extend what it replaces."""
    text = '{% extends "built-in/logged-out.html" %}{% block content %}Bye{{ super() }}{% endblock %}'
    (tmp_path / "logged-out.html").write_text(text)
    gateway = Gateway(CLIENT, base_url="https://app.example", templates=str(tmp_path), css="h1 { color: red }")
    page = await gateway.handle(request(path="/logged-out"))
    assert b"Bye<p>" in page.body
    path = page.body.partition(b'href="')[2].partition(b'"')[0].decode()
    assert b"color: red" in (await gateway.handle(request(path=path))).body


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """It would be taken for one without templates."""
    with pytest.raises(UsageError, match="templates: must be a folder that is there"):
        Pages(templates=str(tmp_path / "nowhere"))


async def test_pages_that_are_kept_have_nothing_of_a_user() -> None:
    """Each user's page has their own token and address, escaped once, as a page that is rendered anew has."""
    gateway = Gateway(CLIENT, base_url="https://app.example")
    handler = gateway._handler
    pages, visit = handler._pages, handler._visit(request(path="/code"))
    other = handler._visit(request(path="/code", query={"language": "de"}))
    users = [("a<b>&\"'@example.com", "token-of-a"), ("\0csrf\0@example.com", "token-of-b")]
    facts = {"kind": "email", "resend_in": 30, "attempts_left": None, "expires_in": 600}
    for sent_to, token in users * 2:
        reply = Reply(page=Page.CODE, facts={**facts, "sent_to": sent_to})
        for asked in (visit, other):
            page = pages.render(asked, reply, csrf=Secret(token))
            assert page.decode() == pages._render_template(asked, reply, {**reply.facts, "csrf": token})
    kept = list((pages._alike or {}).items())
    assert len(kept) == 2
    assert [secret for user in users for secret in user if secret in repr(kept)] == []


def test_a_page_with_a_problem_and_a_team_s_own_are_not_kept(tmp_path: Path) -> None:
    """A template of a team may do anything with a value."""
    handler = Gateway(CLIENT, base_url="https://app.example")._handler
    problem = Reply(page=Page.LOGGED_OUT, problem=Problem("csrf"))
    handler._pages.render(handler._visit(request()), problem, csrf=None)
    assert (len(handler._pages._alike or ()), Pages(templates=str(tmp_path))._alike) == (0, None)


@pytest.mark.parametrize("language", sorted(built_in()))
async def test_the_title_of_a_fault_says_it_once(language: str) -> None:
    """As the heading does; the title of another page with a problem says first that there is one."""
    gateway = Gateway(CLIENT, base_url="https://app.example")

    async def titles(method: str, path: str) -> list[str]:
        headers = [("Sec-Fetch-Site", "same-origin")]
        page = await gateway.handle(request(method, path, query={"language": language}, headers=headers))
        return re.findall(r"<(?:title|h1)>([^<]+)<", page.body.decode())

    title, heading = await titles("GET", "/nowhere")
    assert title == heading
    title, heading = await titles("POST", "/login")
    assert title.endswith(f" {heading}")
    assert title != heading


def test_static_files() -> None:
    """One with the hash of another version is this version's, not to be kept."""
    pages = Pages()
    path = pages._paths["style.css"]
    kept, other = pages.static(request(path=path)), pages.static(request(path="/static/style-AAAAAAAAAAAA.css"))
    assert kept is not None
    assert other is not None
    assert kept.body == other.body
    assert [dict(each.headers)["Cache-Control"] for each in (kept, other)] == [
        "public, max-age=31536000, immutable",
        "no-store",
    ]
    for missing in ("/static/style.css", "/static/x-AAAAAAAAAAAA.css", "/static/style-AAAAAAAAAAAA.js", "/static/../a"):
        assert pages.static(request(path=missing)) is None
    assert pages.static(request("POST", path=path)) is None


async def test_links_to_other_languages() -> None:
    """To the same page, with what it needs of its query; none where loading the page again is not the same."""
    texts = Texts().with_catalogs({"cy": {"page": {"sign_in": "Mewngofnodi"}}})
    gateway = Gateway(CLIENT, base_url="https://app.example", texts=texts)

    async def links(path: str, method: str = "GET", **query: str) -> list[Any]:
        page = await gateway.handle(request(method, path, query=query, headers=[("Sec-Fetch-Site", "same-origin")]))
        return re.findall(r'<a href="([^"]+)" lang="([^"]+)" hreflang="[^"]+">([^<]+)<', page.body.decode())

    shown = await links("/logged-out")
    assert shown[0] == ("?language=cy", "cy", "cy")
    assert [name for _, _, name in shown[1:]] == ["Deutsch", "Español", "Français", "日本語", "Português"]
    assert (await links("/login", return_to="/a"))[0][0] == "?return_to=%2Fa&amp;language=cy"
    assert await links("/login", code="123456", state="x") == []
    assert (await links("/login", "POST"))[0][0] == "/login?language=cy"
    assert await links("/nowhere") == []


@pytest.mark.parametrize(
    ("page", "facts", "href"),
    [
        (Page.CODE, {}, "/auth/code?language=de"),
        (Page.ENROLMENT_CHOICE, {}, "/auth/enrolment?kind=other&language=de"),
        (Page.ENROLMENT_PHONE, {"kind": "sms"}, "/auth/enrolment?kind=sms&language=de"),
        (Page.FAULT, {}, "/auth/login?language=de"),
        (Page.HOME, {}, None),
    ],
)
def test_links_after_a_post(page: Page, facts: dict[str, Any], href: str | None) -> None:
    """To where a GET shows the same page: most addresses of forms are none of a page."""
    handler = Gateway(CLIENT, base_url="https://app.example")._handler
    visit = handler._visit(request("POST", path="/code/resend", mount="/auth"))
    links = handler._pages._languages(visit, Reply(page=page, facts=facts))
    assert [link["href"] for link in links if link["tag"] == "de"] == ([] if href is None else [href])


@pytest.mark.parametrize(("path", "are_there"), [("/sessions", True), ("/api/me", False), ("/", False)])
def test_links_of_a_fault(path: str, *, are_there: bool) -> None:
    """Of the gateway's own pages: an upstream gets no query that its user did not ask for."""
    handler = Gateway(CLIENT, base_url="https://app.example")._handler
    links = handler._pages._languages(handler._visit(request(path=path)), fault("upstream_down", 502))
    assert [link["href"] for link in links[:1]] == (["?language=de"] if are_there else [])


@pytest.mark.parametrize(
    ("method", "status", "session", "href"),
    [
        ("GET", 502, True, ""),
        ("GET", 503, False, ""),
        ("GET", 429, True, ""),
        ("GET", 403, False, "/auth/login"),
        ("GET", 403, True, "/auth/"),
        ("POST", 502, True, "/auth/"),
        ("POST", 503, False, "/auth/login"),
        ("GET", 404, False, "/auth/"),
    ],
)
def test_the_way_on_from_a_fault(method: str, status: int, *, session: bool, href: str) -> None:
    """The page that was asked for, if it may be there by now; no login for a user who has a session."""
    handler = Gateway(CLIENT, base_url="http://127.0.0.1:8000")._handler
    headers = [("Cookie", "session=abc")] if session else []
    visit = handler._visit(request(method, path="/api/me", headers=headers, mount="/auth"))
    page = handler._pages.render(visit, fault("fault", status), csrf=None).decode()
    assert re.findall(r'class="button" href="([^"]*)"', page) == [href]


def test_problems_have_texts() -> None:
    """With their facts; in words where there are none."""
    pages = Pages()
    assert pages.text_of(None, "en") is None
    assert pages.text_of(Problem("too_many_requests", {"seconds": 5}), "en") == (
        "Too many requests. Please try again in 5 seconds."
    )
    assert pages.text_of(Problem("too_many_requests"), "en") == "Too many requests. Please try again in a moment."


def test_a_template_with_an_unknown_name_fails(tmp_path: Path) -> None:
    """It does not show an empty page."""
    (tmp_path / "home.html").write_text("{{ users }}")
    with pytest.raises(jinja2.UndefinedError):
        Pages(templates=str(tmp_path))._environment.get_template("home.html").render()
