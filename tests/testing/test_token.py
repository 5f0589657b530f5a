"""``POST /oauth/token``: the grant, the rules of a code, and what a login yields."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from passwordless_async.auth0.identity import Email, Phone
from passwordless_async.testing import BOUND_API, PLAIN_API, STRICT_API

if TYPE_CHECKING:
    from tests.testing.conftest import Opener, Wire


ADA = Email("ada@example.com")
WRONG = (403, "invalid_grant", "Wrong email or verification code.")
EXHAUSTED = (403, "invalid_grant", "You've reached the maximum number of attempts. Please try to login again.")
EXPIRED = (403, "invalid_grant", "The verification code has expired. Please try to login again.")


async def test_the_first_proof_of_a_public_client_is_challenged(wire: Wire):
    """A public client without a nonce is answered 400 with the documented words, and no attempt is counted."""
    await wire.start()

    challenge = await wire.exchange()
    answer = await wire.exchange()

    assert challenge.words == (400, "use_dpop_nonce", "Authorization server requires nonce in DPoP proof")
    assert challenge.headers["DPoP-Nonce"]
    assert answer.status == 200
    assert answer.headers["DPoP-Nonce"]
    assert wire.tenant.stats.codes_presented == 1
    assert wire.tenant.stats.nonce_challenges == 1


async def test_a_bound_login(wire: Wire):
    """An API's access token is a JWT whose ``cnf.jkt`` is the key's thumbprint; the ID token is about the user."""
    answer = await wire.login(scope="openid offline_access", audience=BOUND_API)
    keys = KeySet.import_key_set((await wire.send("GET", "/.well-known/jwks.json")).json)

    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["token_type"] == "DPoP"
    assert answer.json["expires_in"] == 86_400
    assert answer.json["scope"] == "openid offline_access"
    assert answer.json["refresh_token"]
    access = jwt.decode(answer.json["access_token"], keys, algorithms=["RS256"]).claims
    assert access["cnf"] == {"jkt": wire.thumbprint}
    assert BOUND_API in access["aud"]
    identity = jwt.decode(answer.json["id_token"], keys, algorithms=["RS256"]).claims
    assert identity["iss"] == wire.tenant.url + "/"
    assert identity["aud"] == wire.tenant.public_client_id
    assert identity["email"] == ADA.address
    assert identity["sub"] == access["sub"]
    assert identity["sub"].startswith("email|")
    assert identity["sid"]
    assert identity["exp"] - identity["iat"] == 36_000
    assert abs(identity["iat"] - time.time()) < 5


async def test_a_login_without_anything_asked_for(wire: Wire):
    """Without scope and audience there is an opaque bound token and nothing else."""
    answer = await wire.login(scope="")

    assert answer.json.keys() == {"access_token", "expires_in", "token_type"}
    assert "." not in answer.json["access_token"]


async def test_a_login_by_phone(wire: Wire):
    """The sms realm yields a phone number, and has its own words for a wrong code."""
    phone = Phone("+4930901820")
    client_id, secret = wire.tenant.confidential_client
    await wire.start(connection="sms", phone_number=phone.number)
    members = {"client_id": client_id, "client_secret": secret, "username": phone.number, "realm": "sms"}

    wrong = await wire.exchange(otp="1", **members)
    right = await wire.exchange(otp=wire.tenant.outbox.code_for(phone), **members)

    assert wrong.words == (403, "invalid_grant", "Wrong phone number or verification code.")
    assert _claims(right.json["id_token"])["phone_number"] == phone.number


async def test_json_is_also_accepted(warm: Wire):
    """The grant may come as JSON."""
    answer = await warm.send("POST", "/oauth/token", json=warm.form(), headers={"DPoP": warm.proof()})

    assert answer.status == 200


async def test_the_newest_code_alone_is_valid(warm: Wire):
    """A resend kills the code before."""
    old = warm.tenant.outbox.code_for(ADA)
    new = old
    while new == old:
        await warm.start()
        new = warm.tenant.outbox.code_for(ADA)

    assert (await warm.exchange(otp=old)).words == WRONG
    assert (await warm.exchange(otp=new)).status == 200


async def test_a_used_code_is_dead(warm: Wire):
    """A code opens once."""
    assert (await warm.exchange()).status == 200
    assert (await warm.exchange()).words == WRONG


async def test_one_of_many_at_once_wins(warm: Wire):
    """Of twenty requests at once with one code exactly one is answered with tokens."""
    answers = await asyncio.gather(*(warm.exchange() for _ in range(20)))

    assert sorted(answer.status for answer in answers) == [200] + [403] * 19


async def test_the_third_failure_kills_the_code(warm: Wire):
    """After two wrong codes the third says that it was one too many, and then the right one does not help."""
    assert (await warm.exchange(otp="x")).words == WRONG
    assert (await warm.exchange(otp="x")).words == WRONG
    assert (await warm.exchange(otp="x")).words == EXHAUSTED
    assert (await warm.exchange()).words == EXHAUSTED


async def test_a_code_that_nobody_sent(wire: Wire):
    """A user who never started is told the same as one with a wrong code."""
    await wire.exchange(otp="1")

    assert (await wire.exchange(otp="1")).words == WRONG


async def test_a_code_lives_three_minutes(warm: Wire):
    """At 179 seconds it opens, at 181 it does not; the clock is the tenant's and no test sleeps."""
    warm.tenant.clock.advance(179)
    assert (await warm.login()).status == 200
    await warm.start()
    warm.tenant.clock.advance(181)
    await warm.exchange(otp="x")
    assert (await warm.exchange()).words == EXPIRED


