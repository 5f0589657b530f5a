"""Client authentication: every method, everything that is wrong with an assertion, certificates."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from passwordless_async.testing import LocalTenant, TenantSettings, ThrowAwayCa

if TYPE_CHECKING:
    from tests.testing.conftest import Opener, Wire

ABSENT = ...
ALGS = ["RS256", "RS384", "PS256", "ES256"]
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
INVALID_CLIENT = (401, "invalid_client")


@pytest.mark.parametrize("alg", ALGS)
async def test_assertions_of_every_algorithm(wire: Wire, alg: str):
    """Each documented algorithm passes at both endpoints, and a confidential client needs no nonce."""
    start = await wire.start(**wire.asserting(wire.assertion(alg=alg)))
    answer = await wire.exchange(**wire.asserting(wire.assertion(alg=alg)))

    assert (start.status, answer.status) == (200, 200)
    assert wire.tenant.stats.assertions_accepted == 2


async def test_the_client_id_may_be_in_the_assertion_alone(warm: Wire):
    """RFC 7523 §3: the assertion's subject names the client."""
    assert (await warm.exchange(**warm.asserting(client_id=ABSENT))).status == 200


async def test_an_assertion_passes_once(warm: Wire):
    """The second use of a ``jti`` is refused, another one passes; the code is unspent."""
    once = warm.assertion()
    await warm.start(**warm.asserting(once))

    refused = await warm.exchange(**warm.asserting(once))

    assert refused.words == (*INVALID_CLIENT, "Client authentication failed: jti of the assertion was used before")
    assert warm.tenant.stats.assertions_replayed == 1
    assert (await warm.exchange(**warm.asserting())).status == 200


async def test_a_refused_proof_spends_the_assertion(wire_for: Opener):
    """The client is authenticated before the nonce is looked at: a retry needs another assertion."""
    wire = await wire_for(confidential_nonce_required=True)
    await wire.start()
    once = wire.assertion()

    assert (await wire.exchange(**wire.asserting(once))).words[1] == "use_dpop_nonce"
    assert (await wire.exchange(**wire.asserting(once))).words[:2] == INVALID_CLIENT
    assert (await wire.exchange(**wire.asserting())).status == 200


BAD_CLAIMS = [
    {"iss": "somebody"},
    {"sub": "somebody"},
    {"sub": ABSENT},
    {"aud": "https://elsewhere.example/"},
    {"aud": ABSENT},
    {"aud": ["https://elsewhere.example/"]},
    {"exp": ABSENT},
    {"exp": "soon"},
    {"exp": True},
    {"exp": float("nan")},
    {"exp": 1},
    {"exp": int(time.time()) + 4000},
    {"iat": int(time.time()) + 4000},
    {"nbf": int(time.time()) + 4000},
    {"iat": None},
    {"jti": ABSENT},
    {"jti": ""},
    {"jti": "j" * 65},
    {"jti": 7},
]


@pytest.mark.parametrize("claims", BAD_CLAIMS, ids=[f"{n}-{next(iter(c))}" for n, c in enumerate(BAD_CLAIMS)])
async def test_bad_claims(warm: Wire, claims: dict[str, Any]):
    """A claim that is wrong is refused, and says which."""
    answer = await warm.exchange(**warm.asserting(warm.assertion(**claims)))

    assert answer.words[:2] == INVALID_CLIENT
    assert next(iter(claims)) in answer.json["error_description"] or "date" in answer.json["error_description"]


async def test_the_audience_has_its_slash(warm: Wire):
    """The issuer's slash counts; a list with the issuer alone passes (RFC 7519 §4.1.3)."""
    without = await warm.exchange(**warm.asserting(warm.assertion(aud=warm.tenant.url)))
    as_list = await warm.exchange(**warm.asserting(warm.assertion(aud=[warm.tenant.issuer])))

    assert without.words[:2] == INVALID_CLIENT
    assert as_list.status == 200


async def test_bad_assertions(warm: Wire):
    """What is no assertion by the registered key is refused."""
    stranger = ECKey.generate_key("P-256")
    good = warm.assertion()
    claims = {"iss": "private-key-jwt-client", "sub": "private-key-jwt-client", "aud": warm.tenant.issuer}
    forged = [
        jwt.encode({"alg": "ES256"}, {**claims, "jti": "1", "exp": int(time.time()) + 60}, stranger),
        jwt.encode({"alg": "HS256"}, claims, OctKey.generate_key(256)),
        good.rpartition(".")[0] + ".",
        warm.assertion(header={"kid": "another"}),
        warm.assertion(header={"crit": ["kid"]}),
        warm.assertion(padding="x" * 2048),
        good.rpartition(".")[0] + ".AAAA",
        good + ".x",
        "e30.e30.AAAA",
        "x",
    ]

    for token in forged:
        assert (await warm.exchange(**warm.asserting(token))).words[:2] == INVALID_CLIENT
    for members in ({"client_assertion_type": "jwt"}, {"client_assertion_type": ABSENT}, {"client_assertion": ABSENT}):
        assert (await warm.exchange(**warm.asserting(**members))).words[:2] == INVALID_CLIENT
    assert (await warm.start(**warm.asserting(client_assertion=7))).words[:2] == INVALID_CLIENT


