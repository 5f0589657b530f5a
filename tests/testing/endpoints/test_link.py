"""The link in a message."""

from __future__ import annotations

from helpers.tenant_wire import ADA, Opener, Wire, ask_and_follow, follow_link, redeem_code

CALLBACK = "https://app.example/callback"


async def test_a_link_without_parameters(warm: Wire) -> None:
    """It leads to the first callback URL, without a state; the code needs no redirect_uri."""
    await warm.start(send="link")

    where, result = await follow_link(warm)

    assert (where, list(result)) == (CALLBACK, ["code"])
    answer = await redeem_code(warm, result["code"])
    assert answer.json.keys() == {"access_token", "expires_in", "token_type"}


async def test_a_callback_with_a_query(wire_for: Opener) -> None:
    """The callback's own query stays."""
    wire = await wire_for(callback_urls=["https://app.example/?page=1"])

    assert (await ask_and_follow(wire)).keys() == {"page", "code"}


async def test_links_pass_once_and_the_newest_alone(warm: Wire) -> None:
    """A used link and one before the newest are refused."""
    await warm.start(send="link")
    first = warm.tenant.outbox.link_for(ADA)
    await warm.start(send="link")
    await follow_link(warm)

    for link in (first, warm.tenant.outbox.link_for(ADA), f"{warm.tenant.url}/passwordless/verify_redirect"):
        answer = await warm.send("GET", link.removeprefix(warm.tenant.url))
        assert answer.words[:2] == (400, "invalid_request")


async def test_a_link_expires(wire: Wire) -> None:
    """After three minutes the callback gets an error: the link has expired."""
    await wire.start(send="link", authParams={"state": "s"})
    wire.tenant.clock.advance(180)

    _, result = await follow_link(wire)

    assert (result["error"], result["state"]) == ("unauthorized", "s")
    assert "expired" in result["error_description"]


async def test_a_blocked_user_follows_a_link(wire: Wire) -> None:
    """The callback gets an error for a blocked user, and so does a code from before the block."""
    code = (await ask_and_follow(wire))["code"]
    wire.tenant.users.block(ADA)

    assert (await ask_and_follow(wire))["error_description"] == "user is blocked"
    assert (await redeem_code(wire, code)).words[1] == "use_dpop_nonce"
    assert (await redeem_code(wire, code)).words == (401, "unauthorized", "user is blocked")
