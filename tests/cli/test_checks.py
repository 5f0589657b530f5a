"""The proof: each check passes on what is right, and finds what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import attrs
import pytest

from passwordless_async import TESTING, DPoPKey, Email, PasswordlessClient
from passwordless_async.cli.demo import measure
from passwordless_async.cli.demo.checks import CHECKS, Evidence, Miss, prove
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
    async with (
        LocalTenant() as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as client,
        aiohttp.ClientSession() as session,
    ):
        there: Any = SameLoop(tenant)
        await measure.ask_for_codes(client, PEOPLE, concurrency=2, tick=lambda: None)
        codes = await measure.codes_of(there, PEOPLE)
        outcomes, latencies, seconds = await measure.log_in(client, PEOPLE, codes, concurrency=2, tick=lambda: None)
        run = measure.Run(PEOPLE, outcomes, seconds, latencies, attrs.evolve(tenant.stats))
        yield Evidence(run, there, client, session)


async def test_honest_logins(evidence: Evidence):
    """Every check passes, more than once: none of them uses anything up."""
    for _ in range(2):
        assert [None] * len(CHECKS) == list((await prove(evidence.run, evidence.tenant, evidence.client)).values())


def test_names():
    """No two checks have the same name or claim."""
    assert len(CHECKS) == len({check.name for check in CHECKS}) == len({check.claim for check in CHECKS})


def _with_tokens(evidence: Evidence, change: Callable[[list[Any]], list[Any]]) -> Evidence:
    """Return the evidence with other tokens in the outcomes."""
    outcomes = evidence.run.outcomes
    tokens = change([outcome.tokens for outcome in outcomes])
    changed = [attrs.evolve(outcome, tokens=other) for outcome, other in zip(outcomes, tokens, strict=True)]
    return attrs.evolve(evidence, run=attrs.evolve(evidence.run, outcomes=changed))


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
    return attrs.evolve(evidence, run=attrs.evolve(evidence.run, outcomes=evidence.run.outcomes[1:]))


def _nobody(evidence: Evidence) -> Evidence:
    return attrs.evolve(evidence, run=attrs.evolve(evidence.run, outcomes=[]))


def _counted(**counters: int) -> Callable[[Evidence], Evidence]:
    return lambda evidence: attrs.evolve(
        evidence, run=attrs.evolve(evidence.run, stats=attrs.evolve(evidence.run.stats, **counters))
    )


def _answering(status: int, challenge: str, body: dict[str, Any]) -> Callable[[Evidence], Evidence]:
    """Return the evidence with a userinfo that always says the same."""

    class Answering(Evidence):
        async def userinfo(self, *_request: str):
            return status, challenge, body

    return lambda evidence: Answering(evidence.run, evidence.tenant, evidence.client, evidence.session)


def _guessable(evidence: Evidence) -> Evidence:
    """Return the evidence with a tenant whose code is one more than it says: the wrong code is the right one."""

    class Guessable(SameLoop):
        async def code_for(self, who: Email) -> str:
            code = await super().code_for(who)
            return str((int(code) - 1) % 10 ** len(code)).zfill(len(code))

    return attrs.evolve(evidence, tenant=Guessable(evidence.tenant.tenant))


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
    ("own_key_accepted", _nobody, "nobody is logged in"),
    ("own_key_accepted", _answering(401, "DPoP", {}), "answered 401 to a token with its own key"),
    ("own_key_accepted", _answering(200, "", {"sub": "email|0"}), "names somebody else"),
    ("wrong_code_refused", _guessable, "exchanged for tokens"),
    ("replayed_proof_refused", _answering(200, "", {}), "answered 200 to a proof that was used before"),
    ("replayed_proof_refused", _answering(401, 'DPoP error="x"', {}), "answered 401 to a proof that was new"),
    ("stolen_token_refused", _answering(200, "", {}), "answered 200 to a token with another key"),
    ("stolen_token_refused", _answering(401, "", {}), "answered 401 to a token with another key"),
]


@pytest.mark.parametrize(("name", "spoil", "finding"), WRONG)
async def test_what_is_wrong_is_found(
    name: str, spoil: Callable[[Evidence], Evidence], finding: str, evidence: Evidence
):
    """Each check raises on what it is there for."""
    (check,) = (check for check in CHECKS if check.name == name)
    with pytest.raises(Miss, match=finding):
        await check.run(spoil(evidence))


async def test_no_answer(evidence: Evidence):
    """A tenant that is gone is a finding of the checks that ask it, not an exception."""
    await evidence.tenant.tenant.aclose()
    findings = await prove(evidence.run, evidence.tenant, evidence.client)
    asked = {check.name: finding for check, finding in findings.items() if finding is not None}
    assert {"own_key_accepted", "wrong_code_refused", "replayed_proof_refused", "stolen_token_refused"} == set(asked)
    assert "no answer that can be judged (ClientConnectorError)" == asked["own_key_accepted"]
    assert asked["wrong_code_refused"].startswith("nothing was sent")
