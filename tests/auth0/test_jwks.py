"""The tenant's signing keys: what is taken for one, and how often they are fetched."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import ECKey, RSAKey

from helpers.values import present
from passwordless_async import MalformedAnswer, NotSent
from passwordless_async._common.http import HttpResponse
from passwordless_async.auth0.jwks import Fetch, SigningKeys, jwks_request, read_jwks

if TYPE_CHECKING:
    from collections.abc import Callable

    from passwordless_async.auth0.application import Application

NONE = "the key set has no usable RSA or P-256 key for signatures (status 200)"
NO_LIST = "the key set has no list of keys (status 200)"


@pytest.fixture(scope="session")
def jwk(signing_key: RSAKey) -> dict[str, Any]:
    """Return the signing key as the tenant publishes it."""
    return {**signing_key.as_dict(private=False), "use": "sig", "alg": "RS256", "x5c": ["MII"], "x5t": "x"}


@pytest.fixture(scope="session")
def curve() -> dict[str, Any]:
    """Return a P-256 key as a tenant publishes it."""
    return {**ECKey.generate_key("P-256", {"kid": "ec"}).as_dict(private=False), "use": "sig", "alg": "ES256"}


def algorithms_of(answer: HttpResponse) -> dict[str, list[tuple[str, ...]]]:
    """Return what each kid of a key set may be used with."""
    return {kid: [key.algorithms for key in alike] for kid, alike in read_jwks(answer).items()}


def is_passed_over(answer: Callable[..., HttpResponse], good: dict[str, Any], bad: object) -> bool:
    """Return whether a bad key verifies nothing, and a good one beside it is used all the same."""
    beside = {**good, "kid": "beside"}
    assert refused(answer(200, {"keys": [bad]})) == NONE
    return (
        list(read_jwks(answer(200, {"keys": [bad, beside]})))
        == ["beside"]
        == list(read_jwks(answer(200, {"keys": [beside, bad]})))
    )


def refused(answer: HttpResponse) -> str:
    """Return the message of a refusal."""
    with pytest.raises(MalformedAnswer) as error:
        read_jwks(answer)
    return str(error.value)


def test_the_request_can_be_shared(public: Application) -> None:
    """The key set is public data: those who ask at once share an answer."""
    request = jwks_request(public)
    assert (
        request.method,
        str(request.url),
        request.headers,
        request.body,
        request.secrets,
        request.shareable,
    ) == ("GET", "https://tenant.example/.well-known/jwks.json", {}, b"", (), True)


def test_a_request_past_caches(public: Application) -> None:
    """RFC 9111 §5.2.1.4: a search asks caches not to answer by themselves."""
    request = jwks_request(public, delay=0.5, revalidate=True)
    assert (request.headers, request.delay, request.shareable) == ({"Cache-Control": "no-cache"}, 0.5, True)


def test_keys_are_read_by_kid(answer: Callable[..., HttpResponse], jwk: dict[str, Any]) -> None:
    """Each RSA key for signatures is kept under its kid, its public members alone."""
    other = RSAKey.generate_key(3072, {"kid": "k2"}).as_dict(private=False)
    keys = read_jwks(answer(200, {"keys": [jwk, other]}))
    assert list(keys) == ["k1", "k2"]
    assert {name: jwk[name] for name in ("kty", "n", "e", "kid")} == keys["k1"][0].key.as_dict()
    assert not keys["k1"][0].key.is_private


@pytest.mark.parametrize(
    ("change", "algorithms"),
    [
        ({"alg": ...}, ("RS256", "PS256")),
        ({"alg": None}, ("RS256", "PS256")),
        ({"alg": "RS256"}, ("RS256",)),
        ({"alg": "PS256"}, ("PS256",)),
        ({"key_ops": ["verify"]}, ("RS256",)),
        *(({"alg": alg}, ()) for alg in ("RS384", "RS512", "ES256", "HS256", "none", "RSA-OAEP", "", 5, ["RS256"], {})),  # type: ignore[var-annotated]
        *(({"key_ops": value}, ()) for value in ([], ["encrypt"], "verify", None, {})),  # type: ignore[var-annotated]
        *(({"use": value}, ()) for value in ("enc", "", None, ["sig"])),
        *(({"kty": value}, ()) for value in ("EC", "rsa", "OKP", "", None, ["RSA"], {})),  # type: ignore[var-annotated]
        *(({"kid": value}, ()) for value in ("", 5, None, ["k1"], ...)),
    ],
)
def test_a_key_is_for_what_the_set_says(
    answer: Callable[..., HttpResponse], jwk: dict[str, Any], change: dict[str, Any], algorithms: tuple[str, ...]
) -> None:
    """RFC 7517 §4: kty, use, key_ops and alg say what a key is for; where alg is missing, its kind does."""
    beside = {**jwk, "kid": "beside"}
    changed = {name: value for name, value in {**jwk, **change}.items() if value is not ...}
    keys = algorithms_of(answer(200, {"keys": [beside, changed]}))
    assert keys.get("k1", []) == ([algorithms] if algorithms else [])


def test_p256_keys_are_for_es256(answer: Callable[..., HttpResponse], curve: dict[str, Any]) -> None:
    """RFC 7518 §3.4: P-256 and no other curve."""
    others = [
        {**ECKey.generate_key(name).as_dict(private=False), "kid": name} for name in ("P-384", "P-521", "secp256k1")
    ]
    published = answer(200, {"keys": [*others, {**curve, "alg": "RS256", "kid": "wrong"}, curve]})
    assert algorithms_of(published) == {"ec": [("ES256",)]}
    assert {name: curve[name] for name in ("kty", "crv", "x", "y", "kid")} == read_jwks(published)["ec"][
        0
    ].key.as_dict()


@pytest.mark.parametrize("name", ["x", "y"])
@pytest.mark.parametrize("value", [..., None, 5, "", "AQAB", "é", ["x"], "A" * 400])
def test_bad_points_are_passed_over(
    answer: Callable[..., HttpResponse], jwk: dict[str, Any], curve: dict[str, Any], name: str, value: Any
) -> None:
    """RFC 7517 §5: a point that is not on the curve, or no point at all, is no key."""
    bad = {member: content for member, content in {**curve, name: value}.items() if content is not ...}
    assert is_passed_over(answer, jwk, bad)


@pytest.mark.parametrize(
    "secret",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "oct"},
        {"kty": "oct", "kid": "k1"},
        {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "use": "enc"},
        {"kty": "OKP", "d": "AQAB"},
        ECKey.generate_key("P-256", {"kid": "ec"}).as_dict(private=True),
    ],
)
def test_secrets_in_public_verify_nothing(
    answer: Callable[..., HttpResponse], jwk: dict[str, Any], secret: dict[str, Any]
) -> None:
    """Anyone can sign with a symmetric or a private key that the world can read; good keys beside it are used."""
    assert is_passed_over(answer, jwk, secret)


@pytest.mark.parametrize("name", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
def test_private_members_verify_nothing(answer: Callable[..., HttpResponse], jwk: dict[str, Any], name: str) -> None:
    """Each private member of RFC 7518 §6 gives a key away."""
    assert is_passed_over(answer, jwk, {**jwk, name: "AQAB"})


def test_keys_of_other_kinds_are_passed_over(answer: Callable[..., HttpResponse], jwk: dict[str, Any]) -> None:
    """RFC 7517 §5: what is not understood is ignored, and a usable key beside it is used."""
    others = [  # type: ignore[var-annotated]
        5,
        None,
        "key",
        [],
        {},
        ECKey.generate_key("P-384", {"kid": "ec"}).as_dict(private=False),
        {"kty": "OKP", "crv": "Ed25519", "x": "AQAB", "kid": "okp"},
        {**jwk, "kid": "enc", "use": "enc"},
        {**jwk, "kid": 5},
        {name: value for name, value in jwk.items() if name != "kid"},
    ]
    assert list(read_jwks(answer(200, {"keys": [*others, jwk]}))) == ["k1"]
    assert refused(answer(200, {"keys": others})) == NONE


@pytest.mark.parametrize(
    "change",
    [
        {"n": None},
        {"n": 5},
        {"n": ""},
        {"n": "é"},
        {"n": "A" * 400},
        {"n": "AQAB"},
        {"n": ["x" * 400]},
        {"n": ...},
        {"e": None},
        {"e": ""},
        {"e": 65537},
        {"e": [1]},
        {"e": "AA"},
        {"e": "Ag"},
        {"e": "AQ"},
        {"e": "AQAAAAE"},
        {"e": "A" * 200 + "AQAB" * 200},
        {"e": ...},
        {"n": "_" * 1368},
        {"n": "_" * 100_000},
    ],
)
def test_bad_keys_are_passed_over(
    answer: Callable[..., HttpResponse], jwk: dict[str, Any], change: dict[str, Any]
) -> None:
    """RFC 7517 §5: a key that lacks a member, is malformed or out of range is found at once, and ignored."""
    assert is_passed_over(answer, jwk, {name: value for name, value in {**jwk, **change}.items() if value is not ...})


@pytest.mark.parametrize("bits", [1024, 2047])
def test_short_keys_verify_nothing(answer: Callable[..., HttpResponse], jwk: dict[str, Any], bits: int) -> None:
    """RFC 7518 §3.3: a key of less than 2048 bits must not be used; joserfc only warns of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        key = RSAKey(rsa.generate_private_key(65537, bits), rsa.generate_private_key(65537, bits))
        short = {**key.as_dict(private=False), "kid": "short"}
    assert is_passed_over(answer, jwk, short)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, NO_LIST),
        ({"keys": None}, NO_LIST),
        ({"keys": {}}, NO_LIST),
        ({"keys": "k"}, NO_LIST),
        ({"keys": []}, NONE),
        ({"keys": [{}] * 200}, NONE),
        ([], "the answer is not a JSON object (status 200)"),
        (b"<html>", "the answer is not a JSON object (status 200)"),
    ],
)
def test_key_sets_refused(answer: Callable[..., HttpResponse], body: Any, message: str) -> None:
    """What is no key set with a usable key is malformed."""
    assert message == refused(answer(200, body))


