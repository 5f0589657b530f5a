"""The second factor: each kind of it, each way to fail it, association, chains."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from joserfc.jwk import ECKey

from passwordless_async.auth0.identity import Email
from passwordless_async.testing import BOUND_API, PLAIN_API, LocalTenant
from passwordless_async.testing.state.factors import KINDS, step_at, totp

if TYPE_CHECKING:
    from tests.testing.conftest import Answer, Opener, Wire

ADA = Email("ada@example.com")
ABSENT = ...
MALFORMED = (403, "invalid_grant", "Malformed mfa_token")
PENDING = (400, "authorization_pending")


@pytest.mark.parametrize(
    ("seconds", "right"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_vectors(seconds: int, right: str):
    """RFC 6238 appendix B, its last six digits."""
    assert totp(b"12345678901234567890", step_at(seconds)) == right


async def _stopped(wire: Wire, *mfa: str, **members: Any) -> dict[str, Any]:
    """Log in as far as the second factor."""
    wire.tenant.users.add(ADA, mfa=mfa)
    answer = await wire.login(**{"scope": "openid offline_access", "audience": BOUND_API, **members})
    assert answer.json["error"] == "mfa_required"
    return answer.json


async def _challenge(wire: Wire, mfa_token: str, **members: Any) -> Answer:
    body = {"mfa_token": mfa_token, "client_id": wire.tenant.public_client_id, "challenge_type": "otp oob"}
    return await wire.send("POST", "/mfa/challenge", json={**body, **members})


async def _list(wire: Wire, mfa_token: str) -> Answer:
    return await wire.send("GET", "/mfa/authenticators", headers={"Authorization": f"Bearer {mfa_token}"})


async def _associate(wire: Wire, mfa_token: str, **members: Any) -> Answer:
    body = {"client_id": wire.tenant.public_client_id, **members}
    return await wire.send("POST", "/mfa/associate", json=body, headers={"Authorization": f"Bearer {mfa_token}"})


@pytest.mark.parametrize(
    ("settings", "status", "requirements"),
    [
        ({}, 403, {"challenge": [{"type": "otp"}, {"type": "push-notification"}]}),
        ({"mfa_status": 401}, 401, {"challenge": [{"type": "otp"}, {"type": "push-notification"}]}),
        ({"mfa_requirements": "challenge_types"}, 403, {"challenge_types": ["oob", "otp"]}),
    ],
)
async def test_a_second_factor_is_asked_for(wire_for: Opener, settings: Any, status: int, requirements: Any):
    """The right code yields ``mfa_required`` with a token, in every status and shape that occurs; the code is spent."""
    wire = await wire_for(**settings)
    wire.tenant.users.add(ADA, mfa=["otp", "push"])

    answer = await wire.login()

    assert answer.words == (status, "mfa_required", "Multifactor authentication required")
    assert answer.json["mfa_token"]
    assert answer.json["mfa_requirements"] == requirements
    assert answer.headers["DPoP-Nonce"]
    assert wire.tenant.stats.mfa_required == 1
    assert wire.tenant.stats.tokens_issued == 0
    assert (await wire.exchange()).json["error"] == "invalid_grant"


async def test_others_need_none(wire: Wire):
    """Whoever has no factor, or a recovery code alone, is not asked."""
    wire.tenant.users.add(ADA, mfa=["recovery-code"])

    assert (await wire.login()).status == 200


async def test_an_authenticator_app(wire: Wire):
    """The app's code finishes the login: the scope, audience and key of the first request."""
    stopped = await _stopped(wire, "otp")
    assert (await _challenge(wire, stopped["mfa_token"])).json == {"challenge_type": "otp"}

    answer = await wire.mfa("otp", stopped["mfa_token"], otp=wire.tenant.mfa.otp_for(ADA))

    assert answer.status == 200
    assert answer.json["scope"] == "openid offline_access"
    access = json.loads(base64.urlsafe_b64decode(answer.json["access_token"].split(".")[1] + "=="))
    assert access["cnf"] == {"jkt": wire.thumbprint}
    assert (await wire.refresh(answer.json["refresh_token"])).status == 200
    assert (await wire.mfa("otp", stopped["mfa_token"], otp="1")).words == MALFORMED


