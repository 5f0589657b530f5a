"""Every page in a real browser: two languages, with and without scripts, narrow and wide, light and dark, enlarged.

A page is right if it says what the step is, axe-core and the keyboard find nothing against it, it is not scrolled to
the side, and the browser complains of nothing.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, TypeAlias

import pytest

from passwordless_async import Email, Phone
from passwordless_async.testing import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from helpers.chromium import Window
    from helpers.redis_servers import RedisServer
    from helpers.workers import Workers

    Opened: TypeAlias = Callable[[Workers], Window]

pytestmark = pytest.mark.slow
START = "/passwordless/start"
_numbers = itertools.count(1)


def new_user(given: str = "ada") -> Email:
    return Email(f"{given}{next(_numbers)}@example.com")


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


def right(window: Window, name: str, title: str, *, alerts: list[str] | None = None) -> None:
    """Look at a page: its heading, what it warns of, and everything that could be wrong with it."""
    assert window.title == window.text(title)
    assert window.alerts == [window.problem(key) for key in alerts or []]
    assert window.faults(name) == []
    assert window.faults_of_keyboard() == []


def start(window: Window, who: Email | Phone) -> None:
    window.open("/login")
    window.press(identifier=who.username)
    assert window.path == "/code"


def log_in(window: Window, site: Workers, who: Email | Phone) -> None:
    start(window, who)
    window.press(code=site.tenant.outbox.code_for(who))


def test_login(site: Workers, window: Opened) -> None:
    """From the first page to the last: mistyped, wrong code, another code, another address, and out again.

    In a field, Enter is enough.
    """
    here, typo, who, phone = window(site), new_user("typo"), new_user(), Phone("+4930901820")
    here.open("/login?return_to=/auth/sessions")
    right(here, "identifier", "sign_in")
    here.enter(identifier="ada@")
    right(here, "identifier-wrong", "sign_in", alerts=["invalid_identifier"])
    here.press(identifier=typo.address)
    right(here, "code", "enter_code")
    here.press_named("change_email")
    assert (here.path, here.title) == ("/login", here.text("sign_in"))
    here.press(identifier=phone.number)
    assert here.text("code_sent_phone") in here.body
    right(here, "code-phone", "enter_code")
    here.press_named("change_phone")
    here.press(identifier=who.address)
    here.enter(code=wrong(site.tenant.outbox.code_for(who)))
    right(here, "code-wrong", "enter_code", alerts=["wrong_code"])
    site.clock.ahead = 31
    here.open("/code")
    here.press_named("resend")
    right(here, "code-again", "enter_code")
    here.press(code=site.tenant.outbox.code_for(who))
    assert here.path == "/sessions"
    right(here, "sessions-one", "sessions")
    here.press_named("back")
    assert who.address in here.body
    right(here, "home", "home")
    here.press_named("sign_out")
    right(here, "logged-out", "signed_out")
    here.press_named("sign_in_again")
    assert here.path == "/login"
    assert min(site.served) > 0


def test_sessions(site: Workers, window: Opened) -> None:
    """They are listed, this one first; one is ended, then all others, then this one."""
    here, who = window(site), new_user()
    for _ in range(2):
        log_in(here, site, who)
        here.forget("session")
    log_in(here, site, who)
    here.open("/sessions")
    assert here.count(".sessions li") == 3
    right(here, "sessions", "sessions")
    here.press(".sessions li:nth-child(2) button")
    assert (here.path, here.count(".sessions li")) == ("/sessions", 2)
    here.press_named("session_end_others")
    assert (here.path, here.count(".sessions li")) == ("/sessions", 1)
    here.press_named("session_end")
    assert here.title == here.text("signed_out")


def test_step_up(site: Workers, window: Opened) -> None:
    """A page asks for a newer login: a code to the same user, and back."""
    here, who = window(site), new_user()
    log_in(here, site, who)
    here.open("/step-up?return_to=/auth/sessions")
    right(here, "step-up", "second_factor")
    here.press()
    right(here, "code", "enter_code")
    here.press(code=site.tenant.outbox.code_for(who))
    assert here.path == "/sessions"


def test_second_factor(site: Workers, window: Opened) -> None:
    """Each kind: an app's code, one that is wrong, a text message, a recovery code, which is replaced."""
    here, who = window(site), new_user()
    site.tenant.users.add(who, mfa=("otp", "sms", "email", "voice", "push", "recovery-code"))
    log_in(here, site, who)
    right(here, "factor-otp", "second_factor")
    here.press(code=wrong(site.tenant.mfa.otp_for(who)))
    right(here, "factor-wrong", "second_factor", alerts=["wrong_code"])
    here.press_named("other_factor")
    right(here, "factors", "choose_factor")
    for kind in ("sms", "email", "voice", "recovery"):
        here.open("/factors")
        here.press_named(f"kind_{kind}")
        assert here.text(f"factor_{kind}") in here.body
        right(here, f"factor-{kind}", "second_factor")
    here.press(code=site.tenant.mfa.recovery_code_for(who))
    right(here, "recovery-codes", "recovery_codes")
    here.press()
    assert here.title == here.text("home")


