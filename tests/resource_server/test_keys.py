"""Where an issuer's keys are, and what is kept of them; without a network and by a clock that is set."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passwordless_async._common.http import HttpRequest, HttpResponse
from passwordless_async.errors import MalformedAnswer, OutcomeUnknown, PasswordlessError, UsageError
from passwordless_async.resource_server.keys import RETRY_SECONDS, IssuerKeys

ISSUER = "https://issuer.example/"
JWKS_URL = "https://keys.example/jwks"
METADATA = {"issuer": ISSUER, "jwks_uri": JWKS_URL}
DAY = 86_400


def answer(body: Any, status: int = 200) -> HttpResponse:
    """Return a response with a JSON body, or with these bytes."""
    return HttpResponse(status, body=body if isinstance(body, bytes) else json.dumps(body).encode())


def key_set(*keys: Any) -> HttpResponse:
    """Return a key set."""
    return answer({"keys": [key.as_dict(private=False) for key in keys]})


def fetch(keys: IssuerKeys, *answers: HttpResponse | PasswordlessError, **options: Any) -> list[str]:
    """Run a fetch with these answers, all of which it must ask for; return the URLs."""
    flow = keys.fetch(**options)
    asked: list[HttpRequest] = [next(flow)]

    def give(each: HttpResponse | PasswordlessError) -> HttpRequest:
        return flow.throw(each) if isinstance(each, Exception) else flow.send(each)

    with contextlib.suppress(StopIteration):
        asked.extend(map(give, answers))
    assert len(asked) == len(answers)
    assert all(request.method == "GET" and not request.body for request in asked)
    return [str(request.url) for request in asked]


@pytest.fixture
def keys() -> IssuerKeys:
    """Return an issuer's keys before the first fetch."""
    return IssuerKeys(ISSUER, ("RS256",))


def test_discovery(keys: IssuerKeys, client: Any) -> None:
    """The metadata first, then the key set that it names; the metadata is remembered for a day."""
    assert keys.signing.empty
    assert fetch(keys, answer(METADATA), key_set(client.signing_key)) == [
        "https://issuer.example/.well-known/openid-configuration",
        JWKS_URL,
    ]
    assert keys.get("k1", "RS256") is not None
    assert fetch(keys, key_set(client.signing_key)) == [JWKS_URL]


@pytest.mark.parametrize(
    ("issuer", "urls"),
    [
        (
            "https://issuer.example/",
            [
                "https://issuer.example/.well-known/openid-configuration",
                "https://issuer.example/.well-known/oauth-authorization-server",
            ],
        ),
        (
            "https://issuer.example:8443/realms/a/",
            [
                "https://issuer.example:8443/realms/a/.well-known/openid-configuration",
                "https://issuer.example:8443/.well-known/oauth-authorization-server/realms/a",
            ],
        ),
        (
            "https://issuer.example/a%2Fb",
            [
                "https://issuer.example/a%2Fb/.well-known/openid-configuration",
                "https://issuer.example/.well-known/oauth-authorization-server/a%2Fb",
            ],
        ),
        (
            "https://issuer.example/a%7Eb",  # an escape that yarl would undo
            [
                "https://issuer.example/a%7Eb/.well-known/openid-configuration",
                "https://issuer.example/.well-known/oauth-authorization-server/a%7Eb",
            ],
        ),
    ],
)
def test_both_places_of_metadata(issuer: str, urls: list[str], client: Any) -> None:
    """OpenID Connect Discovery §4, and where there is nothing, RFC 8414 §3, which puts an issuer's path at the end."""
    keys = IssuerKeys(issuer, ("RS256",))
    metadata = answer({"issuer": issuer, "jwks_uri": JWKS_URL})
    assert fetch(keys, answer({}, 404), metadata, key_set(client.signing_key)) == [*urls, JWKS_URL]
    assert not keys.signing.empty


