"""The table of routes."""

from __future__ import annotations

from passwordless_async.gateway.routes import ROUTES, SIGNED


def test_what_changes_something_is_a_post() -> None:
    """And no path ends with a slash but the root."""
    assert {method for steps in ROUTES.values() for method in steps} == {"GET", "POST"}
    assert all(path == "/" or not path.endswith("/") for path in ROUTES)
    posts = {path for path, steps in ROUTES.items() if "POST" in steps}
    assert posts == {
        *("/login", "/login/cancel", "/code", "/code/resend", "/sessions/end", "/sessions/end-others", "/logout"),
        "/link/resend",
        *("/factor", "/factors", "/enrolment", "/recovery-codes", "/step-up"),
        "/backchannel-logout",
    }


def test_signed_requests_are_no_browsers() -> None:
    """The rule against CSRF is not for them; each is a route."""
    assert {"/backchannel-logout"} == SIGNED
    assert set(ROUTES) > SIGNED
