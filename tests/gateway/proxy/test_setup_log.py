"""Problems with the setup of an upstream, as the log shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from helpers.upstreams import READ, problem
from passwordless_async._common.secret import Secret
from passwordless_async.gateway import Upstream
from passwordless_async.gateway.proxy.admission import Refusal
from passwordless_async.gateway.proxy.setup_log import SetupLog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from helpers.upstreams import Front

    Serve = Callable[..., Awaitable[Front]]


@pytest.mark.parametrize(
    ("requested", "unrequested"), [("openid", "admin, write"), ("openid admin", "write"), ("openid admin write", None)]
)
def test_scopes_that_no_login_requests_are_logged_once(
    requested: str, unrequested: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """As a warning: no user can have them. A user who just lacks a right is named at DEBUG."""
    caplog.set_level("DEBUG", "passwordless_async")
    log = SetupLog(Upstream("/api/", "https://api.example", scopes="openid write admin"))
    for _ in range(2):
        with pytest.raises(Refusal, match="scope_missing"):
            log.require_scopes("openid", requested)
    log.require_scopes("admin openid write", requested)
    refused = "a call to the upstream /api/ is refused as scope_missing: the access token lacks admin, write"
    warning = (
        f"The upstream /api/ needs scopes that scope= of the gateway does not request ({unrequested}), and its user "
        "gets a 403 (scope_missing). This is logged once"
    )
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("DEBUG", refused),
        *([] if unrequested is None else [("WARNING", warning)]),
        ("DEBUG", refused),
    ]


async def test_a_gateway_without_the_audience_of_the_api(serve_front: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """The API's 401 is forwarded, and the log says once which setting is missing; the token is not in it."""
    front = await serve_front(audience=None)
    browser = await front.logged_in()
    for _ in range(2):
        assert (await browser.get("/api/me", READ)).status == 401
    warning = (
        "The upstream /api/ answers 401 to an access token that is not a signed JWT: audience= of the gateway is "
        "missing. It is the identifier of the API in the tenant. This is logged once"
    )
    assert [each.getMessage() for each in caplog.records if "audience" in each.getMessage()] == [warning]


@pytest.mark.parametrize(
    ("status", "token", "audience"),
    [(401, "a.eyJhdWQiOiJ1cm46YSJ9.b", None), (401, "opaque", "urn:a"), (403, "opaque", None), (200, "opaque", None)],
)
def test_other_answers_do_not_blame_the_audience(
    status: int, token: str, audience: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """A JWT is for an API: the tenant has a default audience."""
    log = SetupLog(Upstream("/api/", "https://api.example"))
    log.note_token(status, Secret(token), audience)
    assert caplog.messages == []


async def test_a_login_in_vain_is_logged_once(serve_front: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """For each upstream and each claim: a user who tries again writes nothing more."""
    front = await serve_front()
    browser = await front.logged_in()
    asked = [""]

    def answer(_request: web.Request) -> web.Response:
        challenge = f'DPoP error="insufficient_user_authentication", {asked[0]}'
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    front.api.answer = answer
    for asked[0] in ("max_age=300", 'acr_values=""', "max_age=600", "max_age=300"):
        for path in ("/api/answer", "/api/answer?again"):
            assert problem(await browser.get(path, READ)) == (403, "login_not_enough")
    first, second = [each.getMessage() for each in caplog.records if "login_not_enough" in each.getMessage()]
    assert first == (
        "The upstream /api/ asks for a newer or a stronger login (max_age='300'), but the login is that already, and "
        "its user gets a 403 (login_not_enough). Do the access tokens have the claims that it reads (auth_time)? "
        "This is logged once"
    )
    assert "(without saying which)" in second
    assert "(auth_time, acr)" in second
