"""The applications: their credentials, and how they authenticate themselves."""

from __future__ import annotations

import json
import time
from typing import Any

import aiohttp
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from helpers.tenant_wire import Opener, Wire, basic
from passwordless_async.testing import (
    LocalTenant,
    RegisteredClient,
    TenantSettings,
    ThrowAwayCa,
)
from passwordless_async.testing.checks.clients import ReadyClient

SECRET = "a secret of thirty-two characters"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
INVALID_CLIENT = (401, "invalid_client")


async def test_one_method_a_request(warm: Wire) -> None:
    """RFC 6749 §2.3: two methods at once are refused, though each would pass alone; so is a contradiction."""
    client_id, secret = warm.tenant.confidential_client
    header = basic(client_id, secret)
    form = warm.form(client_id=client_id)
    twice = [
        {**form, "client_secret": secret},
        {**form, "client_assertion_type": JWT_BEARER, "client_assertion": warm.assertion()},
        {**form, "client_id": warm.tenant.public_client_id},
    ]

    for data in twice:
        answer = await warm.send("POST", "/oauth/token", data=data, headers=header)
        assert answer.words[:2] == INVALID_CLIENT
    assert answer.words[2].endswith("the client_ids differ")
    both = await warm.exchange(**warm.asserting(client_id=client_id, client_secret=secret))
    assert both.words[:2] == INVALID_CLIENT
    assert warm.tenant.stats.assertions_accepted == 0
    alone = await warm.send("POST", "/oauth/token", data=form, headers={**header, "DPoP": warm.proof()})
    assert alone.status == 200


@pytest.mark.parametrize(
    ("method", "members"),
    [
        ("private_key_jwt", {}),
        ("tls_client_auth", {}),
        ("self_signed_tls_client_auth", {}),
        ("private_key_jwt", {"client_secret": "guess"}),
        ("none", {"client_secret": "guess"}),
        ("client_secret_post", {}),
    ],
)
async def test_a_client_must_use_its_own_method(warm: Wire, method: str, members: dict[str, str]) -> None:
    """Showing nothing, or something else than what is registered, is refused."""
    client_id = warm.tenant.client_for(method).client_id

    assert (await warm.exchange(client_id=client_id, **members)).words[:2] == INVALID_CLIENT


@pytest.fixture
def ca() -> ThrowAwayCa:
    """Make an authority."""
    return ThrowAwayCa()


@pytest.fixture
async def over_tls(ca: ThrowAwayCa, wire_for: Opener) -> tuple[Wire, dict[str, Any]]:
    """Open a tenant over TLS, and contexts that show each kind of certificate."""
    own, foreign = ca.self_signed("self-signed-tls-client"), ca.self_signed("self-signed-tls-client")
    contexts = {
        "issued": ca.client_context(ca.issue("tls-client")),
        "of another": ca.client_context(ca.issue("another")),
        "self-signed": ca.client_context(own),
        "not registered": ca.client_context(foreign),
        "none": ca.client_context(),
    }
    server = ca.server_context(trusted=[own, foreign])
    return await wire_for(ssl=server, self_signed_certificates=[own.thumbprint]), contexts


CERTIFICATES = [
    ("tls_client_auth", "issued", 200),
    ("tls_client_auth", "of another", 401),
    ("tls_client_auth", "self-signed", 401),
    ("tls_client_auth", "none", 401),
    ("self_signed_tls_client_auth", "self-signed", 200),
    ("self_signed_tls_client_auth", "not registered", 401),
    ("self_signed_tls_client_auth", "issued", 401),
    ("self_signed_tls_client_auth", "none", 401),
]


async def test_certificates(over_tls: tuple[Wire, dict[str, Any]]) -> None:
    """RFC 8705 §2: a CA's certificate passes by its subject, a self-signed one by its thumbprint, another not."""
    wire, contexts = over_tls
    assert wire.tenant.url.startswith("https://127.0.0.1:")
    for method, certificate, status in CERTIFICATES:
        body = {"client_id": wire.tenant.client_for(method).client_id}
        start = {**body, "connection": "email", "email": "ada@example.com", "send": "code"}
        context = contexts[certificate]
        assert (await wire.send("POST", "/passwordless/start", json=start, ssl=context)).status == status
        if status == 200:
            form, proof = wire.form(**body), wire.proof()
            answer = await wire.send("POST", "/oauth/token", data=form, headers={"DPoP": proof}, ssl=context)
            assert answer.status == 200


