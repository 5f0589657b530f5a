"""What goes with a request to an API, without a network."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from multidict import CIMultiDict
from yarl import URL

from passwordless_async import DPoPKey, DPoPMiddleware, KeyMismatch, KeyMissing, NonceCache, TokenSet, UsageError
from passwordless_async._common.http import HttpResponse
from passwordless_async._common.secret import Secret
from passwordless_async.client.api.credentials import ApiCredentials

API = "https://api.example"
UNBOUND: dict[str, Any] = {"token_type": "Bearer", "access_token": Secret("an-unbound-token"), "key": None}


class Source:
    """Tokens that change."""

    def __init__(self, *tokens: TokenSet) -> None:
        self._tokens = list(tokens)

    @property
    def tokens(self) -> TokenSet:
        return self._tokens[0]

    def is_renewable(self, _refused: TokenSet) -> bool:
        return len(self._tokens) > 1

    async def current(self) -> TokenSet:
        return self._tokens[0]

    async def renew(self, _refused: TokenSet) -> TokenSet:
        del self._tokens[0]
        return self._tokens[0]


def credentials(tokens: Any) -> ApiCredentials:
    return ApiCredentials(tokens, origins=[API], nonces=None)


def refusal(*challenges: str, status: int = 401) -> HttpResponse:
    return HttpResponse(status, CIMultiDict([("WWW-Authenticate", challenge) for challenge in challenges]))


@attrs.frozen
class Stored:
    """Tokens from the caller's own class, which prints what it has."""

    tokens: TokenSet

    def is_renewable(self, _refused: TokenSet) -> bool:
        return False

    async def current(self) -> TokenSet:
        return self.tokens

    async def renew(self, refused: TokenSet) -> TokenSet:
        return refused


def test_a_source_of_tokens_may_print_what_it_has(tokens: TokenSet) -> None:
    """Only what is neither tokens nor their source is replaced, for it may be a secret of another library."""
    assert DPoPMiddleware(Stored(tokens), origins=[API])
    assert credentials(Stored(tokens)).fixed_tokens is None


def test_unbound_tokens_go_as_bearer_without_a_proof(tokens: TokenSet) -> None:
    """RFC 6750 §2.1: one transmission, whatever the answer is."""
    transmissions = credentials(attrs.evolve(tokens, **UNBOUND)).transmissions(
        attrs.evolve(tokens, **UNBOUND), API, "GET", URL(f"{API}/me")
    )
    assert dict(next(transmissions)) == {"Authorization": "Bearer an-unbound-token"}
    with pytest.raises(StopIteration):
        transmissions.send(refusal('DPoP error="use_dpop_nonce"'))


def test_bound_tokens_go_with_a_proof(tokens: TokenSet) -> None:
    """RFC 9449 §7.1: the DPoP scheme, and a proof; neither is in a repr."""
    fields = next(credentials(tokens).transmissions(tokens, API, "GET", URL(f"{API}/me")))
    assert fields["Authorization"] == f"DPoP {tokens.access_token}"
    assert [repr(value) for value in fields.values()] == ["<redacted>", "<redacted>"]


async def test_bound_tokens_are_not_followed_by_unbound_ones(tokens: TokenSet) -> None:
    """Once bound, always bound: a source that returns Bearer tokens later is refused."""
    api = credentials(Source(tokens, attrs.evolve(tokens, **UNBOUND)))
    with pytest.raises(KeyMismatch):
        await api.renew(await api.current())


async def test_unbound_tokens_may_be_followed_by_bound_ones(tokens: TokenSet) -> None:
    """From the first bound tokens on, all are bound to their key."""
    unbound = attrs.evolve(tokens, **UNBOUND)
    api = credentials(Source(unbound, tokens, attrs.evolve(tokens, key=DPoPKey.generate())))
    await api.renew(unbound)
    assert set(next(api.transmissions(tokens, API, "GET", URL(API)))) == {"Authorization", "DPoP"}
    with pytest.raises(KeyMismatch):
        await api.renew(tokens)


