"""Which requests pass, and how the others are answered."""

from __future__ import annotations

import contextlib
import re
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passwordless_async import MemoryReplayStore, PasswordlessError
from passwordless_async._common.secret import Secret
from passwordless_async.dpop import parse_www_authenticate
from passwordless_async.dpop.server.checked import BIND, PresentedToken
from passwordless_async.dpop.server.fields import ProofFields
from passwordless_async.dpop.server.verifier import DPoPVerifier
from passwordless_async.errors import (
    InsufficientScope,
    InsufficientUserAuthentication,
    InvalidDPoPProof,
    InvalidToken,
    RateLimited,
    TemporarilyUnavailable,
    UsageError,
)
from passwordless_async.resource_server.guard import (
    REFUSALS,
    Authorized,
    Guard,
    Presented,
    Refusal,
    _Credentials,
    schemes_of,
)
from passwordless_async.resource_server.requirements import LoginClaims, Required

BASE = "https://api.example"
NOW = 1_700_000_000.0
JKT = "x" * 43
UNBOUND: dict[str, Any] = {"sub": "ada", "scope": "read write", "permissions": ["p:read"], "azp": "c-1"}
BOUND = {**UNBOUND, "cnf": {"jkt": JKT}}
MODES: Any = ("required", "preferred", "off")
DPOP = 'DPoP algs="ES256"'
BEARER = f'Bearer realm="{BASE}"'


def guard_of(mode: Any, **more: Any) -> Guard:
    """Return a guard of a mode."""
    verifier = None if mode == "off" else DPoPVerifier(replay=MemoryReplayStore(), base_url=BASE)
    return Guard.of(mode, verifier, BASE, **more)


def verdict(guard: Guard, headers: Any, claims: Any = None, **required: Any) -> Any:
    """Return who may pass, or the refusal; nothing is waited for. ``claims`` is what the token says, if it is valid."""
    call = guard.authorize("GET", "/me", headers, lambda _token: claims, Required.of(required))  # type: ignore[arg-type] # any
    try:
        call.send(None)
    except StopIteration as stopped:
        return stopped.value
    except PasswordlessError as error:
        return error
    raise AssertionError("the guard waited for something")


def refusal(mode: Any, headers: Any, claims: Any = None, **required: Any) -> Any:
    """Return status, error code and challenges of a refusal."""
    error = verdict(guard_of(mode), headers, claims, **required)
    assert isinstance(error, REFUSALS), error
    return error.status, error.body.get("error"), error.headers.get("WWW-Authenticate")


def told(scheme: str, error: str, description: str, more: str = "") -> str:
    """Return a challenge that tells an error."""
    parameters = f'error="{error}", error_description="{description}"{more}'
    return f'DPoP {parameters}, algs="ES256"' if scheme == "DPoP" else f"{BEARER}, {parameters}"


@pytest.mark.parametrize(
    ("mode", "challenges"), [("required", DPOP), ("preferred", f"{DPOP}, {BEARER}"), ("off", BEARER)]
)
@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("DPoP", "x")],
        [("Authorization", "")],
        [("Authorization", "Basic YTpi")],
        [("Authorization", "DPoPa")],
        [("Authorization", " ")],
        [("Authorization", "é a")],
        {"Cookie": "access_token=a"},
    ],
)
def test_no_credentials_no_error(mode: Any, challenges: str, headers: Any) -> None:
    """RFC 6750 §3.1: where nothing came, or a scheme that is unknown, no challenge has an error code."""
    assert refusal(mode, headers) == (401, None, challenges)


@pytest.mark.parametrize(("mode", "scheme", "challenges"), [("required", "Bearer", DPOP), ("off", "DPoP", BEARER)])
def test_a_scheme_that_is_not_accepted(mode: Any, scheme: str, challenges: str) -> None:
    """RFC 6750 §3.1: an unsupported method is answered as none at all; the token is not even validated."""
    assert refusal(mode, [("Authorization", f"{scheme} a")], UNBOUND) == (401, None, challenges)


