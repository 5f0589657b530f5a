"""What ``--check`` prints."""

from __future__ import annotations

from passwordless_async.cli.gateway.reading import read
from passwordless_async.cli.gateway.showing import lines

REQUIRED = {"domain": "acme.eu.auth0.com", "client_id": "app", "base_url": "https://app.example"}


def test_lines() -> None:
    """Each setting that has a value, with where it came from; of the store no URL."""
    variable = "PASSWORDLESS_ASYNC_STORE"
    widget = ("script=https://c.example/a.js", "site_key=k", "css_class=c", "field=f", "sources=https://a.example")
    flags = {"budgets": ("starts_per_user=none", "starts_per_address=5"), "session_for": "90", "captcha": widget}
    shown = list(lines(read({**REQUIRED, **flags}, {variable: "redis://:s3cret@cache"}, None)))
    assert "s3cret" not in "".join(shown)
    for line in (
        "identifiers            email, phone  (default)",
        "session_for            90  (--session-for)",
        "budgets                starts_per_user=none, starts_per_address=5  (--budget)",
        "magic_link             off  (default)",
        (
            "captcha                script=https://c.example/a.js, site_key=k, css_class=c, field=f, "
            "sources=https://a.example  (--captcha)"
        ),
        f"store                  Redis  ({variable})",
    ):
        assert line in shown
    assert not any(line.startswith(("audience", "upstreams")) for line in shown)