@pytest.mark.parametrize(
    "metadata",
    [
        answer({**METADATA, "issuer": "https://other.example/"}),
        answer({**METADATA, "issuer": "https://issuer.example"}),
        answer({"jwks_uri": JWKS_URL}),
        answer({"issuer": ISSUER}),
        answer({**METADATA, "jwks_uri": "http://keys.example/jwks"}),
        answer({**METADATA, "jwks_uri": "http://127.0.0.1/jwks"}),
        answer({**METADATA, "jwks_uri": "https://user:pw@keys.example/jwks"}),
        answer({**METADATA, "jwks_uri": "file:///etc/passwd"}),
        answer({**METADATA, "jwks_uri": 1}),
        answer({**METADATA, "jwks_uri": "https://keys.example/" + "x" * 3000}),
        answer(METADATA, 500),
        answer(METADATA, 302),
        answer([METADATA]),
        answer(b"<html>"),
    ],
)
def test_metadata_that_is_not_trusted(metadata: HttpResponse, keys: IssuerKeys) -> None:
    """RFC 8414 §3.3: of another issuer; a key set that is not fetched by https; no metadata at all."""
    assert len(fetch(keys, metadata)) == 1
    assert keys.signing.empty
    assert keys.signing.problem


def test_the_operator_is_told(keys: IssuerKeys, caplog: pytest.LogCaptureFixture) -> None:
    """A failed fetch is logged once, with its reason: the API's clients are told none."""
    fetch(keys, OutcomeUnknown("no answer came from https://issuer.example (time-out)"))
    (message,) = caplog.messages
    assert message.startswith("The signing keys of https://issuer.example/ cannot be fetched: ")
    assert message.endswith("no answer came from https://issuer.example (time-out)")


def test_an_issuer_without_its_slash(caplog: pytest.LogCaptureFixture) -> None:
    """The commonest mistake with Auth0's issuers is named."""
    fetch(IssuerKeys("https://issuer.example", ("RS256",)), answer(METADATA))
    assert "is not https://issuer.example: it is https://issuer.example/, with a slash" in caplog.text


def test_a_loopback_issuer(client: Any) -> None:
    """Plain http is for this machine alone."""
    keys = IssuerKeys("http://127.0.0.1:8080/", ("RS256",))
    metadata = answer({"issuer": "http://127.0.0.1:8080/", "jwks_uri": "http://127.0.0.1:8080/jwks"})
    fetch(keys, metadata, key_set(client.signing_key))
    assert (keys.is_remote, keys.signing.empty) == (False, False)


@pytest.mark.parametrize(
    "failure",
    [
        answer({"keys": []}),
        answer({}),
        answer(b"["),
        answer({"keys": [{"kty": "oct", "kid": "k1", "k": "AAAA"}]}),
        answer({}, 500),
        OutcomeUnknown("no answer came"),
        MalformedAnswer("the answer is too large", status=200),
    ],
)
def test_keys_serve_through_an_outage(
    failure: HttpResponse | PasswordlessError, keys: IssuerKeys, client: Any, clock: Any
) -> None:
    """A fetch that fails leaves the keys as they are, for three days; the next one reads anew where they are."""
    fetch(keys, answer(METADATA), key_set(client.signing_key))
    clock.time += DAY
    assert keys.signing.due
    assert fetch(keys, answer(METADATA), failure)[-1] == JWKS_URL
    assert keys.get("k1", "RS256") is not None
    assert keys.signing.problem
    assert not keys.must_wait
    assert fetch(keys, answer(METADATA), failure)[0].endswith("openid-configuration")
    clock.time += 2 * DAY
    assert keys.get("k1", "RS256") is None
    assert keys.signing.empty


def test_an_issuer_that_fails_is_not_asked_at_once(keys: IssuerKeys, clock: Any) -> None:
    """While there are no keys, each request would wait for it."""
    waits = [keys.must_wait]
    fetch(keys, OutcomeUnknown("no answer came"))
    for seconds in (RETRY_SECONDS - 0.1, 0.1):
        clock.time += seconds
        waits.append(keys.must_wait)
    assert waits == [False, True, False]


