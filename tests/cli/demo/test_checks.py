"""Each check passes on honest logins, and fails on its own defect."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import attrs
import pytest

from passwordless_async import TESTING, DPoPKey, DPoPMode, Email, PasswordlessClient
from passwordless_async.cli.demo import measure
from passwordless_async.cli.demo.checks import CHECKS, CheckFailed, Evidence, prove
from passwordless_async.testing import LocalTenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

PEOPLE = [Email(f"user{number}@example.com") for number in range(3)]


@attrs.frozen
class SameLoop:
    """A tenant in this event loop, spoken to as one in another process."""

    tenant: LocalTenant

    @property
    def url(self) -> str:
        return self.tenant.url

    async def codes(self, people: list[Email]) -> list[str]:
        return [self.tenant.outbox.code_for(who) for who in people]

    async def code_for(self, who: Email) -> str:
        return self.tenant.outbox.code_for(who)


@pytest.fixture
async def evidence() -> AsyncIterator[Evidence]:
    """Yield the evidence of three honest logins."""
    async with honest("required") as evidence:
        yield evidence


@asynccontextmanager
async def honest(dpop: DPoPMode) -> AsyncIterator[Evidence]:
    async with (
        LocalTenant() as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING, dpop=dpop) as client,
        aiohttp.ClientSession() as http,
    ):
        there: Any = SameLoop(tenant)
        await measure.send_codes(client, PEOPLE, concurrency=2, tick=lambda: None)
        codes = await measure.codes_of(there, PEOPLE)
        outcomes, latencies, seconds = await measure.log_in(
            client, PEOPLE, codes, concurrency=2, tick=lambda: None, audience=measure.audience_of(dpop)
        )
        logins = measure.CrowdLogins(PEOPLE, outcomes, seconds, latencies, attrs.evolve(tenant.stats))
        yield Evidence(logins, there, client, http, dpop)


async def test_honest_logins_pass(evidence: Evidence) -> None:
    """Every check passes, and again: none of them uses anything up."""
    for _ in range(2):
        assert [None] * len(CHECKS["required"]) == list(
            (await prove(evidence.logins, evidence.tenant, evidence.client)).values()
        )


@pytest.mark.parametrize("dpop", ["preferred", "off"])
async def test_honest_logins_pass_in_each_mode(dpop: DPoPMode) -> None:
    """Bound tokens where proofs are sent, Bearer tokens where none are."""
    async with honest(dpop) as evidence:
        found = await prove(evidence.logins, evidence.tenant, evidence.client, dpop)
        assert list(found.values()) == [None] * len(CHECKS[dpop])


@pytest.mark.parametrize("name", ["tokens_without_a_key"])
async def test_bound_tokens_are_a_defect_where_none_are_wanted(name: str, evidence: Evidence) -> None:
    """The check of the mode ``off`` fails on the logins of another."""
    (check,) = (check for check in CHECKS["off"] if check.name == name)
    with pytest.raises(CheckFailed, match="is bound"):
        await check.run(evidence)


def test_names_and_claims_are_distinct() -> None:
    """No two checks have the same name or claim."""
    checks = {check for each in CHECKS.values() for check in each}
    assert len(checks) == len({check.name for check in checks}) == len({check.claim for check in checks})


def _with_tokens(evidence: Evidence, change: Callable[[list[Any]], list[Any]]) -> Evidence:
    """Return the evidence with other tokens in the outcomes."""
    outcomes = evidence.logins.outcomes
    tokens = change([outcome.tokens for outcome in outcomes])
    changed = [attrs.evolve(outcome, tokens=other) for outcome, other in zip(outcomes, tokens, strict=True)]
    return attrs.evolve(evidence, logins=attrs.evolve(evidence.logins, outcomes=changed))


def _first(**changes: Any) -> Callable[[Evidence], Evidence]:
    return lambda evidence: _with_tokens(evidence, lambda tokens: [attrs.evolve(tokens[0], **changes), *tokens[1:]])


def _swapped(evidence: Evidence) -> Evidence:
    return _with_tokens(evidence, lambda tokens: [tokens[1], tokens[0], tokens[2]])


def _access_tokens_swapped(evidence: Evidence) -> Evidence:
    def change(tokens: list[Any]) -> list[Any]:
        first, second, third = tokens
        return [attrs.evolve(first, access_token=second.access_token), second, third]

    return _with_tokens(evidence, change)


def _twice_the_same(evidence: Evidence) -> Evidence:
    return _with_tokens(evidence, lambda tokens: [tokens[0], tokens[0], tokens[2]])


def _other_subject(evidence: Evidence) -> Evidence:
    def change(tokens: list[Any]) -> list[Any]:
        return [attrs.evolve(tokens[0], claims={**tokens[0].claims, "sub": "email|0"}), *tokens[1:]]

    return _with_tokens(evidence, change)


def _one_missing(evidence: Evidence) -> Evidence:
    return attrs.evolve(evidence, logins=attrs.evolve(evidence.logins, outcomes=evidence.logins.outcomes[1:]))


def _without_logins(evidence: Evidence) -> Evidence:
    return attrs.evolve(evidence, logins=attrs.evolve(evidence.logins, outcomes=[]))


def _counted(**counters: int) -> Callable[[Evidence], Evidence]:
    return lambda evidence: attrs.evolve(
        evidence, logins=attrs.evolve(evidence.logins, stats=attrs.evolve(evidence.logins.stats, **counters))
    )


def _answering(status: int, challenge: str, body: dict[str, Any]) -> Callable[[Evidence], Evidence]:
    """Return the evidence with a userinfo that always says the same."""

    class Answering(Evidence):
        async def userinfo(self, authorization: str, proof: str | None = None) -> tuple[int, str, dict[str, Any]]:  # noqa: ARG002
            return status, challenge, body

    return lambda evidence: Answering(evidence.logins, evidence.tenant, evidence.client, evidence.http)


def _guessable(evidence: Evidence) -> Evidence:
    """Return the evidence with a tenant whose code is one more than it says: the wrong code is the right one."""

    class Guessable(SameLoop):
        async def code_for(self, who: Email) -> str:
            code = await super().code_for(who)
            return str((int(code) - 1) % 10 ** len(code)).zfill(len(code))

    there: Any = evidence.tenant
    other: Any = Guessable(there.tenant)
    return attrs.evolve(evidence, tenant=other)


WRONG = [
    ("tokens_belong_to_their_users", _swapped, "ID token for .* names another address"),
    ("tokens_belong_to_their_users", _other_subject, "ID token for .* names another subject"),
    ("tokens_belong_to_their_users", _access_tokens_swapped, "access token for .* names another subject"),
    ("tokens_belong_to_their_users", _first(claims=None), "names another address"),
    ("tokens_belong_to_their_users", _first(access_token="opaque"), "not a JWT"),
    ("tokens_belong_to_their_users", _first(access_token="a.WzFd.b"), "not a JWT"),
    ("tokens_belong_to_their_users", _one_missing, "1 of 3 users have no tokens"),
    ("tokens_bound_to_their_keys", _first(key=DPoPKey.generate()), "not bound to its key"),
    ("tokens_bound_to_their_keys", _first(token_type="Bearer"), "is of type 'Bearer'"),
    ("tokens_bound_to_their_keys", _twice_the_same, "3 logins share 2 keys"),
    ("tokens_bound_to_their_keys", _counted(distinct_keys=4), "the tenant saw 4 keys for 3 logins"),
    ("codes_presented_once", _counted(codes_presented=4), "presented 4 codes by 3 users"),
    ("own_key_accepted", _without_logins, "no user is logged in"),
    ("own_key_accepted", _answering(401, "DPoP", {}), "answered 401 to a token with its own key"),
    ("own_key_accepted", _answering(200, "", {"sub": "email|0"}), "names another user"),
    ("wrong_code_refused", _guessable, "exchanged for tokens"),
    ("replayed_proof_refused", _answering(200, "", {}), "answered 200 to a proof that was used before"),
    ("replayed_proof_refused", _answering(401, 'DPoP error="x"', {}), "answered 401 to a proof that was new"),
    ("stolen_token_refused", _answering(200, "", {}), "answered 200 to a token with another key"),
    ("stolen_token_refused", _answering(401, "", {}), "answered 401 to a token with another key"),
]


@pytest.mark.parametrize(("name", "spoil", "finding"), WRONG)
async def test_each_defect_is_found(
    name: str, spoil: Callable[[Evidence], Evidence], finding: str, evidence: Evidence
) -> None:
    """Each check raises on the defect that it is there for."""
    (check,) = (check for check in CHECKS[evidence.dpop] if check.name == name)
    with pytest.raises(CheckFailed, match=finding):
        await check.run(spoil(evidence))


async def test_a_closed_tenant_fails_the_checks_that_ask_it(evidence: Evidence) -> None:
    """A closed tenant is a defect in the checks that ask it, not an exception."""
    there: Any = evidence.tenant
    await there.tenant.aclose()
    findings = await prove(evidence.logins, evidence.tenant, evidence.client)
    asked = {check.name: finding for check, finding in findings.items() if finding is not None}
    assert set(asked) == {"own_key_accepted", "wrong_code_refused", "replayed_proof_refused", "stolen_token_refused"}
    assert asked["own_key_accepted"] == "no usable answer (ClientConnectorError)"
    assert asked["wrong_code_refused"].startswith("nothing was sent")
