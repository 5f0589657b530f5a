"""The wire of the second factor: what is sent, to the byte, and what is made of every answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest

from passwordless_async import (
    AccessDenied,
    Authenticator,
    ClientSecretBasic,
    Email,
    MalformedAnswer,
    MfaChallenge,
    MfaTokenExpired,
    OAuthError,
    Phone,
    TemporarilyUnavailable,
)
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.application import Application
from passwordless_async.auth0.mfa.endpoints import (
    MFA_OOB_GRANT,
    associate_request,
    authenticators_request,
    challenge_request,
    factor_request,
    read_association,
    read_authenticators,
    read_challenge,
    read_recovery_code,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from passwordless_async._common.http import HttpRequest, HttpResponse

MFA_TOKEN = Secret("Fe26.2*mfa")
CHALLENGE = {"challenge_type": "oob", "oob_code": "oob-code", "binding_method": "prompt"}
ASSOCIATION = {
    "authenticator_type": "otp",
    "secret": "JBSWY3DPEHPK3PXP",
    "barcode_uri": "otpauth://totp/x?secret=JBSWY3DPEHPK3PXP",
    "recovery_codes": ["N3BGPZZWJ85JLCNPZBDW6QXC"],
}


def members(request: HttpRequest) -> dict[str, Any]:
    """Return the members of a request's body."""
    read: dict[str, Any] = json.loads(request.body)
    return read


def new_factor(application: Application, **parameters: Any) -> HttpRequest:
    """Build a request for a new factor."""
    return associate_request(
        application, MFA_TOKEN, **{"types": ["otp"], "channels": (), "phone": None, "email": None, **parameters}
    )


def test_the_list_is_asked_for_with_the_token(public: Application) -> None:
    """A GET that bears the MFA token, and nothing else."""
    request = authenticators_request(public, MFA_TOKEN)
    assert (
        request.method,
        str(request.url),
        request.body,
        dict(request.headers),
    ) == ("GET", "https://tenant.example/mfa/authenticators", b"", {"Authorization": "Bearer Fe26.2*mfa"})
    assert request.secrets == (MFA_TOKEN,)


def test_a_challenge_is_json(public: Application, confidential: Application) -> None:
    """The token, the application's credentials, the types and the factor, where there is one, as JSON."""
    request = challenge_request(public, MFA_TOKEN, types=("otp", "oob"), authenticator_id=None)
    assert (request.method, str(request.url)) == ("POST", "https://tenant.example/mfa/challenge")
    assert members(request) == {"client_id": "client", "mfa_token": MFA_TOKEN, "challenge_type": "otp oob"}
    request = challenge_request(confidential, MFA_TOKEN, types=("oob",), authenticator_id="sms|dev_1")
    assert members(request) == {
        "client_id": "client",
        "client_secret": "client-secret",
        "mfa_token": MFA_TOKEN,
        "challenge_type": "oob",
        "authenticator_id": "sms|dev_1",
    }
    assert set(request.secrets) == {"Fe26.2*mfa", "client-secret"}


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, {"authenticator_types": ["otp"]}),
        (
            {"types": ["oob"], "channels": ["sms"], "phone": Phone("+4930901820")},
            {"authenticator_types": ["oob"], "oob_channels": ["sms"], "phone_number": "+4930901820"},
        ),
        (
            {"types": ["oob"], "channels": ["email"], "email": Email("a@b.example")},
            {"authenticator_types": ["oob"], "oob_channels": ["email"], "email": "a@b.example"},
        ),
    ],
)
def test_an_association_is_json(public: Application, parameters: dict[str, Any], expected: dict[str, Any]) -> None:
    """Types, channels and place as JSON; the MFA token is in the header."""
    request = new_factor(public, **parameters)
    assert (request.method, str(request.url)) == ("POST", "https://tenant.example/mfa/associate")
    assert members(request) == {"client_id": "client", **expected}
    assert request.headers["Authorization"] == "Bearer Fe26.2*mfa"
    assert MFA_TOKEN in request.secrets


@pytest.mark.parametrize("json_endpoints", [False, True])
def test_an_association_and_http_basic(*, json_endpoints: bool) -> None:
    """The header is the MFA token's: an application that authenticates by HTTP Basic has its secret in the body."""
    basic = ClientSecretBasic("client-secret", json_endpoints=json_endpoints)
    request = new_factor(Application("tenant.example", "client", basic))
    assert (
        request.headers["Authorization"],
        members(request)["client_secret"],
    ) == ("Bearer Fe26.2*mfa", "client-secret")


