"""Requests and responses show nothing of what they carry."""

from __future__ import annotations

from helpers.sites import request
from passwordless_async.gateway import Response


def test_reprs_show_no_contents() -> None:
    """Bodies, cookies, queries and addresses may be secrets."""
    sent = request("POST", "/code", headers=[("Cookie", "session=secret")], query={"a": "secret"}, body=b"code=secret")
    answered = Response(200, (("Set-Cookie", "session=secret"),), b"secret")
    assert "secret" not in repr((sent, answered))
    assert "203.0.113.7" not in repr(sent)
    assert (sent.method, sent.path, sent.mount) == ("POST", "/code", "")
