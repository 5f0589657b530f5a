"""Hostile bodies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from helpers.tenant_wire import ADA

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


async def test_null_counts_as_absent(wire: Wire) -> None:
    """In every JSON body, and in ``authParams``; a client may send each member that it knows."""
    absent = dict.fromkeys(["client_secret", "client_assertion", "client_assertion_type"])
    link = {"scope": None, "redirect_uri": None, "code_challenge": None, "nonce": None}
    assert (await wire.start(**absent, phone_number=None, authParams=None, captcha=None)).status == 200
    assert (await wire.start(**absent, send=None, authParams=link)).status == 200
    assert wire.tenant.outbox.link_for(ADA)
    await wire.start()
    form = {**wire.form(), **absent, "audience": None, "resource": None, "auth_session": None, "redirect_uri": ""}
    assert (await wire.send("POST", "/oauth/token", json=form)).status == 200
    body = {**absent, "client_id": wire.tenant.public_client_id, "email": ADA.address, "phone_number": None}
    body |= {"connection": "Username-Password-Authentication", "allow_signup": None, "delivery_method": None}
    assert (await wire.send("POST", "/otp/challenge", json=body)).status == 200
    answer = await wire.send("POST", "/oauth/token", json={"grant_type": None})
    assert answer.words == (400, "invalid_request", "Missing required parameter: grant_type")


async def test_a_body_that_cannot_be_decoded(wire: Wire) -> None:
    """A body in another encoding than its header says is refused."""
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    async with wire.session.post(f"{wire.tenant.url}/oauth/token", data=b"{}", headers=headers) as answer:
        assert answer.status == 400