async def test_a_code_of_an_app_passes_once(wire: Wire):
    """RFC 6238 §5.2: the second use of a code is refused, and the next one shown passes."""
    codes = []
    for _ in range(2):
        token = (await _stopped(wire, *([] if codes else ["otp"])))["mfa_token"]
        for used in codes:
            assert (await wire.mfa("otp", token, otp=used)).words == (403, "invalid_grant", "Invalid otp_code.")
        codes.append(wire.tenant.mfa.otp_for(ADA))
        assert (await wire.mfa("otp", token, otp=codes[-1])).status == 200


@pytest.mark.parametrize(("kind", "channel"), [("sms", "sms"), ("voice", "voice"), ("email", "email")])
async def test_a_code_out_of_band(wire: Wire, kind: str, channel: str):
    """What was sent is typed in as ``binding_code``."""
    token = (await _stopped(wire, kind))["mfa_token"]
    with pytest.raises(LookupError, match="no second factor"):
        wire.tenant.mfa.code_for(ADA)
    (listed,) = (await _list(wire, token)).json
    assert (listed["authenticator_type"], listed["oob_channel"], listed["active"]) == ("oob", channel, True)
    challenge = (await _challenge(wire, token, authenticator_id=listed["id"])).json
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


async def test_a_push_message_is_approved(wire: Wire):
    """Polls are told to wait until the user has approved."""
    token = (await _stopped(wire, "push"))["mfa_token"]
    with pytest.raises(LookupError, match="no push message"):
        wire.tenant.mfa.approve(ADA)
    challenge = (await _challenge(wire, token)).json
    assert challenge.keys() == {"challenge_type", "oob_code"}

    for _ in range(3):
        assert (await wire.mfa("oob", token, oob_code=challenge["oob_code"])).words[:2] == PENDING
    wire.tenant.mfa.approve(ADA)
    assert (await wire.mfa("oob", token, oob_code=challenge["oob_code"])).status == 200
    assert (wire.tenant.stats.mfa_challenges, wire.tenant.stats.mfa_polls) == (1, 4)


@pytest.mark.parametrize("denial", ["invalid_grant", "access_denied"])
async def test_a_push_message_is_denied(wire_for: Opener, denial: str):
    """A denial ends the login, in either of its words."""
    wire = await wire_for(mfa_denial=denial)
    token = (await _stopped(wire, "push"))["mfa_token"]
    code = (await _challenge(wire, token)).json["oob_code"]
    wire.tenant.mfa.deny(ADA)

    assert (await wire.mfa("oob", token, oob_code=code)).words == (403, denial, "MFA Authorization rejected.")
    assert (await wire.mfa("oob", token, oob_code=code)).words == MALFORMED


async def test_polls_are_limited(wire_for: Opener):
    """More than twelve polls a minute are told to slow down; a minute later there is room."""
    wire = await wire_for(nonce_lifetime=1e9)
    token = (await _stopped(wire, "push"))["mfa_token"]
    code = (await _challenge(wire, token)).json["oob_code"]

    answers = [await wire.mfa("oob", token, oob_code=code) for _ in range(14)]
    assert [answer.json["error"] for answer in answers] == ["authorization_pending"] * 12 + ["slow_down"] * 2
    assert answers[-1].status == 400
    wire.tenant.clock.advance(60)
    wire.tenant.mfa.approve(ADA)
    assert (await wire.mfa("oob", token, oob_code=code)).status == 200


