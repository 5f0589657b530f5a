"""What a step answers."""

from __future__ import annotations

from importlib import resources

from passwordless_async._common.secret import Secret
from passwordless_async.gateway.replies import KEEP, Page, Problem, Reply


def test_a_reply_leaves_cookies_alone() -> None:
    """Unless it sets or removes them."""
    reply = Reply(page=Page.HOME)
    assert (reply.login, reply.session, reply.status, reply.location) == (KEEP, KEEP, 200, None)


def test_reprs_show_no_facts() -> None:
    """Facts have addresses in them."""
    reply = Reply(page=Page.CODE, facts={"sent_to": "ada"}, session=Secret("identifier"))
    assert ("ada" in repr(reply), "identifier" in repr(reply)) == (False, False)


def test_a_problem_is_of_the_page_unless_it_has_a_field() -> None:
    """By default."""
    assert (Problem("csrf").field, Problem("csrf").facts) == (None, {})


def test_pages_that_are_answered_have_templates() -> None:
    """Each template is that of a page, and the base of all."""
    folder = resources.files("passwordless_async.gateway.pages") / "templates"
    templates = {file.name.removesuffix(".html") for file in folder.iterdir()}
    assert templates - set(Page) == {"base"}
