"""Challenges: the header is parsed by its grammar, and nothing else than a challenge is one."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from passwordless_async._common.http import HttpResponse
from passwordless_async.dpop import Challenge, demands_nonce, parse_www_authenticate, rejects_token
from passwordless_async.dpop.challenge import dpop_errors

SETTINGS = settings(max_examples=100, deadline=None)
TCHAR = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TOKENS = st.text(TCHAR, min_size=1, max_size=12)
TEXTS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E) | st.just("\t"), max_size=20)
DEMANDS = ["use_dpop_nonce", "invalid_dpop_nonce"]


def resource(*fields: str, status: int = 401) -> HttpResponse:
    """Return the answer of a resource server with these WWW-Authenticate fields."""
    return HttpResponse(status, CIMultiDict([("WWW-Authenticate", field) for field in fields]))


def service(body: object, *, status: int = 400, content_type: str = "application/json") -> HttpResponse:
    """Return the answer of an authorization server."""
    return HttpResponse(status, CIMultiDict({"Content-Type": content_type}), json.dumps(body).encode())


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], []),
        ([""], []),
        ([" , ,\t"], []),
        (["DPoP"], [("dpop", {})]),
        (["DPoP "], [("dpop", {})]),
        (["dPoP a=b"], [("dpop", {"a": "b"})]),
        (['DPoP error="use_dpop_nonce"'], [("dpop", {"error": "use_dpop_nonce"})]),
        (["DPoP error=use_dpop_nonce"], [("dpop", {"error": "use_dpop_nonce"})]),
        (['DPoP  A = b ,\tC\t=\t"d" '], [("dpop", {"a": "b", "c": "d"})]),
        (["DPoP ,a=b,,c=d,"], [("dpop", {"a": "b", "c": "d"})]),
        (['DPoP a=""'], [("dpop", {"a": ""})]),
        (['DPoP a="b, DPoP c=d"'], [("dpop", {"a": "b, DPoP c=d"})]),
        ([r'DPoP a="\"b\\\c", d=e'], [("dpop", {"a": '"b\\c', "d": "e"})]),
        (["DPoP a=b, A=c"], [("dpop", {"a": "b"})]),
        (['Bearer realm="x", DPoP a=b'], [("bearer", {"realm": "x"}), ("dpop", {"a": "b"})]),
        (["Bearer", "DPoP a=b"], [("bearer", {}), ("dpop", {"a": "b"})]),
        (["Bearer, DPoP a=b"], [("bearer", {}), ("dpop", {"a": "b"})]),
        (["Bearer, DPoP"], [("bearer", {}), ("dpop", {})]),
        (["Bearer, DPoP, Basic realm=x"], [("bearer", {}), ("dpop", {}), ("basic", {"realm": "x"})]),
        (["Negotiate YWJj==, DPoP a=b"], [("negotiate", {}), ("dpop", {"a": "b"})]),
        (["Negotiate YWJj, DPoP a=b"], [("negotiate", {}), ("dpop", {"a": "b"})]),
        (["Negotiate a+/~=, DPoP"], [("negotiate", {}), ("dpop", {})]),
        (["DPoP a=b, DPoP c=d"], [("dpop", {"a": "b"}), ("dpop", {"c": "d"})]),
        # What breaks the grammar ends the field that it stands in, and no other.
        (['DPoP a=b, "c", DPoP d=e', "Basic"], [("dpop", {"a": "b"}), ("basic", {})]),
        (['DPoP a="b', "Basic"], [("dpop", {}), ("basic", {})]),
        (['DPoP a="b"c=d'], [("dpop", {})]),
        (["=", "DPoP"], [("dpop", {})]),
        (["é DPoP a=b"], []),
    ],
)
def test_parsed_by_the_grammar(fields: list[str], expected: list[tuple[str, dict[str, str]]]) -> None:
    """RFC 9110 §11.6.1: any number of challenges in any number of fields, schemes and names in any case."""
    assert parse_www_authenticate(fields) == [Challenge(*challenge) for challenge in expected]


@SETTINGS
@given(
    st.lists(
        st.lists(
            st.tuples(TOKENS, st.dictionaries(TOKENS.map(str.lower), st.tuples(TEXTS, st.booleans()), max_size=3)),
            min_size=1,
            max_size=3,
        ),
        max_size=3,
    )
)
def test_written_challenges_are_read(fields: list[list[tuple[str, dict[str, tuple[str, bool]]]]]) -> None:
    """Challenges that are written by the grammar are read as they were meant."""
    written = []
    for field in fields:
        challenges = []
        for scheme, parameters in field:
            parts = []
            for name, (value, bare) in parameters.items():
                escaped = value.replace("\\", "\\\\").replace('"', '\\"')
                is_token = bare and re.fullmatch(f"[{re.escape(TCHAR)}]+", value)
                parts.append(f"{name}={value}" if is_token else f'{name}="{escaped}"')
            challenges.append(f"{scheme} {', '.join(parts)}".rstrip())
        written.append(", ".join(challenges))
    expected = [
        Challenge(scheme.lower(), {name: value for name, (value, _) in parameters.items()})
        for field in fields
        for scheme, parameters in field
    ]
    assert parse_www_authenticate(written) == expected


@pytest.mark.parametrize("error", DEMANDS)
@pytest.mark.parametrize(
    "field",
    [
        'DPoP error="{}"',
        "dpop error={}",
        'DPOP algs="ES256", error="{}"',
        'dPoP error="{}", error_description="Resource server requires nonce in DPoP proof"',
        'Bearer realm="a", error="invalid_token", DPoP realm="b, c", error="{}"',
        'DPoP realm="\\"quoted\\", and more", ERROR="{}"',
        'Basic, DPoP error="{}"',
        'Negotiate YWJj==, DPoP error="{}"',
    ],
)
def test_demanded_by_a_resource_server(field: str, error: str) -> None:
    """Rule 13, RFC 9449 §9: a 401 with the error in a DPoP challenge, at any position."""
    assert demands_nonce(resource(field.format(error)), fresh=False)
    assert demands_nonce(resource("Bearer", field.format(error)), fresh=False)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [""],
        ["DPoP"],
        ['DPoP error="invalid_token"'],
        ['DPoP realm="use_dpop_nonce_blocklist"'],
        ['DPoP realm="error=\\"use_dpop_nonce\\""'],
        ['DPoP realm="x, DPoP error=use_dpop_nonce"'],
        ['DPoP error_description="use_dpop_nonce"'],
        ['DPoP error="use_dpop_nonce2"'],
        ['DPoP error="USE_DPOP_NONCE"'],
        ['DPoP error=" use_dpop_nonce"'],
        ['DPoP xerror="use_dpop_nonce"'],
        ["DPoP use_dpop_nonce"],
        ['Bearer error="use_dpop_nonce"'],
        ['DPoP2 error="use_dpop_nonce"'],
        ['DPoP error="use_dpop_nonce'],
        ['DPoP realm="x" error="use_dpop_nonce"'],
        ['DPoP error="invalid_token", error="use_dpop_nonce"'],
    ],
)
def test_not_demanded_by_words_alone(fields: list[str]) -> None:
    """Rule 13: a search for the words is a defect; only the error of a DPoP challenge counts."""
    assert not demands_nonce(resource(*fields), fresh=True)


@pytest.mark.parametrize("name", ["x-amzn-remapped-www-authenticate", "X-Amzn-Remapped-WWW-Authenticate"])
def test_read_where_an_api_gateway_renamed_the_header(name: str) -> None:
    """Amazon API Gateway hands a WWW-Authenticate on under a name of its own; one of the gateway's may be beside it."""
    renamed = [(name, 'DPoP error="use_dpop_nonce", algs="ES256"'), ("WWW-Authenticate", "Basic")]
    assert demands_nonce(HttpResponse(401, CIMultiDict(renamed)), fresh=False)
    refused = HttpResponse(401, CIMultiDict([(name, 'Bearer error="invalid_token"')]))
    assert rejects_token(refused, scheme="bearer")
    assert not rejects_token(refused)