async def test_a_recovery_code(wire: Wire):
    """The recovery code passes once, and the answer brings the next one."""
    token = (await _stopped(wire, "otp", "recovery-code"))["mfa_token"]
    code = wire.tenant.mfa.recovery_code_for(ADA)
    assert (await wire.mfa("recovery-code", token, recovery_code="x")).words[2] == "Invalid recovery_code."

    answer = await wire.mfa("recovery-code", token, recovery_code=code)

    assert answer.status == 200
    assert answer.json["recovery_code"] == wire.tenant.mfa.recovery_code_for(ADA) != code
    token = (await _stopped(wire))["mfa_token"]
    assert (await wire.mfa("recovery-code", token, recovery_code=code)).status == 403


async def test_lifetimes(wire_for: Opener):
    """What was sent lives five minutes, the login ten."""
    wire = await wire_for(nonce_lifetime=1e9)
    token = (await _stopped(wire, "email", "otp"))["mfa_token"]
    code = (await _challenge(wire, token, challenge_type="oob")).json["oob_code"]
    wire.tenant.clock.advance(301)
    late = await wire.mfa("oob", token, oob_code=code, binding_code=wire.tenant.mfa.code_for(ADA))
    wire.tenant.clock.advance(300)
    expired = (401, "expired_token", "mfa_token is expired")

    assert late.words == (401, "expired_token", "oob_code is expired")
    assert (await wire.mfa("otp", token, otp=wire.tenant.mfa.otp_for(ADA))).words == expired
    assert (await _list(wire, token)).words == expired
    assert (await _challenge(wire, token)).words == expired


async def test_a_chain(wire_for: Opener):
    """A second ``mfa_required`` follows the first, with another token; then come the tokens."""
    wire = await wire_for(mfa_rounds=2)
    first = (await _stopped(wire, "otp", "recovery-code"))["mfa_token"]

    again = await wire.mfa("recovery-code", first, recovery_code=wire.tenant.mfa.recovery_code_for(ADA))
    answer = await wire.mfa("otp", again.json["mfa_token"], otp=wire.tenant.mfa.otp_for(ADA))

    assert again.words[:2] == (403, "mfa_required")
    assert again.json["mfa_token"] != first
    assert answer.status == 200
    assert answer.json["recovery_code"] == wire.tenant.mfa.recovery_code_for(ADA)


@pytest.mark.parametrize(("bound", "status"), [(True, 400), (False, 200)])
async def test_the_key_of_the_login(wire_for: Opener, *, bound: bool, status: int):
    """Whether the second request must be by the key of the first is a setting; a refusal leaves the factor unused."""
    wire = await wire_for(mfa_key_bound=bound)
    token = (await _stopped(wire, "otp"))["mfa_token"]
    right, wire.key = wire.key, ECKey.generate_key("P-256", auto_kid=False)
    code = wire.tenant.mfa.otp_for(ADA)

    answer = await wire.mfa("otp", token, otp=code)

    assert answer.status == status
    if bound:
        assert answer.words[2] == "DPoP proof thumbprints don't match"
        assert (await wire.mfa("otp", token, otp=code, proof=None)).words[1] == "invalid_dpop_proof"
        wire.key = right
        assert (await wire.mfa("otp", token, otp=code)).status == 200


async def test_a_challenge_for_a_nonce_leaves_the_factor(wire: Wire):
    """The second request is challenged as any other, and the factor is not used up."""
    token = (await _stopped(wire, "otp"))["mfa_token"]
    code = wire.tenant.mfa.otp_for(ADA)
    wire.nonce = None

    assert (await wire.mfa("otp", token, otp=code)).words[1] == "use_dpop_nonce"
    assert (await wire.mfa("otp", token, otp=code)).status == 200


async def test_the_policy_of_the_api_still_decides(wire: Wire):
    """A login for an API without bound tokens ends in a Bearer token after the second factor too."""
    token = (await _stopped(wire, "otp", audience=PLAIN_API))["mfa_token"]

    answer = await wire.mfa("otp", token, otp=wire.tenant.mfa.otp_for(ADA))

    assert answer.json["token_type"] == "Bearer"


