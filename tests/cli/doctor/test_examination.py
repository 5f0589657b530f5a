"""What is found at a tenant in each state that an operator may leave it in, and what is never sent."""

from __future__ import annotations

import socket
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
from multidict import CIMultiDict

from passwordless_async import Email, Phone, UsageError
from passwordless_async._common.http import HttpResponse
from passwordless_async.auth0 import Application, ClientSecretPost, NoClientAuth, PrivateKeyJwt, TlsClientAuth
from passwordless_async.auth0.identity import Login
from passwordless_async.cli.doctor import examination as doctor
from passwordless_async.cli.doctor.examination import Finding, Status
from passwordless_async.errors import OAuthError, RateLimited
from passwordless_async.testing import BOUND_API, PLAIN_API, Fault, LocalTenant, TenantSettings, ThrowAwayCa

if TYPE_CHECKING:
    from passwordless_async.auth0 import ClientAuth

DESCRIPTION = "/.well-known/openid-configuration"
ADA = Email("ada@example.com")
GRACE = Phone("+4930901820")

OK = Status.OK.value
WARNING = Status.WARNING.value
FAILED = Status.FAILED.value
UNSEEN = Status.NOT_CHECKED.value

HEALTHY = {
    "reachable": OK,
    "discovery": OK,
    "issuer": OK,
    "DPoP": OK,
    "signing keys": OK,
    "clock": OK,
    "client authentication": OK,
    "grant": OK,
    "proof": OK,
    "IP header trust": UNSEEN,
}
NOT_ASKED = {"signing keys": UNSEEN, "client authentication": UNSEEN, "grant": UNSEEN, "proof": UNSEEN}
NO_TENANT = {"discovery": FAILED, "issuer": UNSEEN, "DPoP": UNSEEN, **NOT_ASKED}
NO_ANSWER = {"client authentication": FAILED, "grant": UNSEEN, "proof": UNSEEN}
PROOF_REFUSED = {"client authentication": UNSEEN, "grant": UNSEEN, "proof": FAILED}


def application(tenant: LocalTenant, method: str = "none", secret: str | None = None) -> Application:
    ready = tenant.client_for(method)
    auth: ClientAuth = NoClientAuth()
    if method == "client_secret_post":
        auth = ClientSecretPost(secret or ready.secret)
    if method == "private_key_jwt":
        auth = PrivateKeyJwt(ready.private_pem, algorithm=ready.alg, key_id=ready.private_jwk["kid"])
    return Application(tenant.url, ready.client_id, auth)


def statuses(found: tuple[Finding, ...]) -> dict[str, str]:
    assert len({finding.name for finding in found}) == len(found)
    return {finding.name: finding.status.value for finding in found}


def of(found: tuple[Finding, ...], name: str) -> Finding:
    return next(finding for finding in found if finding.name == name)


def assert_nobody_was_bothered(tenant: LocalTenant) -> None:
    assert [] == list(tenant.outbox.messages)
    assert 0 == tenant.stats.start_requests
    # A request that was dropped before it was read has no form.
    named = {request.form.get("username") for request in tenant.requests.to("/oauth/token")}
    assert named <= {doctor.PROBE_ADDRESS, None}
    assert {request.path for request in tenant.requests} <= {DESCRIPTION, "/.well-known/jwks.json", "/oauth/token"}
    assert tenant.stats.codes_presented <= 1


