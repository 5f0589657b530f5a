"""Everything that a tenant remembers, and one request to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from passwordless_async.testing.checks.assertions import Assertions
from passwordless_async.testing.checks.proofs import ProofChecker
from passwordless_async.testing.checks.second_opinion import SecondOpinion
from passwordless_async.testing.state.codes import AuthSessions, SingleUseCodes, TenantCodes
from passwordless_async.testing.state.limits import RateLimits
from passwordless_async.testing.state.nonces import Nonces
from passwordless_async.testing.state.records import Presentations
from passwordless_async.testing.state.signing import TenantSigningKeys
from passwordless_async.testing.state.tokens import Grant, RefreshTokens, TokenIssuer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from multidict import CIMultiDictProxy

    from passwordless_async.testing.settings import TenantSettings
    from passwordless_async.testing.state.clock import TenantClock
    from passwordless_async.testing.state.mfa import Mfa
    from passwordless_async.testing.state.names import TenantName, TenantNames
    from passwordless_async.testing.state.records import Outbox, RequestLog, TenantStats
    from passwordless_async.testing.state.users import Users


@attrs.define(slots=False, eq=False, repr=False)
class TenantState:
    """A tenant's state."""

    names: TenantNames
    settings: TenantSettings
    clock: TenantClock
    outbox: Outbox
    stats: TenantStats
    requests: RequestLog
    users: Users
    mfa: Mfa

    def __attrs_post_init__(self) -> None:
        settings, clock, stats = self.settings, self.clock, self.stats
        self.assertions: Assertions = Assertions(settings, clock, stats)
        self.auth_sessions: AuthSessions = AuthSessions(settings, clock)
        self.tickets: SingleUseCodes = SingleUseCodes(clock, settings.code_lifetime)
        self.authorization_codes: SingleUseCodes = SingleUseCodes(clock, settings.authorization_code_lifetime)
        self.codes: TenantCodes = TenantCodes(settings, clock)
        self.nonces: Nonces = Nonces(settings, clock)
        self.second_opinion: SecondOpinion = SecondOpinion(settings)
        self.proofs: ProofChecker = ProofChecker(settings, clock, self.nonces, stats, self.second_opinion)
        self.keys: TenantSigningKeys = TenantSigningKeys(settings.id_token_alg)
        self.refresh: RefreshTokens = RefreshTokens(settings, clock, stats)
        self.tokens: TokenIssuer = TokenIssuer(settings, clock, self.keys, self.refresh)
        self.limits: RateLimits = RateLimits(clock, settings)
        self.presentations: Presentations = Presentations(stats)
        self.draining = False


@attrs.define
class TenantRequest:
    """One request, read to its end.

    Endpoints are plain functions of it: with no ``await`` in them, no other request comes between checking a code and
    spending it.
    """

    state: TenantState
    method: str
    path: str
    query: Mapping[str, str] = attrs.field(repr=False)
    headers: CIMultiDictProxy[str] = attrs.field(repr=False)
    content_type: str  # the media type of the body, in lower case, without parameters
    body: bytes = attrs.field(repr=False)
    peer: str  # the IP address of the connection
    certificate: bytes | None = None  # the client's, in DER
    alter: Callable[[Grant], Grant] | None = None  # a fault's change of the grant
    proof_nonce: str | None = None  # of the proof, once it passed
    name: TenantName = attrs.field(init=False)  # of the tenant, as this request has it

    def __attrs_post_init__(self) -> None:
        self.name = self.state.names.asked_under(self.headers.getall("Host", []))
