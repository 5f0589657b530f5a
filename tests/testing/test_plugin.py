"""The pytest plugin."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from passwordless_async.testing import LocalTenant

MODULE = "passwordless_async.testing.plugin"
PROJECT = Path(__file__).parents[2] / "pyproject.toml"


async def test_the_plugin(local_tenant: LocalTenant) -> None:
    """The plugin's fixture is a tenant that listens."""
    assert local_tenant.url.startswith("http://127.0.0.1:")
    assert local_tenant.issuer == local_tenant.url + "/"


@pytest.mark.local_tenant(id_token_alg="ES256", code_lifetime=7.0)
class TestMarks:
    """A marker has settings of the tenant."""

    @pytest.mark.local_tenant(code_lifetime=9.0)
    async def test_the_nearest_counts(self, local_tenant: LocalTenant) -> None:
        """Those of the class and of the test are put together."""
        settings = local_tenant.settings
        assert (settings.id_token_alg, settings.code_lifetime) == ("ES256", 9.0)


def run(folder: Path, code: str, *options: str) -> tuple[int, str]:
    """Run a module of tests as an application has it, and return the exit status and what pytest writes."""
    (folder / "test_it.py").write_text(code, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(folder),
        "-c",
        "/dev/null",
    ]
    # Not the options of this run, such as the coverage that it must reach.
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    done = subprocess.run(  # noqa: S603 - our own code
        [*command, "-p", MODULE, *options, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
    )
    return done.returncode, done.stdout + done.stderr


SHARED = """
import pytest
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.local_tenant(code_lifetime=5.0)]
seen = set()

@pytest.mark.parametrize("number", [1, 2])
async def test_one(local_tenant, number):
    seen.add(local_tenant.url)
    assert len(seen) == 1 and local_tenant.settings.code_lifetime == 5.0
"""


@pytest.mark.slow
def test_tests_of_a_module_share_a_tenant(tmp_path: Path) -> None:
    """As the setting says."""
    code, text = run(tmp_path, SHARED, "-o", "local_tenant_scope=module")
    assert (code, "2 passed" in text) == (0, True), text
    code, text = run(tmp_path, SHARED, "-o", "local_tenant_scope=test")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "local_tenant_scope: must be one of function, class, module, package, session" in text


WRONG = """
import pytest

@pytest.mark.asyncio
@pytest.mark.local_tenant(code_lifetimes=60)
async def test_name(local_tenant):
    pass

@pytest.mark.asyncio
@pytest.mark.local_tenant(code_lifetime="60")
async def test_value(local_tenant):
    pass
"""


@pytest.mark.slow
def test_a_marker_with_a_wrong_setting(tmp_path: Path) -> None:
    """One line, as for the same mistake in a file of settings, and no frames."""
    code, text = run(tmp_path, WRONG)
    assert (code, "2 errors" in text) == (1, True), text
    assert "there is no setting 'code_lifetimes' (did you mean code_lifetime or mfa_code_lifetime?)" in text
    assert "the marker local_tenant: code_lifetime: must be a finite number" in text
    assert [line for line in text.splitlines() if "Traceback" in line or "exception" in line] == []


PARALLEL = """
import pytest
pytestmark = pytest.mark.asyncio(loop_scope="session")
seen = set()

@pytest.mark.parametrize("number", range(6))
async def test_one(local_tenant, number):
    seen.add(local_tenant.url)
    assert len(seen) == 1
"""


@pytest.mark.slow
def test_workers_of_xdist_have_tenants_of_their_own(tmp_path: Path) -> None:
    """A session is one worker's: its tests share a tenant, and no port is taken twice."""
    code, text = run(tmp_path, PARALLEL, "-o", "local_tenant_scope=session", "-n", "2")
    assert (code, "6 passed" in text) == (0, True), text
    assert "2 workers" in text or "bringing up nodes" in text, text


UNUSED = """
import sys

def test_other():
    assert not {"aiohttp", "passwordless_async.testing.tenant"} & sys.modules.keys()

def test_login(local_tenant):
    pass
"""


@pytest.mark.slow
def test_without_pytest_asyncio(tmp_path: Path) -> None:
    """The fixture says what it needs; tests that do not use it run, and load neither an HTTP library nor the tenant."""
    options = ("-p", "no:asyncio", "-p", "no:hypothesispytest", "-p", "no:aiohttp")
    code, text = run(tmp_path, UNUSED, *options)
    assert (code, "1 passed, 1 error" in text) == (1, True), text
    assert "local_tenant needs pytest-asyncio: pip install pytest-asyncio" in text


def test_pytest_finds_it() -> None:
    """The package names it as a plugin, by the module's own name: naming it in a conftest.py too does no harm."""
    points = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["entry-points"]["pytest11"]
    assert points == {MODULE: MODULE}
