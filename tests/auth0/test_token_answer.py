"""``POST /oauth/token`` with the OTP grant: what is sent, and what counts as tokens."""

from __future__ import annotations

import base64
import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from passwordless_async import (
    Email,
    Login,
    MalformedAnswer,
    NotSenderConstrained,
    OAuthError,
    OutcomeUnknown,
    Phone,
    SenderConstrained,
    WrongCode,
)
from passwordless_async._common.http import HttpResponse
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.otp import otp_request
from passwordless_async.auth0.token_answer import (
    TokenAnswer,
    checked_binding,
    keeps_refresh_token,
    read_token,
    refresh_token_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from passwordless_async._common.http import HttpRequest
    from passwordless_async.auth0.application import Application

ADA, PHONE = Email("ada@example.com"), Phone("+4930901820")
LOGIN = Login(ADA, "123456")
JKT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
GOOD = {"access_token": "opaque", "token_type": "DPoP", "expires_in": 86400}


@pytest.fixture
def request_(public: Application) -> HttpRequest:
    """Build a request to read an answer for."""
    return otp_request(public, LOGIN, None)


def jwt_of(claims: object) -> str:
    """Return something of the form of a signed JWT."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return f"e30.{base64.urlsafe_b64encode(payload).rstrip(b'=').decode()}.c2ln"


def bound(access_token: str, token_type: str = "DPoP") -> TokenAnswer:  # noqa: S107 - a type, no token
    """Return an answer with this access token."""
    return TokenAnswer(Secret(access_token), token_type, None, "", None, None)


def test_a_full_answer(request_: HttpRequest, answer: Callable[..., HttpResponse]) -> None:
    """Every member is read; the tokens are texts that print redacted."""
    body = GOOD | {"refresh_token": "v1.refresh", "id_token": "a.b.c", "scope": "openid", "more": [1]}
    read = read_token(request_, answer(200, body), "openid profile")
    assert read == TokenAnswer(Secret("opaque"), "DPoP", 86400, "openid", Secret("v1.refresh"), Secret("a.b.c"))
    assert repr(read) == (
        "TokenAnswer(access_token=<redacted>, token_type='DPoP', expires_in=86400, scope='openid', "
        "refresh_token=<redacted>, id_token=<redacted>)"
    )
    assert {repr(token) for token in (read.access_token, read.refresh_token, read.id_token)} == {"<redacted>"}


@pytest.mark.parametrize("absent", [{}, {"refresh_token": None, "id_token": None, "scope": None, "expires_in": None}])
def test_a_bare_answer(request_: HttpRequest, answer: Callable[..., HttpResponse], absent: dict[str, None]) -> None:
    """What is missing, or null, is None; a missing token_type is none that can be trusted."""
    read = read_token(request_, answer(200, {"access_token": "opaque", **absent}), None)
    assert read == TokenAnswer(Secret("opaque"), "", None, "", None, None)


@pytest.mark.parametrize(
    ("granted", "requested", "expected"),
    [
        (None, "openid email", "openid email"),
        (None, None, ""),
        ("", "openid", ""),
        ("openid", "openid email", "openid"),
        ("openid more", None, "openid more"),
    ],
)
def test_no_scope_means_the_requested_one(
    request_: HttpRequest,
    answer: Callable[..., HttpResponse],
    granted: str | None,
    requested: str | None,
    expected: str,
) -> None:
    """RFC 6749 §5.1: a scope in the answer counts, even an empty one; none means the requested one."""
    assert read_token(request_, answer(200, {**GOOD, "scope": granted}), requested).scope == expected


@pytest.mark.parametrize("value", ["a b", '"a"', "a=b", "v1.M~^{}"])
def test_a_refresh_token_is_any_visible_text(
    request_: HttpRequest, answer: Callable[..., HttpResponse], value: str
) -> None:
    """RFC 6749 appendix A.17: wider than an access token; a login must not fail for it after its code is spent."""
    assert value == read_token(request_, answer(200, GOOD | {"refresh_token": value}), None).refresh_token


@pytest.mark.parametrize(
    ("given_", "expected"), [(0, 0), (1, 1), (86400, 86400), (3600.9, 3600), (316_224_000, 316_224_000)]
)
def test_lifetimes_read(
    request_: HttpRequest, answer: Callable[..., HttpResponse], given_: float, expected: int
) -> None:
    """A lifetime is a number of seconds, up to ten years."""
    read = read_token(request_, answer(200, GOOD | {"expires_in": given_}), None).expires_in
    assert (read, type(read)) == (expected, int)


@pytest.mark.parametrize(
    ("member", "value", "problem"),
    [
        *(
            (name, value, f"{name} is not a token (status 200)")
            for name in ("access_token", "refresh_token", "id_token")
            for value in ("a\n", "a\r\nb", "é", 5, True, ["a"], {"a": 1}, "a" * 65_537)
        ),
        *(
            (name, value, f"{name} is not a token (status 200)")
            for name in ("access_token", "id_token")
            for value in ("a b", '"a"', "=", "a=b")
        ),
        *(("access_token", value, "access_token is missing (status 200)") for value in (None, "")),
        *(  # type: ignore[var-annotated]
            ("token_type", value, "token_type is not a string (status 200)")
            for value in (5, True, ["DPoP"], {}, "a\n", "\ud800", "a" * 65_537)
        ),
    ],
)
def test_answers_refused(
    request_: HttpRequest, answer: Callable[..., HttpResponse], member: str, value: object, problem: str
) -> None:
    """A member of another type or form is a malformed answer, and the message does not repeat it."""
    with pytest.raises(MalformedAnswer) as refused:
        read_token(request_, answer(200, GOOD | {member: value}), None)
    assert (str(refused.value), refused.value.status) == (problem, 200)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("86400", 86400),
        (" 86400 ", 86400),
        ("3600.9", 3600),
        ("0", 0),
        (86400.0, 86400),
        *((value, None) for value in ("", "soon", "1e3", "-1", "٣", "316224001", "9" * 400, "1 2")),
        *((value, None) for value in (True, False, -1, -0.5, 316_224_001, 10**400, [3600], {"s": 1}, math.inf)),
    ],
)
def test_a_lifetime_is_advice(
    request_: HttpRequest, answer: Callable[..., HttpResponse], value: object, expected: int | None
) -> None:
    """A text of digits is read as the number; what is neither leaves the lifetime unknown, and costs no login."""
    read = read_token(request_, answer(200, GOOD | {"expires_in": value}), None)
    assert (read.expires_in, read.access_token) == (expected, "opaque")


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"NaN", b"Infinity"])
def test_endless_lifetimes(request_: HttpRequest, answer: Callable[..., HttpResponse], number: bytes) -> None:
    """A number that no clock can count leaves the lifetime unknown."""
    body = b'{"access_token":"a","token_type":"DPoP","expires_in":' + number + b"}"
    assert read_token(request_, answer(200, body), None).expires_in is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["openid", "email"], "openid email"),
        (["openid email", "profile"], "openid email profile"),
        ([], ""),
        ("openid  email ", "openid email"),
        ("openid\temail\n", "openid email"),
        *((value, "") for value in (5, True, {}, ["a", 5], [["a"]], "a\x00b", "\ud800", "a" * 65_537)),  # type: ignore[var-annotated]
    ],
)
def test_a_scope_in_other_forms(
    request_: HttpRequest, answer: Callable[..., HttpResponse], value: object, expected: str
) -> None:
    """A list of words is read as their text; what cannot be read grants nothing that is known of."""
    assert read_token(request_, answer(200, GOOD | {"scope": value}), "requested").scope == expected


@pytest.mark.parametrize("name", ["refresh_token", "id_token"])
def test_an_empty_token_is_none(request_: HttpRequest, answer: Callable[..., HttpResponse], name: str) -> None:
    """Some services write an absent token as an empty text."""
    assert getattr(read_token(request_, answer(200, GOOD | {name: ""}), None), name) is None


@pytest.mark.parametrize(
    ("status", "content_type", "prefix"),
    [
        (200, "text/json", b""),
        (201, "application/json", b""),
        (203, "text/plain", b""),
        (200, None, b""),
        (200, "application/json; charset=utf-8", b"\xef\xbb\xbf"),
    ],
)
def test_tokens_in_another_wrapping(
    request_: HttpRequest, status: int, content_type: str | None, prefix: bytes
) -> None:
    """The code is spent: neither another success, nor a wrong type, nor a byte order mark costs the login."""
    headers = CIMultiDict({} if content_type is None else {"Content-Type": content_type})
    response = HttpResponse(status, headers, prefix + json.dumps(GOOD | {"refresh_token": "rt"}).encode())
    assert read_token(request_, response, None).access_token == "opaque"
    assert refresh_token_of(response) == "rt"


@pytest.mark.parametrize("token", [None, "", 7, [], "rt\ud800", "rt\n", "r\u00e9"])
def test_what_is_no_refresh_token_is_not_revoked(answer: Callable[..., HttpResponse], token: object) -> None:
    """A request with it could not be built, or would name a token that the service never made."""
    assert refresh_token_of(answer(200, GOOD | {"refresh_token": token})) is None


def test_a_refusal_with_a_success(request_: HttpRequest, answer: Callable[..., HttpResponse]) -> None:
    """Some services refuse with 200: the error code says so."""
    body = {"error": "invalid_grant", "error_description": "Wrong email or verification code."}
    with pytest.raises(WrongCode) as refused:
        read_token(request_, answer(200, body), None)
    assert refused.value.status == 200


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ({"access_token": "a"}, True),
        ({"access_token": "a", "refresh_token": None}, True),
        ({"access_token": "a", "refresh_token": ""}, True),
        ({"access_token": "a", "refresh_token": []}, False),
        ({"access_token": "a", "refresh_token": "new"}, False),
        ({}, False),
    ],
)
def test_an_answer_without_a_refresh_token_keeps_the_old_one(
    request_: HttpRequest,
    answer: Callable[..., HttpResponse],
    body: dict[str, Any],
    kept: bool,  # noqa: FBT001 - a row
) -> None:
    """RFC 6749 §6: none, null and an empty text all mean that the old one stays."""
    assert keeps_refresh_token(request_, answer(200, body)) == kept


@pytest.mark.parametrize("token", ["a", "a.b.c", "a.b.c.d.e", "-._~+/", "a==", "a" * 65_536])
def test_tokens_accepted(request_: HttpRequest, answer: Callable[..., HttpResponse], token: str) -> None:
    """RFC 6750 §2.1: every b64token is a token, up to a length."""
    body = {"access_token": token, "refresh_token": token, "id_token": token, "token_type": "DPoP"}
    read = read_token(request_, answer(200, body), None)
    assert {read.access_token, read.refresh_token, read.id_token} == {token}


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"<html>", b"{", b'"token"'])
def test_a_success_is_a_json_object(request_: HttpRequest, answer: Callable[..., HttpResponse], body: bytes) -> None:
    """A success that is no JSON object is malformed."""
    with pytest.raises(MalformedAnswer) as refused:
        read_token(request_, answer(200, body), None)
    assert str(refused.value) == "the answer is not a JSON object (status 200)"


@pytest.mark.parametrize("status", [301, 302, 307])
def test_redirects(request_: HttpRequest, answer: Callable[..., HttpResponse], status: int) -> None:
    """A redirect is neither tokens nor a refusal, whatever it holds."""
    with pytest.raises(MalformedAnswer) as refused:
        read_token(request_, answer(status, GOOD), None)
    assert str(refused.value) == f"neither tokens nor a refusal (status {status})"


@pytest.mark.parametrize("name", ["error", "code", "errorCode"])
def test_a_grant_that_the_service_does_not_have(
    request_: HttpRequest, answer: Callable[..., HttpResponse], name: str
) -> None:
    """501 with a reason is a refusal: nothing was looked at, and the code is as good as before."""
    with pytest.raises(OAuthError) as refused:
        read_token(request_, answer(501, {name: "unsupported_grant_type"}), None)
    assert (refused.value.status, refused.value.error) == (501, "unsupported_grant_type")
    with pytest.raises(OutcomeUnknown):
        read_token(request_, answer(501, b"<html>"), None)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
def test_after_a_failure_nobody_knows(request_: HttpRequest, answer: Callable[..., HttpResponse], status: int) -> None:
    """5xx, whatever the body: the code may be spent."""
    with pytest.raises(OutcomeUnknown) as refused:
        read_token(request_, answer(status, {"error": "invalid_grant"}), None)
    assert (status, f"the service failed ({status}) and may have spent the code") == (
        refused.value.status,
        str(refused.value),
    )


def test_a_refusal_is_read_from_the_table(request_: HttpRequest, answer: Callable[..., HttpResponse]) -> None:
    """4xx is what the table says."""
    body = {"error": "invalid_grant", "error_description": "Wrong email or verification code."}
    with pytest.raises(WrongCode):
        read_token(request_, answer(403, body), None)
    for status in (400, 499):
        with pytest.raises(OAuthError):
            read_token(request_, answer(status, {}), None)


@settings(max_examples=300, deadline=None)
@given(
    body=st.binary(max_size=60)
    | st.dictionaries(
        st.sampled_from(
            ["access_token", "token_type", "expires_in", "refresh_token", "id_token", "scope", "error", "code"]
        ),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text(), max_size=2),
    ),
    status=st.integers(200, 599),
)
@example({"access_token": "a", "expires_in": float("nan")}, 200)
def test_no_answer_raises_anything_else(
    public: Application, answer: Callable[..., HttpResponse], body: Any, status: int
) -> None:
    """Whatever comes back, it is tokens or an error of ours."""
    try:
        read = read_token(otp_request(public, LOGIN, None), answer(status, body), None)
    except (OAuthError, MalformedAnswer, OutcomeUnknown):
        return
    assert (200 <= status < 300, type(str(read.access_token))) == (True, str)


@pytest.mark.parametrize("token_type", ["DPoP", "dpop", "DPOP", "dPoP"])
def test_bound_by_any_spelling(token_type: str) -> None:
    """RFC 6749 §5.1: token_type is compared without regard to case."""
    assert checked_binding(bound("opaque", token_type), JKT, required=True)
    assert checked_binding(bound("opaque", token_type), JKT, required=False)


@pytest.mark.parametrize("token_type", ["Bearer", "bearer", "", "MAC", "DPoP ", "D PoP", "DPoP2", "ďpop"])
def test_not_bound_by_type(token_type: str) -> None:
    """Rule 17, RFC 9449 §5: a proof was sent, so any other type is thrown away, whatever cnf says."""
    with pytest.raises(NotSenderConstrained) as refused:
        checked_binding(bound(jwt_of({"cnf": {"jkt": JKT}}), token_type), JKT, required=True)
    assert str(refused.value) == "a proof was sent, but token_type is not DPoP: a thief could use the token"


@pytest.mark.parametrize("thumbprint", [JKT, None], ids=["proven", "unproven"])
@pytest.mark.parametrize("token_type", ["Bearer", "bearer", "BEARER"])
@pytest.mark.parametrize("access_token", ["opaque", jwt_of({}), jwt_of({"cnf": None}), jwt_of("text"), "a..c"])
def test_bound_to_none(access_token: str, token_type: str, thumbprint: str | None) -> None:
    """RFC 6749 §7.1: Bearer tokens are what they say, where they may be: a proof that was ignored binds nothing."""
    assert not checked_binding(bound(access_token, token_type), thumbprint, required=False)


@pytest.mark.parametrize("thumbprint", [JKT, None], ids=["proven", "unproven"])
@pytest.mark.parametrize("token_type", ["", "MAC", "DPoP ", "D PoP", "DPoP2", "ďpop", "Bearer ", "N_A"])
def test_an_unknown_type_is_of_no_use(token_type: str, thumbprint: str | None) -> None:
    """RFC 6749 §7.1: "The client MUST NOT use an access token if it does not understand the token type"."""
    with pytest.raises(MalformedAnswer) as refused:
        checked_binding(bound("opaque", token_type), thumbprint, required=False)
    assert str(refused.value) == "token_type is neither DPoP nor Bearer (status 200)"


@pytest.mark.parametrize("confirmation", [{"jkt": JKT}, {}, [], "x", {"x5t#S256": JKT}, {"jkt": "another"}])
def test_a_bearer_token_that_names_a_key_is_not_one(confirmation: object) -> None:
    """RFC 7800 §3.1: a token with cnf is for the holder of a key. It is not sent as Bearer, whatever its type says."""
    with pytest.raises(NotSenderConstrained) as refused:
        checked_binding(bound(jwt_of({"cnf": confirmation}), "Bearer"), JKT, required=False)
    assert str(refused.value) == "token_type is Bearer and the access token names a key (cnf): it is not ours"


@pytest.mark.parametrize(
    ("access_token", "token_type"),
    [
        ("opaque", "DPoP"),
        ("opaque", "dpop"),
        (jwt_of({}), "DPoP"),
        (jwt_of({"cnf": {"jkt": JKT}}), "DPoP"),
        (jwt_of({"cnf": {"jkt": JKT}}), "Bearer"),
        (jwt_of({"cnf": {}}), "bearer"),
    ],
)
def test_bound_to_a_key_that_was_not_proven(access_token: str, token_type: str) -> None:
    """No proof was sent: the key is not the client's."""
    with pytest.raises(SenderConstrained) as refused:
        checked_binding(bound(access_token, token_type), None, required=False)
    assert str(refused.value) == "no proof was sent and the token is bound to a key: it is of no use"


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"sub": "ada"},
        {"cnf": None},
        {"cnf": {}},
        {"cnf": JKT},
        {"cnf": [JKT]},
        {"cnf": {"jkt": None}},
        {"cnf": {"jkt": JKT[:-1]}},
        {"cnf": {"jkt": JKT.lower()}},
        {"cnf": {"jkt": [JKT]}},
        {"cnf": {"x5t#S256": JKT}},
        {"jkt": JKT},
    ],
)
def test_not_bound_by_claim(claims: dict[str, object], *, required: bool) -> None:
    """Rule 17, RFC 9449 §6.1: a JWT access token must name our key's thumbprint."""
    with pytest.raises(NotSenderConstrained) as refused:
        checked_binding(bound(jwt_of(claims)), JKT, required=required)
    assert str(refused.value) == "cnf.jkt of the access token is not the thumbprint of the key"


