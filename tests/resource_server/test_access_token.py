"""Which JWTs are access tokens for an API: each attack is told by its refusal."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, RSAKey

from passwordless_async._common.http import HttpResponse
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.jwks import read_jwks
from passwordless_async.errors import InvalidToken
from passwordless_async.resource_server.access_token import (
    MAX_TOKEN,
    AccessToken,
    TokenRules,
    check_times,
    read_claims,
    read_header,
    token_hash,
    verify,
)

ALGORITHMS = ("RS256", "RS512", "PS256", "ES256", "ES384")
ISSUER = "https://issuer.example/"
RULES = TokenRules(frozenset({ISSUER}), frozenset({"https://api.example", "urn:api"}), frozenset(ALGORITHMS))
NOW = 1_700_000_000.0
# RFC 6750 §3: what error_description is made of.
DESCRIPTION = re.compile(r"[\x20-\x21\x23-\x5B\x5D-\x7E]+")


def encoded(part: Any) -> str:
    """Encode a JSON value, or bytes, as a segment."""
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def judged(token: str, *keys: Any) -> AccessToken:
    """Read a token as a server does that has these keys of the issuer."""
    text = Secret(token)
    token_hash(text)
    header, claims = read_header(text, RULES), read_claims(text, RULES)
    body = json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()
    found = read_jwks(HttpResponse(200, body=body), ALGORITHMS).get(header.kid, ())
    key = next((key for key in found if header.alg in key.algorithms), found[0] if found else None)
    return verify(text, header, claims, key, RULES)


def refusal(client: Any, token: str, *keys: Any) -> str:
    """Return why a token is refused."""
    with pytest.raises(InvalidToken) as caught:
        judged(token, *(keys or (client.signing_key,)))
    error = caught.value
    assert (error.status, error.error) == (401, "invalid_token")
    assert DESCRIPTION.fullmatch(error.error_description)
    return error.error_description.removeprefix("the access token ")


def test_the_dialect_of_auth0(client: Any) -> None:
    """Typ JWT, azp, permissions, and the audience among others."""
    token = judged(client.token(bound=True), client.signing_key)
    assert (token.subject, token.client_id) == ("auth0|ada", "client-1")
    assert token.scopes == frozenset({"openid", "read:messages"})
    assert token.permissions == frozenset({"messages:read"})
    assert (token.is_bound, token.confirmation) == (True, {"jkt": client.key.thumbprint})
    assert "ada" not in repr(token)


@pytest.mark.parametrize("typ", ["at+jwt", "application/at+jwt", "AT+JWT"])
def test_the_profile(typ: str, client: Any) -> None:
    """RFC 9068 §2: the type in any case, and the claims that it requires."""
    token = judged(client.sign(client.profile_claims(aud="urn:api"), typ=typ), client.signing_key)
    assert (token.client_id, token.is_bound, token.confirmation) == ("client-1", False, None)


@pytest.mark.parametrize("typ", ["JWT", "jwt", "application/jwt"])
def test_a_plain_type(typ: str, client: Any) -> None:
    """RFC 7519 §5.1: JWT, in any case."""
    assert judged(client.sign(client.claims(), typ=typ), client.signing_key).subject == "auth0|ada"


@pytest.mark.parametrize("claim", ["sub", "client_id", "jti", "exp", "iat"])
def test_required_claims_of_the_profile(claim: str, client: Any) -> None:
    """RFC 9068 §2.2."""
    claims = client.profile_claims(**{claim: client.absent})
    assert refusal(client, client.sign(claims, typ="at+jwt")) == f"lacks {claim}"


@pytest.mark.parametrize("claim", ["sub", "exp", "iat"])
def test_required_claims_of_auth0(claim: str, client: Any) -> None:
    """Whom it is about, and until when."""
    assert refusal(client, client.token(**{claim: client.absent})) == f"lacks {claim}"


@pytest.mark.parametrize(
    ("alg", "kind"),
    [("RS256", "RSA"), ("RS512", "RSA"), ("PS256", "RSA"), ("ES256", "P-256"), ("ES384", "P-384")],
)
def test_accepted_algorithms(alg: str, kind: str, client: Any) -> None:
    """Each by a key of its own kind, signed by joserfc."""
    key = client.signing_key if kind == "RSA" else ECKey.generate_key(kind, {"kid": "ec"})
    assert judged(client.sign(client.claims(), key=key, alg=alg), key).subject == "auth0|ada"


def test_an_algorithm_that_the_key_is_not_for(client: Any, ec_key: ECKey) -> None:
    """RFC 7517 §4.4: the key set says what a key is for; an EC key verifies no RSA signature."""
    named = RSAKey.import_key({**client.signing_key.as_dict(private=True), "alg": "RS256"})
    why = "is signed with a key that its issuer does not publish"
    assert refusal(client, client.token(header={"alg": "PS256"}), named) == why
    posing = ECKey.import_key({**ec_key.as_dict(private=False), "kid": "k1"})
    assert refusal(client, client.token(), posing) == why


@pytest.mark.parametrize("alg", ["none", "None", "HS256", "RS384", "ES512", "EdDSA", "", None, 1, ["RS256"]])
def test_other_algorithms(alg: Any, client: Any) -> None:
    """RFC 8725 §3.1: never none, never a symmetric one, nor any that is not on the list."""
    for signature in ("", "AAAA"):
        token = f"{encoded({'alg': alg, 'kid': 'k1', 'typ': 'JWT'})}.{encoded(client.claims())}.{signature}"
        assert refusal(client, token) == "is signed by an algorithm that is not accepted"


def test_hs256_by_the_public_key(client: Any) -> None:
    """RFC 8725 §2.1: the public key is no secret."""
    signed = f"{encoded({'alg': 'HS256', 'kid': 'k1', 'typ': 'JWT'})}.{encoded(client.claims())}"
    pem = client.signing_key.as_pem(private=False)
    token = f"{signed}.{encoded(hmac.digest(pem, signed.encode(), hashlib.sha256))}"
    assert refusal(client, token) == "is signed by an algorithm that is not accepted"


@pytest.mark.parametrize(
    "header",
    [{"crit": ["exp"], "exp": 1}, {"crit": []}, {"crit": ["b64"], "b64": False}, {"b64": True}, {"crit": None}],
)
def test_critical_parameters(header: Any, client: Any) -> None:
    """RFC 7515 §4.1.11: an extension that must be understood, and an empty list that must not be there."""
    members = {"alg": "RS256", "kid": "k1", "typ": "JWT", **header}
    token = f"{encoded(members)}.{encoded(client.claims())}.AAAA"
    assert refusal(client, token) == "has critical header parameters"


@pytest.mark.parametrize("typ", ["logout+jwt", "dpop+jwt", "secevent+jwt", "it+jwt", 1, None, ["JWT"]])
def test_another_kind_of_jwt(typ: Any, client: Any) -> None:
    """RFC 8725 §3.11."""
    token = f"{encoded({'alg': 'RS256', 'kid': 'k1', 'typ': typ})}.{encoded(client.claims())}.AAAA"
    assert refusal(client, token) == "is another kind of JWT"


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ({"kid": "unknown"}, "is signed with a key that its issuer does not publish"),
        ({"kid": ""}, "names no key"),
        ({"kid": "x" * 257}, "names no key"),
        ({"kid": "x" * 2000}, "is not a signed JWT"),
    ],
)
def test_unknown_keys(header: Any, why: str, client: Any) -> None:
    """The issuer's key set has no such key."""
    assert refusal(client, client.token(header=header)) == why