@pytest.mark.parametrize(
    "values",
    [["DPoP a", "DPoP a"], ["DPoP a", "Bearer a"], ["Bearer a", "Bearer b"], ["", "DPoP a"], ["Basic x", "Bearer a"]],
)
def test_two_credentials(values: list[str]) -> None:
    """RFC 6750 §3.1, rule 27: more than one way to a token is ``invalid_request``, told in each challenge."""
    description = "the request has more than one Authorization header"
    expected = f"{told('DPoP', 'invalid_request', description)}, {told('Bearer', 'invalid_request', description)}"
    headers = [("Authorization", value) for value in values]
    assert refusal("preferred", headers, UNBOUND) == (400, "invalid_request", expected)


@pytest.mark.parametrize(
    "value",
    [
        "DPoP",
        "DPoP ",
        "DPoP a b",
        "DPoP a, Bearer a",
        "DPoP a ",
        "DPoP a\n",
        "DPoP\ta",
        "DPoP \ta",
        "DPoP a=b",
        "DPoP é",
        "dpop,a",
    ],
)
def test_malformed_credentials(value: str) -> None:
    """RFC 6750 §3.1: a token that is no token68 is ``invalid_request``, told in its own challenge."""
    expected = told("DPoP", "invalid_request", "the Authorization header is malformed")
    headers = [("Authorization", value)]
    assert refusal("preferred", headers, UNBOUND) == (400, "invalid_request", f"{expected}, {BEARER}")


@given(
    scheme=st.sampled_from(["Bearer", "bearer", "BEARER", "Bearer\t", "Bearer=", "Bearer/x", "\u1e9eearer"]),
    rest=st.text(st.sampled_from(' aZ09-._~+/=\t\n,;:"\\*é\xa0\ud800\x00'), max_size=8),
)
def test_credentials_are_those_of_the_grammar(scheme: str, rest: str) -> None:
    """RFC 6750 §2.1, RFC 9110 §11.4: the validator gets what follows a scheme and spaces, token68, and nothing else."""
    seen: list[str] = []
    right = re.fullmatch(r"bearer +([A-Za-z0-9\-._~+/]+=*)", f"{scheme} {rest}", re.ASCII | re.IGNORECASE)
    call = guard_of("off").authorize("GET", "/me", [("Authorization", f"{scheme} {rest}")], seen.append)
    with pytest.raises(InvalidToken):
        call.send(None)
    assert seen == ([right[1]] if right else [])


@pytest.mark.parametrize("mode", ["preferred", "off"])
@pytest.mark.parametrize("confirmation", [{"jkt": JKT}, {"x5t#S256": "x"}, {}, "x", {"jkt": JKT, "x5t#S256": "x"}])
def test_bound_token_is_not_bearer(mode: Any, confirmation: Any) -> None:
    """Rule 27: a token that is bound to anything is refused under Bearer, in every mode, in the Bearer challenge."""
    description = "the access token is bound to a key and came as a Bearer token"
    status, error, challenges = refusal(mode, [("Authorization", "Bearer a")], {"cnf": confirmation})
    assert (status, error) == (401, "invalid_token")
    bare = "" if mode == "off" else f"{DPOP}, "
    assert challenges == bare + told("Bearer", "invalid_token", description)


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({}, "is not bound to a key"),
        ({"cnf": None}, "is not bound to a key"),
        ({"cnf": "x"}, "is bound in a way that is not supported"),
        ({"cnf": {}}, "is bound in a way that is not supported"),
        ({"cnf": {"jkt": 1}}, "is bound in a way that is not supported"),
        ({"cnf": {"jkt": "short"}}, "is bound in a way that is not supported"),
        ({"cnf": {"jkt": JKT, "x5t#S256": "x"}}, "is bound in a way that is not supported"),
    ],
)
@pytest.mark.parametrize("mode", ["required", "preferred"])
def test_unbound_token_is_not_dpop(mode: Any, claims: Any, why: str) -> None:
    """Rule 27: a token that is bound to no key alone is refused under DPoP, in the DPoP challenge."""
    status, error, challenges = refusal(mode, [("Authorization", "DPoP a")], claims)
    assert (status, error) == (401, "invalid_token")
    bare = "" if mode == "required" else f", {BEARER}"
    assert challenges == told("DPoP", "invalid_token", f"the access token {why}") + bare