@pytest.mark.parametrize(
    "access_token",
    [
        jwt_of({"cnf": {"jkt": JKT}}),
        jwt_of({"cnf": {"jkt": JKT, "more": 1}, "sub": "ü"}),
        "opaque",
        "opaque.with-dot",
        "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU",
        "eyJhbGciOiJkaXIifQ..iv.ciphertext.tag",
        "a.b.c.d",
        "..",
        "a..c",
        jwt_of(b"\xff\xfe"),
        jwt_of(b"not JSON"),
        jwt_of([JKT]),
        jwt_of("text"),
        jwt_of(b"[" * 50_000),
        jwt_of(b"9" * 5000),
    ],
)
def test_bound_as_far_as_can_be_seen(access_token: str) -> None:
    """A token that is opaque, encrypted or no JWT at all is the resource server's to judge; the RFC's own is one."""
    assert checked_binding(bound(access_token), JKT, required=True)


@settings(max_examples=200, deadline=None)
@given(st.text("abcXYZ019-._~+/=", min_size=1, max_size=40) | st.binary(max_size=40).map(jwt_of))
def test_no_access_token_raises_anything_else(access_token: str) -> None:
    """Whatever the token, it passes or it is not bound."""
    try:
        checked_binding(bound(access_token), JKT, required=True)
    except NotSenderConstrained:
        assert access_token.count(".") == 2
