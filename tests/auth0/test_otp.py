"""The OTP grant: what an exchange sends, and what a refusal means."""

from __future__ import annotations

import base64
import ipaddress
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from helpers.flows import (
    ADA,
    CHALLENGE,
    KEY,
    NOW,
    TOKEN_URL,
    TOKENS,
    WRONG,
    Clock,
    answer,
    end,
    form,
    jwks,
    login,
    new_tenant,
    proof,
    stop_clocks,
)
from passwordless_async import (
    ClientSecretPost,
    DPoPKey,
    Email,
    InvalidIdToken,
    Login,
    MalformedAnswer,
    MfaRequired,
    OAuthError,
    Phone,
    RateLimited,
    TokenSet,
    UsageError,
    WrongCode,
)
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.application import Application
from passwordless_async.auth0.otp import OTP_GRANT, exchange, otp_request
from passwordless_async.auth0.requests import forwarded_for_header
from passwordless_async.auth0.tenant import Tenant

if TYPE_CHECKING:
    from passwordless_async._common.http import HttpResponse


LOGIN, PHONE = Login(ADA, "123456"), Phone("+4930901820")


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stop the clocks."""
    return stop_clocks(monkeypatch)


@pytest.fixture
def tenant() -> Tenant:
    """Return a tenant that knows neither nonce nor key."""
    return new_tenant()


def test_a_second_factor_is_for_the_user_of_the_first(tenant: Tenant) -> None:
    """The state that continues the login knows whose it is."""
    flow = exchange(tenant, login())
    next(flow)
    demanded = {"error": "mfa_required", "mfa_token": "Fe26.2*x", "mfa_requirements": {}}
    with pytest.raises(MfaRequired) as error:
        flow.send(answer(403, demanded))
    assert error.value.state is not None
    assert error.value.state.who == ADA


def test_an_exchange_is_one_request_with_a_proof(tenant: Tenant) -> None:
    """A server that wants no nonce is sent one request; the proof is for it and without ath."""
    flow = exchange(tenant, login())
    request = next(flow)
    assert (request.method, str(request.url)) == ("POST", TOKEN_URL)
    assert tuple(form(request)[name] for name in ("username", "otp", "realm")) == ("ada@example.com", "123456", "email")
    claims = proof(request)
    assert {name: claims[name] for name in ("htm", "htu")} == {"htm": "POST", "htu": TOKEN_URL}
    assert claims.keys() == {"htm", "htu", "iat", "jti"}
    tokens = end(flow, answer(200, TOKENS))
    expected = TokenSet(Secret("opaque"), "DPoP", int(NOW) + 86400, "", None, None, None, KEY)
    facts: dict[str, Any] = {"jkt": KEY.thumbprint, "issuer": "https://tenant.example/", "client_id": "client"}
    assert attrs.evolve(expected, **facts) == tokens


def test_a_key_is_made_for_each_login(tenant: Tenant) -> None:
    """Two logins without a key of their own are bound to two keys; the proof is by the key that comes back."""
    made = []
    for _ in range(2):
        flow = exchange(tenant, login(key=None))
        header = json.loads(base64.urlsafe_b64decode(next(flow).headers["DPoP"].split(".")[0] + "=="))
        tokens = end(flow, answer(200, TOKENS))
        assert header["jwk"] == tokens.key.to_jwk()
        made.append(tokens.key)
    assert made[0] != made[1]


def test_a_confidential_client_sends_its_secret_each_time(tenant: Tenant) -> None:
    """Client authentication and the end user's address go with both transmissions."""
    tenant = Tenant(Application("tenant.example", "client", ClientSecretPost("s3cret")))
    flow = exchange(tenant, login(), forwarded_for=ipaddress.ip_address("203.0.113.7"))
    requests = [next(flow), flow.send(answer(400, CHALLENGE, nonce="n1"))]
    assert [form(request)["client_secret"] for request in requests] == ["s3cret"] * 2
    assert [request.headers["auth0-forwarded-for"] for request in requests] == ["203.0.113.7"] * 2


def test_an_address_for_a_public_client_is_refused_before_anything_is_sent(tenant: Tenant) -> None:
    """A wrong argument is refused before even the signing keys are fetched."""
    flow = exchange(tenant, login("openid"), forwarded_for=ipaddress.ip_address("203.0.113.7"))
    with pytest.raises(UsageError) as refused:
        next(flow)
    assert refused.value.argument == "forwarded_for"


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (answer(403, WRONG), WrongCode),
        (answer(429, {}), RateLimited),
        (answer(400, {"error": "something"}), OAuthError),
        (answer(401, CHALLENGE, nonce="n1"), OAuthError),
        (answer(400, CHALLENGE, nonce="n1", content_type="text/html"), MalformedAnswer),
        (answer(403, b"<html>", content_type="text/html"), MalformedAnswer),
        (answer(302, b""), MalformedAnswer),
        (answer(204, b""), MalformedAnswer),
        (answer(200, b"junk"), MalformedAnswer),
        (answer(200, {}), MalformedAnswer),
    ],
)
def test_a_refusal_is_final(tenant: Tenant, response: HttpResponse, kind: type[Exception]) -> None:
    """A code is sent again in answer to a challenge alone."""
    flow = exchange(tenant, login())
    next(flow)
    with pytest.raises(kind):
        flow.send(response)