def test_other_keys_are_another_generation(keys: IssuerKeys, client: Any, other_key: Any) -> None:
    """The same key set again is not: a flood of unknown kids must not void what was verified."""
    fetch(keys, answer(METADATA), key_set(client.signing_key))
    before = keys.generation
    fetch(keys, key_set(client.signing_key), revalidate=True)
    assert keys.generation == before
    fetch(keys, key_set(other_key))
    assert keys.generation == before + 1
    assert [keys.get(kid, "RS256") is None for kid in ("k1", "k2")] == [True, False]


def test_caches_are_asked_not_to_answer(keys: IssuerKeys, client: Any) -> None:
    """RFC 9111 §5.2.1.4: a search wants the key set as it is now."""
    fetch(keys, answer(METADATA), key_set(client.signing_key))
    assert dict(next(keys.fetch(revalidate=True)).headers) == {"Cache-Control": "no-cache"}
    assert dict(next(keys.fetch()).headers) == {}


def test_only_keys_of_accepted_algorithms(client: Any, ec_key: Any) -> None:
    """A key for another algorithm verifies nothing."""
    keys = IssuerKeys(ISSUER, ("ES256",))
    fetch(keys, answer(METADATA), key_set(client.signing_key, ec_key))
    assert (keys.get("k1", "RS256"), keys.get("ec", "ES256") is None) == (None, False)


@pytest.mark.parametrize(
    "issuer",
    ["acme.example", "https://", "ftp://acme.example/", "https://acme.example/#a", "https://a b/", 1, None, ""],
)
def test_issuers_are_checked(issuer: Any) -> None:
    """RFC 8414 §2: a URL without query and fragment."""
    with pytest.raises(UsageError) as caught:
        IssuerKeys(issuer, ("RS256",))
    assert caught.value.argument == "issuer"


@pytest.mark.parametrize(
    "issuer", ["https://acme.auth0.com", "https://acme.eu.auth0.com:443", "https://ACME.AUTH0.COM"]
)
def test_an_issuer_of_auth0_ends_with_a_slash(issuer: str) -> None:
    """Without it no token would be accepted, so it is refused where it is given; other issuers may have none."""
    with pytest.raises(UsageError, match=r"^issuer: must end with a slash, as the iss of Auth0's tokens does: https"):
        IssuerKeys(issuer, ("RS256",))
    assert IssuerKeys(f"{issuer}/", ("RS256",)).issuer == f"{issuer}/"
    assert IssuerKeys("https://accounts.google.com", ("RS256",)).issuer == "https://accounts.google.com"


def test_repr(keys: IssuerKeys) -> None:
    """It names the issuer."""
    assert repr(keys) == f"<IssuerKeys of {ISSUER}>"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
jwks = st.fixed_dictionaries(
    {"kty": st.sampled_from(["RSA", "EC", "oct", "OKP", 1]), "kid": st.text(max_size=3)},
    optional={
        "crv": st.sampled_from(["P-256", "P-384", "secp256k1"]) | json_values,
        **{
            name: json_values | st.text("AQgw_-=", max_size=50)
            for name in ("x", "y", "n", "e", "alg", "use", "key_ops")
        },
    },
)


@given(
    metadata=st.dictionaries(st.sampled_from(["issuer", "jwks_uri", "x"]), json_values | st.just(ISSUER), max_size=3)
    | json_values,
    body=st.fixed_dictionaries({"keys": st.lists(jwks | json_values, max_size=4)}) | json_values,
    status=st.sampled_from([200, 204, 302, 404, 500]),
)
def test_whatever_an_issuer_answers(metadata: Any, body: Any, status: int) -> None:
    """Any JSON for the metadata and the key set: keys, or a recorded failure, and no exception."""
    keys = IssuerKeys(ISSUER, ("RS256", "ES256", "ES384"))
    for first in (answer(METADATA), answer(metadata)):
        flow = keys.fetch()
        with contextlib.suppress(StopIteration):
            next(flow)
            flow.send(first)
            while True:
                flow.send(answer(body, status))
        assert keys.signing.empty is bool(keys.signing.problem)


@given(st.binary(max_size=200))
def test_any_bytes(body: bytes) -> None:
    """The same for what is no JSON at all."""
    keys = IssuerKeys(ISSUER, ("RS256",))
    fetch(keys, answer(METADATA), answer(body))
    assert keys.signing.problem