def test_a_proof_beside_bearer() -> None:
    """Rule 27: refused where proofs are known; a server that knows none ignores the field."""
    headers = [("Authorization", "Bearer a"), ("DPoP", "x")]
    status, error, challenges = refusal("preferred", headers, UNBOUND)
    # An iterator can be read only once: the proof is seen all the same.
    assert refusal("preferred", iter(headers), UNBOUND) == (status, error, challenges)
    description = "the access token is a Bearer token and came with a DPoP header"
    assert (status, error) == (401, "invalid_token")
    assert challenges == f"{DPOP}, {told('Bearer', 'invalid_token', description)}"
    assert isinstance(verdict(guard_of("off"), headers, UNBOUND), Authorized)


@pytest.mark.parametrize(
    ("mode", "authorization", "claims", "advice"),
    [
        ("required", [], UNBOUND, "There was no Authorization header: have the client send its access token."),
        ("off", ["c3VwZXItc2VjcmV0"], UNBOUND, "It came with another scheme, or with none: Bearer is accepted."),
        (
            "preferred",
            ["Basic YTpi"],
            UNBOUND,
            "It came with another scheme, or with none: DPoP or Bearer is accepted.",
        ),
        (
            "required",
            ["bearer a"],
            UNBOUND,
            "It came as Bearer: have the client send a bound token as DPoP with a proof, or set dpop to 'preferred'.",
        ),
        (
            "off",
            ["DPoP a"],
            BOUND,
            "It came as DPoP: set dpop to 'preferred' or 'required', or have the client get tokens that are not bound.",
        ),
        ("off", ["Bearer a"], BOUND, "It came as Bearer: have the client send it as DPoP with a proof by its key."),
        (
            "required",
            ["DPoP a"],
            UNBOUND,
            f"It came as DPoP. {BIND}",
        ),
        ("required", ["DPoP"], BOUND, InvalidToken.advice),
    ],
)
def test_the_advice_says_which_scheme_came(
    mode: Any, authorization: list[str], claims: dict[str, Any], advice: str
) -> None:
    """For the operator, in the log; neither the client nor the log is told what came with it."""
    error = verdict(guard_of(mode), [("Authorization", value) for value in authorization], claims)
    assert isinstance(error, InvalidToken)
    assert error.advice == advice
    assert advice not in str({**error.headers, **error.body})


def test_a_proof_beside_a_bearer_token_has_advice() -> None:
    """It says what the client must change."""
    error = verdict(guard_of("preferred"), [("Authorization", "Bearer a"), ("DPoP", "x")], UNBOUND)
    assert error.advice == "It came as Bearer: have the client send no DPoP header with it, or get bound tokens."


def test_bearer_passes() -> None:
    """A token that is not bound, where Bearer is accepted; claims and subject are not printed."""
    for mode in ("preferred", "off"):
        allowed = verdict(guard_of(mode), [("authorization", "BEARER   abc.d-e_f~+/==")], UNBOUND)
        assert allowed.claims == UNBOUND
        assert (allowed.subject, allowed.client_id, allowed.proof, allowed.headers) == ("ada", "c-1", None, {})
        assert (allowed.scopes, allowed.permissions) == ({"read", "write"}, {"p:read"})
        assert "ada" not in repr(allowed)


