"""A wire that the test answers by hand."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from passwordless_async._common.http import HttpRequest, HttpResponse


class Wire:
    """Collects requests; each waits until the test answers it."""

    def __init__(self) -> None:
        self.requests: list[tuple[HttpRequest, asyncio.Future[HttpResponse]]] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request and wait for its answer."""
        future: asyncio.Future[HttpResponse] = asyncio.get_running_loop().create_future()
        self.requests.append((request, future))
        return await future

    async def reach(self, number: int) -> None:
        """Wait for so many requests; fail where there are fewer or more of them."""
        for _ in range(1000):
            if len(self.requests) == number:
                break
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(self.requests) == number

    def answer(self, place: int, result: HttpResponse | Exception) -> None:
        """Answer one of the requests, or fail it."""
        future = self.requests[place][1]
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
