"""The tenant's signing keys: what is taken for one, and how often they are fetched."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import ECKey, RSAKey

from helpers.values import present
from passwordless_async import MalformedAnswer
from passwordless_async.auth0.jwks import SigningKeys, jwks_request, read_jwks

if TYPE_CHECKING:
    from collections.abc import Callable

    from passwordless_async._common.http import HttpResponse
    from passwordless_async.auth0.application import Application

MALFORMED = "a key of the key set is malformed (status 200)"
SIZE = "a key of the key set has not 2048 to 8192 bits (status 200)"
EXPONENT = "a key of the key set has too large an exponent (status 200)"
SECRET = "the key set has a symmetric or a private key (status 200)"
NONE = "the key set has no RSA or P-256 key for signatures (status 200)"
NO_LIST = "the key set has no list of at most 32 keys (status 200)"


@pytest.fixture(scope="session")
def jwk(signing_key: RSAKey) -> dict[str, Any]:
    """Return the signing key as the tenant publishes it."""
    return {**signing_key.as_dict(private=False), "use": "sig", "alg": "RS256", "x5c": ["MII"], "x5t": "x"}


@pytest.fixture(scope="session")
def curve() -> dict[str, Any]:
    """Return a P-256 key as a tenant publishes it."""
    return {**ECKey.generate_key("P-256", {"kid": "ec"}).as_dict(private=False), "use": "sig", "alg": "ES256"}


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


def test_keys_are_read_by_kid(answer: Callable[..., HttpResponse], jwk: dict[str, Any]) -> None:
    """Each RSA key for signatures is kept under its kid, its public members alone."""
    other = RSAKey.generate_key(3072, {"kid": "k2"}).as_dict(private=False)
    keys = read_jwks(answer(200, {"keys": [jwk, other]}))
    assert list(keys) == ["k1", "k2"]
    assert {name: jwk[name] for name in ("kty", "n", "e", "kid")} == keys["k1"].key.as_dict()
    assert not keys["k1"].key.is_private


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
    keys = read_jwks(answer(200, {"keys": [beside, changed]}))
    assert algorithms == (keys["k1"].algorithms if "k1" in keys else ())


def test_p256_keys_are_for_es256(answer: Callable[..., HttpResponse], curve: dict[str, Any]) -> None:
    """RFC 7518 §3.4: P-256 and no other curve."""
    others = [
        {**ECKey.generate_key(name).as_dict(private=False), "kid": name} for name in ("P-384", "P-521", "secp256k1")
    ]
    keys = read_jwks(answer(200, {"keys": [*others, {**curve, "alg": "RS256", "kid": "wrong"}, curve]}))
    assert {kid: key.algorithms for kid, key in keys.items()} == {"ec": ("ES256",)}
    assert {name: curve[name] for name in ("kty", "crv", "x", "y", "kid")} == keys["ec"].key.as_dict()


@pytest.mark.parametrize("name", ["x", "y"])
@pytest.mark.parametrize("value", [..., None, 5, "", "AQAB", "é", ["x"], "A" * 400])
def test_bad_points_refused(answer: Callable[..., HttpResponse], curve: dict[str, Any], name: str, value: Any) -> None:
    """A point that is not on the curve, or no point at all, spoils the answer."""
    bad = {member: content for member, content in {**curve, name: value}.items() if content is not ...}
    assert refused(answer(200, {"keys": [bad]})) == MALFORMED


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
def test_secrets_in_public_refused(
    answer: Callable[..., HttpResponse], jwk: dict[str, Any], secret: dict[str, Any]
) -> None:
    """A symmetric or a private key that the world can read spoils the set, whichever good keys stand beside it."""
    assert refused(answer(200, {"keys": [jwk, secret]})) == SECRET


@pytest.mark.parametrize("name", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
def test_private_members_refused(answer: Callable[..., HttpResponse], jwk: dict[str, Any], name: str) -> None:
    """Each private member of RFC 7518 §6 gives a key away."""
    assert refused(answer(200, {"keys": [{**jwk, name: "AQAB"}]})) == SECRET


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
    ("change", "message"),
    [
        ({"n": None}, SIZE),
        ({"n": 5}, SIZE),
        ({"n": ""}, SIZE),
        ({"n": "é"}, SIZE),
        ({"n": "A" * 400}, SIZE),
        ({"n": "AQAB"}, SIZE),
        ({"n": ["x" * 400]}, SIZE),
        ({"e": None}, MALFORMED),
        ({"e": ""}, MALFORMED),
        ({"e": 65537}, MALFORMED),
        ({"e": [1]}, MALFORMED),
        ({"e": "AA"}, MALFORMED),
        ({"e": "Ag"}, MALFORMED),
        ({"e": "AQ"}, MALFORMED),
        ({"e": "AQAAAAE"}, EXPONENT),
        ({"e": "A" * 200 + "AQAB" * 200}, EXPONENT),
        ({"n": "_" * 1368}, SIZE),
        ({"n": "_" * 200_000}, SIZE),
    ],
)
def test_bad_keys_refused(
    answer: Callable[..., HttpResponse], jwk: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    """A signing key that cannot be one spoils the answer: it is refused at once, not when a token needs it."""
    assert message == refused(answer(200, {"keys": [{**jwk, **change}]}))


@pytest.mark.parametrize("missing", ["n", "e"])
def test_keys_with_a_missing_member_refused(
    answer: Callable[..., HttpResponse], jwk: dict[str, Any], missing: str
) -> None:
    """RFC 7518 §6.3.1: modulus and exponent must be there."""
    message = {"n": SIZE, "e": MALFORMED}[missing]
    assert message == refused(answer(200, {"keys": [{k: v for k, v in jwk.items() if k != missing}]}))


@pytest.mark.parametrize("bits", [1024, 2047])
def test_short_keys_refused(answer: Callable[..., HttpResponse], bits: int) -> None:
    """RFC 7518 §3.3: a key of less than 2048 bits must not be used; joserfc only warns of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        key = RSAKey(rsa.generate_private_key(65537, bits), rsa.generate_private_key(65537, bits))
        short = {**key.as_dict(private=False), "kid": "short"}
    assert refused(answer(200, {"keys": [short]})) == SIZE


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
def test_key_sets_refused(answer: Callable[..., HttpResponse], body: Any, message: str) -> None:
    """What is no key set with a usable key is malformed."""
    assert message == refused(answer(200, body))


