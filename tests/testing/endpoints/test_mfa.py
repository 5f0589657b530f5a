"""``/mfa/``: lists, factor challenges, association."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from helpers.tenant_wire import ADA, Opener, Wire, associate_factor, challenge_factor, list_factors, stop_at_mfa
from passwordless_async.testing.state.users import KINDS, step_at, totp

CHALLENGES = [
    ({"mfa_token": "guess"}, 403, "invalid_grant"),
    ({"mfa_token": None}, 403, "invalid_grant"),
    ({"client_id": "unknown-client"}, 401, "invalid_client"),
    ({"challenge_type": "oob"}, 401, "unsupported_challenge_type"),
    ({"challenge_type": 7}, 400, "invalid_request"),
    ({"authenticator_id": "otp|dev_1"}, 400, "invalid_request"),
    ({"authenticator_id": 7}, 400, "invalid_request"),
]


@pytest.mark.parametrize(("members", "status", "error"), CHALLENGES)
async def test_malformed_requests_are_refused(wire: Wire, members: dict[str, Any], status: int, error: str) -> None:
    """Each refusal has its status and code."""
    token = (await stop_at_mfa(wire, "otp"))["mfa_token"]

    assert (await challenge_factor(wire, **{"mfa_token": token, **members})).words[:2] == (status, error)


MALFORMED = (403, "invalid_grant", "Malformed mfa_token")


async def test_bodies_and_headers_of_the_endpoints(wire: Wire) -> None:
    """A body that is not an object is refused, and so is a list without a token."""
    for path in ("/mfa/challenge", "/mfa/associate"):
        assert (await wire.send("POST", path, data=b"[]")).words[:2] == (400, "invalid_request")
    bare = await wire.send("GET", "/mfa/authenticators")
    assert bare.words[:2] == (401, "unauthorized")
    assert (await list_factors(wire, "guess")).words == MALFORMED


async def test_basic_at_challenge_is_a_setting(wire_for: Opener) -> None:
    """HTTP Basic at ``/mfa/challenge`` is undocumented: a setting decides."""
    for allowed, status in ((False, 401), (True, 200)):
        wire = await wire_for(basic_auth_at_mfa=allowed)
        client_id, secret = wire.tenant.confidential_client
        stopped = await stop_at_mfa(wire, "otp", client_id=client_id, client_secret=secret)
        basic = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}"}
        body = {"mfa_token": stopped["mfa_token"], "client_id": client_id}
        assert (await wire.send("POST", "/mfa/challenge", json=body, headers=headers)).status == status


async def test_the_list_of_factors(wire: Wire) -> None:
    """Every kind is listed, places masked."""
    token = (await stop_at_mfa(wire, *KINDS))["mfa_token"]

    listed = (await list_factors(wire, token)).json

    assert [(row["authenticator_type"], row.get("oob_channel")) for row in listed] == [
        ("otp", None),
        ("oob", "sms"),
        ("oob", "voice"),
        ("oob", "email"),
        ("oob", "auth0"),
        ("recovery-code", None),
    ]
    assert listed[3]["name"] == "a****@example.com"
    assert len({row["id"] for row in listed}) == len(listed)


async def test_associating_an_app(wire_for: Opener) -> None:
    """With the policy ``always``, a user without a factor associates one, and the first login confirms it."""
    wire = await wire_for(mfa_policy="always", nonce_lifetime=1e9)
    stopped = await stop_at_mfa(wire)
    token = stopped["mfa_token"]
    assert [row["type"] for row in stopped["mfa_requirements"]["enroll"]] == [
        "otp",
        "sms",
        "voice",
        "email",
        "push-notification",
    ]
    assert (await challenge_factor(wire, token)).words[:2] == (403, "association_required")

    associated = (await associate_factor(wire, token, authenticator_types=["otp"])).json
    secret = base64.b32decode(associated["secret"])
    assert f"secret={associated['secret']}" in associated["barcode_uri"]
    assert associated["recovery_codes"] == [wire.tenant.mfa.recovery_code_for(ADA)]
    assert [row["active"] for row in (await list_factors(wire, token)).json] == [False, False]
    otp = totp(secret, step_at(wire.tenant.clock.now()))
    assert (await wire.mfa("otp", token, otp=otp)).status == 200

    again = await stop_at_mfa(wire)
    assert again["mfa_requirements"] == {"challenge": [{"type": "otp"}, {"type": "recovery-code"}]}
    refused = await associate_factor(wire, again["mfa_token"], authenticator_types=["otp"])
    assert refused.words == (403, "access_denied", "User is already enrolled.")


PENDING = (400, "authorization_pending")


@pytest.mark.parametrize(
    ("members", "channel"),
    [
        ({"oob_channels": ["sms"], "phone_number": "+4930901820"}, "sms"),
        ({"oob_channels": ["voice"], "phone_number": "+4930901820"}, "voice"),
        ({"oob_channels": ["email"], "email": "ada@elsewhere.example"}, "email"),
        ({"oob_channels": ["auth0"]}, "auth0"),
    ],
)
async def test_associating_out_of_band(wire_for: Opener, members: dict[str, Any], channel: str) -> None:
    """The response carries the first factor challenge, which finishes the login."""
    wire = await wire_for(mfa_policy="always")
    token = (await stop_at_mfa(wire))["mfa_token"]

    associated = (await associate_factor(wire, token, authenticator_types=["oob"], **members)).json

    assert associated["oob_channel"] == channel
    assert ("barcode_uri" in associated) == (channel == "auth0")
    form = {"oob_code": associated["oob_code"]}
    if channel == "auth0":
        assert (await wire.mfa("oob", token, **form)).words[:2] == PENDING
        wire.tenant.mfa.approve(ADA)
    else:
        assert associated["binding_method"] == "prompt"
        form["binding_code"] = wire.tenant.mfa.code_for(ADA)
    assert (await wire.mfa("oob", token, **form)).status == 200


ASSOCIATIONS = [
    ({}, 400),
    ({"authenticator_types": ["pigeon"]}, 400),
    ({"authenticator_types": "otp"}, 400),
    ({"authenticator_types": ["oob"]}, 400),
    ({"authenticator_types": ["oob"], "oob_channels": ["fax"]}, 400),
    ({"authenticator_types": ["oob"], "oob_channels": [7]}, 400),
    ({"authenticator_types": ["oob"], "oob_channels": [[]]}, 400),
    ({"authenticator_types": ["oob"], "oob_channels": ["sms"]}, 400),
    ({"authenticator_types": ["oob"], "oob_channels": ["sms"], "phone_number": "0"}, 400),
    ({"authenticator_types": ["oob"], "oob_channels": ["email"], "email": "ada"}, 400),
    ({"authenticator_types": ["oob"], "oob_channels": ["auth0"]}, 401),
]


@pytest.mark.parametrize(("members", "status"), ASSOCIATIONS)
async def test_malformed_associations(wire_for: Opener, members: dict[str, Any], status: int) -> None:
    """Each is refused, and no factor is kept; so is one that the tenant does not offer."""
    wire = await wire_for(mfa_policy="always", mfa_enrolls=["otp", "sms", "email"])
    token = (await stop_at_mfa(wire))["mfa_token"]

    assert (await associate_factor(wire, token, **members)).status == status
    assert (await list_factors(wire, token)).json == []
