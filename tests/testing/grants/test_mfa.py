"""The MFA grants: each kind of factor, each way to fail it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from joserfc.jwk import ECKey

from helpers.tenant_wire import ABSENT, ADA, Opener, Wire, challenge_factor, list_factors, stop_at_mfa
from passwordless_async.testing import (
    PLAIN_API,
)

MALFORMED = (403, "invalid_grant", "Malformed mfa_token")


async def test_an_authenticator_app(wire: Wire) -> None:
    """The app's code finishes the login: the scope, audience and key of the first request."""
    stopped = await stop_at_mfa(wire, "otp")
    assert (await challenge_factor(wire, stopped["mfa_token"])).json == {"challenge_type": "otp"}

    answer = await wire.mfa("otp", stopped["mfa_token"], otp=wire.tenant.mfa.otp_for(ADA))

    assert answer.status == 200
    assert answer.json["scope"] == "openid offline_access"
    access = json.loads(base64.urlsafe_b64decode(answer.json["access_token"].split(".")[1] + "=="))
    assert access["cnf"] == {"jkt": wire.thumbprint}
    assert (await wire.refresh(answer.json["refresh_token"])).status == 200
    assert (await wire.mfa("otp", stopped["mfa_token"], otp="1")).words == MALFORMED


@pytest.mark.parametrize(("kind", "channel"), [("sms", "sms"), ("voice", "voice"), ("email", "email")])
async def test_a_code_out_of_band(wire: Wire, kind: str, channel: str) -> None:
    """The code that was sent passes as ``binding_code``."""
    token = (await stop_at_mfa(wire, kind))["mfa_token"]
    with pytest.raises(LookupError, match="no second factor"):
        wire.tenant.mfa.code_for(ADA)
    (listed,) = (await list_factors(wire, token)).json
    assert (listed["authenticator_type"], listed["oob_channel"], listed["active"]) == ("oob", channel, True)
    challenge = (await challenge_factor(wire, token, authenticator_id=listed["id"])).json
    assert challenge.keys() == {"challenge_type", "oob_code", "binding_method"}
    assert (challenge["challenge_type"], challenge["binding_method"]) == ("oob", "prompt")
    poll = {"oob_code": challenge["oob_code"]}

    missing = await wire.mfa("oob", token, **poll)
    wrong = await wire.mfa("oob", token, binding_code="x", **poll)
    right = await wire.mfa("oob", token, binding_code=wire.tenant.mfa.code_for(ADA), **poll)

    assert missing.words == (400, "invalid_request", "binding_code is required")
    assert wrong.words == (403, "invalid_grant", "Invalid binding_code.")
    assert right.status == 200
    assert wire.tenant.stats.mfa_polls == 0


PENDING = (400, "authorization_pending")


async def test_a_push_message_is_approved(wire: Wire) -> None:
    """A poll is refused with ``authorization_pending`` until the user has approved."""
    token = (await stop_at_mfa(wire, "push"))["mfa_token"]
    with pytest.raises(LookupError, match="no push message"):
        wire.tenant.mfa.approve(ADA)
    challenge = (await challenge_factor(wire, token)).json
    assert challenge.keys() == {"challenge_type", "oob_code"}

    for _ in range(3):
        assert (await wire.mfa("oob", token, oob_code=challenge["oob_code"])).words[:2] == PENDING
    wire.tenant.mfa.approve(ADA)
    assert (await wire.mfa("oob", token, oob_code=challenge["oob_code"])).status == 200
    assert (wire.tenant.stats.mfa_challenges, wire.tenant.stats.mfa_polls) == (1, 4)


@pytest.mark.parametrize("denial", ["invalid_grant", "access_denied"])
async def test_a_push_message_is_denied(wire_for: Opener, denial: str) -> None:
    """A denial ends the login, with either error code."""
    wire = await wire_for(mfa_denial=denial)
    token = (await stop_at_mfa(wire, "push"))["mfa_token"]
    code = (await challenge_factor(wire, token)).json["oob_code"]
    wire.tenant.mfa.deny(ADA)

    assert (await wire.mfa("oob", token, oob_code=code)).words == (403, denial, "MFA Authorization rejected.")
    assert (await wire.mfa("oob", token, oob_code=code)).words == MALFORMED


