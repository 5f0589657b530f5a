"""The proof: what a crowd's logins must have brought about, and what must be refused.

Each check is a row of the table at the end. It raises :class:`Miss` where it finds something else than it should. The
requests of the second kind are made by hand, as a thief would make them: the client does not send what they send.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import attrs

from passwordless_async.auth0.identity import Email
from passwordless_async.cli.demo.measure import AUDIENCE, SCOPE
from passwordless_async.dpop import DPoPKey, ProofGenerator
from passwordless_async.errors import PasswordlessError, WrongCode
from passwordless_async.testing import User

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from passwordless_async.auth0.tokens import TokenSet
    from passwordless_async.cli.demo.measure import Run
    from passwordless_async.client.client import PasswordlessClient
    from passwordless_async.testing import TenantProcess

_OK, _UNAUTHORIZED = 200, 401
_PATIENCE = aiohttp.ClientTimeout(total=30)  # seconds


class Miss(Exception):
    """A check found something else than it should; the message says what."""


@attrs.frozen
class Evidence:
    """What there is to look at.

    Attributes:
        run: What happened.
        tenant: Where.
        client: The client that did it.
        session: A session that knows nothing of DPoP, for requests made by hand.
    """

    run: Run
    tenant: TenantProcess
    client: PasswordlessClient
    session: aiohttp.ClientSession

    def logins(self) -> Iterator[tuple[Email, TokenSet]]:
        """Yield who asked and what they were given."""
        for outcome in self.run.outcomes:
            if outcome.tokens is not None:
                if not isinstance(outcome.login.who, Email):
                    raise Miss("somebody logged in who was not asked for")
                yield outcome.login.who, outcome.tokens

    def one_login(self) -> tuple[Email, TokenSet]:
        """Return the newest login."""
        logins = list(self.logins())
        if not logins:
            raise Miss("nobody is logged in")
        return logins[-1]

    async def userinfo(self, authorization: str, proof: str | None = None) -> tuple[int, str, dict[str, Any]]:
        """Ask who the user is; return the status, the challenge and the answer."""
        headers = {"Authorization": authorization, **({} if proof is None else {"DPoP": proof})}
        async with self.session.get(f"{self.tenant.url}/userinfo", headers=headers, timeout=_PATIENCE) as response:
            return response.status, response.headers.get("WWW-Authenticate", ""), await response.json()

    def proof(self, key: DPoPKey, access_token: str) -> str:
        """Make a proof for a request to userinfo."""
        return ProofGenerator(key).proof("GET", f"{self.tenant.url}/userinfo", access_token=access_token)


async def tokens_belong_to_their_users(evidence: Evidence) -> None:
    """ID token and access token name the user who was asked for, and everybody has them."""
    served = set()
    for who, tokens in evidence.logins():
        subject = User.of(who).subject
        claims = tokens.claims or {}
        _expect(claims.get("email") == who.address, f"the ID token for {who.address} names another address")
        _expect(claims.get("sub") == subject, f"the ID token for {who.address} names another subject")
        _expect(_claims(tokens).get("sub") == subject, f"the access token for {who.address} names another subject")
        served.add(who)
    missing = len(set(evidence.run.people) - served)
    _expect(not missing, f"{missing:,} of {len(evidence.run.people):,} users have no tokens")


async def tokens_bound_to_their_keys(evidence: Evidence) -> None:
    """``cnf.jkt`` is the thumbprint of the login's key (RFC 9449 §6.1), and no two logins share a key."""
    thumbprints = set()
    logins = 0
    for who, tokens in evidence.logins():
        confirmation = _claims(tokens).get("cnf")
        bound_to = confirmation.get("jkt") if isinstance(confirmation, dict) else None
        _expect(tokens.token_type.lower() == "dpop", f"the token for {who.address} is of type {tokens.token_type!r}")
        _expect(bound_to == tokens.key.thumbprint, f"the token for {who.address} is not bound to its key")
        thumbprints.add(tokens.key.thumbprint)
        logins += 1
    _expect(logins == len(thumbprints), f"{logins:,} logins share {len(thumbprints):,} keys")
    seen = evidence.run.stats.distinct_keys
    _expect(seen == logins, f"the tenant saw {seen:,} keys for {logins:,} logins")


async def codes_presented_once(evidence: Evidence) -> None:
    """No code went to the tenant twice, whatever the client had to answer on the way."""
    presented, users = evidence.run.stats.codes_presented, len(evidence.run.people)
    _expect(presented == users, f"the tenant was presented {presented:,} codes by {users:,} users")


