"""The checks after many logins: what must be true, and what must be refused.

Each check is a row of the table at the end and raises :class:`CheckFailed`. Requests that an attacker would send are
made by hand, because the client refuses to send them.
"""

from __future__ import annotations

import base64
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp
import attrs

from passwordless_async.auth0.identity import Email
from passwordless_async.cli.demo.measure import SCOPE, audience_of
from passwordless_async.dpop import DPoPKey, ProofGenerator
from passwordless_async.errors import PasswordlessError, WrongCode
from passwordless_async.testing import User

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from passwordless_async.auth0.tenant import DPoPMode
    from passwordless_async.auth0.tokens import TokenSet
    from passwordless_async.cli.demo.measure import CrowdLogins
    from passwordless_async.client.client import PasswordlessClient
    from passwordless_async.testing import TenantProcess

_TIMEOUT = aiohttp.ClientTimeout(total=30)  # seconds


class CheckFailed(Exception):
    """A check found a defect; the message says which."""


@attrs.frozen
class Evidence:
    """What the checks examine."""

    logins: CrowdLogins
    tenant: TenantProcess
    client: PasswordlessClient  # the client that made the logins
    http: aiohttp.ClientSession  # without DPoP, for requests made by hand
    dpop: DPoPMode = "required"  # the client's mode

    def tokens(self) -> Iterator[tuple[Email, TokenSet]]:
        """Yield the users that logged in, and their tokens."""
        for outcome in self.logins.outcomes:
            if outcome.tokens is not None:
                if not isinstance(outcome.login.who, Email):
                    raise CheckFailed("a user logged in who was not in the crowd")
                yield outcome.login.who, outcome.tokens

    def newest(self) -> tuple[Email, TokenSet]:
        """Return the newest login."""
        logins = list(self.tokens())
        if not logins:
            raise CheckFailed("no user is logged in")
        return logins[-1]

    async def userinfo(self, authorization: str, proof: str | None = None) -> tuple[int, str, dict[str, Any]]:
        """Call userinfo; return the status, ``WWW-Authenticate`` and the body."""
        headers = {"Authorization": authorization, **({} if proof is None else {"DPoP": proof})}
        async with self.http.get(f"{self.tenant.url}/userinfo", headers=headers, timeout=_TIMEOUT) as response:
            return response.status, response.headers.get("WWW-Authenticate", ""), await response.json()

    def proof(self, key: DPoPKey | None, access_token: str) -> str:
        """Make a proof for a request to userinfo."""
        if key is None:
            raise CheckFailed("the tokens have no key")
        return ProofGenerator(key).proof("GET", f"{self.tenant.url}/userinfo", access_token=access_token)


async def tokens_belong_to_their_users(evidence: Evidence) -> None:
    """Each user has tokens, and ID token and access token name that user."""
    served = set()
    for who, tokens in evidence.tokens():
        subject = User.of(who).subject
        claims = tokens.claims or {}
        _expect(claims.get("email"), who.address, f"the ID token for {who.address} names another address")
        _expect(claims.get("sub"), subject, f"the ID token for {who.address} names another subject")
        _expect(_claims(tokens).get("sub"), subject, f"the access token for {who.address} names another subject")
        served.add(who)
    missing = len(set(evidence.logins.people) - served)
    _expect(missing, 0, f"{missing:,} of {len(evidence.logins.people):,} users have no tokens")


async def tokens_bound_to_their_keys(evidence: Evidence) -> None:
    """``cnf.jkt`` is the thumbprint of the login's key (RFC 9449 §6.1), and no two logins share a key."""
    thumbprints = set()
    logins = 0
    for who, tokens in evidence.tokens():
        confirmation = _claims(tokens).get("cnf")
        bound_to = confirmation.get("jkt") if isinstance(confirmation, dict) else None
        _expect(tokens.token_type.lower(), "dpop", f"the token for {who.address} is of type {tokens.token_type!r}")
        thumbprint = None if tokens.key is None else tokens.key.thumbprint
        _expect(bound_to, thumbprint, f"the token for {who.address} is not bound to its key")
        thumbprints.add(thumbprint)
        logins += 1
    _expect(len(thumbprints), logins, f"{logins:,} logins share {len(thumbprints):,} keys")
    seen = evidence.logins.stats.distinct_keys
    _expect(seen, logins, f"the tenant saw {seen:,} keys for {logins:,} logins")


async def tokens_without_a_key(evidence: Evidence) -> None:
    """In the mode ``off`` each token is a Bearer token, and the tenant saw no key."""
    for who, tokens in evidence.tokens():
        if tokens.bound or "cnf" in _claims(tokens):
            raise CheckFailed(f"the token for {who.address} is bound")
    seen = evidence.logins.stats.distinct_keys
    _expect(seen, 0, f"the tenant saw {seen:,} keys")


async def bearer_accepted(evidence: Evidence) -> None:
    """Userinfo accepts a token that is not bound as a Bearer token, and names the token's user."""
    who, tokens = evidence.newest()
    status, _, answer = await evidence.userinfo(f"Bearer {tokens.access_token}")
    _expect(status, HTTPStatus.OK, f"userinfo answered {status} to a Bearer token")
    _expect(answer.get("sub"), User.of(who).subject, "userinfo names another user")


async def codes_presented_once(evidence: Evidence) -> None:
    """No code reached the tenant twice, though challenges and retries were answered."""
    presented, users = evidence.logins.stats.codes_presented, len(evidence.logins.people)
    _expect(presented, users, f"the tenant was presented {presented:,} codes by {users:,} users")


