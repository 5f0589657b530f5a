"""A pytest plugin with the fixture ``local_tenant``: found by pytest wherever this package is installed.

.. code-block:: python

    @pytest.mark.local_tenant(id_token_alg="ES256")  # settings of TenantSettings; also on a class or a module
    async def test_login(local_tenant): ...

The fixture needs pytest-asyncio. It gives a new tenant to each test. ``local_tenant_scope = module`` in pytest's
configuration (or ``class``, ``package``, ``session``) gives one to several tests, which then must share a loop:
``@pytest.mark.asyncio(loop_scope="module")``. The marker counts where the scope is: on the module for ``module``.

Every run of pytest loads this module, so it imports nothing before a test asks for the fixture.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from passwordless_async import testing  # its names are imported when they are first used

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from passwordless_async.testing.tenant import LocalTenant

_SCOPE = "local_tenant_scope"
_FIXTURES = "passwordless_async.testing.fixtures"
_SCOPES = ("function", "class", "module", "package", "session")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting of the scope."""
    parser.addini(_SCOPE, f"how many tests share a local tenant: {', '.join(_SCOPES)}", default=_SCOPES[0])


def pytest_configure(config: pytest.Config) -> None:
    """Add the marker and the fixture, of the scope that is set."""
    config.addinivalue_line(
        "markers", "local_tenant(**settings): settings of the fixture local_tenant (TenantSettings)"
    )
    scope = config.getini(_SCOPE)
    if scope not in _SCOPES:
        raise pytest.UsageError(f"{_SCOPE}: must be one of {', '.join(_SCOPES)}")
    holder = ModuleType(_FIXTURES)  # pytest reads fixtures off modules
    is_there = config.pluginmanager.hasplugin("asyncio")
    vars(holder)["local_tenant"] = _asynchronous(scope) if is_there else pytest.fixture(_missing, name="local_tenant")
    config.pluginmanager.register(holder, _FIXTURES)


def _asynchronous(scope: str) -> object:
    fixture = import_module("pytest_asyncio").fixture  # where it is absent, this plugin must not fail other tests
    made: object = fixture(_local_tenant, scope=scope, loop_scope=scope, name="local_tenant")
    return made


async def _local_tenant(request: pytest.FixtureRequest) -> AsyncIterator[LocalTenant]:
    """Yield a tenant with the settings of the marker ``local_tenant``."""
    marks = reversed(list(request.node.iter_markers("local_tenant")))  # the nearest last
    settings: dict[str, Any] = {}
    for mark in marks:
        settings |= mark.kwargs
    async with testing.LocalTenant(_settings_of(settings)) as tenant:
        yield tenant


def _settings_of(given: dict[str, Any]) -> testing.TenantSettings:
    """Return the settings of markers; the test fails with one line if a name or a value is wrong."""
    settings, errors = testing.TenantSettings, import_module("passwordless_async.errors")
    known = [each.alias for each in settings.__attrs_attrs__]
    unknown = next((name for name in given if name not in known), None)
    if unknown is None:
        try:
            return settings(**given)
        except errors.UsageError as error:
            problem = str(error)
    else:
        meant = import_module("passwordless_async.testing.setting_types").did_you_mean(known, unknown)
        problem = f"there is no setting {unknown!r} ({meant})"
    pytest.fail(f"the marker local_tenant: {problem}", pytrace=False)


def _missing() -> None:
    """Say what the fixture needs."""
    pytest.fail("local_tenant needs pytest-asyncio: pip install pytest-asyncio", pytrace=False)
