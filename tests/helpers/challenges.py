"""Nonce challenges that no client can answer, for the tests of all that send proofs to APIs."""

from __future__ import annotations

from passwordless_async import MalformedAnswer, NonceChallengeRepeated, PasswordlessError

# The header fields of the challenge, the error that it ends in, and the requests that were sent until then.
UNANSWERABLE: list[tuple[dict[str, str], type[PasswordlessError], int]] = [
    ({"DPoP-Nonce": "always-the-same"}, NonceChallengeRepeated, 2),
    ({}, MalformedAnswer, 1),
    ({"DPoP-Nonce": "white space"}, MalformedAnswer, 1),
]