def test_what_a_request_presents_does_not_print() -> None:
    """Its token and its proofs, also if they are plain texts."""
    token, proofs = cast("Any", ("DPoP a.b.c", ProofFields([("DPoP", cast("Any", "d.e.f"))])))
    read = _Credentials("dpop", PresentedToken(Secret("a.b.c")), proofs)
    shown = f"{Presented((token,), proofs)!r} {read!r}"
    assert [text for text in ("a.b.c", "d.e.f") if text in shown] == []


def test_the_proof_is_checked() -> None:
    """RFC 9449 §7.1: a proof that is missing or wrong is told in the DPoP challenge."""
    error = verdict(guard_of("preferred"), [("Authorization", "DPoP a")], BOUND)
    assert isinstance(error, InvalidDPoPProof)
    expected = told("DPoP", "invalid_dpop_proof", "the request has no DPoP header")
    assert error.headers["WWW-Authenticate"] == f"{expected}, {BEARER}"
    assert error.body == {"error": "invalid_dpop_proof", "error_description": "the request has no DPoP header"}


@pytest.mark.parametrize("scheme", ["DPoP", "Bearer"])
def test_invalid_token(scheme: str) -> None:
    """RFC 6750 §3.1, RFC 9449 §7.2: a token that the application does not accept, told under its own scheme."""
    status, error, challenges = refusal("preferred", [("Authorization", f"{scheme} a")], None)
    expected = told(scheme, "invalid_token", "the access token is not valid")
    assert (status, error) == (401, "invalid_token")
    assert challenges == (f"{expected}, {BEARER}" if scheme == "DPoP" else f"{DPOP}, {expected}")


@pytest.mark.parametrize(
    ("required", "scope"),
    [
        ({"scopes": ["read", "admin"]}, "read admin"),
        ({"scopes": "admin read"}, "admin read"),
        ({"any_scope": ("a", "b")}, "a b"),
        ({"scopes": ["read"], "any_scope": ["a"]}, "read a"),
    ],
)
def test_missing_scope(required: Any, scope: str) -> None:
    """RFC 6750 §3.1: 403 with the scope that is needed."""
    error = verdict(guard_of("off"), [("Authorization", "Bearer a")], UNBOUND, **required)
    assert isinstance(error, InsufficientScope)
    assert (error.status, error.scope) == (403, scope)
    assert (
        f'error="insufficient_scope", error_description="{error.error_description}", scope="{scope}"'
        in (error.headers["WWW-Authenticate"])
    )


def test_missing_permission() -> None:
    """Asking for a scope would not help: none is named."""
    error = verdict(guard_of("off"), [("Authorization", "Bearer a")], UNBOUND, permissions=["p:read", "p:write"])
    assert isinstance(error, InsufficientScope)
    assert (error.status, error.scope) == (403, "")
    expected = told("Bearer", "insufficient_scope", "the access token lacks a permission")
    assert error.headers["WWW-Authenticate"] == expected


@pytest.mark.parametrize(
    "required",
    [
        {"scopes": {"read", "write"}},
        {"scopes": "read"},
        {"any_scope": ["admin", "write"]},
        {"permissions": ["p:read"]},
        {"scopes": [], "any_scope": [], "permissions": [], "max_age": None, "acr_values": []},
    ],
)
def test_requirements_that_are_met(required: Any) -> None:
    """All scopes, one of several, all permissions; an empty requirement is none."""
    assert isinstance(verdict(guard_of("off"), [("Authorization", "Bearer a")], UNBOUND, **required), Authorized)


