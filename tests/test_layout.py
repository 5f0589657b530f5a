"""The tests mirror the package: the tests of ``passwordless_async/a/b/c.py`` are in ``tests/a/b/test_c.py``.

And the architecture, as it is documented, is the architecture as it is.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "passwordless_async"
ARCHITECTURE = (TESTS.parent / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")

# Test modules that mirror no module, each with its reason.
CROSS_CUTTING = {
    "test_layout.py": "the tree of the tests",
    "test_exports.py": "the package's names: all are there, none is loaded before it is used",
    "test_house.py": "the size of functions and the reasons of suppressions, in the whole package",
    "docs/test_site.py": "the site: its build, and what it documents",
    "docs/test_nginx.py": "the configuration of nginx on a page, tried",
    "examples/test_compose.py": "the files of containers",
    "docs/test_generated.py": "the parts of the site that are made from the code",
    "docs/test_figures.py": "figures that several pages have",
    "docs/test_compared.py": "the page that compares gateways, and the tests that it names",
    "docs/test_redis_page.py": "the settings of the how-to page about Redis",
    "docs/test_unreachable_stores.py": "the guides of the frameworks, while the store is unreachable",
    "docs/test_pages.py": "the site: its code, files and commands",
    "test_packaging.py": "what is released, and the workflows that release it",
    "test_readme.py": "the README: its examples and links",
    "test_types.py": "the types, as type checkers and users see them",
    "test_rules.py": "the numbered rules of DPoP, stated all over the suite",
    "linearizability/test_short_run.py": "histories of stores, checked against models",
    "fuzz/test_fuzz.py": "the fuzz targets, which are beside the package",
    "dpop/server/test_fuzz.py": "the verifier with any input at all, through all its modules",
    "testing/test_fuzz.py": "the tenant with any input at all, through all its modules",
    "dpop/server/test_oracle.py": "the verifier against joserfc, through all its modules",
    "adapters/test_doors.py": "every adapter lets through and refuses the same",
    "helpers/test_redis_servers.py": "the Redis servers that the tests start",
    "examples/test_api_with_scopes.py": "the API with scopes of the examples",
    "examples/test_django_view.py": "the Django project of the examples",
    "examples/test_mcp_server.py": "an example, which is beside the package",
    "examples/test_gateways.py": "the same",
    "examples/test_bulk_worker.py": "the same",
    "examples/test_opentelemetry.py": "the same",
    "examples/test_tests_with_plugin.py": "the same",
    "browser/test_pages.py": "the gateway's pages in a real browser",
    "browser/test_documentation.py": "the login in a browser that a page shows",
    "gateway/test_flow.py": "the gateway as browsers and scripts see it, on every mount",
    "gateway/test_faults.py": "the same with bad input and faults",
    "gateway/test_growth.py": "what a gateway holds after logins, in all its memories",
    "gateway/test_many_browsers.py": "gateway workers on one store, which are killed and whose keys rotate",
    "interop/test_auth0_api_python.py": "our proofs and verdicts beside those of another verifier",
    "benchmarks/test_benchmarks.py": "the benchmarks, which are beside the package",
    "benchmarks/test_gateways.py": "the same: gateway processes on one store",
    "client/test_error_table.py": "the table of refusals, through the whole client",
    "client/test_id_tokens.py": "ID tokens and key sets, through the whole client",
    "client/test_closing.py": "closing a client, which ends what every other module has begun",
    "client/test_codes_on_machines.py": "codes on several machines, through whole clients",
    "client/test_dpop_modes.py": "the modes of a client, through every grant and what follows it",
    "client/test_fault_table.py": "every fault of the tenant, through the whole client",
    "client/test_interleavings.py": "random programs of calls, through the whole client",
    "client/test_leaks.py": "secrets in errors, logs and reprs, through the whole client",
    "client/test_mfa_leaks.py": "the same for second factors",
    "client/test_quota_kept.py": "the quota, through gate, pace, dispatcher and bulk",
    "mutation/test_equivalents.py": "the mutants: which of them do the same as the original",
    "mutation/test_mutants.py": "the mutants, which are made of the package",
    "mutation/test_replacing.py": "the mutants: how a function that is imported becomes one",
    "mutation/test_running.py": "the mutants: what the end of their tests says of them",
    "simulation/test_plants.py": "defects planted for the simulations to find, all over the client",
    "simulation/test_short_run.py": "programs of calls on a simulated network, through everything",
    "dpop/test_vectors.py": "the vectors of the standards",
    "client/test_uvloop.py": "the whole client on another event loop",
    "client/test_wire_shape.py": "the bytes of every request that the client sends",
}


def mirror(module: Path) -> Path:
    """Return where a module's tests are, below the directory of the tests."""
    return module.with_name(f"test_{module.stem.removeprefix('_')}.py")


MODULES = sorted(
    path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path.stem not in {"__init__", "__main__"}
)
TEST_MODULES = sorted(path.relative_to(TESTS) for path in TESTS.rglob("test_*.py"))


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_every_module_has_its_test_module(module: Path) -> None:
    """The tests of a module are found by its name."""
    assert mirror(module) in TEST_MODULES


@pytest.mark.parametrize("test_module", TEST_MODULES, ids=str)
def test_every_test_module_mirrors_a_module_or_cuts_across(test_module: Path) -> None:
    """A test module that mirrors no module is on the list, with its reason."""
    assert (test_module in set(map(mirror, MODULES))) is (test_module.as_posix() not in CROSS_CUTTING)


def test_the_list_of_cross_cutting_modules_is_up_to_date() -> None:
    """No module on the list is missing from the tree."""
    assert [name for name in CROSS_CUTTING if not (TESTS / name).exists()] == []


def entries(directory: Path) -> set[str]:
    """Return the modules and packages of a directory."""
    packages = {f"{path.name}/" for path in directory.iterdir() if path.is_dir() and path.name != "__pycache__"}
    return packages | {path.name for path in directory.glob("*.py")}


def test_the_documented_tree_is_the_tree() -> None:
    """The architecture draws every entry of the package and of the client, and no other."""
    drawn = re.search(r"```text\npasswordless_async/\n(.*?)```", ARCHITECTURE, re.DOTALL)
    assert drawn is not None
    lines = drawn[1].splitlines()
    root = {match[1] for line in lines if (match := re.match(r"[├└]── (\S+)", line))}
    client = {match[1] for line in lines if (match := re.match(r"│   [├└]── (\S+)", line))}
    assert root == entries(PACKAGE)
    assert client == entries(PACKAGE / "client") - {"__init__.py"}


def test_the_documented_layers_are_enforced() -> None:
    """The architecture lists the layers that import-linter checks, in the same order."""
    settings = tomllib.loads((TESTS.parent / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    drawn = re.search(r"type-only imports included\.\n\n```text\n(.*?)```", ARCHITECTURE, re.DOTALL)
    assert drawn is not None
    assert drawn[1].replace("│", "|").splitlines() == layers
