"""Requests to the tenant: encodings, credentials and the end user's address."""

from __future__ import annotations

import ipaddress
import json
from urllib.parse import parse_qsl, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from joserfc.jwk import RSAKey

from passwordless_async import PrivateKeyJwt, UsageError
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.application import Application
from passwordless_async.auth0.requests import form_request, forwarded_for_header, json_request


def test_a_public_client_cannot_forward_an_address(public: Application) -> None:
    """As for start: the service would ignore it."""
    with pytest.raises(UsageError) as refused:
        forwarded_for_header(public, ipaddress.ip_address("203.0.113.7"))
    assert refused.value.argument == "forwarded_for"


@pytest.mark.parametrize(
    "address",
    [
        "203.0.113.7/24",
        "",
        "1" * 1000,
        ipaddress.ip_interface("203.0.113.7/24"),
        ipaddress.ip_address("fe80::1%eth0"),
        5,
    ],
)
def test_an_address_is_one_address(confidential: Application, address: object) -> None:
    """No list, no interface with its prefix, no address with a zone."""
    with pytest.raises(UsageError) as refused:
        forwarded_for_header(confidential, address)  # type: ignore[arg-type]
    assert refused.value.argument == "forwarded_for"


def test_an_undocumented_use_of_the_address_warns() -> None:
    """It is not documented whether the service uses the address with an assertion."""
    key = RSAKey.generate_key(2048, private=True).as_pem(private=True)
    application = Application("tenant.example", "client", PrivateKeyJwt(key))
    with pytest.warns(UserWarning, match="PrivateKeyJwt is not documented"):
        header = forwarded_for_header(application, ipaddress.ip_address("203.0.113.7"))
    assert header == {"auth0-forwarded-for": "203.0.113.7"}


def test_no_address_is_no_header(public: Application) -> None:
    """A public client without an address is nothing to refuse."""
    assert forwarded_for_header(public, None) == {}


@given(value=st.text(min_size=1, max_size=30))
def test_a_form_carries_any_text(public: Application, value: str) -> None:
    """What is encoded is read back as it was; a field that is None is left out."""
    request = form_request(public, public.token_url, {"a": value, "b": None})
    assert parse_qsl(request.body.decode("ascii"), keep_blank_values=True) == [("client_id", "client"), ("a", value)]


@given(value=st.text(min_size=1, max_size=30))
@example(value="".join(map(chr, range(128))))
def test_a_form_is_encoded_as_the_standard_library_does(public: Application, value: str) -> None:
    """Our encoder is shorter and knows less; quote_plus is its oracle, also for values that are cached."""
    request = form_request(public, public.token_url, {"a": value, "scope": value})
    assert request.body.decode() == f"client_id=client&a={quote_plus(value)}&scope={quote_plus(value)}"


def test_json_leaves_out_members_that_are_none(confidential: Application) -> None:
    """Credentials are members of the body, and known as secrets."""
    request = json_request(confidential, confidential.start_url, {"a": Secret("s"), "b": None})
    assert json.loads(request.body) == {"client_id": "client", "client_secret": "client-secret", "a": "s"}
    assert set(request.secrets) == {"s", "client-secret"}


def test_secrets_are_found_wherever_they_stand(confidential: Application) -> None:
    """A secret in a member of a member is one of the request too: the server's words may repeat it."""
    members = {
        "authParams": {"state": Secret("s1"), "scope": "openid"},
        "list": [Secret("s2"), {"a": (Secret("s3"),)}, 5],
    }
    request = json_request(confidential, confidential.start_url, members)
    assert set(request.secrets) >= {"s1", "s2", "s3"}
    assert "openid" not in request.secrets
