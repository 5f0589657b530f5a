"""The tenant's metadata: which endpoints it names, and which of them may be sent to."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest

from helpers import flows
from passwordless_async import MalformedAnswer, NoClientAuth, TlsClientAuth
from passwordless_async.auth0.application import Application
from passwordless_async.auth0.metadata import Metadata, metadata_request, read_endpoints

if TYPE_CHECKING:
    from collections.abc import Callable

    from passwordless_async._common.http import HttpResponse

ISSUER = "https://tenant.example/"
TOKEN = "https://tenant.example/oauth/token"
ALIAS = "https://mtls.tenant.example/oauth/token"
ALIASES = {"mtls_endpoint_aliases": {"token_endpoint": ALIAS, "jwks_uri": "https://mtls.tenant.example/keys"}}
CERTIFIED = Application("tenant.example", "client", TlsClientAuth(ssl.create_default_context()))


def endpoints(answer: HttpResponse, application: Application) -> dict[str, str]:
    """Return the endpoints that metadata names, as text."""
    return {name: str(url) for name, url in read_endpoints(application, answer).items()}


def test_the_request_is_a_public_one(public: Application) -> None:
    """It has no credentials, and callers share it."""
    request = metadata_request(public)
    assert (request.method, str(request.url)) == ("GET", f"{ISSUER}.well-known/openid-configuration")
    assert request.shareable
    assert request.headers == {}


def test_endpoints_are_those_that_are_named(public: Application, answer: Callable[..., HttpResponse]) -> None:
    """Those that the metadata does not name stay at the domain; the issuer stays anyway."""
    named = {
        "token_endpoint": "https://login.example/token",
        "revocation_endpoint": "https://login.example/revoke",
        "userinfo_endpoint": "https://login.example/me",
        "mfa_challenge_endpoint": "https://login.example/challenge",
        "jwks_uri": "https://keys.example/jwks",
    }
    moved = public.at(read_endpoints(public, answer(200, {"issuer": ISSUER, **named, **ALIASES})))
    assert [
        str(url)
        for url in (moved.token_url, moved.revoke_url, moved.userinfo_url, moved.mfa_challenge_url, moved.jwks_url)
    ] == list(named.values())
    assert str(moved.start_url) == f"{ISSUER}passwordless/start"
    assert moved.issuer == ISSUER
    assert moved.token_origin == "https://login.example"


CERTIFIED_PLACE = "https://mtls.tenant.example"


@pytest.mark.parametrize(
    ("named", "start", "associate"),
    [
        pytest.param({"token_endpoint": ALIAS}, CERTIFIED_PLACE, CERTIFIED_PLACE, id="all beside the token endpoint"),
        pytest.param(
            {"token_endpoint": ALIAS, "mfa_challenge_endpoint": "https://mfa.example/t/mfa/challenge"},
            CERTIFIED_PLACE,
            "https://mfa.example/t",
            id="of the second factor, beside its challenges",
        ),
        pytest.param(
            {"token_endpoint": f"{ALIAS}?a=b"}, ISSUER[:-1], ISSUER[:-1], id="at the domain, by no usual path"
        ),
        pytest.param({"token_endpoint": "https://other.example/my-oauth/token"}, ISSUER[:-1], ISSUER[:-1], id="nor so"),
    ],
)
def test_endpoints_without_a_name_are_beside_those_with_one(
    named: dict[str, str], start: str, associate: str, answer: Callable[..., HttpResponse]
) -> None:
    """A start or an enrolment needs the certificate too, and metadata has no name for either."""
    document = {"issuer": ISSUER, "mtls_endpoint_aliases": named}
    moved = CERTIFIED.at(read_endpoints(CERTIFIED, answer(200, document)))
    assert [str(moved.start_url), str(moved.otp_challenge_url)] == [
        f"{start}/passwordless/start",
        f"{start}/otp/challenge",
    ]
    assert [str(moved.mfa_associate_url), str(moved.mfa_authenticators_url)] == [
        f"{associate}/mfa/associate",
        f"{associate}/mfa/authenticators",
    ]


def test_aliases_count_for_a_client_certificate(answer: Callable[..., HttpResponse]) -> None:
    """RFC 8705 §5: an alias counts before the endpoint itself; the keys are where they are for all."""
    document = {"issuer": ISSUER, "token_endpoint": TOKEN, "revocation_endpoint": f"{ISSUER}oauth/revoke", **ALIASES}
    named = endpoints(answer(200, document), CERTIFIED)
    assert (named["token_url"], named["revoke_url"]) == (ALIAS, f"{ISSUER}oauth/revoke")
    assert "jwks_url" not in named


@pytest.mark.parametrize("aliases", [None, "no object", []])
def test_aliases_that_are_none_are_ignored(aliases: object, answer: Callable[..., HttpResponse]) -> None:
    """The endpoints are then those of all clients."""
    document = {"issuer": ISSUER, "token_endpoint": TOKEN, "mtls_endpoint_aliases": aliases}
    assert CERTIFIED.at(read_endpoints(CERTIFIED, answer(200, document))).start_url == CERTIFIED.start_url
    assert endpoints(answer(200, document), CERTIFIED)["token_url"] == TOKEN


def test_a_tenant_without_metadata_has_its_endpoints_at_the_domain(
    public: Application, answer: Callable[..., HttpResponse]
) -> None:
    """404 says that it publishes none."""
    assert endpoints(answer(404, b""), public) == {}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"issuer": "https://other.example/"},
        {"issuer": ISSUER.rstrip("/")},
        {"issuer": ISSUER, "token_endpoint": "http://tenant.example/oauth/token"},
        {"issuer": ISSUER, "token_endpoint": "http://127.0.0.1:8080/oauth/token"},
        {"issuer": ISSUER, "token_endpoint": "/oauth/token"},
        {"issuer": ISSUER, "token_endpoint": "https://user:pw@tenant.example/oauth/token"},
        {"issuer": ISSUER, "token_endpoint": "https://tenant.example/oauth/token#part"},
        {"issuer": ISSUER, "token_endpoint": "https://"},
        {"issuer": ISSUER, "token_endpoint": "https://[::1"},
        {"issuer": ISSUER, "token_endpoint": "https://tenant.example/" + "a" * 2048},
        {"issuer": ISSUER, "jwks_uri": ["https://tenant.example/keys"]},
    ],
)
def test_metadata_that_must_not_be_followed(
    document: dict[str, Any], public: Application, answer: Callable[..., HttpResponse]
) -> None:
    """Another issuer's, or an endpoint that a secret must not be sent to."""
    with pytest.raises(MalformedAnswer):
        read_endpoints(public, answer(200, document))