# Settings, what differs from a healthy tenant's findings, and what one of them says.
STATES: list[tuple[dict[str, Any], dict[str, str], str, str]] = [
    ({}, {}, "reachable", "answers"),
    ({"grant_enabled": False}, {"grant": FAILED, "proof": UNSEEN}, "grant", "Advanced Settings > Grant Types"),
    ({"discovery": {"dpop_signing_alg_values_supported": None}}, {"DPoP": FAILED}, "DPoP", "DPoP is not offered"),
    ({"discovery": {"dpop_signing_alg_values_supported": ["RS256"]}}, {"DPoP": FAILED}, "DPoP", "ES256 is not"),
    ({"discovery": {"dpop_signing_alg_values_supported": "ES256"}}, {"DPoP": FAILED}, "DPoP", "ES256 is not"),
    ({"discovery": {"issuer": None}}, {"issuer": FAILED, **NOT_ASKED}, "issuer", "calls itself None, not http"),
    ({"discovery": {"issuer": "https://a.example"}}, {"issuer": FAILED, **NOT_ASKED}, "issuer", "https://a.example,"),
    ({"discovery": {"issuer": "x" * 999}}, {"issuer": FAILED, **NOT_ASKED}, "issuer", f"{'x' * 200}…"),
    ({"clock_wrong_by": 30}, {"clock": WARNING}, "clock", "s behind the tenant"),
    ({"clock_wrong_by": -30}, {"clock": WARNING, **PROOF_REFUSED}, "clock", "s ahead of the tenant"),
    ({"clock_wrong_by": 3600}, {"clock": FAILED, **PROOF_REFUSED}, "clock", "Set the clock of this machine"),
    ({"clock_wrong_by": -3600}, {"clock": FAILED, **PROOF_REFUSED}, "proof", "Check the clock of this machine"),
    ({"confidential_nonce_required": True}, {}, "proof", "accepted"),
]


@pytest.mark.parametrize(("settings", "differs", "name", "words"), STATES)
@pytest.mark.parametrize("method", ["none", "client_secret_post"])
async def test_states(settings: dict[str, Any], differs: dict[str, str], name: str, words: str, method: str):
    """Each state of a tenant is found, with words that say where to change it; nobody is sent anything."""
    async with LocalTenant(TenantSettings(**settings)) as tenant:
        found = await doctor.examine(application(tenant, method))
        assert_nobody_was_bothered(tenant)
        # Credentials go to no host that is not the tenant by its own word.
        assert ("issuer" in differs) == (not tenant.requests.to("/oauth/token"))
    assert {**HEALTHY, **differs} == statuses(found)
    assert words in f"{of(found, name).detail} {of(found, name).advice}"
    assert (FAILED in differs.values()) == doctor.failed(found)
    assert all(finding.advice for finding in found if finding.status in (Status.FAILED, Status.WARNING))


# A fault, where, what differs from a healthy tenant's findings.
FAULTS: list[tuple[Fault, str, dict[str, str]]] = [
    (Fault.GARBAGE_JSON, DESCRIPTION, NO_TENANT),
    (Fault.WRONG_CONTENT_TYPE, DESCRIPTION, NO_TENANT),
    (Fault.HUGE_BODY, DESCRIPTION, {**NO_TENANT, "clock": UNSEEN}),
    (Fault.REDIRECT, DESCRIPTION, NO_TENANT),
    (Fault.SERVICE_UNAVAILABLE, DESCRIPTION, NO_TENANT),
    (Fault.DROP_BEFORE_READ, DESCRIPTION, {**NO_TENANT, "reachable": FAILED, "discovery": UNSEEN, "clock": UNSEEN}),
    (Fault.GARBAGE_JSON, "/.well-known/jwks.json", {"signing keys": FAILED}),
    (Fault.DROP_BEFORE_READ, "/.well-known/jwks.json", {"signing keys": FAILED}),
    (Fault.SERVICE_UNAVAILABLE, "/oauth/token", NO_ANSWER),
    (Fault.DROP_BEFORE_READ, "/oauth/token", NO_ANSWER),
    (Fault.REDIRECT, "/oauth/token", NO_ANSWER),
    (Fault.ENDPOINT_DISABLED, "/oauth/token", {**NO_ANSWER, "client authentication": WARNING}),
    (Fault.RATE_LIMITED_SILENT, "/oauth/token", {**NO_ANSWER, "client authentication": WARNING}),
    (Fault.ACCESS_DENIED, "/oauth/token", {**NO_ANSWER, "client authentication": WARNING}),
    (Fault.ACCOUNT_BLOCKED, "/oauth/token", {}),
    (Fault.MFA_REQUIRED, "/oauth/token", {}),
    (Fault.UNAUTHORIZED_CLIENT, "/oauth/token", {"grant": FAILED, "proof": UNSEEN}),
    (Fault.CHALLENGE_FOREVER, "/oauth/token", PROOF_REFUSED),
]


