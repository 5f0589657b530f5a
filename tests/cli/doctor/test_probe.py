"""What a refusal of the probe shows of the application, its grant and its proofs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from helpers.findings import application, of, statuses
from passwordless_async.auth0.refusals import meant
from passwordless_async.cli.doctor.examination import examine
from passwordless_async.cli.doctor.findings import Status, failed
from passwordless_async.cli.doctor.probe import judge_policy, judge_probe
from passwordless_async.errors import InvalidDPoPProof, OAuthError, RateLimited, UnauthorizedClient

if TYPE_CHECKING:
    from passwordless_async.testing import LocalTenant

FAILED = Status.FAILED.value
OK, UNSEEN = Status.OK.value, Status.NOT_CHECKED.value


@pytest.mark.parametrize(
    ("error", "client", "grant", "proof"),
    [
        (OAuthError(status=403, error="invalid_grant"), OK, OK, OK),
        (UnauthorizedClient(status=403, error="unauthorized_client"), OK, FAILED, UNSEEN),
        (InvalidDPoPProof(status=400, error="invalid_dpop_proof"), UNSEEN, UNSEEN, FAILED),
        (OAuthError(status=500, error="server_error"), Status.WARNING.value, UNSEEN, UNSEEN),
        (None, FAILED, UNSEEN, UNSEEN),
    ],
)
def test_a_refusal_shows_how_far_the_request_got(error: OAuthError | None, client: str, grant: str, proof: str) -> None:
    """The refusal of a check says that the ones before it passed; tokens for a made-up code are a failure."""
    found = statuses(judge_probe(error))
    assert found == {"client authentication": client, "grant": grant, "proof": proof}


@pytest.mark.parametrize(
    ("audience", "advice"),
    [
        (
            None,
            "Name your API by --audience: this is about the tenant's default audience, or about no API. Add --send-to",
        ),
        ("https://api.example", "Add --send-to"),
    ],
)
def test_a_policy_that_is_not_seen_names_the_api(audience: str | None, advice: str) -> None:
    """Without an audience, the advice says how to name the API."""
    found = judge_policy(audience, OAuthError(status=403, error="invalid_grant"), "required")
    assert (found.status, found.advice) == (Status.NOT_CHECKED, f"{advice} you@example.com to find out.")


@pytest.mark.parametrize(
    ("status", "description", "client"),
    [
        (401, "Unauthorized", FAILED),  # some tenants say this of an unknown client and of a wrong secret
        (403, "Unauthorized", Status.WARNING.value),
        (401, "Blocked by a rule.", Status.WARNING.value),
        (401, "Service not found: https://api.example", OK),
    ],
)
def test_a_wrong_secret_in_other_words(status: int, description: str, client: str) -> None:
    """What ``access_denied`` means is decided where refusals are read: only this one is about the application."""
    assert statuses(judge_probe(meant(status, "access_denied", description, ())))["client authentication"] == client


def test_a_rate_limit_is_no_defect() -> None:
    """Too many requests is a warning, with words that a person at a terminal can follow."""
    found = judge_probe(RateLimited(status=429, error="too_many_requests"))
    assert not failed(found)
    assert found[0].advice == "Wait a while, then try again."


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("none", "ignored for a public application"),
        ("client_secret_post", "Trust Token Endpoint IP Header"),
        ("private_key_jwt", "Auth0 does not document"),
    ],
)
async def test_ip_header_trust_is_not_claimed(method: str, words: str, tenant: LocalTenant) -> None:
    """Trust in the header cannot be seen; the finding says where to look, by the way the application authenticates."""
    found = of(await examine(application(tenant, method)), "IP header trust")
    assert found.status is Status.NOT_CHECKED
    assert words in f"{found.detail} {found.advice}"
