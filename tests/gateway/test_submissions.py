"""A login is finished once."""

from __future__ import annotations

import asyncio

from passwordless_async._common.secret import Secret
from passwordless_async.gateway.replies import Page, Reply
from passwordless_async.gateway.submissions import Submissions

DONE = Reply(page=Page.HOME)


async def test_what_is_said_twice_at_once_is_done_once() -> None:
    """Other requests, and the same one later, are done for themselves."""
    submissions, began = Submissions(), []
    go_on = asyncio.Event()

    async def step() -> Reply:
        began.append(1)
        await go_on.wait()
        return DONE

    asking = [asyncio.create_task(submissions.share(said, step)) for said in ("a", "a", "b")]
    await asyncio.sleep(0)
    go_on.set()
    assert await asyncio.gather(*asking) == [DONE] * 3
    assert len(began) == 2
    await submissions.share("a", step)
    assert len(began) == 3


async def test_a_caller_that_goes_ends_nothing_of_another() -> None:
    """The step goes on for those who wait."""
    submissions, go_on = Submissions(), asyncio.Event()

    async def step() -> Reply:
        await go_on.wait()
        return DONE

    gone, waits = (asyncio.create_task(submissions.share("a", step)) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    go_on.set()
    assert (await waits, gone.cancelled()) == (DONE, True)


def test_a_login_that_is_finished() -> None:
    """It alone is."""
    submissions = Submissions()
    submissions.finish(Secret("a"))
    assert (submissions.is_finished(Secret("a")), submissions.is_finished(Secret("b"))) == (True, False)
