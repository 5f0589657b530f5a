"""What a tenant publishes, judged without a tenant."""

from __future__ import annotations

import json
from typing import Any

import pytest
from multidict import CIMultiDict

from helpers.findings import of, statuses
from passwordless_async._common.http import HttpResponse
from passwordless_async.auth0.application import Application
from passwordless_async.auth0.client_auth import NoClientAuth
from passwordless_async.cli.doctor.discovery import judge_discovery, judge_keys
from passwordless_async.cli.doctor.findings import Status
from passwordless_async.errors import MalformedAnswer, NotSent

APPLICATION = Application("tenant.example", "app", NoClientAuth())
HEALTHY = {"issuer": "https://tenant.example/", "dpop_signing_alg_values_supported": ["ES256"]}


def answer(body: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(status, CIMultiDict({"Content-Type": "application/json"}), json.dumps(body).encode())


@pytest.mark.parametrize(
    ("document", "name"),
    [({**HEALTHY, "issuer": "https://other.example/"}, "issuer"), ({"issuer": HEALTHY["issuer"]}, "DPoP")],
)
def test_one_member_is_one_failure(document: dict[str, Any], name: str) -> None:
    """A wrong member of the document fails its own check and no other."""
    found = judge_discovery(APPLICATION, answer(document))
    assert [finding.name for finding in found if finding.status is Status.FAILED] == [name]
    assert of(found, name).advice


@pytest.mark.parametrize("other", [answer([]), answer(HEALTHY, 404), MalformedAnswer("not JSON", status=200)])
def test_no_document_is_no_tenant(other: Any) -> None:
    """Without a JSON object there is nothing to check the issuer by."""
    found = statuses(judge_discovery(APPLICATION, other))
    assert found == {"reachable": "ok", "discovery": "failed", "issuer": "not checked", "DPoP": "not checked"}


def test_an_unreachable_tenant_is_not_described() -> None:
    """An error of the transport fails the first check alone."""
    found = statuses(judge_discovery(APPLICATION, NotSent("no route")))
    assert found == {"reachable": "failed", "discovery": "not checked", "issuer": "not checked", "DPoP": "not checked"}


def test_keys_that_cannot_be_read_are_a_failure() -> None:
    """A key set is JSON; an error is repeated with the advice."""
    found = judge_keys(answer([]))
    assert found.status is Status.FAILED
    assert "Signing Keys" in found.advice
