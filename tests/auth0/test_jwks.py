"""The tenant's signing keys: what is taken for one, and how often they are fetched."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import ECKey, RSAKey

from passwordless_async import MalformedAnswer, _clock
from passwordless_async.auth0 import SigningKeys
from passwordless_async.auth0.jwks import jwks_request, read_jwks

if TYPE_CHECKING:
    from collections.abc import Callable

    from passwordless_async.auth0 import Application
    from passwordless_async.wire import HttpResponse

MALFORMED = "a key of the key set is malformed (status 200)"
SHORT = "a key of the key set has not 2048 bits (status 200)"
NONE = "the key set has no RSA key for signatures (status 200)"
NO_LIST = "the key set has no list of at most 32 keys (status 200)"


@pytest.fixture(scope="session")
def jwk(signing_key: RSAKey) -> dict[str, Any]:
    """Return the signing key as the tenant publishes it."""
    return {**signing_key.as_dict(private=False), "use": "sig", "alg": "RS256", "x5c": ["MII"], "x5t": "x"}


def refused(answer: HttpResponse) -> str:
    """Return the message of a refusal."""
    with pytest.raises(MalformedAnswer) as error:
        read_jwks(answer)
    return str(error.value)


def test_the_request_can_be_shared(public: Application):
    """The key set is public data: those who ask at once share an answer."""
    request = jwks_request(public)
    assert ("GET", "https://tenant.example/.well-known/jwks.json", {}, b"", (), True) == (
        request.method,
        str(request.url),
        request.headers,
        request.body,
        request.secrets,
        request.shareable,
    )


def test_keys_are_read_by_kid(answer: Callable[..., HttpResponse], jwk: dict[str, Any]):
    """Each RSA key for signatures is kept under its kid, its public members alone."""
    other = RSAKey.generate_key(3072, {"kid": "k2"}).as_dict(private=False)
    keys = read_jwks(answer(200, {"keys": [jwk, other]}))
    assert ["k1", "k2"] == list(keys)
    assert {name: jwk[name] for name in ("kty", "n", "e", "kid")} == keys["k1"].as_dict()
    assert not keys["k1"].is_private


def test_keys_of_other_kinds_are_passed_over(answer: Callable[..., HttpResponse], jwk: dict[str, Any]):
    """RFC 7517 §5: what is not understood is ignored, and a usable key beside it is used."""
    others = [
        5,
        None,
        "key",
        [],
        {},
        ECKey.generate_key("P-256", {"kid": "ec"}).as_dict(private=False),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "oct"},
        {**jwk, "kid": "enc", "use": "enc"},
        {**jwk, "kid": 5},
        {**jwk, "kid": "private", "d": "AQAB"},
        *({**jwk, "kid": name, name: "AQAB"} for name in ("p", "q", "dp", "dq", "qi", "oth", "k")),
        {name: value for name, value in jwk.items() if name != "kid"},
    ]
    assert ["k1"] == list(read_jwks(answer(200, {"keys": [*others, jwk]})))
    assert NONE == refused(answer(200, {"keys": others}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": None}, SHORT),
        ({"n": 5}, SHORT),
        ({"n": ""}, SHORT),
        ({"n": "é"}, SHORT),
        ({"n": "A" * 400}, SHORT),
        ({"n": "AQAB"}, SHORT),
        ({"n": ["x" * 400]}, SHORT),
        ({"e": None}, MALFORMED),
        ({"e": ""}, MALFORMED),
        ({"e": 65537}, MALFORMED),
        ({"e": [1]}, MALFORMED),
        ({"e": "AA"}, MALFORMED),
        ({"e": "Ag"}, MALFORMED),
    ],
)
def test_bad_keys_refused(
    answer: Callable[..., HttpResponse], jwk: dict[str, Any], change: dict[str, Any], message: str
):
    """A signing key that cannot be one spoils the answer: it is refused at once, not when a token needs it."""
    assert message == refused(answer(200, {"keys": [{**jwk, **change}]}))


@pytest.mark.parametrize("missing", ["n", "e"])
def test_keys_with_a_missing_member_refused(answer: Callable[..., HttpResponse], jwk: dict[str, Any], missing: str):
    """RFC 7518 §6.3.1: modulus and exponent must be there."""
    message = {"n": SHORT, "e": MALFORMED}[missing]
    assert message == refused(answer(200, {"keys": [{k: v for k, v in jwk.items() if k != missing}]}))


@pytest.mark.parametrize("bits", [1024, 2047])
def test_short_keys_refused(answer: Callable[..., HttpResponse], bits: int):
    """RFC 7518 §3.3: a key of less than 2048 bits must not be used; joserfc only warns of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        key = RSAKey(rsa.generate_private_key(65537, bits), rsa.generate_private_key(65537, bits))
        short = {**key.as_dict(private=False), "kid": "short"}
    assert SHORT == refused(answer(200, {"keys": [short]}))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, NO_LIST),
        ({"keys": None}, NO_LIST),
        ({"keys": {}}, NO_LIST),
        ({"keys": "k"}, NO_LIST),
        ({"keys": [{}] * 33}, NO_LIST),
        ({"keys": []}, NONE),
        ({"keys": [{}] * 32}, NONE),
        ([], "the answer is not a JSON object (status 200)"),
        (b"<html>", "the answer is not a JSON object (status 200)"),
    ],
)
def test_key_sets_refused(answer: Callable[..., HttpResponse], body: Any, message: str):
    """What is no key set with a usable key is malformed."""
    assert message == refused(answer(200, body))