def test_extra_parameters_go_with_the_grant(tenant: Tenant) -> None:
    """They are parameters of the token request beside the grant's own; what a server repeats of them is redacted."""
    extra = {"device_mark": "m-1 & more", "invited.by": "ada"}
    flow = exchange(tenant, login(extra_parameters=extra))
    request = next(flow)
    sent = form(request)
    assert {name: sent[name] for name in extra} == extra
    assert (sent["grant_type"], sent["otp"]) == (OTP_GRANT, "123456")
    with pytest.raises(OAuthError) as refused:
        flow.send(answer(403, {"error": "access_denied", "error_description": "device m-1 & more is unknown"}))
    assert refused.value.error_description == "device <redacted> is unknown"


@pytest.mark.parametrize("key", [{"kty": "EC"}, "key", 5, DPoPKey])
def test_a_key_that_is_none_is_refused_before_anything_is_sent(key: object) -> None:
    """A wrong key is refused by name."""
    with pytest.raises(UsageError) as refused:
        login("openid", key=key)
    assert refused.value.argument == "key"


# Exchange: the binding.


def test_max_age_needs_an_id_token(tenant: Tenant) -> None:
    """To leave the ID token out is no way around a check that was asked for."""
    tenant.keys.learn(jwks("k1"))
    flow = exchange(tenant, login("openid", max_age=60))
    next(flow)
    with pytest.raises(InvalidIdToken) as refused:
        flow.send(answer(200, TOKENS))
    assert str(refused.value) == "ID token, auth_time: is missing: there is no ID token"


@pytest.mark.parametrize("parameters", [{"scope": None}, {"scope": "profile"}, {"scope": "openid", "max_age": 0}])
def test_max_age_is_checked_before_anything_is_sent(parameters: dict[str, Any]) -> None:
    """It needs the scope openid, and is a number of seconds."""
    with pytest.raises(UsageError) as refused:
        login(**{"max_age": 60, **parameters})
    assert refused.value.argument == "max_age"


def test_a_public_client_sends_these_and_no_others(public: Application) -> None:
    """The grant's form, to the letter; what was not asked for is left out."""
    request = otp_request(public, LOGIN, None)
    assert (request.method, str(request.url)) == ("POST", "https://tenant.example/oauth/token")
    assert sorted(parse_qsl(request.body.decode(), strict_parsing=True)) == sorted(
        [
            ("grant_type", "http://auth0.com/oauth/grant-type/passwordless/otp"),
            ("client_id", "client"),
            ("username", "ada@example.com"),
            ("otp", "123456"),
            ("realm", "email"),
        ]
    )
    assert request.headers == {"Content-Type": "application/x-www-form-urlencoded"}
    assert (request.secrets, request.shareable) == (("123456",), False)


def test_a_confidential_client_sends_everything(confidential: Application) -> None:
    """Secret, audience, scope and the end user's address each have their place; both secrets are known as such."""
    login = Login(PHONE, "a&b=c+d%", scope="openid read:x", audience="https://api.example/ä?x=1&y")
    request = otp_request(confidential, login, forwarded_for_header(confidential, ipaddress.ip_address("2001:db8::1")))
    assert dict(parse_qsl(request.body.decode(), strict_parsing=True)) == {
        "grant_type": OTP_GRANT,
        "client_id": "client",
        "client_secret": "client-secret",
        "username": "+4930901820",
        "otp": "a&b=c+d%",
        "realm": "sms",
        "audience": "https://api.example/ä?x=1&y",
        "scope": "openid read:x",
    }
    assert request.headers["auth0-forwarded-for"] == "2001:db8::1"
    assert set(request.secrets) == {"client-secret", "a&b=c+d%"}


@settings(max_examples=200, deadline=None)
@example(otp="0-", local="a")
@given(
    otp=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40),
    local=st.text(min_size=1, max_size=10),
)
def test_any_code_and_address_arrive_as_they_were(public: Application, otp: str, local: str) -> None:
    """The form carries each code and address as it was, in one parameter; digits alone lose the dashes between them."""
    digits = otp.replace("-", "")
    expected = digits if digits.isdecimal() else otp
    try:
        who = Email(f"{local}@example.com")
    except UsageError:
        return
    body = otp_request(public, Login(who, otp), None).body.decode("ascii")
    fields = parse_qsl(body, strict_parsing=True)
    assert (5, expected, who.address) == (len(fields), dict(fields)["otp"], dict(fields)["username"])