async def test_too_many_wrong_factors(wire_for: Opener):
    """After so many wrong ones the login is over."""
    wire = await wire_for(mfa_max_attempts=2)
    token = (await _stopped(wire, "otp"))["mfa_token"]

    assert (await wire.mfa("otp", token, otp="x")).words[1] == "invalid_grant"
    assert (await wire.mfa("otp", token, otp="x")).words[:2] == (429, "too_many_attempts")
    assert (await wire.mfa("otp", token, otp="x")).words == MALFORMED


REFUSED = [
    ("otp", {"mfa_token": "guess", "otp": "1"}, 403, "invalid_grant"),
    ("otp", {"mfa_token": ABSENT, "otp": "1"}, 400, "invalid_request"),
    ("otp", {}, 400, "invalid_request"),
    ("otp", {"otp": "1"}, 403, "invalid_grant"),
    ("otp", {"otp": "1", "client_id": "nobody"}, 401, "invalid_client"),
    ("oob", {}, 400, "invalid_request"),
    ("oob", {"oob_code": "guess"}, 403, "invalid_grant"),
    ("recovery-code", {}, 400, "invalid_request"),
    ("recovery-code", {"recovery_code": "1"}, 403, "invalid_grant"),
]


@pytest.mark.parametrize(("grant", "members", "status", "error"), REFUSED)
async def test_malformed_grants(wire: Wire, grant: str, members: dict[str, Any], status: int, error: str):
    """Each refusal has its status and code, and the login goes on."""
    token = (await _stopped(wire, "otp"))["mfa_token"]

    answer = await wire.mfa(grant, members.pop("mfa_token", token), **members)

    assert answer.words[:2] == (status, error)
    assert (await wire.mfa("otp", token, otp=wire.tenant.mfa.otp_for(ADA))).status == 200


async def test_a_token_of_another_application(wire: Wire):
    """An MFA token is the application's that logged in."""
    token = (await _stopped(wire, "otp"))["mfa_token"]
    client_id, secret = wire.tenant.confidential_client
    members = {"client_id": client_id, "client_secret": secret}

    assert (await wire.mfa("otp", token, otp="1", **members)).words[:2] == (400, "invalid_request")
    assert (await _challenge(wire, token, **members)).words[:2] == (400, "invalid_request")


CHALLENGES = [
    ({"mfa_token": "guess"}, 403, "invalid_grant"),
    ({"mfa_token": None}, 403, "invalid_grant"),
    ({"client_id": "nobody"}, 401, "invalid_client"),
    ({"challenge_type": "oob"}, 401, "unsupported_challenge_type"),
    ({"challenge_type": 7}, 400, "invalid_request"),
    ({"authenticator_id": "otp|dev_1"}, 400, "invalid_request"),
    ({"authenticator_id": 7}, 400, "invalid_request"),
]


@pytest.mark.parametrize(("members", "status", "error"), CHALLENGES)
async def test_malformed_challenges(wire: Wire, members: dict[str, Any], status: int, error: str):
    """Each refusal has its status and code."""
    token = (await _stopped(wire, "otp"))["mfa_token"]

    assert (await _challenge(wire, **{"mfa_token": token, **members})).words[:2] == (status, error)


async def test_bodies_and_headers_of_the_endpoints(wire: Wire):
    """What is no object is refused, and so is a list without a token."""
    for path in ("/mfa/challenge", "/mfa/associate"):
        assert (await wire.send("POST", path, data=b"[]")).words[:2] == (400, "invalid_request")
    bare = await wire.send("GET", "/mfa/authenticators")
    assert bare.words[:2] == (401, "unauthorized")
    assert (await _list(wire, "guess")).words == MALFORMED