async def test_a_refused_proof_costs_no_attempt(warm: Wire):
    """Rule 31: the proof is checked before the code: ten bad proofs leave code and attempts as they were."""
    for _ in range(10):
        assert (await warm.exchange(proof=warm.proof(htm="GET"))).words[:2] == (400, "invalid_dpop_proof")

    assert (await warm.exchange()).status == 200


REFUSED = [
    ({"grant_type": ""}, 400, "invalid_request"),
    ({"grant_type": "password"}, 501, "unsupported_grant_type"),
    ({"client_id": ""}, 401, "invalid_client"),
    ({"client_id": "nobody"}, 401, "invalid_client"),
    ({"client_id": "confidential-client"}, 401, "invalid_client"),
    ({"client_id": "confidential-client", "client_secret": "guess"}, 401, "invalid_client"),
    ({"username": ""}, 400, "invalid_request"),
    ({"otp": ""}, 400, "invalid_request"),
    ({"realm": ""}, 400, "invalid_request"),
    ({"realm": "fax"}, 400, "invalid_request"),
    ({"audience": "https://nowhere.example"}, 403, "access_denied"),
]


@pytest.mark.parametrize(("members", "status", "error"), REFUSED)
async def test_malformed_grants_are_refused(warm: Wire, members: dict[str, Any], status: int, error: str):
    """Each refusal has its status and code and leaves the code unspent."""
    assert (await warm.exchange(**members)).words[:2] == (status, error)
    assert (await warm.exchange()).status == 200


@pytest.mark.parametrize(
    ("proof", "audience", "token_type"),
    [
        (True, BOUND_API, "DPoP"),
        (False, BOUND_API, "Bearer"),
        (True, PLAIN_API, "Bearer"),
        (False, PLAIN_API, "Bearer"),
        (True, STRICT_API, "DPoP"),
    ],
)
async def test_the_policy_of_an_api_decides(warm: Wire, *, proof: bool, audience: str, token_type: str):
    """An API whose policy is none yields Bearer even with a proof; otherwise the proof decides."""
    answer = await warm.exchange(proof=warm.proof() if proof else None, audience=audience)

    assert answer.json["token_type"] == token_type
    assert ("cnf" in _claims(answer.json["access_token"])) == (token_type == "DPoP")


async def test_an_api_that_insists(warm: Wire):
    """An API whose policy is required refuses a request without a proof, and the code is unspent."""
    refused = await warm.exchange(proof=None, audience=STRICT_API)

    assert refused.words == (
        400,
        "invalid_request",
        "Resource server requires the use of DPoP to issue sender-constrained access tokens",
    )
    assert (await warm.exchange(audience=STRICT_API)).status == 200


async def test_a_confidential_client_needs_no_nonce(wire: Wire):
    """By secret in the body or by HTTP Basic, the first proof passes."""
    client_id, secret = wire.tenant.confidential_client
    await wire.start()
    assert (await wire.exchange(client_id=client_id, client_secret=secret)).status == 200

    await wire.start()
    basic = {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}
    form = {name: value for name, value in wire.form().items() if name != "client_id"}
    answer = await wire.send("POST", "/oauth/token", data=form, headers={**basic, "DPoP": wire.proof()})
    assert answer.status == 200


@pytest.mark.parametrize("credentials", ["Basic", "Basic !", "Basic bm9jb2xvbg==", "Bearer x", "Basic bm9ib2R5Ong="])
async def test_http_basic_that_is_wrong(wire: Wire, credentials: str):
    """Whatever is wrong with it, the answer is 401 ``invalid_client``."""
    answer = await wire.send("POST", "/oauth/token", data=wire.form(otp="1"), headers={"Authorization": credentials})

    assert answer.words[:2] == (401, "invalid_client")


async def test_settings_for_what_is_undocumented(wire_for: Opener):
    """``redirect_uri``, ``resource``, the scope of the answer and the spelling of the type are settings."""
    wire = await wire_for(redirect_uri_required=True, resource_parameter=True, scope_in_answer=False, token_type="dpop")

    assert (await wire.login()).words[:2] == (400, "invalid_request")
    answer = await wire.exchange(redirect_uri="https://app.example/cb", resource=BOUND_API)
    assert answer.json["token_type"] == "dpop"
    assert "scope" not in answer.json
    assert BOUND_API in _claims(answer.json["access_token"])["aud"]


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
async def test_hostile_bodies(wire: Wire, path: str, content_type: str, body: bytes):
    """Whatever the bytes, the answer is a refusal in JSON."""
    answer = await wire.send("POST", path, data=body, headers={"Content-Type": content_type})

    refusals = [(400, "invalid_request"), (400, "bad.request"), (401, "invalid_client")]
    assert answer.words[:2] in refusals[: 3 if path == "/oauth/revoke" else 2]


async def test_bodies_are_bounded(wire: Wire):
    """A body over the bound is refused with 413."""
    assert (await wire.send("POST", "/oauth/token", data=b"a" * 70_000)).status == 413


async def test_other_paths_and_methods(wire: Wire):
    """What the tenant does not serve has the documented codes."""
    assert (await wire.send("POST", "/oauth/device")).words[:2] == (404, "endpoint_disabled")
    assert (await wire.send("GET", "/oauth/token")).words[:2] == (405, "method_not_allowed")


async def test_discovery(wire: Wire):
    """The issuer has a trailing slash and ES256 is the only algorithm of proofs."""
    document = (await wire.send("GET", "/.well-known/openid-configuration")).json

    assert document["issuer"] == wire.tenant.url + "/"
    assert document["dpop_signing_alg_values_supported"] == ["ES256"]
    assert document["jwks_uri"] == wire.tenant.url + "/.well-known/jwks.json"
    (key,) = (await wire.send("GET", "/.well-known/jwks.json")).json["keys"]
    assert "d" not in key


def _claims(token: str):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
