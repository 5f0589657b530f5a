"""The checks of a tenant, of what it publishes and of the clocks."""

from __future__ import annotations

import json
import socket
from email.utils import formatdate
from typing import Any

import pytest
from multidict import CIMultiDict

from helpers.findings import application, of, statuses
from passwordless_async import Email, Phone, UsageError
from passwordless_async._common.http import HttpResponse
from passwordless_async.auth0.application import Application
from passwordless_async.auth0.client_auth import NoClientAuth, TlsClientAuth
from passwordless_async.cli.doctor.command import send_code
from passwordless_async.cli.doctor.examination import Timed, examine, judge_clock, judge_discovery, judge_keys
from passwordless_async.cli.doctor.findings import Status, failed
from passwordless_async.cli.doctor.probe import PROBE_ADDRESS
from passwordless_async.errors import MalformedAnswer, NotSent
from passwordless_async.testing import PLAIN_API, STRICT_API, Fault, LocalTenant, TenantSettings, ThrowAwayCa

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
    "API policy": UNSEEN,
}
NOT_ASKED = {"signing keys": UNSEEN, "client authentication": UNSEEN, "grant": UNSEEN, "proof": UNSEEN}
NO_TENANT = {"discovery": FAILED, "issuer": UNSEEN, "DPoP": UNSEEN, **NOT_ASKED}
NO_ANSWER = {"client authentication": FAILED, "grant": UNSEEN, "proof": UNSEEN}
PROOF_REFUSED = {"client authentication": UNSEEN, "grant": UNSEEN, "proof": FAILED}


def assert_no_user_was_touched(tenant: LocalTenant, logins: int = 2) -> None:
    assert list(tenant.outbox.messages) == []
    assert tenant.stats.start_requests == 0
    # A request that was dropped before it was read has no form.
    named = {request.form.get("username") for request in tenant.requests.to("/oauth/token")}
    assert named <= {PROBE_ADDRESS, None}
    assert {request.path for request in tenant.requests} <= {DESCRIPTION, "/.well-known/jwks.json", "/oauth/token"}
    # One login with a proof, and one without.
    assert tenant.stats.codes_presented <= logins


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
    ({"clock_wrong_by": -3600}, {"clock": FAILED, **PROOF_REFUSED}, "proof", "Set the clock of this machine: it is"),
    ({"confidential_nonce_required": True}, {}, "proof", "accepted"),
]


@pytest.mark.parametrize(("settings", "differs", "name", "words"), STATES)
@pytest.mark.parametrize("method", ["none", "client_secret_post"])
async def test_each_state_of_a_tenant_is_found(
    settings: dict[str, Any], differs: dict[str, str], name: str, words: str, method: str
) -> None:
    """Each state of a tenant is found, with words that say where to change it; no message is sent."""
    async with LocalTenant(TenantSettings(**settings)) as tenant:
        found = await examine(application(tenant, method))
        assert_no_user_was_touched(tenant)
        # Credentials go to no host that is not the tenant by its own word.
        assert ("issuer" in differs) == (not tenant.requests.to("/oauth/token"))
    assert statuses(found) == {**HEALTHY, **differs}
    assert words in f"{of(found, name).detail} {of(found, name).advice}"
    assert (FAILED in differs.values()) == failed(found)
    assert all(finding.advice for finding in found if finding.status in (Status.FAILED, Status.WARNING))