async def test_basic_at_challenge_is_a_setting(wire_for: Opener):
    """HTTP Basic at ``/mfa/challenge`` is undocumented: the tenant plays both answers."""
    for allowed, status in ((False, 401), (True, 200)):
        wire = await wire_for(basic_auth_at_mfa=allowed)
        client_id, secret = wire.tenant.confidential_client
        stopped = await _stopped(wire, "otp", client_id=client_id, client_secret=secret)
        basic = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}"}
        body = {"mfa_token": stopped["mfa_token"], "client_id": client_id}
        assert (await wire.send("POST", "/mfa/challenge", json=body, headers=headers)).status == status


async def test_the_list_of_factors(wire: Wire):
    """Every kind is listed, places masked."""
    token = (await _stopped(wire, *KINDS))["mfa_token"]

    listed = (await _list(wire, token)).json

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


async def test_associating_an_app(wire_for: Opener):
    """Where the policy is always, somebody without a factor associates one; the first login with it confirms it."""
    wire = await wire_for(mfa_policy="always", nonce_lifetime=1e9)
    stopped = await _stopped(wire)
    token = stopped["mfa_token"]
    assert [row["type"] for row in stopped["mfa_requirements"]["enroll"]] == [
        "otp",
        "sms",
        "voice",
        "email",
        "push-notification",
    ]
    assert (await _challenge(wire, token)).words[:2] == (403, "association_required")

    associated = (await _associate(wire, token, authenticator_types=["otp"])).json
    secret = base64.b32decode(associated["secret"])
    assert f"secret={associated['secret']}" in associated["barcode_uri"]
    assert associated["recovery_codes"] == [wire.tenant.mfa.recovery_code_for(ADA)]
    assert [row["active"] for row in (await _list(wire, token)).json] == [False, False]
    otp = totp(secret, step_at(wire.tenant.clock.now()))
    assert (await wire.mfa("otp", token, otp=otp)).status == 200

    again = await _stopped(wire)
    assert again["mfa_requirements"] == {"challenge": [{"type": "otp"}, {"type": "recovery-code"}]}
    refused = await _associate(wire, again["mfa_token"], authenticator_types=["otp"])
    assert refused.words == (403, "access_denied", "User is already enrolled.")


@pytest.mark.parametrize(
    ("members", "channel"),
    [
        ({"oob_channels": ["sms"], "phone_number": "+4930901820"}, "sms"),
        ({"oob_channels": ["voice"], "phone_number": "+4930901820"}, "voice"),
        ({"oob_channels": ["email"], "email": "ada@elsewhere.example"}, "email"),
        ({"oob_channels": ["auth0"]}, "auth0"),
    ],
)
async def test_associating_out_of_band(wire_for: Opener, members: dict[str, Any], channel: str):
    """The answer holds the first challenge, and answering it finishes the login."""
    wire = await wire_for(mfa_policy="always")
    token = (await _stopped(wire))["mfa_token"]

    associated = (await _associate(wire, token, authenticator_types=["oob"], **members)).json

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
async def test_malformed_associations(wire_for: Opener, members: dict[str, Any], status: int):
    """Each is refused, and no factor is kept; so is one that the tenant does not offer."""
    wire = await wire_for(mfa_policy="always", mfa_enrolls=["otp", "sms", "email"])
    token = (await _stopped(wire))["mfa_token"]

    assert (await _associate(wire, token, **members)).status == status
    assert (await _list(wire, token)).json == []


def test_factors_that_do_not_exist():
    """A factor's name is checked, and whoever has none is told."""
    tenant = LocalTenant()
    with pytest.raises(ValueError, match="pigeon"):
        tenant.users.add(ADA, mfa=["pigeon"])
    with pytest.raises(LookupError, match="otp"):
        tenant.mfa.otp_for(ADA)
    tenant.users.add(ADA, mfa=["otp"])
    assert tenant.mfa.otp_for(ADA).isdecimal()