@pytest.mark.parametrize(
    ("claims", "required", "passes"),
    [
        ({"auth_time": NOW - 60}, {"max_age": 60}, True),
        ({"auth_time": NOW - 69.5}, {"max_age": 60}, True),
        ({"auth_time": NOW - 71}, {"max_age": 60}, False),
        ({"auth_time": NOW + 9}, {"max_age": 60}, True),
        ({"auth_time": NOW + 11}, {"max_age": 60}, False),
        ({}, {"max_age": 60}, False),
        ({"auth_time": True}, {"max_age": 60}, False),
        ({"auth_time": str(NOW)}, {"max_age": 60}, False),
        ({"auth_time": float("nan")}, {"max_age": 60}, False),
        ({"auth_time": 10**400}, {"max_age": 60}, False),
        ({"auth_time": NOW}, {"max_age": 0}, True),
        ({"acr": "gold"}, {"acr_values": ["gold", "silver"]}, True),
        ({"acr": "bronze"}, {"acr_values": "gold silver"}, False),
        ({}, {"acr_values": ["gold"]}, False),
        ({"acr": ["gold"]}, {"acr_values": ["gold"]}, False),
        ({"acr": "gold"}, {"acr_values": ["gold"], "max_age": 60}, False),
    ],
)
def test_step_up(claims: Any, required: Any, passes: bool) -> None:  # noqa: FBT001 - a table
    """RFC 9470 §3: the login's time and class; what is not known is not enough."""
    guard = Guard(None, guard_of("off").offer, LoginClaims(10.0, lambda: NOW))
    result = verdict(guard, [("Authorization", "Bearer a")], {"sub": "ada", **claims}, **required)
    assert isinstance(result, Authorized if passes else InsufficientUserAuthentication)


@pytest.mark.parametrize(
    ("claims", "required", "problem"),
    [
        ({}, {"max_age": 60}, "the access token has no auth_time"),
        ({"auth_time": NOW + 11}, {"max_age": 60}, "auth_time of the access token is no time, or ahead of this clock"),
        ({"auth_time": "a"}, {"max_age": 60}, "auth_time of the access token is no time, or ahead of this clock"),
        ({"auth_time": NOW - 71}, {"max_age": 60}, "the user logged in too long ago"),
        ({"auth_time": NOW}, {"max_age": 60, "acr_values": "gold"}, "the access token has no acr"),
        ({"acr": "bronze"}, {"max_age": 60, "acr_values": "gold"}, "the user must log in in a stronger way"),
    ],
)
def test_a_step_up_says_why(claims: Any, required: Any, problem: str) -> None:
    """A claim that is missing is named: no login mends that, and the advice asks for none."""
    guard = Guard(None, guard_of("off").offer, LoginClaims(10.0, lambda: NOW))
    error = verdict(guard, [("Authorization", "Bearer a")], {"sub": "ada", **claims}, **required)
    assert isinstance(error, InsufficientUserAuthentication)
    assert error.error_description == problem
    assert ("have the user log in again" in error.advice.lower()) == problem.startswith("the user ")
    assert ("No login changes this: an Action" in error.advice) == (not problem.startswith("the user "))


def test_claims_of_other_names() -> None:
    """Auth0 reserves the plain names: an Action sets claims with a namespace, and the plain ones count for nothing."""
    logins = LoginClaims(10.0, lambda: NOW, "https://a.example/auth_time", "https://a.example/acr")
    guard = Guard(None, guard_of("off").offer, logins)
    named = {"https://a.example/auth_time": NOW, "https://a.example/acr": "gold"}
    required: Any = {"max_age": 60, "acr_values": "gold"}
    plain = verdict(guard, [("Authorization", "Bearer a")], {"auth_time": NOW, "acr": "gold"}, **required)
    assert isinstance(plain, InsufficientUserAuthentication)
    assert plain.error_description == "the access token has no https://a.example/acr"
    assert isinstance(verdict(guard, [("Authorization", "Bearer a")], named, **required), Authorized)


def test_the_challenge_of_a_step_up() -> None:
    """RFC 9470 §3: 401 with what a new login must bring."""
    error = verdict(guard_of("off"), [("Authorization", "Bearer a")], {}, max_age=5, acr_values=["gold", "silver"])
    expected = told(
        "Bearer",
        "insufficient_user_authentication",
        "the access token has no acr",
        ', acr_values="gold silver", max_age="5"',
    )
    assert (error.status, error.headers["WWW-Authenticate"]) == (401, expected)
    assert (error.max_age, error.acr_values) == (5, "gold silver")