# A fault, where, what differs from a healthy tenant's findings.
FAULTS: list[tuple[Fault, str, dict[str, str]]] = [
    (Fault.GARBAGE_JSON, DESCRIPTION, NO_TENANT),
    (Fault.WRONG_CONTENT_TYPE, DESCRIPTION, NO_TENANT),
    (Fault.HUGE_BODY, DESCRIPTION, NO_TENANT),
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


async def test_a_url_on_this_machine_without_its_scheme() -> None:
    """Https is meant where no scheme is written; the advice says what to write for plain http."""
    async with LocalTenant() as tenant:
        reachable, *_ = await examine(Application(tenant.url.removeprefix("http://"), "id", NoClientAuth()))
        assert (reachable.name, reachable.status) == ("reachable", Status.FAILED)
        assert reachable.advice == f"The server does not seem to speak TLS. Write {tenant.url}."


@pytest.mark.parametrize(("fault", "path", "differs"), FAULTS)
async def test_any_answer_becomes_findings(
    fault: Fault, path: str, differs: dict[str, str], tenant: LocalTenant
) -> None:
    """Each answer of a server, and none, becomes findings; credentials go to the tenant alone."""
    tenant.faults.add(fault, path=path)
    found = await examine(application(tenant, "client_secret_post"))
    assert_no_user_was_touched(tenant)
    assert statuses(found) == {**HEALTHY, **differs}
    if path == DESCRIPTION:
        assert tenant.requests.to("/oauth/token") == []


async def test_an_unreachable_tenant_is_one_failure() -> None:
    """An unreachable tenant is one failure, and the rest is not checked."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    found = await examine(Application(f"http://127.0.0.1:{port}", "app", NoClientAuth()))
    expected = dict.fromkeys(HEALTHY, UNSEEN) | {"reachable": FAILED}
    assert statuses(found) == expected
    assert "Settings > Domain" in of(found, "reachable").advice


async def test_a_wrong_secret_is_found(tenant: LocalTenant) -> None:
    """A secret that is refused is found, with the page that has the right one, and is not repeated."""
    wrong = "a-secret-that-is-wrong-but-secret"
    found = await examine(application(tenant, "client_secret_post", secret=wrong))
    assert statuses(found) == {**HEALTHY, **NO_ANSWER}
    assert "Credentials tab" in of(found, "client authentication").advice
    assert wrong not in repr(found)


async def test_a_confidential_application_needs_its_secret(tenant: LocalTenant) -> None:
    """A confidential application without its secret is refused."""
    found = await examine(Application(tenant.url, tenant.confidential_client.client_id, NoClientAuth()))
    assert statuses(found) == {**HEALTHY, **NO_ANSWER}


async def test_an_unknown_api_is_found(tenant: LocalTenant) -> None:
    """An audience that the tenant does not know is no fault of the grant, and hides no other API."""
    found = await examine(application(tenant), audiences=["https://nothing.example", STRICT_API])
    named = statuses(found)
    assert (named["client authentication"], named["grant"], named["proof"]) == (OK, UNSEEN, UNSEEN)
    assert of(found, "grant").detail == "the API was refused before"
    assert named["API policy of https://nothing.example"] == FAILED
    assert named[f"API policy of {STRICT_API}"] == OK
    assert "Identifier" in of(found, "API policy of https://nothing.example").advice
    with pytest.raises(UsageError, match="audience"):
        await examine(application(tenant), audiences=["a\nb"])


@pytest.mark.parametrize(
    ("dpop", "strict", "plain"),
    [("required", OK, UNSEEN), ("preferred", OK, OK), ("off", FAILED, OK)],
)
async def test_the_policies_of_apis(dpop: Any, strict: str, plain: str, tenant: LocalTenant) -> None:
    """A login without a proof shows what an API demands; what it does with a proof, only tokens show."""
    found = await examine(application(tenant), audiences=[STRICT_API, PLAIN_API], dpop=dpop)
    assert_no_user_was_touched(tenant, logins=3)
    named = statuses(found)
    assert (named[f"API policy of {STRICT_API}"], named[f"API policy of {PLAIN_API}"]) == (strict, plain)
    said = (
        "with None the tokens are not bound, and your mode, required, refuses them"
        if dpop == "required"
        else f"the mode {dpop} works"
    )
    assert said in of(found, f"API policy of {PLAIN_API}").detail
    assert failed(found) is (dpop == "off")
    assert named["client authentication"] == (UNSEEN if dpop == "off" else OK)
    assert all(finding.advice for finding in found if finding.status is Status.FAILED)


async def test_without_proofs_none_is_judged(tenant: LocalTenant) -> None:
    """Nothing is said of a proof that was not sent, and no proof depends on a wrong clock."""
    found = await examine(application(tenant), audiences=[PLAIN_API], dpop="off")
    assert statuses(found)["proof"] == UNSEEN
    assert of(found, "proof").detail == "none is sent: the client's mode is off"
    assert tenant.stats.distinct_keys == 0
    late = Timed(HttpResponse(200, CIMultiDict({"Date": formatdate(1000, usegmt=True)})), 5000.0)
    assert judge_clock(late, "off").status is Status.WARNING
    assert judge_clock(late, "preferred").status is Status.FAILED


async def test_one_of_several_apis_is_unknown(tenant: LocalTenant) -> None:
    """Its own check fails, and says where identifiers are."""
    found = await examine(application(tenant), audiences=[PLAIN_API, "https://nothing.example"])
    policy = of(found, "API policy of https://nothing.example")
    assert (policy.status, policy.detail) == (Status.FAILED, "no API has this identifier")
    assert "Identifier" in policy.advice


@pytest.mark.parametrize(("dpop", "status"), [("required", FAILED), ("preferred", WARNING), ("off", OK)])
async def test_a_tenant_without_dpop(dpop: Any, status: str) -> None:
    """It is a defect for a client that demands it alone."""
    settings = TenantSettings(discovery={"dpop_signing_alg_values_supported": None})
    async with LocalTenant(settings) as tenant:
        found = await examine(application(tenant), dpop=dpop)
        assert statuses(found)["DPoP"] == status


async def test_tokens_for_a_made_up_code_are_a_failure(tenant: LocalTenant) -> None:
    """A tenant that gives tokens for a made-up code is not healthy."""
    unknown = Email(PROBE_ADDRESS)
    await send_code(application(tenant), unknown)
    found = await examine(application(tenant), probe_code=tenant.outbox.code_for(unknown))
    assert statuses(found) == {**HEALTHY, **NO_ANSWER}
    assert "made-up" in of(found, "client authentication").detail


async def test_a_certificate_is_used() -> None:
    """An application that authenticates by certificate is examined with it."""
    ca = ThrowAwayCa()
    async with LocalTenant(ssl=ca.server_context()) as tenant:
        ready = tenant.client_for("tls_client_auth")
        with_it = TlsClientAuth(ca.client_context(ca.issue(ready.client_id)))
        found = await examine(Application(tenant.url, ready.client_id, with_it))
        assert statuses(found) == HEALTHY
        without = TlsClientAuth(ca.client_context())
        found = await examine(Application(tenant.url, ready.client_id, without))
        assert statuses(found) == {**HEALTHY, **NO_ANSWER}
        # A server with an untrusted certificate is not reached.
        found = await examine(Application(tenant.url, tenant.public_client_id, NoClientAuth()))
        assert statuses(found)["reachable"] == FAILED


APPLICATION = Application("tenant.example", "app", NoClientAuth())
DOCUMENT = {"issuer": "https://tenant.example/", "dpop_signing_alg_values_supported": ["ES256"]}


def answer(body: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(status, CIMultiDict({"Content-Type": "application/json"}), json.dumps(body).encode())


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ({**DOCUMENT, "issuer": "https://other.example/"}, "issuer"),
        ({"issuer": DOCUMENT["issuer"]}, "DPoP"),
    ],
)
def test_one_member_is_one_failure(document: dict[str, Any], name: str) -> None:
    """A wrong member of the document fails its own check and no other."""
    found = judge_discovery(APPLICATION, "required", answer(document))
    assert [finding.name for finding in found if finding.status is Status.FAILED] == [name]
    assert of(found, name).advice


@pytest.mark.parametrize("other", [answer([]), answer(DOCUMENT, 404), MalformedAnswer("not JSON", status=200)])
def test_no_document_is_no_tenant(other: Any) -> None:
    """Without a JSON object there is nothing to check the issuer by."""
    found = statuses(judge_discovery(APPLICATION, "required", other))
    assert found == {"reachable": "ok", "discovery": "failed", "issuer": "not checked", "DPoP": "not checked"}


def test_an_unreachable_tenant_is_not_described() -> None:
    """An error of the transport fails the first check alone."""
    found = statuses(judge_discovery(APPLICATION, "required", NotSent("no route")))
    assert found == {"reachable": "failed", "discovery": "not checked", "issuer": "not checked", "DPoP": "not checked"}


def test_keys_that_cannot_be_read_are_a_failure() -> None:
    """A key set is JSON; an error is repeated with the advice."""
    found = judge_keys(answer([]))
    assert found.status is Status.FAILED
    assert "Signing Keys" in found.advice


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
def test_skew_is_judged_by_the_date(headers: dict[str, str], at: float, status: Status) -> None:
    """The skew is judged by ``Date``, to the second, plus the ``Age`` in a cache; without a date nothing is judged."""
    answer = Timed(HttpResponse(200, CIMultiDict(headers)), at)
    assert judge_clock(answer).status is status


def test_without_an_answer_the_clock_is_not_checked() -> None:
    """No response, no finding about the clock."""
    assert judge_clock(None).status is Status.NOT_CHECKED
