"""What must hold after any program of calls, on real sockets and in a simulation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeVar

from joserfc import jws
from joserfc.jwk import ECKey

from helpers.values import present
from passwordless_async import (
    Email,
    InvalidIdToken,
    MalformedAnswer,
    NonceChallengeRepeated,
    NotSenderConstrained,
    OutcomeUnknown,
)
from passwordless_async.testing import User

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from passwordless_async import Orphan, PasswordlessClient, TokenSet
    from passwordless_async.testing import LocalTenant, RecordedRequest

T = TypeVar("T")

# After these the service may have made tokens, and their caller was told that something is wrong.
TOLD = (InvalidIdToken, MalformedAnswer, NonceChallengeRepeated, NotSenderConstrained, OutcomeUnknown)


def nothing_else_failed(complaints: Iterable[str], *, orphans: str) -> None:
    """Assert that nothing failed unseen by a caller, but for an ``on_orphan`` that ``fails`` on purpose."""
    own = "on_orphan of a PasswordlessClient has failed" if orphans == "fails" else "?"
    assert [complaint for complaint in complaints if not complaint.startswith(own)] == []


def no_user_has_anothers_tokens(
    tenant: LocalTenant, given: Sequence[tuple[Email, TokenSet]], orphans: Iterable[Orphan]
) -> None:
    """Assert that tokens were given and handed over to the user and the key that the tenant made them for."""
    owner: dict[str, Email] = {}
    handed = [(_user_of(orphan, given), orphan.tokens) for orphan in orphans if orphan.tokens is not None]
    for who, tokens in [*given, *handed]:
        claims = present(tokens.claims)
        assert (claims["sub"], claims["email"]) == (User.of(who).subject, who.username)
        assert who == owner.setdefault(tokens.access_token, who)
        if tokens.refresh_token is not None:
            refresh = present(tenant._state).refresh
            family = present(refresh.find(tokens.refresh_token, tenant.public_client_id))
            assert (family.user, family.thumbprint) == (User.of(who), present(tokens.key).thumbprint)


def _user_of(orphan: Orphan, given: Iterable[tuple[Email, TokenSet]]) -> Email:
    if isinstance(orphan.who, Email):
        return orphan.who
    return next(who for who, tokens in given if tokens is orphan.spent)


def no_proof_is_used_twice(tenant: LocalTenant, *, spends: bool) -> None:
    """Assert that each proof has a ``jti`` of its own, and that no refresh token was used again.

    A tenant that ``spends`` what it is sent before it demands a nonce sees it again with the nonce.
    """
    assert tenant.stats.replays_refused == 0
    assert tenant.disagreements == ()
    assert spends or tenant.stats.refresh_reuse_detected == 0
    proofs = [json.loads(jws.extract_compact(proof).payload)["jti"] for _, proof in _proven(tenant)]
    assert len(proofs) == len(set(proofs))


def nothing_is_held(client: PasswordlessClient) -> None:
    """Assert that nothing is left of any call: no slot, queue, flight, hand-over or turn."""
    assert client._dispatcher.gate.in_flight == 0
    assert client._dispatcher.gate.waiting == 0
    assert not client._dispatcher._first_nonce.pending
    for flights in (client._logins._flights, client._refreshes._flights):
        assert not flights._flights
        assert not flights._last_in_queue
        assert not flights._handovers


def by_key(tenant: LocalTenant, presented: Mapping[tuple[Email, str], T]) -> dict[str, T]:
    """Return what was presented by the thumbprint of the key that it was sent with; a key is of one code."""
    keys: dict[str, T] = {}
    for request, proof in _proven(tenant):
        if request.path == "/oauth/token" and request.body and "otp" in request.form and "username" in request.form:
            jwk = jws.extract_compact(proof).headers()["jwk"]
            one = presented[Email(request.form["username"]), request.form["otp"]]
            assert one is keys.setdefault(ECKey.import_key(jwk).thumbprint(), one)
    return keys


def _proven(tenant: LocalTenant) -> list[tuple[RecordedRequest, bytes]]:
    return [(request, request.proof.encode()) for request in tenant.requests if request.proof]