@pytest.mark.parametrize(("fault", "path", "differs"), FAULTS)
async def test_faults(fault: Fault, path: str, differs: dict[str, str], tenant: LocalTenant):
    """Whatever a server answers, or does not, becomes findings; credentials go to nobody but the tenant."""
    tenant.faults.add(fault, path=path)
    found = await doctor.examine(application(tenant, "client_secret_post"))
    assert_nobody_was_bothered(tenant)
    assert {**HEALTHY, **differs} == statuses(found)
    if path == DESCRIPTION:
        assert [] == tenant.requests.to("/oauth/token")


async def test_a_port_where_nobody_listens():
    """What cannot be reached is said once, and the rest is not checked."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    found = await doctor.examine(Application(f"http://127.0.0.1:{port}", "app", NoClientAuth()))
    expected = dict.fromkeys(HEALTHY, UNSEEN) | {"reachable": FAILED}
    assert expected == statuses(found)
    assert "Settings > Domain" in of(found, "reachable").advice


async def test_a_wrong_secret(tenant: LocalTenant):
    """A secret that is refused is found, with the page that has the right one, and is not repeated."""
    wrong = "a-secret-that-is-wrong-but-secret"
    found = await doctor.examine(application(tenant, "client_secret_post", secret=wrong))
    assert {**HEALTHY, **NO_ANSWER} == statuses(found)
    assert "Credentials tab" in of(found, "client authentication").advice
    assert wrong not in repr(found)


async def test_a_confidential_application_without_its_secret(tenant: LocalTenant):
    """An application that has to show a secret and does not is refused."""
    found = await doctor.examine(Application(tenant.url, tenant.confidential_client[0], NoClientAuth()))
    assert {**HEALTHY, **NO_ANSWER} == statuses(found)


async def test_an_api_that_does_not_exist(tenant: LocalTenant):
    """An audience that the tenant does not know is found by the probe."""
    found = await doctor.examine(application(tenant), audience="https://nothing.example")
    assert {**HEALTHY, "grant": FAILED, "proof": UNSEEN} == statuses(found)
    assert "Identifier" in of(found, "grant").advice
    with pytest.raises(UsageError, match="audience"):
        await doctor.examine(application(tenant), audience="a\nb")


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("none", "ignored for a public application"),
        ("client_secret_post", "Trust Token Endpoint IP Header"),
        ("private_key_jwt", "not documented"),
    ],
)
async def test_ip_header_trust(method: str, words: str, tenant: LocalTenant):
    """What cannot be seen from outside is not claimed: how to look is said, by how the application authenticates."""
    found = of(await doctor.examine(application(tenant, method)), "IP header trust")
    assert Status.NOT_CHECKED is found.status
    assert words in f"{found.detail} {found.advice}"


@pytest.mark.parametrize(
    ("audience", "policy"), [(None, Status.OK), (BOUND_API, Status.OK), (PLAIN_API, Status.FAILED)]
)
@pytest.mark.parametrize("who", [ADA, GRACE])
async def test_a_login(audience: str | None, policy: Status, who: Email | Phone, tenant: LocalTenant):
    """A real login shows an API whose policy is None, and says where to set it."""
    subject = application(tenant)
    assert Status.OK is (await doctor.send_code(subject, who)).status
    login = Login(who, tenant.outbox.code_for(who), scope="openid", audience=audience)
    found = await doctor.log_in(subject, login)
    assert {"login": OK, "API policy": policy.value} == statuses(found)
    assert ("Token Sender-Constraining" in of(found, "API policy").advice) == (policy is Status.FAILED)


@pytest.mark.parametrize(("fault", "status"), [(Fault.ACCESS_DENIED, FAILED), (Fault.MFA_REQUIRED, WARNING)])
async def test_a_login_that_is_refused(fault: Fault, status: str, tenant: LocalTenant):
    """A login that gives no tokens says nothing of the API; a second factor is no defect."""
    subject = application(tenant)
    await doctor.send_code(subject, ADA)
    tenant.faults.add(fault, path="/oauth/token")
    found = await doctor.log_in(subject, Login(ADA, tenant.outbox.code_for(ADA), scope="openid"))
    assert {"login": status, "API policy": UNSEEN} == statuses(found)


async def test_a_code_that_is_not_sent(tenant: LocalTenant):
    """A start that is refused says where the connection is set up."""
    tenant.faults.add(Fault.SERVICE_UNAVAILABLE, path="/passwordless/start")
    found = await doctor.send_code(application(tenant), ADA)
    assert Status.FAILED is found.status
    assert "Authentication > Passwordless" in found.advice


@pytest.mark.parametrize(
    ("headers", "at", "status"),
    [
        ({}, 0.0, Status.NOT_CHECKED),
        ({"Date": "yesterday"}, 0.0, Status.NOT_CHECKED),
        ({"Date": formatdate(1000, usegmt=True)}, 1000.0, Status.OK),
        ({"Date": formatdate(1000)}, 1000.0, Status.OK),
        ({"Date": formatdate(1000, usegmt=True)}, 1010.4, Status.OK),
        ({"Date": formatdate(1000, usegmt=True)}, 1010.6, Status.WARNING),
        ({"Date": formatdate(1000, usegmt=True)}, 1060.4, Status.WARNING),
        ({"Date": formatdate(1000, usegmt=True)}, 1060.6, Status.FAILED),
        ({"Date": formatdate(1000, usegmt=True)}, 939.0, Status.FAILED),
        ({"Date": formatdate(1000, usegmt=True), "Age": "600"}, 1600.0, Status.OK),
        ({"Date": formatdate(1000, usegmt=True), "Age": "9" * 5000}, 1000.0, Status.OK),
    ],
)
def test_clock(headers: dict[str, str], at: float, status: Status):
    """The clock is judged by a Date, to the second that it has, older by what a cache kept it; none judges nothing."""
    answer = doctor.Timed(HttpResponse(200, CIMultiDict(headers)), at)
    assert status is doctor.judge_clock(answer).status


async def test_a_made_up_code_that_is_accepted(tenant: LocalTenant, monkeypatch: pytest.MonkeyPatch):
    """Tokens for a code that nobody was sent are no good sign."""
    nobody = Email(doctor.PROBE_ADDRESS)
    await doctor.send_code(application(tenant), nobody)
    monkeypatch.setattr(doctor, "_PROBE_CODE", tenant.outbox.code_for(nobody))
    found = await doctor.examine(application(tenant))
    assert {**HEALTHY, **NO_ANSWER} == statuses(found)
    assert "made up" in of(found, "client authentication").detail


async def test_an_application_with_a_certificate():
    """An application that authenticates by certificate is examined with it."""
    ca = ThrowAwayCa()
    async with LocalTenant(ssl=ca.server_context()) as tenant:
        ready = tenant.client_for("tls_client_auth")
        with_it = TlsClientAuth(ca.client_context(ca.issue(ready.client_id)))
        found = await doctor.examine(Application(tenant.url, ready.client_id, with_it))
        assert HEALTHY == statuses(found)
        without = TlsClientAuth(ca.client_context())
        found = await doctor.examine(Application(tenant.url, ready.client_id, without))
        assert {**HEALTHY, **NO_ANSWER} == statuses(found)
        # A server whose certificate nobody vouches for is not reached.
        found = await doctor.examine(Application(tenant.url, tenant.public_client_id, NoClientAuth()))
        assert FAILED == statuses(found)["reachable"]


def test_a_wrong_secret_in_other_words():
    """A 401 ``access_denied`` is about the application, not about a user."""
    found = doctor.judge_probe(OAuthError(status=401, error="access_denied", error_description="Unauthorized"))
    assert FAILED == statuses(found)["client authentication"]


def test_a_rate_limit_is_no_defect():
    """Too many requests is a warning, with words that a person at a terminal can follow."""
    found = doctor.judge_probe(RateLimited(status=429, error="too_many_requests"))
    assert not doctor.failed(found)
    assert "Wait a while, then try again." == found[0].advice


def test_a_login_that_is_not_tried():
    """A code that was sent and not typed is a failed login with the reason, and says nothing of the API."""
    found = doctor.login_not_tried("no code was given")
    assert {"login": FAILED, "API policy": UNSEEN} == statuses(found)
    assert "no code was given" == of(found, "login").detail
    assert of(found, "login").advice