def test_the_metadata_is_named() -> None:
    """RFC 9728 §5.1: each challenge points to the metadata, where there is any."""
    error = verdict(guard_of("preferred", resource_metadata=f"{BASE}/m"), [])
    challenges = parse_www_authenticate([error.headers["WWW-Authenticate"]])
    assert [(c.scheme, c.parameters.get("resource_metadata")) for c in challenges] == [
        ("dpop", f"{BASE}/m"),
        ("bearer", f"{BASE}/m"),
    ]


def test_an_error_of_another_service_is_quoted_safely() -> None:
    """A validator may pass on what another service said: no line break, quote or other script reaches a field."""

    def validate(_token: str) -> Any:
        raise InvalidToken(status=401, error='x"\r\ny', error_description='é"\\\n')

    with pytest.raises(InvalidToken) as caught:
        guard_of("off").authorize("GET", "/", [("Authorization", "Bearer a")], validate).send(None)
    assert caught.value.headers["WWW-Authenticate"] == f'{BEARER}, error="x???y", error_description="????"'


def test_an_outage_is_no_challenge() -> None:
    """503, and when to come back."""

    def validate(_token: str) -> Any:
        raise TemporarilyUnavailable(status=503, error="temporarily_unavailable", retry_after=4.6)

    with pytest.raises(TemporarilyUnavailable) as caught:
        guard_of("off").authorize("GET", "/", [("Authorization", "Bearer a")], validate).send(None)
    assert caught.value.headers["Retry-After"] == "5"
    assert "WWW-Authenticate" not in caught.value.headers


def test_other_errors_of_a_validator_pass_through() -> None:
    """They are no refusal of this request."""

    def validate(_token: str) -> Any:
        raise RateLimited(status=429, error="too_many_requests")

    with pytest.raises(RateLimited) as caught:
        guard_of("off").authorize("GET", "/", [("Authorization", "Bearer a")], validate).send(None)
    assert caught.value.headers == {}


async def test_a_validator_may_be_async() -> None:
    """It may wait for something."""

    async def validate(token: str) -> Any:
        return {"sub": str(token)}

    allowed = await guard_of("off").authorize("GET", "/", [("Authorization", "Bearer a")], validate)
    assert allowed.subject == "a"


@pytest.mark.parametrize("result", ["ada", 1, True, ["sub"]])
def test_a_validator_returns_a_mapping(result: Any) -> None:
    """Anything else is a mistake of the application."""
    error = verdict(guard_of("off"), [("Authorization", "Bearer a")], result)
    assert isinstance(error, UsageError)
    assert error.argument == "token_info"


def test_modes() -> None:
    """The schemes of each, the preferred one first."""
    assert [schemes_of(mode) for mode in MODES] == [("dpop",), ("dpop", "bearer"), ("bearer",)]
    with pytest.raises(UsageError, match="dpop"):
        schemes_of("always")  # type: ignore[arg-type] # the mistake


def test_headers_are_checked() -> None:
    """Header fields that are none are a mistake of the application, and are not printed."""
    error = verdict(guard_of("off"), [("Authorization", 1)], UNBOUND)
    assert isinstance(error, UsageError)
    assert error.argument == "headers"


def test_a_verifier_is_needed_for_proofs() -> None:
    """A guard that offers DPoP without a verifier is a mistake, and lets nothing pass."""
    guard = Guard(None, guard_of("required").offer)
    assert isinstance(verdict(guard, [("Authorization", "DPoP a")], BOUND), UsageError)


fields = st.lists(
    st.tuples(
        st.sampled_from(["Authorization", "authorization", "DPoP", "x"]),
        st.text() | st.sampled_from(["DPoP a", "Bearer a", "DPoP", "Bearer ", "Basic a", "bearer a,dpop a"]),
    ),
    max_size=4,
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(JKT),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["jkt", "x5t#S256", "a"]), inner, max_size=2)
    ),
    max_leaves=5,
)
claim_names = st.sampled_from(["sub", "azp", "client_id", "scope", "permissions", "cnf", "auth_time", "acr", "x"])


