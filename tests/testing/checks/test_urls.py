"""``htu`` is compared in normal form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from passwordless_async.testing.checks.urls import normalised

if TYPE_CHECKING:
    from helpers.tenant_wire import Wire


@pytest.mark.parametrize(
    "spelling", ["{url}/oauth/token?a=b#c", "{upper}/oauth/token", "{url}/oauth/./x/../token", "{url}/%6Fauth/token"]
)
async def test_other_spellings_of_the_url_pass(warm: Wire, spelling: str) -> None:
    """``htu`` is compared after normalisation, without query and fragment."""
    htu = spelling.format(url=warm.tenant.url, upper=warm.tenant.url.replace("http", "HTTP"))

    assert (await warm.exchange(proof=warm.proof(htu=htu))).status == 200


async def _refused(warm: Wire, proof: str) -> None:
    answer = await warm.exchange(proof=proof)
    assert answer.words[:2] == (400, "invalid_dpop_proof")


@pytest.mark.parametrize(
    "spelling", ["/oauth/token/", "/OAUTH/token", "/oauth%2Ftoken", "/oauth/toke", "//oauth/token"]
)
async def test_other_urls(warm: Wire, spelling: str) -> None:
    """A trailing slash, the case of the path and an escaped slash make another URL."""
    await _refused(warm, warm.proof(htu=warm.tenant.url + spelling))


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("HTTPS://Example.COM:443", "https://example.com/"),
        ("http://example.com:80/a%7eb", "http://example.com/a~b"),
        ("http://example.com:8080/a/../../b/.", "http://example.com:8080/b/"),
        ("http://[::1]:80/%2f%40", "http://[::1]/%2F%40"),
    ],
)
def test_the_normal_form(url: str, normal: str) -> None:
    """RFC 3986 §6.2.2 and §6.2.3."""
    assert normalised(url) == normal
