"""A gateway that is served, in whatever it is mounted."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from helpers import sites

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from helpers.sites import Site


@pytest.fixture(params=sites.SUITE)
async def serve(request: pytest.FixtureRequest) -> AsyncIterator[Callable[..., Awaitable[Site]]]:
    """Give what serves a gateway with options of its own."""
    async with AsyncExitStack() as stack:

        async def opened(**options: Any) -> Site:
            return await stack.enter_async_context(sites.opened(request.param, **options))

        yield opened


@pytest.fixture
async def site(serve: Callable[..., Awaitable[Site]]) -> Site:
    """Serve a gateway."""
    return await serve()