async def test_a_public_client_needs_no_certificate(over_tls: tuple[Wire, dict[str, Any]]) -> None:
    """The others are served over TLS as before, with and without a certificate."""
    wire, contexts = over_tls
    body = {"client_id": wire.tenant.public_client_id, "connection": "email", "email": "a@b.example", "send": "code"}

    for name in ("none", "issued"):
        assert (await wire.send("POST", "/passwordless/start", json=body, ssl=contexts[name])).status == 200
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await wire.send("POST", "/passwordless/start", json=body)


@pytest.mark.parametrize("credentials", ["Basic", "Basic !", "Basic bm9jb2xvbg==", "Bearer x", "Basic bm9ib2R5Ong="])
async def test_http_basic_that_is_wrong(wire: Wire, credentials: str) -> None:
    """Every malformed or wrong header is refused with 401 ``invalid_client``."""
    answer = await wire.send("POST", "/oauth/token", data=wire.form(otp="1"), headers={"Authorization": credentials})

    assert answer.words[:2] == (401, "invalid_client")


def test_ready_clients() -> None:
    """Each method has its client and no client prints its secret; an unknown method is named in the error."""
    tenant = LocalTenant(TenantSettings(confidential_client_secret="hush"))
    ready = tenant.client_for("private_key_jwt", "PS256")

    assert tenant.client_for("none").client_id == tenant.public_client_id
    for method in ("client_secret_post", "client_secret_basic"):
        client = tenant.client_for(method)
        assert (client.client_id, client.secret) == tuple(tenant.confidential_client)
        assert "hush" not in repr(client)
    assert ready.alg == "PS256"
    assert ready.private_pem is not None
    assert ready.private_pem.startswith(b"-----BEGIN PRIVATE KEY-----")
    assert ready.private_jwk is not None
    assert ready.private_jwk["d"] not in repr(ready)
    with pytest.raises(ValueError, match="pigeon"):
        tenant.client_for("pigeon")


@pytest.mark.parametrize("method", ["none", "client_secret_post", "private_key_jwt"])
def test_a_ready_client_goes_through_json(method: str) -> None:
    """Another process has the same one, with its key, if it has any."""
    client = LocalTenant().client_for(method)
    again = ReadyClient.from_json(json.loads(json.dumps(client.to_json())))
    assert again == client
    assert repr(again) == repr(client)


async def test_further_applications(wire_for: Opener) -> None:
    """Each authenticates itself by its own credential, and not by another's."""
    key = ECKey.generate_key("P-256", auto_kid=True)
    clients = [
        RegisteredClient(client_id="open"),
        RegisteredClient(client_id="web", secret=SECRET),
        RegisteredClient(client_id="jwt", keys=[key.as_dict(private=False)]),
    ]
    wire = await wire_for(clients=clients, id_token_alg="HS256")
    now = int(time.time())
    claims = {"iss": "jwt", "sub": "jwt", "aud": wire.tenant.issuer, "exp": now + 60}
    signed = [jwt.encode({"alg": "ES256"}, {**claims, "jti": str(n)}, key, algorithms=["ES256"]) for n in range(2)]
    foreign = jwt.encode({"alg": "ES256"}, {**claims, "jti": "2"}, ECKey.generate_key("P-256"), algorithms=["ES256"])
    asserted = {"client_id": "jwt", "client_assertion_type": JWT_BEARER}
    right: list[dict[str, Any]] = [
        {"client_id": "open"},
        {"client_id": "web", "client_secret": SECRET},
        {**asserted, "client_assertion": signed[0]},
    ]
    wrong = [
        {"client_id": "web"},
        {"client_id": "web", "client_secret": wire.tenant.confidential_client.secret},
        {"client_id": "confidential-client", "client_secret": SECRET},
        {"client_id": "open", "client_secret": SECRET},
        {**asserted, "client_assertion": foreign},
        {**asserted, "client_id": "open", "client_assertion": signed[1]},
    ]

    for members in right:
        assert (await wire.start(**members)).status == 200
        if "client_assertion" not in members:
            assert (await wire.exchange(proof=None, **members)).status == 200
    for members in wrong:
        assert (await wire.exchange(otp="1", proof=None, **members)).words[:2] == INVALID_CLIENT
    await wire.start(**right[1])
    id_token = (await wire.exchange(proof=None, **right[1])).json["id_token"]
    assert jwt.decode(id_token, OctKey.import_key(SECRET), algorithms=["HS256"]).claims["aud"] == "web"