def test_the_rest_of_a_huge_set_is_ignored(answer: Callable[..., HttpResponse], jwk: dict[str, Any]) -> None:
    """A set may be long; what is imported of it is bounded."""
    keys = [{**jwk, "kid": str(number)} for number in range(130)]
    assert len(read_jwks(answer(200, {"keys": keys}))) == 128


def test_two_keys_of_one_name(answer: Callable[..., HttpResponse], jwk: dict[str, Any], curve: dict[str, Any]) -> None:
    """RFC 7517 §4.5: a kid may name keys of several kinds; which of two of one kind is meant, would be a guess."""
    other = {**RSAKey.generate_key(2048, {"kid": "k1"}).as_dict(private=False), "alg": "RS256"}
    beside = {**jwk, "kid": "beside"}
    for alike in ([jwk, other], [other, jwk], [jwk, other, jwk]):
        assert algorithms_of(answer(200, {"keys": [*alike, beside]})) == {"beside": [("RS256",)]}
    # The same key twice is one key.
    assert algorithms_of(answer(200, {"keys": [jwk, jwk]})) == {"k1": [("RS256",)]}
    keys = SigningKeys()
    keys.learn(answer(200, {"keys": [{**jwk, "alg": "PS256"}, other, {**curve, "kid": "k1"}]}))
    for alg in ("RS256", "PS256", "ES256"):
        assert present(keys.get("k1", alg)).algorithms == (alg,)


