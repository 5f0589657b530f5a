"""Nonce challenges are answered with the nonce that came with them, while it is new."""

from __future__ import annotations

import json

import pytest
from multidict import CIMultiDict

from passwordless_async._common.http import HttpResponse
from passwordless_async.dpop import DPoPKey, NonceCache, negotiate
from passwordless_async.errors import MalformedAnswer, NonceChallengeRepeated

ORIGIN = "https://acme.example"
KEY = DPoPKey.generate()
OK = HttpResponse(200)


def challenge(nonce: str | None, error: str = "use_dpop_nonce") -> HttpResponse:
    """Return a challenge of an authorization server."""
    headers = CIMultiDict({"Content-Type": "application/json"})
    if nonce is not None:
        headers["DPoP-Nonce"] = nonce
    return HttpResponse(400, headers, json.dumps({"error": error}).encode())


def run(nonces: NonceCache, *responses: HttpResponse) -> tuple[list[str], HttpResponse]:
    """Answer each transmission; return the nonces of the proofs and the final response."""
    negotiation = negotiate(nonces, ORIGIN, KEY, lambda nonce: f"proof with {nonce}")
    sent = [next(negotiation)]
    for response in responses:
        try:
            sent.append(negotiation.send(response))
        except StopIteration as end:
            last, result = end.value
            assert last == sent[-1]
            return sent, result
    raise AssertionError("the negotiation wants more responses")


def test_first_request_has_the_known_nonce() -> None:
    """The cache supplies the nonce; without a challenge one transmission is enough."""
    nonces = NonceCache()
    nonces.put(ORIGIN, "known")
    assert run(nonces, OK) == (["proof with known"], OK)


def test_challenge_is_answered_with_its_nonce() -> None:
    """The second proof has the nonce of the challenge, and the cache keeps it."""
    nonces = NonceCache()
    assert run(nonces, challenge("n1"), OK) == (["proof with None", "proof with n1"], OK)
    assert nonces.get(ORIGIN) == "n1"


def test_challenge_is_compared_with_the_proof_and_not_with_the_cache() -> None:
    """If another task has renewed the cache, the challenge is answered all the same."""
    nonces = NonceCache()
    nonces.put(ORIGIN, "old")
    negotiation = negotiate(nonces, ORIGIN, KEY, lambda nonce: f"proof with {nonce}")
    assert next(negotiation) == "proof with old"
    nonces.put(ORIGIN, "new")
    assert negotiation.send(challenge("new")) == "proof with new"


def test_challenge_is_not_answered_with_a_nonce_of_another_task() -> None:
    """The second proof has the nonce of the challenge, even if the cache holds a newer one."""
    nonces = NonceCache()
    negotiation = negotiate(nonces, ORIGIN, KEY, lambda nonce: f"proof with {nonce}")
    assert next(negotiation) == "proof with None"
    nonces.put(ORIGIN, "newer")
    assert negotiation.send(challenge("n1")) == "proof with n1"


def test_nonce_of_the_last_response_is_kept() -> None:
    """The nonce is harvested from every response before the generator returns."""
    nonces = NonceCache()
    final = HttpResponse(200, CIMultiDict({"DPoP-Nonce": "n2"}))
    run(nonces, challenge("n1"), final)
    assert nonces.get(ORIGIN) == "n2"


def test_refused_proof_with_another_nonce_is_a_challenge() -> None:
    """Some servers answer a nonce that is too old with invalid_dpop_proof and a new one."""
    assert run(NonceCache(), challenge("n1", "invalid_dpop_proof"), OK)[0] == ["proof with None", "proof with n1"]


def test_refused_proof_with_the_servers_nonce_is_no_challenge() -> None:
    """It was refused for another reason: the response is returned."""
    refused = challenge("n1", "invalid_dpop_proof")
    assert run(NonceCache(), challenge("n1"), refused) == (["proof with None", "proof with n1"], refused)


def test_challenges_with_new_nonces_are_answered() -> None:
    """A server that renews its nonces meanwhile, or machines that do not share them: up to three challenges."""
    sent, response = run(NonceCache(), challenge("n1"), challenge("n2"), challenge("n3"), OK)
    assert sent == ["proof with None", "proof with n1", "proof with n2", "proof with n3"]
    assert response is OK


@pytest.mark.parametrize(
    "nonces", [["n1", "n1"], ["n1", "n2", "n2"], ["n1", "n2", "n1"], ["n1", "n2", "n3", "n3"], ["n1", "n2", "n3", "n4"]]
)
def test_a_nonce_that_comes_again_is_not_answered(nonces: list[str]) -> None:
    """Neither is a fourth challenge: nothing more is sent."""
    made: list[str | None] = []
    negotiation = negotiate(NonceCache(), ORIGIN, KEY, made.append)
    next(negotiation)
    for nonce in nonces[:-1]:
        negotiation.send(challenge(nonce))
    with pytest.raises(NonceChallengeRepeated) as caught:
        negotiation.send(challenge(nonces[-1]))
    assert (caught.value.status, caught.value.error) == (400, "use_dpop_nonce")
    assert made == [None, *nonces[:-1]]


def test_the_first_nonce_is_among_those_that_were_used() -> None:
    """A challenge with the nonce that the first proof had is not answered, however late it comes."""
    nonces = NonceCache()
    nonces.put(ORIGIN, "known")
    with pytest.raises(NonceChallengeRepeated):
        run(nonces, challenge("n1"), challenge("known"))


def test_a_refused_proof_is_sent_again_once() -> None:
    """``invalid_dpop_proof`` may have another reason, such as a wrong clock: new nonces do not help against it."""
    refused = challenge("n2", "invalid_dpop_proof")
    sent, response = run(NonceCache(), challenge("n1", "invalid_dpop_proof"), refused)
    assert (sent, response) == (["proof with None", "proof with n1"], refused)


@pytest.mark.parametrize("nonce", [None, "white space"])
def test_challenge_without_a_valid_nonce_is_an_error(nonce: str | None) -> None:
    """It cannot be answered: nothing is sent again."""
    with pytest.raises(MalformedAnswer) as caught:
        run(NonceCache(), challenge(nonce))
    assert caught.value.status == 400
