"""Hostile bodies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from helpers.tenant_wire import Wire


HOSTILE = [
    ("application/json", b"{"),
    ("application/json", b"[]"),
    ("application/json", b"[" * 50_000),
    ("application/json", b'{"a":' + b"9" * 10_000 + b"}"),
    ("application/json", b'{"grant_type": 1}'),
    ("application/json", b'{"grant_type": "\\ud800"}'),
    ("application/json", b"\xff\xfe"),
    ("application/x-www-form-urlencoded", b"\xff=\xff"),
    ("application/x-www-form-urlencoded", b"otp=%ff"),
    ("application/x-www-form-urlencoded", b"otp=1&otp=1"),
    ("application/x-www-form-urlencoded", b"&".join(b"f%d=1" % number for number in range(200))),
    ("application/x-www-form-urlencoded; charset=nonsense", b"otp=1"),
    ("text/plain", b"otp=1"),
    ("nonsense", b""),
]


@pytest.mark.parametrize(("content_type", "body"), HOSTILE)
@pytest.mark.parametrize("path", ["/oauth/token", "/passwordless/start", "/oauth/revoke", "/otp/challenge"])
async def test_hostile_bodies(wire: Wire, path: str, content_type: str, body: bytes) -> None:
    """Any bytes yield a refusal in JSON."""
    answer = await wire.send("POST", path, data=body, headers={"Content-Type": content_type})

    refusals = [(400, "invalid_request"), (400, "bad.request"), (401, "invalid_client")]
    assert answer.words[:2] in refusals[: 3 if path == "/oauth/revoke" else 2]
