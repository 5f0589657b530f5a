"""Pages of other origins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from helpers.tenant_wire import Opener, Wire

PAGE, OTHER = "https://app.example", "https://elsewhere.example"
ASKED = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,dpop"}


@pytest.fixture
async def open_to_page(wire_for: Opener) -> Wire:
    """Open a tenant whose application allows a page."""
    return await wire_for(web_origins=[PAGE])


@pytest.mark.parametrize("path", ["/passwordless/start", "/oauth/token", "/userinfo"])
async def test_a_preflight(open_to_page: Wire, path: str) -> None:
    """A browser learns that the page may send a proof, an Authorization header and JSON."""
    answer = await open_to_page.send("OPTIONS", path, headers={"Origin": PAGE, **ASKED})

    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert answer.headers["Vary"] == "Origin"
    assert "POST" in answer.headers["Access-Control-Allow-Methods"].split(", ")
    allowed = {name.lower() for name in answer.headers["Access-Control-Allow-Headers"].split(", ")}
    assert {"authorization", "content-type", "dpop"} <= allowed


@pytest.mark.parametrize("headers", [{"Origin": OTHER, **ASKED}, {"Origin": "null", **ASKED}, ASKED, {"Origin": PAGE}])
async def test_a_preflight_that_is_refused(open_to_page: Wire, headers: dict[str, str]) -> None:
    """Another page's, and what is no preflight, is a method that is not allowed."""
    answer = await open_to_page.send("OPTIONS", "/oauth/token", headers=headers)

    assert answer.words[:2] == (405, "method_not_allowed")
    assert "Access-Control-Allow-Methods" not in answer.headers


async def test_without_allowed_origins_there_is_no_preflight(wire: Wire) -> None:
    """As at a tenant whose applications allow none."""
    assert (await wire.send("OPTIONS", "/oauth/token", headers={"Origin": PAGE, **ASKED})).status == 405


async def test_a_page_may_read_responses_and_refusals(open_to_page: Wire) -> None:
    """The nonce of a challenge as well; another page may read nothing."""
    await open_to_page.start()
    form = {**open_to_page.form()}
    for origin, allowed in ((PAGE, PAGE), (OTHER, None)):
        headers = {"Origin": origin, "DPoP": open_to_page.proof()}
        answer = await open_to_page.send("POST", "/oauth/token", data=form, headers=headers)
        assert answer.words[:2] == (400, "use_dpop_nonce")
        assert answer.headers.get("Access-Control-Allow-Origin") == allowed
        assert "DPoP-Nonce" in answer.headers["Access-Control-Expose-Headers"]