@pytest.mark.parametrize("status", [301, 404, 429, 500, 503])
def test_other_statuses_refused(answer: Callable[..., HttpResponse], jwk: dict[str, Any], status: int) -> None:
    """Only a success brings keys."""
    assert refused(answer(status, {"keys": [jwk]})) == f"the signing keys cannot be read (status {status})"


def test_keys_are_kept(answer: Callable[..., HttpResponse], jwk: dict[str, Any]) -> None:
    """What was learned is there by name; a new set takes the place of the old one."""
    keys = SigningKeys()
    assert (keys.empty, keys.get("k1", "RS256"), repr(keys)) == (True, None, "<SigningKeys, 0 known>")
    keys.learn(answer(200, {"keys": [jwk]}))
    assert (keys.empty, present(keys.get("k1", "RS256")).key.kid, repr(keys)) == (False, "k1", "<SigningKeys, 1 known>")
    keys.learn(answer(200, {"keys": [{**jwk, "kid": "k2"}]}))
    assert (keys.get("k1", "RS256"), present(keys.get("k2", "RS256")).key.kid) == (None, "k2")


def test_a_bad_answer_takes_nothing_away(answer: Callable[..., HttpResponse], jwk: dict[str, Any]) -> None:
    """The keys known before are kept when the set cannot be read."""
    keys = SigningKeys()
    keys.learn(answer(200, {"keys": [jwk]}))
    for bad in (answer(500), answer(200, {"keys": []}), answer(200, b"junk")):
        with pytest.raises(MalformedAnswer):
            keys.learn(bad)
    assert present(keys.get("k1", "RS256")).key.kid == "k1"