def test_push(site: Workers, window: Opened) -> None:
    """The page waits: with scripts it asks by itself, without them the user does."""
    here, who = window(site), new_user()
    site.tenant.users.add(who, mfa=("push",))
    log_in(here, site, who)
    right(here, "factor-push", "second_factor")
    if not here.scripts:
        here.press()
        right(here, "factor-push-waiting", "second_factor")
        assert here.problem("approval_pending") in here.body
    site.tenant.mfa.approve(who)
    if here.scripts:
        here.come("/")
    else:
        here.press()
    assert here.title == here.text("home")


def test_enrolment(strict_site: Workers, window: Opened) -> None:
    """A user without a second factor gets one: a phone that is mistyped, then an app, and recovery codes once."""
    here, who = window(strict_site), new_user()
    log_in(here, strict_site, who)
    right(here, "enrolment-choice", "enrol")
    here.press_named("kind_sms")
    right(here, "enrolment-phone", "enrol")
    here.press(phone="12")
    right(here, "enrolment-phone-wrong", "enrol", alerts=["invalid_input"])
    here.press_named("other_factor")
    here.press_named("kind_otp")
    right(here, "enrolment-otp", "enrol")
    here.press(code=wrong(strict_site.tenant.mfa.otp_for(who)))
    right(here, "enrolment-wrong", "enrol", alerts=["wrong_code"])
    here.press(code=strict_site.tenant.mfa.otp_for(who))
    right(here, "recovery-codes", "recovery_codes")
    here.press()
    assert here.title == here.text("home")


def test_link(link_site: Workers, window: Opened) -> None:
    """A link instead of a code; in another browser it opens nothing, and the page says how to go on."""
    here, who = window(link_site), new_user()
    here.open("/login")
    right(here, "identifier", "sign_in")
    here.press("[value=link]", identifier=who.address)
    right(here, "link-sent", "link_sent")
    here.forget("login")
    here.follow(link_site.tenant.outbox.link_for(who))
    right(here, "link-elsewhere", "link_elsewhere", alerts=["link_elsewhere"])
    here.open("/login")
    here.press("[value=link]", identifier=who.address)
    here.follow(link_site.tenant.outbox.link_for(who))
    assert here.title == here.text("home")


def test_captcha(link_site: Workers, window: Opened) -> None:
    """The widget's place has a name, and a user without scripts is told that it needs them."""
    here, who = window(link_site), new_user()
    here.open("/login")
    link_site.tenant.faults.add(Fault.VERIFICATION_REQUIRED, path=START, times=1)
    here.press(identifier=who.address)
    right(here, "captcha", "sign_in", alerts=["captcha_needed"])
    assert (here.text("captcha_script") in here.body) is not here.scripts


def test_languages(site: Workers, window: Opened) -> None:
    """Another language is chosen on the page, and stays chosen."""
    here = window(site)
    here.open("/login?return_to=/auth/sessions")
    here.press("[hreflang=ja]")
    here.language = "ja"
    right(here, "identifier", "sign_in")
    here.open("/nowhere")
    right(here, "not-found", "fault", alerts=["not_found"])


def test_faults(site: Workers, window: Opened) -> None:
    """What goes wrong is said in plain words, with a way on."""
    here, who = window(site), new_user()
    here.open("/nowhere")
    right(here, "not-found", "fault", alerts=["not_found"])
    here.post_from_elsewhere("/logout")
    right(here, "csrf", "fault", alerts=["csrf"])
    start(here, who)
    site.clock.ahead = 601
    here.press(code=site.tenant.outbox.code_for(who))
    right(here, "expired", "sign_in", alerts=["login_expired"])
    site.clock.ahead = 0
    site.tenant.faults.add(Fault.SERVICE_UNAVAILABLE, path=START)
    here.open("/login")
    here.press(identifier=who.address)
    right(here, "service-down", "sign_in", alerts=["service_unavailable"])
    site.tenant.faults.clear()
    site.tenant.faults.add(Fault.VERIFICATION_REQUIRED, path=START, times=1)
    here.press(identifier=who.address)
    right(here, "captcha-missing", "sign_in", alerts=["captcha_missing"])
    log_in(here, site, who)
    here.open("/api/nothing")
    right(here, "upstream-down", "fault", alerts=["upstream_down"])


def test_too_many(site: Workers, window: Opened) -> None:
    """A user who was sent too many codes is told when the next may be."""
    here, who = window(site), new_user()
    for _ in range(6):
        start(here, who)
    here.open("/login")
    here.press(identifier=who.address)
    assert [alert.partition(" ")[0] for alert in here.alerts] == [here.problem("too_many_requests").partition(" ")[0]]
    assert here.faults("too-many") == []


def test_two_tabs(site: Workers, window: Opened) -> None:
    """A form that was left open does not answer for the login that was begun after it."""
    here, first, second = window(site), new_user(), new_user()
    start(here, first)
    with here.another_tab():
        here.open("/login")
        here.press(identifier=second.address)
    here.press(code=site.tenant.outbox.code_for(first))
    right(here, "other-login", "enter_code", alerts=["other_login"])


def test_store_down(site: Workers, window: Opened, own_redis: RedisServer) -> None:
    """A session cannot be read: the page says so, and the user is not told that they are logged out."""
    here, who = window(site), new_user()
    log_in(here, site, who)
    own_redis.kill()
    try:
        here.open("/sessions")
        right(here, "store-down", "fault", alerts=["store_unavailable"])
    finally:
        own_redis.restart()
    for _ in range(4):  # each worker finds out for itself that its connection has ended
        here.open("/sessions")
    assert here.title == here.text("sessions")