def test_keys_in_the_token_are_not_read(client: Any, other_key: RSAKey) -> None:
    """RFC 7515 §4.1.2, §4.1.3, §4.1.5: a key that a token brings along proves nothing."""
    header = {"alg": "RS256", "typ": "JWT", "kid": "k1", "jwk": other_key.as_dict(private=False)}
    token = client.compact({**header, "jku": "https://evil.example/jwks"}, client.claims(), other_key)
    assert refusal(client, token) == "has a wrong signature"


@pytest.mark.parametrize(
    "issuer", ["https://other.example/", "https://issuer.example//", "HTTPS://issuer.example/", "", None, 1, [ISSUER]]
)
def test_another_issuer(issuer: Any, client: Any) -> None:
    """RFC 9068 §4: to the letter."""
    assert refusal(client, client.token(iss=issuer)).partition(":")[0] == "is of another issuer"


def test_an_issuer_that_differs_by_a_slash(client: Any) -> None:
    """Auth0's ends with one: a setting without it refuses each token, and the refusal says why."""
    plain, slashed = "https://issuer.example", "https://issuer.example/"
    for issuer, accepted, problem in (
        (plain, slashed, "is of another issuer: the accepted one has a slash at its end"),
        (slashed, plain, "is of another issuer: the accepted one has no slash at its end"),
        (plain, "https://other.example/", "is of another issuer"),
    ):
        rules = TokenRules(frozenset({accepted}), frozenset(), frozenset())
        with pytest.raises(InvalidToken) as refused:
            read_claims(Secret(client.token(iss=issuer)), rules)
        assert refused.value.error_description == f"the access token {problem}"