async def test_a_call_that_was_overtaken_by_a_renewal_uses_the_bound_tokens(tokens: TokenSet) -> None:
    """Unbound tokens that a call was given before another call's renewal are replaced by the newest ones."""
    unbound = attrs.evolve(tokens, **UNBOUND)

    class Slow(Source):
        async def current(self) -> TokenSet:
            return unbound

    api = credentials(Slow(unbound, tokens))
    given = await api.current()
    assert await api.renew(given) is tokens
    assert await api.current() is tokens
    before, after = (next(api.transmissions(each, API, "GET", URL(API))) for each in (given, tokens))
    assert dict(before) == {"Authorization": "Bearer an-unbound-token"}
    assert (after["Authorization"], set(after)) == (f"DPoP {tokens.access_token}", {"Authorization", "DPoP"})


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"key": None}, KeyMissing),
        ({"key": None, "token_type": "Bearer", "jkt": "a-thumbprint"}, KeyMissing),
        ({"token_type": "Bearer"}, UsageError),
        ({"token_type": "MAC"}, UsageError),
        ({"token_type": "MAC", "key": None}, UsageError),
        ({"token_type": "", "key": None}, UsageError),
    ],
)
def test_tokens_whose_type_and_key_do_not_agree_are_refused(
    tokens: TokenSet, changes: dict[str, Any], error: type[Exception]
) -> None:
    """What has a key, its thumbprint or the type DPoP is bound: it is not sent as Bearer, nor without its key."""
    with pytest.raises(error):
        credentials(attrs.evolve(tokens, **changes))


@pytest.mark.parametrize(
    ("changes", "response", "calls"),
    [
        ({}, refusal('DPoP error="invalid_token"'), True),
        ({}, refusal('Bearer error="invalid_token"'), False),
        ({}, refusal('DPoP error="invalid_token"', status=403), False),
        (UNBOUND, refusal('Bearer error="invalid_token"'), True),
        (UNBOUND, refusal('DPoP algs="ES256"', 'Bearer error="invalid_token"'), True),
        (UNBOUND, refusal('DPoP error="invalid_token"'), False),
    ],
)
def test_which_refusals_call_for_a_renewal(
    tokens: TokenSet, changes: dict[str, Any], response: HttpResponse, *, calls: bool
) -> None:
    """``invalid_token`` in the challenge of the scheme that was used, where there are other tokens."""
    given = attrs.evolve(tokens, **changes)
    assert credentials(Source(given, given)).calls_for_renewal(response, given) is calls
    assert credentials(given).calls_for_renewal(response, given) is False


async def test_unbound_tokens_wait_for_no_nonce(tokens: TokenSet) -> None:
    """Nonces are DPoP's: a second request with Bearer goes while the first is not answered."""
    api = credentials(attrs.evolve(tokens, **UNBOUND))
    async with api.turn(API) as answered, api.turn(API):
        answered(200)


@pytest.mark.parametrize(
    ("changes", "argument"),
    [
        ({"tokens": "an-access-token"}, "tokens"),
        ({"tokens": None}, "tokens"),
        ({"origins": API}, "origins"),
        ({"origins": None}, "origins"),
        ({"origins": 5}, "origins"),
        ({"origins": ["http://api.example"]}, "origins"),
        ({"nonces": {}}, "nonces"),
    ],
)
def test_arguments_are_checked(tokens: TokenSet, changes: dict[str, Any], argument: str) -> None:
    """Each error names its argument, and shows no token."""
    arguments = {"tokens": tokens, "origins": [API], "nonces": NonceCache(), **changes}
    with pytest.raises(UsageError) as caught:
        ApiCredentials(arguments.pop("tokens"), **arguments)
    assert (caught.value.argument, "an-access-token" in str(caught.value)) == (argument, False)
