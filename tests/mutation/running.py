"""Runs the tests that are nearest to a mutant, in a copy of the sources.

Tests are imported once for all mutants of a module: for each, a fork of that process replaces a function, and runs the
tests that reach the line, quickest first. A mutant that only an import can show has a process of its own.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import traceback
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, NoReturn

import attrs
import pytest
from coverage import Coverage

from mutation.replacing import Imported

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mutation.mutants import Mutant

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
_INTERRUPTING = 5.0  # seconds for a fork to end its own forks
_KILLED, _SURVIVED, _IMPORTED = "killed", "survived", "imported"  # the last: an import is needed to tell
_KILLING = {pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR}
_SENT = {signal.SIGINT, signal.SIGTERM}  # by tests, to their own process
_CONFTEST_FAILED = "ImportError while loading conftest"  # what pytest says when a mutant breaks what all tests import
TIMEOUT = -1
_STARTED = {"cli", "testing"}  # packages that tests also run in processes of their own, where no line is counted
_NOT_REPLACED = 77  # the code of a process that would have to import the mutant


def mirror(module: Path) -> Path:
    """Return where a module's own tests are."""
    return Path("tests", *module.parts[1:-1], f"test_{module.stem.removeprefix('_')}.py")


def stages(module: Path, tables: dict[str, dict[str, list[str]]], *, own_only: bool = False) -> list[tuple[str, ...]]:
    """Return what is run for a module, until a test fails: its own tests, other near ones, and those beside them."""
    mirrored = mirror(module)
    own, near = (
        [(name,) for prefix, names in tables[table].items() if module.as_posix().startswith(prefix) for name in names]
        for table in ("own", "also")
    )
    beside = tuple(sorted(str(path) for path in mirrored.parent.glob("test_*.py") if path != mirrored))
    others = own if own_only else [*own, *near, beside]
    mirrors = [(str(mirrored),)] if mirrored.exists() else []  # an __init__ has none
    return [*mirrors, *((*names, "-m", "not slow") for names in others if names)]


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
            yield cls(Path(name).resolve())

    def survivors(self, module: str, mutants: list[Mutant], tests: tuple[str, ...]) -> list[Mutant]:
        """Return the mutants of a module with which all tests pass."""
        path, results = self.root / module, self.root / "results"
        results.unlink(missing_ok=True)
        original = path.read_text(encoding="utf-8")
        run = _Run(self.root, path, original, mutants, results)
        if (code := _ended(lambda: self._become_pytest(tests, run), _LONGEST)) != 0:
            raise RuntimeError(f"{tests} end with {code} without a mutant:\n{self.output()}")
        told = results.read_text(encoding="utf-8").split()
        left = []
        for mutant, result in zip(mutants, told, strict=True):
            if result == _SURVIVED or (result == _IMPORTED and self._survives(path, mutant.source, tests)):
                left.append(mutant)
        return left

    def _survives(self, path: Path, source: str, tests: tuple[str, ...]) -> bool:
        """Return whether all tests pass where another source of a module is imported."""
        allowed = self._allowed(tests)
        with _written(path, source):
            code = _ended(lambda: self._become_pytest(tests), allowed)
        return not has_failed(code, self.output())

    def _allowed(self, tests: tuple[str, ...]) -> float:
        """Return how many seconds a mutant has, by the time of the original."""
        if tests not in self.allowed:
            began = monotonic()
            if (code := _ended(lambda: self._become_pytest(tests), _LONGEST)) != 0:
                raise RuntimeError(f"{tests} end with {code} without a mutant:\n{self.output()}")
            self.allowed[tests] = (monotonic() - began) * _SLOW_FACTOR + _MARGIN
        return self.allowed[tests]

    def output(self) -> str:
        """Return what the last run has printed."""
        return (self.root / "output").read_text(encoding="utf-8", errors="replace")

    def _become_pytest(self, tests: tuple[str, ...], run: _Run | None = None) -> int:
        """Run the tests in this process, from the copy."""
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
        if run is not None:
            run.coverage.start()
        return int(pytest.main([*_OPTIONS, *tests], plugins=[] if run is None else [run]))