@given(
    mode=st.sampled_from(MODES),
    headers=fields,
    claims=st.none() | st.dictionaries(claim_names, json_values, max_size=5),
    required=st.sampled_from([{}, {"scopes": ["read"]}, {"max_age": 5}, {"acr_values": "a"}, {"permissions": "p"}]),
)
def test_any_request_passes_or_is_refused(mode: Any, headers: Any, claims: Any, required: Any) -> None:
    """Whatever comes, and whatever a token says: who may pass, or a refusal with a response that can be sent."""
    result = verdict(guard_of(mode), headers, claims, **required)
    assert isinstance(result, Authorized | Refusal)
    if isinstance(result, Authorized):
        assert mode != "required"  # there is no right proof
        return
    assert result.status in {400, 401, 403}
    assert all(value.isprintable() and value.isascii() for value in result.headers.values())
    offered = [c.scheme for c in parse_www_authenticate([result.headers["WWW-Authenticate"]])]
    assert offered == list(schemes_of(mode))


@given(st.lists(st.tuples(st.sampled_from(["Authorization", "DPoP"]), st.binary(max_size=30)), max_size=3))
def test_any_bytes_are_read(pairs: list[tuple[str, bytes]]) -> None:
    """Rule 24: bytes as ASGI has them."""
    headers = [(name.encode(), value) for name, value in pairs]
    with contextlib.suppress(*REFUSALS):
        assert isinstance(verdict(guard_of("preferred"), headers, UNBOUND), (Authorized, *REFUSALS))


def test_the_log_says_why_a_request_was_refused(caplog: pytest.LogCaptureFixture) -> None:
    """Also where the response must not (RFC 6750 §3.1); neither tells the token."""
    caplog.set_level("DEBUG", logger="passwordless_async")
    with pytest.raises(InvalidToken) as caught:
        guard_of("required").authorize("GET", "/", [("Authorization", "Bearer s3cret")], lambda _: None).send(None)
    assert caught.value.body == {}
    refused = "a request was refused: 401 'invalid_request' ('the request has no DPoP access token')"
    assert caplog.messages == [f"{refused}. {caught.value.advice}"]
    assert "s3cret" not in caplog.text


def test_the_log_has_the_advice_for_this_case(caplog: pytest.LogCaptureFixture) -> None:
    """The response has not: the client needs no setting of the API."""
    caplog.set_level("DEBUG", logger="passwordless_async")
    error = verdict(guard_of("off"), [("Authorization", "Bearer a")], {"sub": "ada"}, max_age=60)
    assert isinstance(error, InsufficientUserAuthentication)
    assert caplog.messages == [
        "a request was refused: 401 'insufficient_user_authentication' ('the access token has no auth_time'). "
        + error.advice
    ]
    assert "Action" not in f"{error.headers} {error.body}"


@pytest.mark.parametrize(
    ("required", "missing"),
    [
        ({"scopes": ["read", "b", "a"]}, "a, b"),
        ({"any_scope": ["b", "a"]}, "b or a"),
        ({"permissions": ["p:read", "p:write"]}, "p:write"),
    ],
)
def test_the_log_names_the_scopes_and_permissions_that_are_missing(
    required: Any, missing: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Only those: a developer sees at once what the login did not get."""
    caplog.set_level("DEBUG", logger="passwordless_async")
    error = verdict(guard_of("off"), [("Authorization", "Bearer a")], UNBOUND, **required)
    assert error.advice == f"Missing: {missing}. {InsufficientScope.advice}"
    assert caplog.messages == [
        f"a request was refused: 403 'insufficient_scope' ({error.error_description!a}). {error.advice}"
    ]
    assert "Missing" not in f"{error.headers} {error.body}"