async def test_a_recovery_code(wire: Wire) -> None:
    """The recovery code passes once, and the response carries the next one."""
    token = (await stop_at_mfa(wire, "otp", "recovery-code"))["mfa_token"]
    code = wire.tenant.mfa.recovery_code_for(ADA)
    assert (await wire.mfa("recovery-code", token, recovery_code="x")).words[2] == "Invalid recovery_code."

    answer = await wire.mfa("recovery-code", token, recovery_code=code)

    assert answer.status == 200
    assert answer.json["recovery_code"] == wire.tenant.mfa.recovery_code_for(ADA) != code
    token = (await stop_at_mfa(wire))["mfa_token"]
    assert (await wire.mfa("recovery-code", token, recovery_code=code)).status == 403


@pytest.mark.parametrize(("bound", "status"), [(True, 400), (False, 200)])
async def test_the_key_of_the_login(wire_for: Opener, *, bound: bool, status: int) -> None:
    """Whether the second request must be by the key of the first is a setting; a refusal leaves the factor unused."""
    wire = await wire_for(mfa_key_bound=bound)
    token = (await stop_at_mfa(wire, "otp"))["mfa_token"]
    right, wire.key = wire.key, ECKey.generate_key("P-256", auto_kid=False)
    code = wire.tenant.mfa.otp_for(ADA)

    answer = await wire.mfa("otp", token, otp=code)

    assert answer.status == status
    if bound:
        assert answer.words[2] == "DPoP proof thumbprints don't match"
        assert (await wire.mfa("otp", token, otp=code, proof=None)).words[1] == "invalid_dpop_proof"
        wire.key = right
        assert (await wire.mfa("otp", token, otp=code)).status == 200


async def test_a_nonce_challenge_leaves_the_factor(wire: Wire) -> None:
    """The second request is challenged as any other, and the factor is not used up."""
    token = (await stop_at_mfa(wire, "otp"))["mfa_token"]
    code = wire.tenant.mfa.otp_for(ADA)
    wire.nonce = None

    assert (await wire.mfa("otp", token, otp=code)).words[1] == "use_dpop_nonce"
    assert (await wire.mfa("otp", token, otp=code)).status == 200


async def test_the_policy_of_the_api_still_decides(wire: Wire) -> None:
    """A login for an API without bound tokens ends in a Bearer token after the second factor too."""
    token = (await stop_at_mfa(wire, "otp", audience=PLAIN_API))["mfa_token"]

    answer = await wire.mfa("otp", token, otp=wire.tenant.mfa.otp_for(ADA))

    assert answer.json["token_type"] == "Bearer"


REFUSED = [
    ("otp", {"mfa_token": "guess", "otp": "1"}, 403, "invalid_grant"),
    ("otp", {"mfa_token": ABSENT, "otp": "1"}, 400, "invalid_request"),
    ("otp", {}, 400, "invalid_request"),
    ("otp", {"otp": "1"}, 403, "invalid_grant"),
    ("otp", {"otp": "1", "client_id": "unknown-client"}, 401, "invalid_client"),
    ("oob", {}, 400, "invalid_request"),
    ("oob", {"oob_code": "guess"}, 403, "invalid_grant"),
    ("recovery-code", {}, 400, "invalid_request"),
    ("recovery-code", {"recovery_code": "1"}, 403, "invalid_grant"),
]


@pytest.mark.parametrize(("grant", "members", "status", "error"), REFUSED)
async def test_malformed_grants(wire: Wire, grant: str, members: dict[str, Any], status: int, error: str) -> None:
    """Each refusal has its status and code, and the login goes on."""
    token = (await stop_at_mfa(wire, "otp"))["mfa_token"]

    answer = await wire.mfa(grant, members.pop("mfa_token", token), **members)

    assert answer.words[:2] == (status, error)
    assert (await wire.mfa("otp", token, otp=wire.tenant.mfa.otp_for(ADA))).status == 200