def test_two_keys_of_one_name_refused(
    answer: Callable[..., HttpResponse], jwk: dict[str, Any], curve: dict[str, Any]
) -> None:
    """Which of two keys of one kid were meant, nobody knows."""
    message = "the key set has two keys of one kid (status 200)"
    assert message == refused(answer(200, {"keys": [jwk, {**jwk, "e": "AQAB"}]}))
    assert message == refused(answer(200, {"keys": [jwk, {**curve, "kid": "k1"}]}))


@pytest.mark.parametrize("status", [201, 204, 301, 404, 429, 500, 503])
def test_other_statuses_refused(answer: Callable[..., HttpResponse], jwk: dict[str, Any], status: int) -> None:
    """Only a 200 brings keys."""
    assert refused(answer(status, {"keys": [jwk]})) == f"the signing keys cannot be read (status {status})"


def test_keys_are_kept(answer: Callable[..., HttpResponse], jwk: dict[str, Any]) -> None:
    """What was learned is there by name; a new set takes the place of the old one."""
    keys = SigningKeys()
    assert (keys.empty, keys.get("k1"), repr(keys)) == (True, None, "<SigningKeys, 0 known>")
    keys.learn(answer(200, {"keys": [jwk]}))
    assert (keys.empty, present(keys.get("k1")).key.kid, repr(keys)) == (False, "k1", "<SigningKeys, 1 known>")
    keys.learn(answer(200, {"keys": [{**jwk, "kid": "k2"}]}))
    assert (keys.get("k1"), present(keys.get("k2")).key.kid) == (None, "k2")


def test_a_bad_answer_takes_nothing_away(answer: Callable[..., HttpResponse], jwk: dict[str, Any]) -> None:
    """The keys known before are kept when the set cannot be read."""
    keys = SigningKeys()
    keys.learn(answer(200, {"keys": [jwk]}))
    for bad in (answer(500), answer(200, {"keys": []}), answer(200, b"junk")):
        with pytest.raises(MalformedAnswer):
            keys.learn(bad)
    assert present(keys.get("k1")).key.kid == "k1"


def test_an_answer_that_is_shared_is_read_once(answer: Callable[..., HttpResponse], jwk: dict[str, Any]) -> None:
    """Hundreds may wait for one fetch: the second to take its answer finds the keys there."""
    keys, shared = SigningKeys(), answer(200, {"keys": [jwk]})
    keys.learn(shared)
    first = keys.get("k1")
    keys.learn(shared)
    assert first is keys.get("k1")
    keys.learn(answer(200, {"keys": [jwk]}))
    assert first is not keys.get("k1")


def test_a_search_has_a_cool_down(clock: Any) -> None:
    """A minute passes between two searches for an unknown kid, from start to start; in between one may be joined."""
    keys = SigningKeys()
    assert keys.may_search
    keys.search_begins()
    clock.time += 30
    keys.search_begins()
    assert keys.may_search
    keys.search_ended()
    seen = []
    for clock.time in (1030.0, 1059.9, 1060.0):
        seen.append(keys.may_search)
    assert seen == [False, False, True]


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
    assert (keys.empty, keys.due, present(keys.get("k1")).key.kid) == (False, False, "k1")
    clock.time += 60
    assert keys.due
    clock.time += 2 * day - 60
    keys.renewal_begins()
    assert (keys.empty, keys.due, keys.get("k1")) == (True, True, None)