def test_a_factor_is_a_form(confidential: Application) -> None:
    """The grant is a form at the token endpoint; what is None is left out."""
    fields = {"mfa_token": MFA_TOKEN, "oob_code": Secret("o"), "binding_code": None}
    request = factor_request(confidential, MFA_OOB_GRANT, fields)
    assert str(request.url) == "https://tenant.example/oauth/token"
    assert dict(parse_qsl(request.body.decode())) == {
        "client_id": "client",
        "client_secret": "client-secret",
        "grant_type": "http://auth0.com/oauth/grant-type/mfa-oob",
        "mfa_token": "Fe26.2*mfa",
        "oob_code": "o",
    }
    assert set(request.secrets) == {"Fe26.2*mfa", "o", "client-secret"}


def listed(public: Application, response: HttpResponse) -> tuple[Authenticator, ...]:
    return read_authenticators(authenticators_request(public, MFA_TOKEN), response)


def test_authenticators(public: Application, answer: Callable[..., HttpResponse]) -> None:
    """What is not there has its default, and the order is the service's; the name does not show."""
    rows = [
        {"id": "totp|dev_1", "authenticator_type": "otp", "active": True, "more": {}},
        {"id": "sms|dev_2", "authenticator_type": "oob", "active": False, "oob_channel": "sms", "name": "XXXX1820"},
        {"id": "x", "authenticator_type": "recovery-code", "name": 5, "oob_channel": None},
    ]
    read = listed(public, answer(200, rows))
    assert read == (
        Authenticator("totp|dev_1", "otp", active=True),
        Authenticator("sms|dev_2", "oob", active=False, oob_channel="sms", name="XXXX1820"),
        Authenticator("x", "recovery-code", active=True),
    )
    assert "1820" not in repr(read)
    assert listed(public, answer(200, [])) == ()


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({}, "not a JSON array"),
        (b"[", "not a JSON array"),
        (b"", "not a JSON array"),
        (b"\xff", "not a JSON array"),
        ([{"id": str(n), "authenticator_type": "otp"} for n in range(101)], "not a JSON array"),
        ([5], "not a JSON object"),
        ([{"id": "x"}], "no id or no authenticator_type"),
        ([{"id": "", "authenticator_type": "otp"}], "no id or no authenticator_type"),
        ([{"id": 5, "authenticator_type": "otp"}], "id is not a string"),
        ([{"id": "a b", "authenticator_type": "otp"}], "id is not a string"),
        ([{"id": "x" * 513, "authenticator_type": "otp"}], "id is not a string"),
        ([{"id": "x", "authenticator_type": "otp", "oob_channel": ["sms"]}], "oob_channel is not a string"),
    ],
)
def test_malformed_lists(public: Application, answer: Callable[..., HttpResponse], body: Any, problem: str) -> None:
    """A list that cannot be trusted says why."""
    with pytest.raises(MalformedAnswer, match=problem):
        listed(public, answer(200, body))


def test_a_list_that_says_it_is_something_else(public: Application, answer: Callable[..., HttpResponse]) -> None:
    """The content type counts, as everywhere."""
    with pytest.raises(MalformedAnswer):
        listed(public, answer(200, [], Content_Type="text/html"))


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, {"error": "expired_token", "error_description": "mfa_token is expired"}, MfaTokenExpired),
        (403, {"error": "access_denied"}, AccessDenied),
        (403, {"error": "association_required"}, OAuthError),
        (500, {}, TemporarilyUnavailable),
        (302, {}, MalformedAnswer),
        (204, b"", MalformedAnswer),
        (403, b"<html>", MalformedAnswer),
    ],
)
def test_refusals(
    public: Application, answer: Callable[..., HttpResponse], status: int, body: Any, error: type[Exception]
) -> None:
    """Each endpoint reads what is no success in the same way."""
    request = new_factor(public)
    for read in (
        lambda: read_authenticators(request, answer(status, body)),
        lambda: read_challenge(request, answer(status, body), types=("otp",), sent_at=0),
        lambda: read_association(request, answer(status, body), sent_at=0),
    ):
        with pytest.raises(error):
            read()


def challenged(public: Application, response: HttpResponse, *types: str) -> MfaChallenge:
    request = challenge_request(public, MFA_TOKEN, types=types, authenticator_id=None)
    return read_challenge(request, response, types=types or ("otp", "oob"), sent_at=1000.9)