@pytest.mark.parametrize(
    ("issuer", "named"),
    [
        ("https://other.example/", "the token is of https://other.example/."),
        ("https://other.example/\n", "the token names none that can be shown."),
        ("https://other.example/" + "x" * 300, "the token names none that can be shown."),
        ("https://user:pass@other.example/", "the token names none that can be shown."),
        (None, "the token names none that can be shown."),
    ],
)
def test_the_advice_names_both_issuers(issuer: Any, named: str, client: Any) -> None:
    """For the API's log: what the token says only if it has the form of an issuer."""
    with pytest.raises(InvalidToken) as refused:
        read_claims(Secret(client.token(iss=issuer)), RULES)
    assert refused.value.advice == f"Check issuer, and the client's domain: {ISSUER} is accepted, and {named}"
    assert "other.example" not in refused.value.error_description


@pytest.mark.parametrize("token", ["opaque", "e30.e30.e30", "....", "a.b"])
def test_the_advice_about_an_opaque_token(token: str) -> None:
    """Auth0 gives one to a login that names no API."""
    with pytest.raises(InvalidToken, match=r"is not a signed JWT|is signed by an algorithm") as refused:
        read_header(Secret(token), RULES)
    is_opaque = "not a signed JWT" in refused.value.error_description
    assert ("Name this API as audience at the login" in refused.value.advice) == is_opaque


@pytest.mark.parametrize(
    "audience",
    ["https://other.example", "https://api.example/", [], ["client-1"], [["urn:api"]], ["urn:api", 1], None, 1, {}],
)
def test_another_audience(audience: Any, client: Any) -> None:
    """RFC 9068 §4: at least one of the API's identifiers, among texts alone."""
    assert refusal(client, client.token(aud=audience)) == "is for another audience"


@pytest.mark.parametrize(
    ("audience", "named"),
    [
        ("https://other.example/", "the token is for https://other.example/."),
        (["client-1", 7, "urn:b"], "the token is for client-1, urn:b."),
        ([f"urn:{number}" for number in range(9)], "the token is for urn:0, urn:1, urn:2, urn:3."),
        ("line\nfeed", "the token names none that can be shown."),
        ("x" * 257, "the token names none that can be shown."),
        ("user:pass@other.example", "the token names none that can be shown."),
        (None, "the token names none that can be shown."),
        ({"urn:b": 1}, "the token names none that can be shown."),
    ],
)
def test_the_advice_names_both_audiences(audience: Any, named: str, client: Any) -> None:
    """For the API's log: what the token says only if it has the form of an audience; a few of many."""
    with pytest.raises(InvalidToken) as refused:
        judged(client.token(aud=audience), client.signing_key)
    assert (
        refused.value.advice
        == f"Check audience here and at the login: https://api.example, urn:api is accepted, and {named}"
    )
    assert refused.value.error_description == "the access token is for another audience"


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        *[(claim, value) for claim in ("sub", "azp", "client_id", "jti") for value in ("", 1, None, ["a"])],
        *[
            (claim, value)
            for claim in ("exp", "iat", "nbf", "auth_time")
            for value in ("1", True, None, -1, 10**400, 253_402_300_800)
        ],
        *[("scope", value) for value in (1, None, {"a": 1}, ["a", 1])],
        *[("permissions", value) for value in ("a", 1, None, [1])],
    ],
)
def test_claims_of_another_type(claim: str, value: Any, client: Any) -> None:
    """A claim of the wrong type refuses the token; it is not guessed at."""
    assert refusal(client, client.sign(client.claims(**{claim: value}))) == f"has {claim} of another type"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none(number: str, client: Any) -> None:
    """RFC 8259 §6: refused as JSON."""
    payload = json.dumps(client.claims(exp="here")).replace('"here"', number).encode()
    token = f"{encoded({'alg': 'RS256', 'kid': 'k1', 'typ': 'JWT'})}.{encoded(payload)}.AAAA"
    assert refusal(client, token) == "is not a signed JWT"


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("read write", {"read", "write"}),
        (["read", "write"], {"read", "write"}),
        (" read  ", {"read"}),
        ("", set()),
        ([], set()),
    ],
)
def test_scopes(scope: Any, expected: set[str], client: Any) -> None:
    """RFC 8693 §4.2, a text; some issuers send a list."""
    assert judged(client.token(scope=scope), client.signing_key).scopes == expected


