"""Fixtures that every kind of test may use."""

from __future__ import annotations

import os
from inspect import signature
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import aiohttp
import pytest
from aioresponses import aioresponses
from hypothesis import settings

from helpers import refusals, virtual_time
from helpers.redis_fixtures import (  # noqa: F401 - fixtures are had by their names
    redis_cluster,
    redis_program,
    redis_sentinel,
    redis_server,
    redis_url,
    shared_cluster,
    shared_redis,
    shared_sentinel,
    start_redis,
)
from helpers.store_fixtures import store, stores  # noqa: F401 - as above
from passwordless_async._common import clock as _clock
from passwordless_async.testing import LocalTenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

# No deadline: a slow machine is no defect. In CI the same examples every time: what fails there fails for its change.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
# Many new examples, for the tests that leave their number to the profile: pytest --hypothesis-profile=nightly.
settings.register_profile("nightly", deadline=None, max_examples=20_000, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


class Clock:
    """A clock that the test sets."""

    time = 1000.0

    def monotonic(self) -> float:
        return self.time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stop the clock that deadlines and rests are measured with."""
    stopped = Clock()
    monkeypatch.setattr(_clock, "monotonic", stopped.monotonic)
    return stopped


@pytest.fixture(scope="session")
def in_virtual_time() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Give what runs a coroutine in a loop whose waits take no time; one shared by all examples of a property."""
    return virtual_time.run


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes a refusal of the service once for every row, and for every shape of a body.

    ``refused`` is any row, ``refused_start`` one of the start's, ``refused_grant`` one of the token endpoint's;
    ``refused_in`` is a shape: the names of the members for code and text.
    """
    tables: dict[str, list[Any]] = {
        "refused": refusals.START + refusals.TOKEN,
        "refused_start": refusals.START,
        "refused_grant": refusals.TOKEN,
        "refused_in": refusals.MEMBERS,
    }
    for name, rows in tables.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, rows, ids=str)


class _Response(aiohttp.ClientResponse):
    """The response of aiohttp 3.14, which asks for a writer that aioresponses does not know of yet."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "stream_writer" in signature(aiohttp.ClientResponse).parameters:
            kwargs["stream_writer"] = Mock(output_size=0)
        super().__init__(*args, **kwargs)


class Responses(aioresponses):
    """Canned answers for the shape of what goes on the wire; no proof, retry or race is tested with it."""

    def add(self, *args: Any, **kwargs: Any) -> None:
        super().add(*args, **{"response_class": _Response, **kwargs})


@pytest.fixture
def responses() -> Iterator[Responses]:
    """Answer aiohttp's requests from a table; one that is not in it fails."""
    canned = Responses()
    with canned:
        yield canned


@pytest.fixture
async def tenant() -> AsyncIterator[LocalTenant]:
    """Run a tenant on a loopback port; the library's verifier must agree with it about every proof."""
    async with LocalTenant() as running:
        yield running
        assert running.disagreements == ()
