"""The package's names: all are there, none is loaded before it is asked for."""

from __future__ import annotations

import ast
import inspect
import pickle
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import passwordless_async
from passwordless_async import dpop, gateway, stores, testing

if TYPE_CHECKING:
    from types import ModuleType


def _shown_to_type_checkers(package: ModuleType) -> dict[str, str | None]:
    return {
        alias.name: node.module
        for block in ast.parse(Path(str(package.__file__)).read_text(encoding="utf-8")).body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def _fresh(code: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own code
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout.strip()


def test_the_lists_agree() -> None:
    """What is exported, what is found and what type checkers are shown is the same."""
    assert sorted(vars(passwordless_async)["__all__"]) == sorted(passwordless_async._MODULE_OF)
    for package in (passwordless_async, dpop, gateway, stores, testing):
        assert package._MODULE_OF == _shown_to_type_checkers(package)  # noqa: SIM300 - the constant is what is tested
        assert set(vars(package)["__all__"]) >= set(package._MODULE_OF)
        assert all(getattr(package, name) is not None for name in vars(package)["__all__"])


def test_a_client_loads_no_verifier() -> None:
    """The server's side is not paid for by clients."""
    loaded = "print('passwordless_async.dpop.server.verifier' in sys.modules)"
    assert _fresh(f"import sys; from passwordless_async import PasswordlessClient; {loaded}") == "False"
    assert _fresh("import passwordless_async.dpop as d; print(set(d.__all__) <= set(dir(d)))") == "True"
    with pytest.raises(AttributeError, match=r"^module 'passwordless_async.dpop' has no attribute 'Verifier'$"):
        dpop.Verifier  # type: ignore[attr-defined] # noqa: B018 - the look-up is the test


@pytest.mark.parametrize("name", vars(passwordless_async)["__all__"])
def test_a_name_is_what_its_module_has(name: str) -> None:
    """Each name is the object of its module, also at the second look-up."""
    found = getattr(passwordless_async, name)  # first: a name may be a module that nothing has imported yet
    there = getattr(import_module(passwordless_async._MODULE_OF[name]), name)
    assert found is there
    assert vars(passwordless_async)[name] is there


def test_nothing_is_loaded_before_it_is_asked_for() -> None:
    """The import alone loads neither an HTTP library nor one for cryptography, and an error not either."""
    loaded = "print(sorted({'aiohttp', 'asyncio', 'attrs', 'cryptography', 'joserfc'} & sys.modules.keys()))"
    assert _fresh(f"import sys, passwordless_async; dir(passwordless_async); {loaded}") == "[]"
    assert _fresh(f"import sys, passwordless_async.testing; {loaded}") == "[]"
    assert _fresh(f"import sys; from passwordless_async import PasswordlessError; {loaded}") == "[]"


def test_a_verifier_loads_no_client() -> None:
    """A server that verifies proofs needs no HTTP client."""
    loaded = "print(sorted({'aiohttp', 'asyncio', 'joserfc', 'passwordless_async.client.client'} & sys.modules.keys()))"
    assert _fresh(f"import sys; from passwordless_async import DPoPVerifier; {loaded}") == "[]"


def test_sealing_loads_its_library_when_something_is_sealed() -> None:
    """Sealed states are not paid for by those who have none."""
    loaded = "print([name for name in sys.modules if name.partition('.')[0] == 'joserfc'])"
    assert _fresh(f"import sys, passwordless_async._common.sealing; {loaded}") == "[]"


def test_import_star() -> None:
    """``import *`` brings every name and nothing else."""
    code = "before = set(dir()); from passwordless_async import *; print(*sorted(set(dir()) - before - {'before'}))"
    assert sorted(vars(passwordless_async)["__all__"]) == _fresh(code).split()


def test_dir_and_inspect_show_every_name() -> None:
    """Editors and ``help`` find them before they are loaded."""
    code = "import passwordless_async as p; print(set(p.__all__) <= set(dir(p)), 'Email' in vars(p))"
    assert _fresh(code) == "True False"
    assert set(vars(passwordless_async)["__all__"]) <= dict(inspect.getmembers(passwordless_async)).keys()


def test_a_name_that_is_none() -> None:
    """It is the error that every module raises."""
    with pytest.raises(
        AttributeError, match=r"^module 'passwordless_async' has no attribute 'PasswordlessCleint'$"
    ) as e:
        passwordless_async.PasswordlessCleint  # type: ignore[attr-defined] # noqa: B018 - the look-up is the test
    assert (e.value.name, e.value.obj) == ("PasswordlessCleint", passwordless_async)
    with pytest.raises(ImportError, match=r"^cannot import name 'PasswordlessCleint' from 'passwordless_async'"):
        exec("from passwordless_async import PasswordlessCleint")  # noqa: S102 - a type checker would refuse it
    assert not hasattr(passwordless_async, "__wrapped__")


@pytest.mark.parametrize("module", ["dpop", "errors", "adapters", "testing"])
def test_a_module_is_an_attribute_once_it_is_imported(module: str) -> None:
    """As in every package."""
    assert _fresh(f"import passwordless_async.{module} as m; print(type(m).__name__)") == "module"
    code = f"import passwordless_async.{module}; import passwordless_async as p; print(type(p.{module}).__name__)"
    assert _fresh(code) == "module"
    assert _fresh(f"from passwordless_async import {module} as m; print(type(m).__name__)") == "module"


def test_pickling() -> None:
    """A pickle names the module that a class is from, so it is read where nothing is loaded yet."""
    pickled = pickle.dumps(passwordless_async.Email("ada@example.com"))
    code = f"import pickle; print(type(pickle.loads({pickled!r})).__name__)"
    assert _fresh(code) == "Email"
    assert passwordless_async.Email is pickle.loads(pickle.dumps(passwordless_async.Email))  # noqa: S301 - our own


def test_threads() -> None:
    """Threads that ask at the same time get the same objects, in whatever order they ask."""
    code = f"""
from concurrent.futures import ThreadPoolExecutor
import passwordless_async as p
def ask(start):
    names = p.__all__[start:] + p.__all__[:start]
    return {{name: id(getattr(p, name)) for name in names}}
with ThreadPoolExecutor(16) as pool:
    answers = list(pool.map(ask, range(0, {len(vars(passwordless_async)["__all__"])}, 5)))
print(all(answer == answers[0] for answer in answers))
"""
    assert _fresh(code) == "True"


CLIENT = ("client", "client.api", "client.sessions", "client.shared", "client.traffic")


@pytest.mark.parametrize(
    "package",
    [
        "adapters",
        "auth0",
        "auth0.mfa",
        *CLIENT,
        "dpop",
        "dpop.server",
        "gateway",
        "gateway.mounts",
        "resource_server",
        "stores",
    ],
)
def test_a_package_imports_none_of_its_modules(package: str) -> None:
    """A thread importing a module waits for its package: a package that imports the module would deadlock with it."""
    loaded = f"print([name for name in sys.modules if name.startswith('passwordless_async.{package}.')])"
    assert _fresh(f"import sys, passwordless_async.{package}; {loaded}") == "[]"
