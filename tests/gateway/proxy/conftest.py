"""A gateway before a protected API, in each mount."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from helpers import sites, upstreams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from helpers.upstreams import Front


@pytest.fixture(params=sites.SUITE)
async def serve_front(request: pytest.FixtureRequest) -> AsyncIterator[Callable[..., Awaitable[Front]]]:
    """Give what serves an API, and a gateway before it with options of its own."""
    async with AsyncExitStack() as stack:

        async def opened(**options: Any) -> Front:
            return await stack.enter_async_context(upstreams.opened(request.param, **options))

        yield opened


@pytest.fixture
async def front(serve_front: Callable[..., Awaitable[Front]]) -> Front:
    """Serve an API, and a gateway before it."""
    return await serve_front()