@pytest.mark.parametrize("status", [200, 400, 403, 407, 500, 503])
def test_header_counts_with_401_only(status: int) -> None:
    """Rule 13: the header counts with a 401 alone."""
    assert not demands_nonce(resource('DPoP error="use_dpop_nonce"', status=status), fresh=True)


@pytest.mark.parametrize("error", DEMANDS)
def test_demanded_by_an_authorization_server(error: str) -> None:
    """Rule 13, RFC 9449 §8: a 400 with the error in its JSON."""
    assert demands_nonce(service({"error": error}), fresh=False)


@pytest.mark.parametrize(
    "response",
    [
        service({"error": "use_dpop_nonce"}, status=401),
        service({"error": "use_dpop_nonce"}, status=403),
        service({"error": "use_dpop_nonce"}, status=200),
        service({"error": "use_dpop_nonce"}, status=503),
        service({"error": "use_dpop_nonce"}, content_type="text/html"),
        service({"error": ["use_dpop_nonce"]}),
        service({"error": {"use_dpop_nonce": 1}}),
        service({"error": None}),
        service({"error": "invalid_grant", "error_description": "use_dpop_nonce"}),
        service({"code": "use_dpop_nonce"}),
        service(["use_dpop_nonce"]),
        service("use_dpop_nonce"),
        service({}),
        HttpResponse(400),
    ],
)
def test_not_demanded_by_an_authorization_server(response: HttpResponse) -> None:
    """Rule 13: another status, type, member or shape is no challenge."""
    assert not demands_nonce(response, fresh=True)


