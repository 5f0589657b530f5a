"""Runs the tests that are nearest to a mutant, in a copy of the sources."""

from __future__ import annotations

import importlib
import os
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_COPIED = (
    "passwordless_async",
    "tests",
    "examples",
    "docs",
    "benchmarks",
    ".github",
    "pyproject.toml",
    "README.md",
    "noxfile.py",
    "CHANGELOG.md",
)
_PRELOADED = (
    "aiohttp",
    "aiohttp.web",
    "aioresponses",
    "cryptography.x509",
    "joserfc.jwt",
    "redis.asyncio",
    "redis.asyncio.cluster",
)
_OPTIONS = ("-q", "-x", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=line")
_SLOW_FACTOR, _MARGIN = 4.0, 15.0  # a mutant has so many times the time of the original, and so many seconds more
_LONGEST = 3600.0  # seconds for the original
_KILLING = {pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR}
TIMEOUT = -1


def mirror(module: Path) -> Path:
    """Return where a module's own tests are."""
    return Path("tests", *module.parts[1:-1], f"test_{module.stem.removeprefix('_')}.py")


def stages(module: Path, also: dict[str, list[str]], *, own_only: bool = False) -> list[tuple[str, ...]]:
    """Return what is run for a module, until a test fails: its own tests, other near ones, and those beside them."""
    own = mirror(module)
    if own_only:
        return [(str(own),)]
    beside = tuple(sorted(str(path) for path in own.parent.glob("test_*.py") if path != own))
    near = tuple(name for prefix, names in also.items() if module.as_posix().startswith(prefix) for name in names)
    quick = ("-m", "not slow")
    return [stage for stage in ((str(own),), (*near, *quick), (*beside, *quick)) if stage not in {(), quick}]


@attrs.define
class Sandbox:
    """A copy of the sources in which one mutant at a time is tested; each test run is a fork of this process."""

    root: Path
    allowed: dict[tuple[str, ...], float] = attrs.field(factory=dict)  # seconds, by the tests that are run

    @classmethod
    @contextmanager
    def made(cls) -> Iterator[Sandbox]:
        """Copy the sources, and import what all tests need but nothing of ours."""
        with tempfile.TemporaryDirectory(prefix="mutation-") as name:
            for path in map(Path, _COPIED):
                if path.is_dir():
                    shutil.copytree(path, Path(name) / path, ignore=shutil.ignore_patterns("__pycache__", "_build"))
                else:
                    shutil.copy(path, name)
            for module in _PRELOADED:
                importlib.import_module(module)
            yield cls(Path(name))

    def survives(self, module: str, source: str, tests: list[tuple[str, ...]]) -> bool:
        """Return whether all tests pass with another source of a module."""
        path = self.root / module
        original = path.read_text(encoding="utf-8")
        for stage in tests:
            allowed = self._allowed(stage)
            path.write_text(source, encoding="utf-8")
            try:
                if self._run(stage, allowed) != 0:
                    return False
            finally:
                path.write_text(original, encoding="utf-8")
        return True

    def _allowed(self, tests: tuple[str, ...]) -> float:
        """Return how many seconds a mutant has, by the time of the original."""
        if tests not in self.allowed:
            began = time.monotonic()
            if (code := self._run(tests, _LONGEST)) != 0:
                raise RuntimeError(f"{tests} end with {code} without a mutant:\n{self.output()}")
            self.allowed[tests] = (time.monotonic() - began) * _SLOW_FACTOR + _MARGIN
        return self.allowed[tests]

    def output(self) -> str:
        """Return what the last run has printed."""
        return (self.root / "output").read_text(encoding="utf-8", errors="replace")

    def _run(self, tests: tuple[str, ...], seconds: float) -> int:
        child = os.fork()
        if not child:
            self._become_pytest(tests)
        with open(os.pidfd_open(child)) as ended:  # noqa: PTH123 - no path
            is_over = bool(select.select([ended], [], [], seconds)[0])
        self._end_group(child)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if not is_over:
            return TIMEOUT
        if code not in _KILLING | {0}:
            raise RuntimeError(f"pytest ended with {code}:\n{self.output()}")
        return code

    @staticmethod
    def _end_group(child: int) -> None:
        """End the processes that tests have left behind."""
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)

    def _become_pytest(self, tests: tuple[str, ...]) -> None:
        """Run the tests in this process, from the copy."""
        os.setsid()
        before = {str(Path.cwd()), str(Path.cwd() / "tests"), ""}
        os.chdir(self.root)
        sys.path[:] = [str(self.root), str(self.root / "tests"), *(name for name in sys.path if name not in before)]
        os.environ.update(PYTHONPATH=os.pathsep.join(sys.path[:2]), PYTHONDONTWRITEBYTECODE="1")
        sys.dont_write_bytecode = True
        for name in [name for name in sys.modules if name.partition(".")[0] in {"tests", "helpers", "mutation"}]:
            del sys.modules[name]
        importlib.invalidate_caches()
        file = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        code: int = pytest.ExitCode.USAGE_ERROR
        try:
            code = int(pytest.main([*_OPTIONS, *tests]))
        except BaseException:  # noqa: BLE001 - whatever it is, this process ends here
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(code)
