"""What type checkers say of the package, and of code that uses it: pyright and mypy, both strict."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import passwordless_async
from helpers.pages import PAGES, README, python_blocks
from passwordless_async import dpop, gateway, stores, testing

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[1]
# Programs of the README and the reference; a block of other pages may be a part of one.
PROGRAMS = [README, *(page for page in PAGES if page.parent.name == "reference")]
EXAMPLES = [block.text for page in PROGRAMS for block in python_blocks(page) if "asyncio.run(" in block.text]
ENVIRONMENT = {
    **os.environ,
    # pyright finds libraries by the first interpreter on the path, and the package before it is installed.
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    "PYTHONPATH": str(Path(passwordless_async.__file__).parents[1]),
}


@pytest.fixture(scope="session")
def pyright() -> str:
    """Return the program; without it a test is skipped, and fails where nothing may be skipped."""
    program = shutil.which("pyright", path=ENVIRONMENT["PATH"])
    if program is None:
        assert "CI" not in os.environ, "pyright is not installed"
        assert "PASSWORDLESS_ASYNC_REQUIRE_SERVERS" not in os.environ, "pyright is not installed"
        pytest.skip("pyright is not installed")
    return program


def run(*command: str, directory: Path = ROOT) -> str:
    """Run a type checker and return what it prints."""
    done = subprocess.run(  # noqa: S603 - our own tools
        command, capture_output=True, text=True, timeout=300, check=False, cwd=directory, env=ENVIRONMENT
    )
    return done.stdout


@pytest.mark.slow
def test_every_public_name_has_a_known_type(pyright: str) -> None:
    """``pyright --verifytypes`` finds each type complete: 100 %."""
    report = json.loads(run(pyright, "--verifytypes", "passwordless_async", "--ignoreexternal", "--outputjson"))
    incomplete = [
        (symbol["name"], [diagnostic["message"] for diagnostic in symbol["diagnostics"]])
        for symbol in report["typeCompleteness"]["symbols"]
        if symbol["isExported"] and not (symbol["isTypeKnown"] and not symbol["isTypeAmbiguous"])
    ]
    assert incomplete == []
    assert report["typeCompleteness"]["completenessScore"] == 1


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the documents' programs, and those of ``examples/``, into files as an application would have them."""
    directory = tmp_path_factory.mktemp("programs")
    for path in sorted((ROOT / "examples").rglob("*.py")):
        folder = f"example_{path.parent.name.replace('-', '_')}"
        code = path.read_text(encoding="utf-8").replace("from app import", f"from {folder}_app import")
        (directory / f"{folder}_{path.stem}.py").write_text(code, encoding="utf-8")
    for number, code in enumerate(EXAMPLES):
        (directory / f"example_{number}.py").write_text(code, encoding="utf-8")
    settings = {"typeCheckingMode": "strict", "extraPaths": [ENVIRONMENT["PYTHONPATH"]]}
    (directory / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    return directory


@pytest.mark.slow
def test_examples_pass_pyright_strict(pyright: str, examples: Path) -> None:
    """The documents' programs have no error in strict mode."""
    report = json.loads(run(pyright, "--outputjson", directory=examples))
    errors = [
        (Path(found["file"]).name, found["range"]["start"], found["message"]) for found in report["generalDiagnostics"]
    ]
    assert errors == []
    assert report["summary"]["filesAnalyzed"] >= len(EXAMPLES) >= 7


@pytest.mark.slow
def test_examples_pass_mypy_strict(examples: Path) -> None:
    """The same for mypy."""
    files = [path.name for path in sorted(examples.glob("example_*.py"))]
    printed = run(sys.executable, "-m", "mypy", "--strict", *files, directory=examples)
    assert printed == f"Success: no issues found in {len(files)} source files\n"


# Classes that a client makes: their constructors are its own business.
MADE_BY_A_CLIENT = {"ASGIGateway", "MfaClient", "Sessions", "UserSession"}  # and by a gateway

# Where a name may be imported from: the packages that the documents name, and the adapters.
DOCUMENTED = [
    passwordless_async,
    dpop,
    gateway,
    stores,
    testing,
    *(
        importlib.import_module(f"passwordless_async.{name}")
        for name in (
            "client.events",
            "stores.redis",
            *(
                f"adapters.{module.name}"
                for module in pkgutil.iter_modules([str(ROOT / "passwordless_async" / "adapters")])
            ),
        )
        if not name.startswith("adapters._")
    ),
]


def exported(module: ModuleType) -> dict[str, Any]:
    """Return the public names of a module: those that it lists, or defines."""
    listed = vars(module).get("__all__")
    if listed is not None:
        return {name: getattr(module, name) for name in listed}
    own = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    return {name: value for name, value in own.items() if getattr(value, "__module__", "") == module.__name__}


IMPORTABLE = {name for module in DOCUMENTED for name in exported(module)}
OURS = {
    name
    for module in pkgutil.walk_packages(passwordless_async.__path__, "passwordless_async.")
    if not module.name.endswith("__main__")
    for name, value in vars(importlib.import_module(module.name)).items()
    if inspect.isclass(value) and value.__module__.startswith("passwordless_async")
}


def signatures(value: Any) -> list[tuple[str, str]]:
    """Return the annotations of a public function, or of a class's public methods and attributes, by their owner."""
    if not inspect.isclass(value):
        return [
            (value.__qualname__, str(text))
            for text in vars(value).get("__annotations__", value.__annotations__).values()
        ]
    found = [
        (value.__qualname__, str(text))
        for name, text in vars(value).get("__annotations__", {}).items()
        if name[0] != "_"
    ]
    for name, member in vars(value).items():
        if name.startswith("_") and (name != "__init__" or value.__name__ in MADE_BY_A_CLIENT):
            continue
        function = inspect.unwrap(getattr(member, "fget", None) or getattr(member, "__func__", member))
        if inspect.isfunction(function):
            found += [(f"{value.__qualname__}.{name}", str(text)) for text in function.__annotations__.values()]
    return found


PUBLIC = {
    f"{module.__name__}.{name}": value
    for module in DOCUMENTED
    for name, value in exported(module).items()
    if (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__.startswith("passwordless_async")
}


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_types_in_signatures_can_be_imported(name: str) -> None:
    """Each class of ours that a public signature names can be imported from a documented module."""
    missing = {
        (owner, word)
        for owner, text in signatures(PUBLIC[name])
        for word in re.findall(r"[A-Za-z_][\w]*", re.sub(r"""(['"]).*?\1""", "", text) if "Literal" in text else text)
        if word in OURS and word not in IMPORTABLE
    }
    assert missing == set()