@pytest.mark.parametrize(
    "cnf",
    [{}, None, "x", {"jkt": 1}, {"jkt": ""}, {"x5t#S256": "x"}, {"jwk": {}}, {"kid": "x"}],
)
def test_bound_in_another_way(cnf: Any, client: Any) -> None:
    """RFC 8705 §3.1, RFC 7800 §3: what cannot be checked is refused, under any scheme."""
    assert refusal(client, client.token(cnf=cnf)) == "is bound in a way that is not supported"


def test_bound_in_two_ways(client: Any) -> None:
    """A token that is bound to a certificate besides must not pass without it."""
    cnf = {"jkt": client.key.thumbprint, "x5t#S256": "x"}
    assert refusal(client, client.token(cnf=cnf)) == "is bound in a way that is not supported"


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": "n"},
        {"at_hash": "x"},
        {"c_hash": "x"},
        {"s_hash": "x"},
        {"aud": "urn:api", "azp": "urn:api"},
        {"aud": ["urn:api"], "azp": "urn:api"},
    ],
)
def test_an_id_token_is_no_access_token(changes: Any, client: Any) -> None:
    """RFC 9068 §5: it has claims that only ID tokens have, or is for its own client, even if an API has that name."""
    assert refusal(client, client.token(**changes)) == "is an ID token"


def test_an_id_token_of_the_usual_kind(client: Any) -> None:
    """Its audience is the application."""
    assert refusal(client, client.token(aud="client-1", azp=client.absent, scope=client.absent)) == (
        "is for another audience"
    )


def test_long_tokens(client: Any) -> None:
    """Refused by their length, before anything is decoded; one of the longest is read."""
    assert refusal(client, client.token(x="x" * 100_000)) == "is too long"
    assert refusal(client, "a" * (MAX_TOKEN + 1)) == "is too long"
    long = client.token(x="x" * 11_000)
    assert 14_000 < len(long) <= MAX_TOKEN
    assert judged(long, client.signing_key).subject == "auth0|ada"


@pytest.mark.parametrize("segment", [0, 1, 2])
def test_one_spelling(segment: int, client: Any) -> None:
    """RFC 7515 §2: padding, blanks, unused bits and characters of other alphabets change a token; none is forgiven."""
    right = client.token()
    for form in ("{0}{1}=", "{0}{1}\n", "+{1}", ""):
        segments = right.split(".")
        segments[segment] = form.format(segments[segment][:1], segments[segment][1:])
        assert refusal(client, ".".join(segments)) in {
            "is not a signed JWT",
            "has a wrong signature",
        }


@pytest.mark.parametrize(
    "token", ["", ".", "..", "a", "a.b.c", "...", "e30.e30.e30", "é.é.é", "\ud800.a.b", "a.b.c.d.e"]
)
def test_no_jwt(token: str, client: Any) -> None:
    """What is no compact JWS at all; an encrypted token (five segments) is none either."""
    assert refusal(client, token) in {"is not a signed JWT", "is signed by an algorithm that is not accepted"}


@pytest.mark.parametrize(
    "payload",
    [b'{"iss":"https://issuer.example/","iss":"https://issuer.example/"}', b"[]", b"\xff", b"\xef\xbb\xbf{}", b""],
)
def test_payloads_that_readers_take_differently(payload: bytes, client: Any) -> None:
    """RFC 7519 §4: a claim twice, or no JSON object."""
    token = f"{encoded({'alg': 'RS256', 'kid': 'k1', 'typ': 'JWT'})}.{encoded(payload)}.AAAA"
    assert refusal(client, token) == "is not a signed JWT"