@pytest.mark.parametrize(
    "response", [service({"error": "invalid_dpop_proof"}), resource('DPoP error="invalid_dpop_proof"')]
)
def test_a_refused_proof_counts_with_a_fresh_nonce(response: HttpResponse) -> None:
    """Rule 13: invalid_dpop_proof is a challenge when a fresh nonce came with it, and else a refusal."""
    assert (demands_nonce(response, fresh=True), demands_nonce(response, fresh=False)) == (True, False)


def test_errors_of_all_challenges() -> None:
    """The errors of every DPoP challenge count; those of other schemes do not."""
    response = resource('DPoP error="a", Bearer error="b"', 'DPoP error="c"', "DPoP")
    assert dpop_errors(response) == {"a", "c", ""}
    assert dpop_errors(HttpResponse(403)) == frozenset()


@SETTINGS
@given(st.lists(st.text(max_size=60) | st.text('DPoP error="use_dpop_nonce",= \\\t', max_size=60), max_size=3))
@example(['DPoP a="\\'])
@example(['DPoP a="\n"'])
def test_no_field_raises(fields: list[str]) -> None:
    """Whatever the fields say, they are parsed: schemes and names come in lower case, and nothing raises."""
    for challenge in parse_www_authenticate(fields):
        assert challenge.scheme.lower() == challenge.scheme
        assert [name.lower() for name in challenge.parameters] == list(challenge.parameters)


@pytest.mark.parametrize(
    "hostile",
    [
        'DPoP a="' + "\\" * 100_000,
        'DPoP a="' + 'x"' * 100_000,
        "DPoP " + "a" * 100_000,
        "DPoP " + "a=" * 100_000,
        "DPoP " + "a=b " * 100_000,
        "DPoP " + "a =" * 100_000,
        "a " * 100_000,
        "a," * 100_000,
        "a =" * 100_000,
        " " * 100_000,
        "," * 100_000,
        " ," * 100_000,
        "DPoP a" + " " * 100_000,
        "DPoP a=b" + " " * 100_000 + "c",
        "DPoP a=" + " " * 100_000,
        "DPoP " + "=" * 100_000,
        "DPoP abc" + "=" * 100_000 + "!",
        'DPoP a="b",' * 50_000,
        '"' * 100_000,
        'DPoP a="b" "' * 50_000,
        ("a" * 80 + " ") * 10_000,
    ],
    ids=str,
)
def test_hostile_fields_are_parsed_fast(hostile: str) -> None:
    """A field made to be parsed slowly is parsed all the same: what is over 8192 characters is not read."""
    assert parse_www_authenticate([hostile]) == parse_www_authenticate([hostile[:8192]])


def test_rest_of_a_long_header_is_ignored() -> None:
    """A challenge behind the bound does not count; one in the next field does."""
    challenge = 'DPoP error="use_dpop_nonce"'
    padding = f'Bearer realm="{"x" * 8192}", '
    assert not demands_nonce(resource(padding + challenge), fresh=False)
    assert demands_nonce(resource(padding, challenge), fresh=False)
