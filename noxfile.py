"""Every command of a contributor: ``nox -l`` lists them, ``nox -s quick`` runs one. ``.ci/run`` runs the same ones.

They run with the tools of the environment that nox is in (``pip install -e ".[dev]"``), so that nothing is installed
twice; ``lowest`` makes an environment of its own.
"""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from pathlib import Path

import nox

# Also where that environment is not activated: otherwise another Python would run.
os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "quick"]
nox.needs_version = ">=2025.5.1"

EXTRAS = "cli,fastapi,gateway,httpx2,otel,redis,starlette"
# What touches the libraries that we stand on, and is quick.
LOWEST = ("_common", "adapters", "auth0", "dpop", "resource_server", "stores/memory", "client/api")
LOWEST_FILES = ("client/test_client.py", "client/test_logins.py", "cli/test_app.py", "gateway/test_flow.py")


@nox.session
def test(session: nox.Session) -> None:
    """All tests."""
    session.run("pytest", "-n", "2", "--dist", "loadfile", *session.posargs)


@nox.session
def quick(session: nox.Session) -> None:
    """The tests that take less than about a second each: for the edit loop."""
    session.run("pytest", "-n", "2", "-m", "not slow", *session.posargs)


@nox.session
def simulation(session: nox.Session) -> None:
    """Simulations of whole clients: ``nox -s simulation -- --first 1000 --seeds 5000``."""
    session.run("python", "-m", "tests.simulation", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Logins for hours, which fail unless every bar is reached: ``nox -s soak -- soak --calls 1000000``."""
    session.run("python", "-m", "benchmarks", *(session.posargs or ["soak"]), "--strict")


@nox.session
def mutation(session: nox.Session) -> None:
    """Changes to the code that no test notices: ``nox -s mutation -- passwordless_async/client/bulk.py``."""
    session.run("python", "-m", "tests.mutation", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Format, lint, who may import whom, and the security of the workflows."""
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("lint-imports", "--no-cache")
    session.run("zizmor", "--offline", "--quiet", ".github")


@nox.session
def types(session: nox.Session) -> None:
    """Types by mypy and pyright, both strict."""
    session.run("mypy")
    session.run("pyright")


@nox.session
def docs(session: nox.Session) -> None:
    """The site, into docs/_build/html; a warning is an error."""
    target = "docs/_build"
    options = ["-W", "--keep-going", "-q", "-d", f"{target}/doctrees"]
    session.run("sphinx-build", *options, "docs", f"{target}/html", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Branches of the command and the local tenant that their own tests reach: counted apart, as it takes long."""
    how = ["--cov", "--cov-config=tests/coverage.toml", "--cov-report=term-missing:skip-covered", "--cov-fail-under=95"]
    session.run("pytest", "-n", "2", "--dist", "loadfile", *how, "tests/cli", "tests/testing", *session.posargs)


@nox.session
def counts(session: nox.Session) -> None:
    """How many pages, blocks of code and public names there are, and which are not run or documented."""
    session.run("python", "-m", "helpers.counts", env={"PYTHONPATH": f"tests{os.pathsep}."})


@nox.session
def fuzz(session: nox.Session) -> None:
    """Hostile inputs: ``nox -s fuzz -- proof --inputs 100000 --seed 1``, or ``all``."""
    session.run("python", "-m", "tests.fuzz", *session.posargs)


@nox.session
def linearizability(session: nox.Session) -> None:
    """Histories of Redis stores under faults: ``nox -s linearizability -- --seeds 10``."""
    session.run("python", "-m", "tests.linearizability", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """A benchmark: ``nox -s bench -- exchange``."""
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def programs(session: nox.Session) -> None:
    """Random programs of calls, with thousands of new examples: for the nightly run."""
    module = "tests/client/test_interleavings.py"
    session.run("pytest", module, "-k", "many_orders", "--hypothesis-profile=nightly", *session.posargs)


@nox.session
def package(session: nox.Session) -> None:
    """Wheel and sdist into dist/, built once; the wheel from the sdist, with nothing in it but the package."""
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", "dist")
    (wheel,) = Path("dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    strangers = [name for name in names if not name.startswith(("passwordless_async/", "passwordless_async-"))]
    if strangers or "passwordless_async/py.typed" not in names:
        session.error(f"{wheel.name} lacks py.typed, or has more than the package: {strangers}")
    folder = Path(session.create_tmp()).resolve()
    environment = {"VIRTUAL_ENV": str(folder / "venv")}
    session.run("uv", "venv", "--clear", "-q", str(folder / "venv"))
    session.run("uv", "pip", "install", "-q", f"{wheel.resolve()}[cli]", env=environment)
    with session.chdir(folder):  # where the source is not found
        session.run("venv/bin/python", "-m", "passwordless_async", "--version")
        session.run("venv/bin/passwordless-async", "demo", "--users", "50")


@nox.session
def lowest(session: nox.Session) -> None:
    """The lowest versions of direct dependencies that pyproject.toml allows, in an environment of its own."""
    folder = Path(session.create_tmp()).resolve() / "venv"
    environment = {"VIRTUAL_ENV": str(folder)}
    session.run("uv", "venv", "--clear", "-q", str(folder))
    session.run("uv", "pip", "install", "-q", "--resolution", "lowest-direct", f".[{EXTRAS}]", env=environment)
    tools = ("aioresponses", "httpx", "hypothesis", "pytest", "pytest-asyncio", "pytest-xdist", "pyyaml", "uvicorn")
    session.run("uv", "pip", "install", "-q", *tools, "opentelemetry-sdk==1.30.0", env=environment)
    tests = [f"tests/{name}" for name in (*LOWEST, *LOWEST_FILES)]
    # Old aiohttp closes the connection where a request line cannot be read; old Starlette names what anyio renamed.
    less = ["-m", "not slow", "--deselect", "tests/adapters/test_doors.py::test_no_input_yields_a_500"]
    less += ["-W", "ignore:The anyio.abc.BlockingPortal alias:DeprecationWarning", "-p", "no:cacheprovider"]
    session.run(str(folder / "bin" / "python"), "-m", "pytest", "-q", "-n", "2", *less, *tests)
