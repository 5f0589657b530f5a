"""A pytest plugin with the fixture ``local_tenant``; it needs pytest-asyncio.

.. code-block:: python

    pytest_plugins = ["passwordless_async.testing.plugin"]  # in conftest.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from passwordless_async.testing.tenant import LocalTenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture
async def local_tenant() -> AsyncIterator[LocalTenant]:
    """Yield a tenant with the default settings, for one test."""
    async with LocalTenant() as tenant:
        yield tenant