def test_two_keys_of_one_name_refused(answer: Callable[..., HttpResponse], jwk: dict[str, Any]):
    """Which of two keys of one kid were meant, nobody knows."""
    message = "the key set has two keys of one kid (status 200)"
    assert message == refused(answer(200, {"keys": [jwk, {**jwk, "e": "AQAB"}]}))


@pytest.mark.parametrize("status", [201, 204, 301, 404, 429, 500, 503])
def test_other_statuses_refused(answer: Callable[..., HttpResponse], jwk: dict[str, Any], status: int):
    """Only a 200 brings keys."""
    assert f"the signing keys cannot be read (status {status})" == refused(answer(status, {"keys": [jwk]}))


def test_keys_are_kept(answer: Callable[..., HttpResponse], jwk: dict[str, Any]):
    """What was learned is there by name; a new set takes the place of the old one."""
    keys = SigningKeys()
    assert (True, None, "<SigningKeys, 0 known>") == (keys.empty, keys.get("k1"), repr(keys))
    keys.learn(answer(200, {"keys": [jwk]}))
    assert (False, "k1", "<SigningKeys, 1 known>") == (keys.empty, keys.get("k1").kid, repr(keys))
    keys.learn(answer(200, {"keys": [{**jwk, "kid": "k2"}]}))
    assert (None, "k2") == (keys.get("k1"), keys.get("k2").kid)


def test_a_bad_answer_takes_nothing_away(answer: Callable[..., HttpResponse], jwk: dict[str, Any]):
    """The keys known before are kept when the set cannot be read."""
    keys = SigningKeys()
    keys.learn(answer(200, {"keys": [jwk]}))
    for bad in (answer(500), answer(200, {"keys": []}), answer(200, b"junk")):
        with pytest.raises(MalformedAnswer):
            keys.learn(bad)
    assert "k1" == keys.get("k1").kid


def test_fetches_have_a_cool_down(
    answer: Callable[..., HttpResponse], jwk: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    """A minute passes between two fetches for the sake of an unknown kid."""
    now = 1000.0
    monkeypatch.setattr(_clock, "monotonic", lambda: now)
    keys = SigningKeys()
    assert keys.may_fetch
    keys.learn(answer(200, {"keys": [jwk]}))
    seen = []
    for now in (1000.0, 1059.9, 1060.0, 2000.0):  # noqa: B007 - the clock reads it
        seen.append(keys.may_fetch)  # noqa: PERF401 - the clock moves
    assert [False, False, True, True] == seen