def test_a_changed_token(client: Any) -> None:
    """Other claims under the same signature."""
    header, _, signature = client.token().split(".")
    assert refusal(client, f"{header}.{encoded(client.claims(sub='root'))}.{signature}") == "has a wrong signature"


def test_claims_are_each_requests_own(client: Any) -> None:
    """What a handler changes in nested claims is not seen by the next request with the same token."""
    token = judged(client.token(org={"roles": ["reader"]}), client.signing_key)
    first, second = token.own_claims(), token.own_claims()
    first["org"]["roles"].append("admin")
    assert second["org"] == {"roles": ["reader"]}
    assert type(second["org"]) is dict
    assert repr(token.claims) == "<redacted>"
    with pytest.raises(TypeError):
        second["sub"] = "root"  # type: ignore[index] # read-only


@pytest.mark.parametrize("depth", [400, 900, 3000])
def test_claims_that_are_nested_deeply(depth: int, client: Any) -> None:
    """They are refused on each Python; what is accepted can be copied for a request."""
    nested: Any = "x"
    for _ in range(98):
        nested = [nested]
    assert judged(client.token(nested=nested), client.signing_key).own_claims()["nested"] == nested
    payload = json.dumps(client.claims(nested="here")).replace('"here"', "[" * depth + "]" * depth).encode()
    header, _, signature = client.token().split(".")
    assert refusal(client, f"{header}.{encoded(payload)}.{signature}") == "is not a signed JWT"


def test_claims_of_a_validator_are_handed_on() -> None:
    """They are the application's own object."""
    claims = {"sub": "ada"}
    assert AccessToken.of(claims).own_claims() is claims


def test_claims_of_a_validator_that_have_another_type() -> None:
    """They count as absent."""
    token = AccessToken.of({"sub": 5, "client_id": ["a"], "scope": 7})
    assert (token.subject, token.client_id, set(token.scopes)) == ("", None, set())


@pytest.mark.parametrize(
    ("times", "why"),
    [
        ({"exp": NOW + 1}, None),
        ({"exp": NOW - 9.5}, None),
        ({"exp": NOW - 10}, "has expired"),
        ({"exp": 0}, "has expired"),
        ({"iat": NOW + 10}, None),
        ({"iat": NOW + 11}, "is not valid yet"),
        ({"nbf": NOW + 10}, None),
        ({"nbf": NOW + 11}, "is not valid yet"),
    ],
)
def test_times(times: Any, why: str | None) -> None:
    """RFC 7519 §4.1.4-4.1.6, with ten seconds between the clocks."""
    claims = {"exp": NOW + 60, "iat": NOW - 60, **times}
    if why is None:
        check_times(claims, NOW, 10)
        return
    with pytest.raises(InvalidToken, match=why):
        check_times(claims, NOW, 10)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
header_names = st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "x5c", "zip"])
claim_names = st.sampled_from(
    ["iss", "aud", "sub", "azp", "client_id", "jti", "exp", "iat", "nbf", "auth_time", "scope", "permissions", "cnf"]
)


@given(
    header=st.dictionaries(header_names, json_values, max_size=2),
    claims=st.dictionaries(claim_names, json_values, max_size=2),
)
def test_any_members(client_of_session: Any, header: Any, claims: Any) -> None:
    """Whatever a signed token says, it is read, or refused by one error."""
    client = client_of_session
    members = {"alg": "RS256", "kid": "k1", "typ": "JWT", **header}
    token = client.compact(members, {**client.claims(), **claims})
    with contextlib.suppress(InvalidToken):
        assert isinstance(judged(token, client.signing_key), AccessToken)


@given(
    st.text()
    | st.text("eyJ.=-_A{}\n", max_size=60)
    | st.tuples(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=40)).map(
        lambda parts: ".".join(map(encoded, parts))
    )
)
def test_any_text(client_of_session: Any, token: str) -> None:
    """What is no token is refused by one error."""
    with pytest.raises(InvalidToken):
        judged(token, client_of_session.signing_key)