@attrs.define(eq=False)
class _Run:
    """A plugin: runs the collected tests once, to learn which lines they reach, and then those of each mutant."""

    root: Path
    path: Path  # of the module
    original: str
    mutants: list[Mutant]
    results: Path
    coverage: Coverage = attrs.field(init=False)  # of the import

    def __attrs_post_init__(self) -> None:
        self.coverage = self._new_coverage()

    def _new_coverage(self) -> Coverage:
        coverage = Coverage(data_file=None, config_file=False, include=[str(self.path)])
        coverage.set_option("run:disable_warnings", ["no-data-collected"])
        return coverage

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Take the place of pytest's loop."""
        self.coverage.stop()
        imported = set(self.coverage.get_data().lines(str(self.path)) or ())
        if (code := _ended(lambda: self._measure(session), _LONGEST)) != 0:
            raise RuntimeError(f"the tests end with {code}")
        measured = json.loads(self.results.read_text(encoding="utf-8"))
        module = Imported(str(self.path), self.original)
        gc.freeze()  # a collection in a fork would copy all pages
        with self.results.open("w", encoding="utf-8") as told:
            for mutant in self.mutants:
                print(self._result(session, module, mutant, imported, measured), file=told, flush=True)
        return True

    def _measure(self, session: pytest.Session) -> int:
        """Run the tests, and note the lines and the seconds of each; one that fails tells nothing of a mutant."""
        coverage = self._new_coverage()
        seconds, lines = [], []
        for item, following in _pairs(session.items):
            failed = session.testsfailed
            coverage.erase()
            coverage.start()
            began = monotonic()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            seconds.append(monotonic() - began)
            coverage.stop()
            reached = sorted(coverage.get_data().lines(str(self.path)) or ())
            lines.append(reached if session.testsfailed == failed else [])
        if session.testsfailed == len(session.items):
            return int(pytest.ExitCode.TESTS_FAILED)
        self.results.write_text(json.dumps([seconds, lines]), encoding="utf-8")
        return int(pytest.ExitCode.OK)

    def _result(
        self,
        session: pytest.Session,
        module: Imported,
        mutant: Mutant,
        imported: set[int],
        measured: tuple[list[float], list[list[int]]],
    ) -> str:
        seconds, lines = measured
        chosen = [number for number, reached in enumerate(lines) if mutant.lines.intersection(reached)]
        if mutant.lines & imported or (not chosen and self.path.relative_to(self.root).parts[1] in _STARTED):
            return _IMPORTED
        chosen.sort(key=lambda number: seconds[number])
        allowed = sum(seconds[number] for number in chosen) * _SLOW_FACTOR + _MARGIN
        items = [session.items[number] for number in chosen]
        with _written(self.path, mutant.source):
            code = _ended(lambda: self._try(session, module, mutant, items), allowed)
        if code == _NOT_REPLACED:
            return _IMPORTED
        return _KILLED if has_failed(code) else _SURVIVED

    def _try(self, session: pytest.Session, module: Imported, mutant: Mutant, items: list[pytest.Item]) -> int:
        """Run tests with a mutant until one fails."""
        if not module.replace(mutant.source):
            return _NOT_REPLACED
        for item, following in _pairs(items):
            try:
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            except (KeyboardInterrupt, pytest.exit.Exception):
                return pytest.ExitCode.INTERRUPTED
            if session.testsfailed:
                return pytest.ExitCode.TESTS_FAILED
        return pytest.ExitCode.OK


def has_failed(code: int, output: str = "") -> bool:
    """Return whether a code with which tests ended says that one failed; raise if it says that they could not run."""
    is_broken = code == pytest.ExitCode.USAGE_ERROR and output.startswith(_CONFTEST_FAILED)
    is_killed = code in _KILLING | {TIMEOUT} or -code in _SENT or is_broken
    if code != 0 and not is_killed:
        raise RuntimeError(f"pytest ended with {code}:\n{output}")
    return is_killed


def _pairs(items: list[pytest.Item]) -> Iterable[tuple[pytest.Item, pytest.Item | None]]:
    return zip(items, [*items, None][1:], strict=True)


@contextmanager
def _written(path: Path, source: str) -> Iterator[None]:
    """Have another source where a module is: processes that tests start import it."""
    original = path.read_text(encoding="utf-8")
    path.write_text(source, encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(original, encoding="utf-8")


def _ended(work: Callable[[], int], seconds: float) -> int:
    """Do something in a fork of this process; return the code with which that ends."""
    child = os.fork()
    if not child:
        _end_with(work)
    with open(os.pidfd_open(child)) as ended:  # noqa: PTH123 - no path
        try:
            is_over = bool(select.select([ended], [], [], seconds)[0])
        except KeyboardInterrupt:
            os.kill(child, signal.SIGINT)  # it has a session of its own, and so have its forks, which it ends
            select.select([ended], [], [], _INTERRUPTING)
            raise
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)  # and the processes that tests have left behind
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if is_over else TIMEOUT


def _end_with(work: Callable[[], int]) -> NoReturn:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # as tests expect it; the command's own handler was inherited
    code: int = pytest.ExitCode.USAGE_ERROR
    try:
        code = work()
    except BaseException:  # noqa: BLE001 - whatever it is, this process ends here
        traceback.print_exc()
    sys.stdout.flush()
    os._exit(code)