@pytest.mark.parametrize(("status", "body"), [(500, {}), (302, b""), (200, b"<html>"), (200, [])])
def test_an_answer_that_is_no_metadata(
    status: int, body: Any, public: Application, answer: Callable[..., HttpResponse]
) -> None:
    """It is an error: the endpoints are unknown."""
    with pytest.raises(MalformedAnswer):
        read_endpoints(public, answer(status, body))


def test_plain_http_is_for_loopback(answer: Callable[..., HttpResponse]) -> None:
    """A local tenant's endpoints may be plain http."""
    local = Application("http://127.0.0.1:8080", "client", NoClientAuth())
    document = {"issuer": "http://127.0.0.1:8080/", "token_endpoint": "http://localhost:9090/token"}
    assert endpoints(answer(200, document), local) == {"token_url": "http://localhost:9090/token"}


def test_it_is_read_once_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is due at first and after a day; after a renewal that failed, in a minute. Unwanted it is never due."""
    clock = flows.stop_clocks(monkeypatch)
    metadata, unwanted = Metadata(wanted=True), Metadata()
    assert (metadata.due, unwanted.due) == (True, False)
    assert not metadata.may_go_on()
    assert metadata.due
    metadata.has_read()
    due = [metadata.due]
    clock.time += 86_400
    due.append(metadata.due)
    assert metadata.may_go_on()
    due.append(metadata.due)
    clock.time += 60
    due.append(metadata.due)
    assert due == [False, True, False, True]