async def own_key_accepted(evidence: Evidence) -> None:
    """A token opens userinfo with its own key, and says who its user is."""
    who, tokens = evidence.one_login()
    status, _, answer = await evidence.userinfo(
        f"DPoP {tokens.access_token}", evidence.proof(tokens.key, tokens.access_token)
    )
    _expect(status == _OK, f"userinfo answered {status} to a token with its own key")
    _expect(answer.get("sub") == User.of(who).subject, "userinfo names somebody else")


async def wrong_code_refused(evidence: Evidence) -> None:
    """A code that is not the one that was sent yields no tokens."""
    victim = Email("victim@example.com")
    await evidence.client.start(victim)
    code = await evidence.tenant.code_for(victim)
    wrong = str((int(code) + 1) % 10 ** len(code)).zfill(len(code))
    try:
        await evidence.client.exchange(victim, wrong, scope=SCOPE, audience=AUDIENCE)
    except WrongCode:
        return
    raise Miss("a wrong code was exchanged for tokens")


async def replayed_proof_refused(evidence: Evidence) -> None:
    """The same request with the same proof passes once and not again (RFC 9449 §11.1)."""
    _, tokens = evidence.one_login()
    proof = evidence.proof(tokens.key, tokens.access_token)
    first, _, _ = await evidence.userinfo(f"DPoP {tokens.access_token}", proof)
    _expect(first == _OK, f"userinfo answered {first} to a proof that was new")
    _refused("a proof that was used before", await evidence.userinfo(f"DPoP {tokens.access_token}", proof))


async def stolen_token_refused(evidence: Evidence) -> None:
    """A token is of no use to a thief, with a proof by a key of their own or without any (RFC 9449 §7.1)."""
    _, tokens = evidence.one_login()
    proof = evidence.proof(DPoPKey.generate(), tokens.access_token)
    _refused("a token with another key", await evidence.userinfo(f"DPoP {tokens.access_token}", proof))
    _refused("a token without a proof", await evidence.userinfo(f"DPoP {tokens.access_token}"))
    _refused("a bound token sent as Bearer", await evidence.userinfo(f"Bearer {tokens.access_token}"))


def _expect(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as the sentence that it is
    if not holds:
        raise Miss(otherwise)


def _refused(what: str, answer: tuple[int, str, dict[str, Any]]) -> None:
    status, challenge, _ = answer
    _expect(status == _UNAUTHORIZED and "error=" in challenge, f"userinfo answered {status} to {what}")


def _claims(tokens: TokenSet) -> dict[str, Any]:
    """Return the claims of an access token as its reader finds them; the tenant's signature is not in question."""
    try:
        claims = json.loads(base64.urlsafe_b64decode(tokens.access_token.split(".")[1] + "=="))
    except (IndexError, ValueError):
        claims = None
    if not isinstance(claims, dict):
        raise Miss("an access token is not a JWT")
    return claims


@attrs.frozen
class Check:
    """A row of the table.

    Attributes:
        name: Its name in the JSON output.
        claim: What it proves.
        run: Looks at the evidence that there is, and raises :class:`Miss`.
    """

    name: str
    claim: str
    run: Callable[..., Awaitable[None]]


CHECKS = (
    Check(
        "tokens_belong_to_their_users", "Every token belongs to the user it was asked for", tokens_belong_to_their_users
    ),
    Check("tokens_bound_to_their_keys", "Every token is bound to its user's own key", tokens_bound_to_their_keys),
    Check("codes_presented_once", "Every code was presented once", codes_presented_once),
    Check("own_key_accepted", "A token with its own key is accepted", own_key_accepted),
    Check("wrong_code_refused", "A wrong code is refused", wrong_code_refused),
    Check("replayed_proof_refused", "A replayed proof is refused", replayed_proof_refused),
    Check("stolen_token_refused", "A stolen token with another key is refused", stolen_token_refused),
)


async def prove(run: Run, tenant: TenantProcess, client: PasswordlessClient) -> dict[Check, str | None]:
    """Make every check; return what each found wrong, None where it found nothing."""
    async with aiohttp.ClientSession() as session:
        evidence = Evidence(run, tenant, client, session)
        return {check: await _finding(check, evidence) for check in CHECKS}


async def _finding(check: Check, evidence: Evidence) -> str | None:
    try:
        await check.run(evidence)
    except (Miss, PasswordlessError) as problem:
        return str(problem)
    except (aiohttp.ClientError, TimeoutError, LookupError, ValueError) as problem:
        return f"no answer that can be judged ({type(problem).__name__})"
    return None