@pytest.mark.parametrize(
    ("body", "expected", "prompts"),
    [
        (CHALLENGE, MfaChallenge("oob", Secret("oob-code"), "prompt", 1300), True),
        ({**CHALLENGE, "binding_method": None}, MfaChallenge("oob", Secret("oob-code"), None, 1300), False),
        ({**CHALLENGE, "binding_method": "none"}, MfaChallenge("oob", Secret("oob-code"), "none", 1300), False),
        ({"challenge_type": "otp", "oob_code": "x"}, MfaChallenge("otp", None, None, 1300), False),
    ],
)
def test_challenges(
    public: Application, answer: Callable[..., HttpResponse], body: Any, expected: MfaChallenge, *, prompts: bool
) -> None:
    """A challenge is good for five minutes from when it was asked for; its handle does not show."""
    read = challenged(public, answer(200, body))
    assert (read, read.prompts) == (expected, prompts)
    assert "oob-code" not in repr(read)


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"challenge_type": "sms"},
        {"challenge_type": ["oob"], "oob_code": "x"},
        {"challenge_type": "oob"},
        {**CHALLENGE, "oob_code": 5},
        {**CHALLENGE, "oob_code": "a b"},
        {**CHALLENGE, "oob_code": "x" * 16_385},
        {**CHALLENGE, "binding_method": {"type": "prompt"}},
    ],
)
def test_malformed_challenges(public: Application, answer: Callable[..., HttpResponse], body: Any) -> None:
    """What is missing, of another type, too long or not what was asked for is refused."""
    with pytest.raises(MalformedAnswer):
        challenged(public, answer(200, body))


def test_a_challenge_that_was_not_asked_for(public: Application, answer: Callable[..., HttpResponse]) -> None:
    """A message is not taken for an app's code."""
    with pytest.raises(MalformedAnswer, match="or was not requested"):
        challenged(public, answer(200, CHALLENGE), "otp")


def test_associations(public: Application, answer: Callable[..., HttpResponse]) -> None:
    """An app has its secret, an out-of-band factor its challenge; the recovery codes are told once, and not printed."""
    request = new_factor(public)
    app = read_association(request, answer(200, ASSOCIATION), sent_at=1000)
    assert (
        app.secret,
        app.barcode_uri,
        app.recovery_codes,
    ) == (ASSOCIATION["secret"], ASSOCIATION["barcode_uri"], ("N3BGPZZWJ85JLCNPZBDW6QXC",))
    assert "JBSWY3DPEHPK3PXP" not in repr(app)
    assert "N3BG" not in repr(app)
    many = read_association(request, answer(200, ASSOCIATION | {"recovery_codes": ["x"] * 32}), sent_at=1000)
    assert many.recovery_codes == ("x",) * 32
    body = {"authenticator_type": "oob", "oob_channel": "sms", "oob_code": "o", "binding_method": "prompt"}
    sms = read_association(request, answer(201, body), sent_at=1000)
    assert (
        sms.recovery_codes,
        sms.oob_channel,
        sms.oob_code,
        sms.challenge,
    ) == ((), "sms", "o", MfaChallenge("oob", Secret("o"), "prompt", 1300))


@pytest.mark.parametrize(
    "changes",
    [
        {"authenticator_type": None},
        {"authenticator_type": "webauthn"},
        {"authenticator_type": "oob"},
        {"secret": None},
        {"secret": 5},
        {"barcode_uri": ["x"]},
        {"recovery_codes": "N3BGPZZWJ85JLCNPZBDW6QXC"},
        {"recovery_codes": [5]},
        {"recovery_codes": ["a b"]},
        {"recovery_codes": ["x"] * 33},
    ],
)
def test_malformed_associations(
    public: Application, answer: Callable[..., HttpResponse], changes: dict[str, Any]
) -> None:
    """What is missing, of another type or too long is refused."""
    with pytest.raises(MalformedAnswer):
        read_association(new_factor(public), answer(200, ASSOCIATION | changes), sent_at=0)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"recovery_code": "NEW"}, "NEW"),
        (403, {"error": "mfa_required", "recovery_code": "NEW"}, "NEW"),
        (200, {"recovery_code": 5}, None),
        (200, {"recovery_code": "a b"}, None),
        (200, {"recovery_code": "x" * 257}, None),
        (200, {}, None),
        (200, b"recovery_code", None),
    ],
)
def test_a_new_recovery_code(answer: Callable[..., HttpResponse], status: int, body: Any, expected: str | None) -> None:
    """It is read whatever else the answer says, and its being malformed does not take the tokens away."""
    code = read_recovery_code(answer(status, body))
    assert code == expected
    assert code is None or repr(code) == "<redacted>"