def test_an_answer_that_is_shared_is_read_once(answer: Callable[..., HttpResponse], jwk: dict[str, Any]) -> None:
    """Hundreds may wait for one fetch: the second to take its answer finds the keys there."""
    keys, shared = SigningKeys(), answer(200, {"keys": [jwk]})
    keys.learn(shared)
    first = keys.get("k1", "RS256")
    keys.learn(shared)
    assert first is keys.get("k1", "RS256")
    keys.learn(answer(200, {"keys": [jwk]}))
    assert first is not keys.get("k1", "RS256")


def test_a_search_is_a_few_fetches_and_then_a_pause(clock: Any) -> None:
    """All searches share three fetches, one after the other; ten seconds after the last, three more."""
    keys = SigningKeys()
    for number, delay in ((1, 0.0), (2, 0.5), (3, 1.0)):
        assert keys.next_fetch() == Fetch(number, delay)
        assert keys.next_fetch() == Fetch(number, delay)  # joined
        keys.end_fetch(number)
        keys.end_fetch(number - 1)  # by a waiter that resumes late
    seen = []
    for clock.time in (1000.0, 1009.9, 1010.0):
        seen.append(keys.next_fetch())
    assert seen == [None, None, Fetch(4, 0.0)]


def test_a_search_that_found_its_key_leaves_its_fetches_to_the_next() -> None:
    """Fetches are counted and not searches: another unknown kid takes what is left of the three."""
    keys = SigningKeys()
    first = present(keys.next_fetch())
    keys.end_fetch(first.number)
    assert keys.next_fetch() == Fetch(2, 0.5)


@pytest.mark.parametrize(
    ("outcome", "problem"),
    [
        (NotSent("no route"), "no route"),
        (HttpResponse(503), "the signing keys cannot be read (status 503)"),
        (None, ""),
    ],
)
def test_what_a_fetch_ended_with(
    answer: Callable[..., HttpResponse], jwk: dict[str, Any], outcome: Any, problem: str
) -> None:
    """Taken in the flight: a failure is known to a search that comes at once, and the next success ends it."""
    keys = SigningKeys()
    keys.next_fetch()
    keys.fetched(outcome)
    assert (keys.problem, keys.next_fetch(), keys.empty) == (problem, Fetch(2, 0.5), True)
    keys.fetched(answer(200, {"keys": [jwk]}))
    assert (keys.problem, keys.next_fetch(), keys.empty) == ("", Fetch(3, 1.0), False)


def test_keys_age(answer: Callable[..., HttpResponse], jwk: dict[str, Any], clock: Any) -> None:
    """Keys are due after a day, gone after three, and a failed renewal is not repeated for a minute."""
    keys, day = SigningKeys(), 86_400
    assert (keys.empty, keys.due) == (True, True)
    keys.renewal_begins()
    assert keys.due  # without any key nothing can be done but ask
    keys.learn(answer(200, {"keys": [jwk]}))
    clock.time += day - 0.1
    assert (keys.empty, keys.due) == (False, False)
    clock.time += 0.1
    assert (keys.empty, keys.due) == (False, True)
    keys.renewal_begins()
    assert (keys.empty, keys.due, present(keys.get("k1", "RS256")).key.kid) == (False, False, "k1")
    clock.time += 60
    assert keys.due
    clock.time += 2 * day - 60
    keys.renewal_begins()
    assert (keys.empty, keys.due, keys.get("k1", "RS256")) == (True, True, None)