async def own_key_accepted(evidence: Evidence) -> None:
    """Userinfo accepts a token with its own key, and names the token's user."""
    who, tokens = evidence.newest()
    status, _, answer = await evidence.userinfo(
        f"DPoP {tokens.access_token}", evidence.proof(tokens.key, tokens.access_token)
    )
    _expect(status, HTTPStatus.OK, f"userinfo answered {status} to a token with its own key")
    _expect(answer.get("sub"), User.of(who).subject, "userinfo names another user")


async def wrong_code_refused(evidence: Evidence) -> None:
    """A code other than the one that was sent yields no tokens."""
    victim = Email("victim@example.com")
    await evidence.client.start(victim)
    code = await evidence.tenant.code_for(victim)
    wrong = str((int(code) + 1) % 10 ** len(code)).zfill(len(code))
    try:
        await evidence.client.exchange(victim, wrong, scope=SCOPE, audience=audience_of(evidence.dpop))
    except WrongCode:
        return
    raise CheckFailed("a wrong code was exchanged for tokens")


async def replayed_proof_refused(evidence: Evidence) -> None:
    """The same request with the same proof is accepted once (RFC 9449 §11.1)."""
    _, tokens = evidence.newest()
    proof = evidence.proof(tokens.key, tokens.access_token)
    first, _, _ = await evidence.userinfo(f"DPoP {tokens.access_token}", proof)
    _expect(first, HTTPStatus.OK, f"userinfo answered {first} to a proof that was new")
    _refused("a proof that was used before", await evidence.userinfo(f"DPoP {tokens.access_token}", proof))


async def stolen_token_refused(evidence: Evidence) -> None:
    """A stolen token is refused with another key's proof, without a proof, and as Bearer (RFC 9449 §7.1)."""
    _, tokens = evidence.newest()
    proof = evidence.proof(DPoPKey.generate(), tokens.access_token)
    _refused("a token with another key", await evidence.userinfo(f"DPoP {tokens.access_token}", proof))
    _refused("a token without a proof", await evidence.userinfo(f"DPoP {tokens.access_token}"))
    _refused("a bound token sent as Bearer", await evidence.userinfo(f"Bearer {tokens.access_token}"))


def _expect(actual: object, expected: object, otherwise: str) -> None:
    if actual != expected:
        raise CheckFailed(otherwise)


def _refused(what: str, answer: tuple[int, str, dict[str, Any]]) -> None:
    status, challenge, _ = answer
    if status != HTTPStatus.UNAUTHORIZED or "error=" not in challenge:
        raise CheckFailed(f"userinfo answered {status} to {what}")


def _claims(tokens: TokenSet) -> dict[str, Any]:
    """Return an access token's claims; its signature is not checked, because the token comes from the tenant itself."""
    try:
        claims = json.loads(base64.urlsafe_b64decode(tokens.access_token.split(".")[1] + "=="))
    except (IndexError, ValueError):
        claims = None
    if not isinstance(claims, dict):
        raise CheckFailed("an access token is not a JWT")
    return claims


@attrs.frozen
class Check:
    """A row of the table."""

    name: str  # in the JSON output
    claim: str  # the sentence that it proves
    run: Callable[[Evidence], Awaitable[None]]  # raises CheckFailed


_COMMON = (
    Check(
        "tokens_belong_to_their_users", "Every token belongs to the user it was asked for", tokens_belong_to_their_users
    ),
    Check("codes_presented_once", "Every code was presented once", codes_presented_once),
    Check("wrong_code_refused", "A wrong code is refused", wrong_code_refused),
)
_BEARER = (
    Check("tokens_without_a_key", "Every token is a Bearer token: a thief could use it", tokens_without_a_key),
    Check("bearer_accepted", "A Bearer token is accepted", bearer_accepted),
)
_BOUND = (
    Check("tokens_bound_to_their_keys", "Every token is bound to its user's own key", tokens_bound_to_their_keys),
    Check("own_key_accepted", "A token with its own key is accepted", own_key_accepted),
    Check("replayed_proof_refused", "A replayed proof is refused", replayed_proof_refused),
    Check("stolen_token_refused", "A stolen token with another key is refused", stolen_token_refused),
)

CHECKS: dict[DPoPMode, tuple[Check, ...]] = {
    "required": (*_COMMON, *_BOUND),
    "preferred": (*_COMMON, *_BOUND),
    "off": (*_COMMON, *_BEARER),
}
"""The checks by the client's mode. The demo's tenant binds tokens if a proof is sent."""


async def prove(
    logins: CrowdLogins, tenant: TenantProcess, client: PasswordlessClient, dpop: DPoPMode = "required"
) -> dict[Check, str | None]:
    """Make every check of a mode; return the defect that each found, or None."""
    async with aiohttp.ClientSession() as http:
        evidence = Evidence(logins, tenant, client, http, dpop)
        return {check: await _defect(check, evidence) for check in CHECKS[dpop]}


async def _defect(check: Check, evidence: Evidence) -> str | None:
    try:
        await check.run(evidence)
    except (CheckFailed, PasswordlessError) as problem:
        return str(problem)
    except (aiohttp.ClientError, TimeoutError, LookupError, ValueError) as problem:
        return f"no usable answer ({type(problem).__name__})"
    return None
