"""Metadata documents of the tenant (OpenID Connect Discovery)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from multidict import CIMultiDict

from fuzz.engine import Target
from passwordless_async import MalformedAnswer, NoClientAuth
from passwordless_async._common.http import HttpResponse
from passwordless_async.auth0.application import Application
from passwordless_async.auth0.metadata import read_endpoints

if TYPE_CHECKING:
    from fuzz.mutator import Mutator

ISSUER = "https://tenant.example/"
APPLICATION = Application("tenant.example", "client", NoClientAuth())
RIGHT = {
    "issuer": ISSUER,
    "token_endpoint": f"{ISSUER}oauth/token",
    "revocation_endpoint": f"{ISSUER}oauth/revoke",
    "userinfo_endpoint": f"{ISSUER}userinfo",
    "mfa_challenge_endpoint": f"{ISSUER}mfa/challenge",
    "jwks_uri": f"{ISSUER}.well-known/jwks.json",
    "mtls_endpoint_aliases": {"token_endpoint": "https://mtls.tenant.example/oauth/token"},
}
NEAR = [
    *("http://tenant.example/oauth/token", "https://user:password@tenant.example/", "https://tenant.example/#x", "//x"),
    *("https://[::1]:1/", "https://[::1", "https://tenant.example:99999/", "https://tenant.example:x/", "/oauth/token"),
    *("file:///etc/passwd", "javascript:x", "https:tenant.example", "https:///x", "https://\u212aelvin.example/x"),
    *(
        "https://127.0.0.1/x",
        "http://127.0.0.1/x",
        "https://ex ample/",
        "https://tenant.example\\@evil/",
        "https://%00/",
    ),
    *("https://xn--/", "https://" + "a" * 70 + ".example/", "https://tenant.example/" + "a" * 2100, ISSUER),
]


@attrs.frozen
class Given:
    """A response."""

    status: int
    body: bytes


def draw(mutator: Mutator) -> Given:
    status = 200 if mutator.often(0.97) else mutator.choice((201, 204, 301, 404, 500))
    document: Any = dict(RIGHT)
    if mutator.often(0.7):
        name = mutator.choice(tuple(RIGHT))
        document[name] = mutator.other(document[name], NEAR)
    return Given(status, mutator.encoded(mutator.value(document, NEAR)))


def check(given: Given) -> str:
    response = HttpResponse(given.status, CIMultiDict({"Content-Type": "application/json"}), given.body)
    try:
        endpoints = read_endpoints(APPLICATION, response)
        moved = APPLICATION.at(endpoints)
    except MalformedAnswer as error:
        return str(error)
    for url in endpoints.values():
        assert (url.scheme, url.user, url.password, bool(url.host)) == ("https", None, None, True)
    assert moved.issuer == ISSUER
    return f"{len(endpoints)} endpoints"


def make() -> Target:
    """Return the target."""
    return Target(draw, check)
