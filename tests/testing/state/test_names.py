"""The names of a tenant, by the ``Host`` of a request."""

from __future__ import annotations

import pytest

from passwordless_async import TESTING, Email, PasswordlessClient, UsageError
from passwordless_async.testing import BOUND_API, LocalTenant
from passwordless_async.testing.state.names import TenantName, TenantNames, public_origins

ADA = Email("ada@example.com")
OWN = TenantName("http://127.0.0.1:8080", "http://127.0.0.1:8080/")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("localhost:8080", "http://localhost:8080"),
        ("LocalHost:8080", "http://localhost:8080"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("127.0.0.2", "http://127.0.0.2"),
        ("localhost:80", "http://localhost"),
        ("localhost:49153", "http://localhost:49153"),  # the port of a container, mapped
    ],
)
def test_every_name_of_loopback_is_its_own(host: str, url: str) -> None:
    """On any port; as a client writes it that has this URL for its domain."""
    assert TenantNames(OWN.url).asked_under([host]) == TenantName(url, f"{url}/")


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        [""],
        ["localhost:8080", "localhost:8080"],
        ["elsewhere.example"],
        ["localhost.elsewhere.example:8080"],
        ["192.168.0.1:8080"],
        ["localhost:99999"],
        ["localhost:"],
        ["local host"],
        ["user@localhost"],
        ["[::1"],
        ["[1:2]:80"],
        ["localhost/path"],
        ["\u212aelvin"],
    ],
)
def test_an_unknown_name_is_not_taken_on(hosts: list[str]) -> None:
    """Another host's name, none, several, or a malformed one: it goes by its own."""
    assert TenantNames(OWN.url).asked_under(hosts) == OWN


def test_public_names() -> None:
    """Those that it was told of count, with their own scheme; the first one stands for what is unknown."""
    names = TenantNames(OWN.url, public_origins(["https://login.test", "http://tenant:8080/"]))

    assert names.asked_under(["login.test"]).issuer == "https://login.test/"
    assert names.asked_under(["LOGIN.test:443"]).url == "https://login.test"
    assert names.asked_under(["tenant:8080"]).url == "http://tenant:8080"
    assert names.asked_under(["tenant:8081"]).url == "https://login.test"
    assert names.asked_under(["localhost:8080"]).url == "http://localhost:8080"


def test_the_port_for_certificates_has_the_issuer_of_the_other() -> None:
    """RFC 8705 §5: the token endpoint is another one, the issuer the same."""
    names = TenantNames("https://127.0.0.1:8443", ("https://login.test",), mtls_port=9443)

    for host in ("127.0.0.1", "localhost", "[::1]"):
        name = names.asked_under([f"{host}:9443"])
        assert name == TenantName(f"https://{host}:9443", f"https://{host}:8443/")
        assert names.mtls_url(names.asked_under([f"{host}:8443"])) == f"https://{host}:9443"
        assert names.mtls_url(name) == f"https://{host}:9443"
    assert names.asked_under(["login.test:9443"]) == TenantName("https://login.test:9443", "https://login.test/")
    assert TenantNames(OWN.url).mtls_url(OWN) is None


@pytest.mark.parametrize(
    "url",
    ["", "tenant", "ftp://tenant", "https://", "https://a/b", "https://u@a", "https://a?x", "https://a:0", "http:/a"],
)
def test_a_public_url_that_is_none(url: str) -> None:
    """A URL with a path, a query or credentials, and anything else, is refused at once."""
    with pytest.raises(UsageError, match="public_url"):
        LocalTenant(public_url=["https://login.test", url])


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
async def test_a_whole_session_by_each_name(host: str) -> None:
    """Discovery, start, exchange, refresh and userinfo agree on the name: ``htu``, ``iss`` and the key set's URL."""
    async with LocalTenant() as tenant:
        url = tenant.url.replace("127.0.0.1", host)
        async with PasswordlessClient(url, tenant.public_client_id, profile=TESTING) as client:
            await client.start(ADA)
            code = tenant.outbox.code_for(ADA)
            tokens = await client.exchange(ADA, code, scope="openid offline_access", audience=BOUND_API)
            tokens = await client.refresh(tokens)
            profile = await client.userinfo(tokens)
        assert tokens.issuer == f"{url}/"
        assert profile["email"] == ADA.address
        assert tenant.disagreements == ()