async def test_keys_of_the_tests_own(wire_for: Opener):
    """A registered JWK takes the place of the ready one; algorithms can be taken away."""
    key = ECKey.generate_key("P-256", auto_kid=True)
    key.ensure_kid()
    wire = await wire_for(private_key_jwt_keys=[key.as_dict(private=False)], private_key_jwt_algs=["ES256"])
    ready = wire.tenant.client_for("private_key_jwt", "ES256")
    assert ready.private_jwk is None
    claims = {"iss": ready.client_id, "sub": ready.client_id, "aud": wire.tenant.issuer, "jti": "1"}
    token = jwt.encode({"alg": "ES256", "kid": key.kid}, {**claims, "exp": int(time.time()) + 60}, key)

    assert (await wire.start(**wire.asserting(token))).status == 200


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


async def test_one_method_a_request(warm: Wire):
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
    assert answer.words[2].endswith("client_id is another one")
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
async def test_a_client_must_use_its_own_method(warm: Wire, method: str, members: dict[str, str]):
    """Showing nothing, or something else than what is registered, is refused."""
    client_id = warm.tenant.client_for(method).client_id

    assert (await warm.exchange(client_id=client_id, **members)).words[:2] == INVALID_CLIENT


def test_ready_clients():
    """Each method has its client, none of which prints its secret; others are told by name."""
    tenant = LocalTenant(TenantSettings(confidential_client_secret="hush"))
    ready = tenant.client_for("private_key_jwt", "PS256")

    assert tenant.client_for("none").client_id == tenant.public_client_id
    for method in ("client_secret_post", "client_secret_basic"):
        client = tenant.client_for(method)
        assert (client.client_id, client.secret) == tenant.confidential_client
        assert "hush" not in repr(client)
    assert ready.alg == "PS256"
    assert ready.private_pem.startswith(b"-----BEGIN PRIVATE KEY-----")
    assert ready.private_jwk["d"] not in repr(ready)
    with pytest.raises(ValueError, match="pigeon"):
        tenant.client_for("pigeon")


@pytest.mark.parametrize("counts", [False, True])
async def test_a_forwarded_address_by_assertion_is_a_setting(wire_for: Opener, *, counts: bool):
    """Whether ``auth0-forwarded-for`` counts for private_key_jwt is undocumented."""
    wire = await wire_for(forwarded_for_by_assertion=counts)

    await wire.start(headers={"auth0-forwarded-for": "192.0.2.7"}, **wire.asserting())

    assert wire.tenant.outbox.messages[0].ip == ("192.0.2.7" if counts else "127.0.0.1")


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


async def test_certificates(over_tls: tuple[Wire, dict[str, Any]]):
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


async def test_a_public_client_needs_no_certificate(over_tls: tuple[Wire, dict[str, Any]]):
    """The others are served over TLS as before, with and without a certificate."""
    wire, contexts = over_tls
    body = {"client_id": wire.tenant.public_client_id, "connection": "email", "email": "a@b.example", "send": "code"}

    for name in ("none", "issued"):
        assert (await wire.send("POST", "/passwordless/start", json=body, ssl=contexts[name])).status == 200
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await wire.send("POST", "/passwordless/start", json=body)


def test_certificates_keep_their_keys(ca: ThrowAwayCa):
    """A certificate's private key does not print."""
    certificate = ca.issue("tls-client")

    assert repr(certificate) == f"<ClientCertificate {certificate.thumbprint}>"
    assert "PRIVATE" not in f"{certificate.key_pem!r} {certificate.key_pem!s}"
    assert ca.pem.startswith(b"-----BEGIN CERTIFICATE-----")


async def test_discovery_names_the_methods(wire: Wire):
    """The document lists every method and the algorithms of assertions."""
    document = (await wire.send("GET", "/.well-known/openid-configuration")).json

    assert set(document["token_endpoint_auth_methods_supported"]) == {
        "none",
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
        "tls_client_auth",
        "self_signed_tls_client_auth",
    }
    assert document["token_endpoint_auth_signing_alg_values_supported"] == ALGS
