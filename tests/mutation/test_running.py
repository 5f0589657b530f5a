"""How the tests of a mutant end."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mutation import running
from mutation.mutants import Mutant, mutants_of

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = "FIRST = 1\n\n\ndef doubled(number):\n    return number * 2\n"


class Module:
    """A module in which a mutant is put; ``ends`` is what happens in its tests."""

    def __init__(self, ends: Callable[[], object]) -> None:
        self._ends = ends

    def replace(self, _source: str) -> bool:
        self._ends()
        return True


class Session:
    """A session of one test, which says whether it has failed."""

    def __init__(self, run: Callable[[], object], *, has_failed: bool) -> None:
        self.testsfailed = int(has_failed)
        self.items = [self]
        self.config = self.hook = self
        self._run = run

    def pytest_runtest_protocol(self, **_named: object) -> None:
        self._run()


def result(
    path: Path,
    *,
    loads: Callable[[], object],
    runs: Callable[[], object],
    has_failed: bool = False,
    reached: tuple[int, ...] = (5,),
) -> str:
    """Return what is said of a mutant in line 5, whose only test runs in a fork."""
    path.mkdir(parents=True, exist_ok=True)
    file = path / "gates.py"
    file.write_text(SOURCE, encoding="utf-8")
    mutant: Mutant = next(each for each in mutants_of("m/gates.py", SOURCE) if 5 in each.lines)
    run = running._Run(path.parent, file, SOURCE, [mutant], path / "results")
    session: Any = Session(runs, has_failed=has_failed)
    module: Any = Module(loads)
    return run._result(session, module, mutant, set(), ([0.0], [list(reached)]))


def nothing() -> None:
    """Do nothing."""


def fail() -> None:
    raise LookupError


def interrupt() -> None:
    raise KeyboardInterrupt


def stop() -> None:
    pytest.exit("enough")


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    ("runs", "has_failed", "expected"),
    [
        (nothing, False, "survived"),
        (nothing, True, "killed"),
        (interrupt, False, "killed"),
        (stop, False, "killed"),
        (terminate, False, "killed"),
    ],
)
def test_a_mutant_is_killed_if_its_tests_fail(
    tmp_path: Path, runs: Callable[[], object], expected: str, *, has_failed: bool
) -> None:
    """Or if they end their process, as tests of signals can."""
    assert result(tmp_path / "m", loads=nothing, runs=runs, has_failed=has_failed) == expected


def test_a_mutant_that_no_test_reaches_survives(tmp_path: Path) -> None:
    """No test runs."""
    assert result(tmp_path / "m", loads=nothing, runs=fail, reached=()) == "survived"


@pytest.mark.parametrize(("loads", "runs"), [(fail, nothing), (nothing, fail)], ids=["mutant", "tests"])
def test_a_mutant_whose_tests_could_not_run_is_not_killed(
    tmp_path: Path, loads: Callable[[], object], runs: Callable[[], object]
) -> None:
    """The run ends: the score would be too good."""
    with pytest.raises(RuntimeError, match="pytest ended with 4"):
        result(tmp_path / "m", loads=loads, runs=runs)


@pytest.mark.parametrize("code", [-signal.SIGKILL, pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED, 77])
def test_a_code_that_says_nothing_of_the_tests(code: int) -> None:
    """Neither that they passed nor that one failed."""
    with pytest.raises(RuntimeError, match=f"pytest ended with {int(code)}"):
        running.has_failed(code)


def test_tests_that_take_too_long_have_failed() -> None:
    """A mutant may wait for ever."""
    assert running.has_failed(running.TIMEOUT)


def test_a_mutant_that_no_test_can_import_is_killed() -> None:
    """The original could be imported, so it is the mutant that cannot."""
    output = "ImportError while loading conftest '/tmp/m/tests/conftest.py'.\ntests/conftest.py:27: in <module>\n"
    assert running.has_failed(pytest.ExitCode.USAGE_ERROR, output)


@pytest.mark.parametrize(("fail", "code"), [([True, False], 0), ([True, True], 1)])
def test_a_test_that_fails_without_a_mutant_is_left_out(tmp_path: Path, fail: list[bool], code: int) -> None:
    """It would fail with each mutant, too, so it counts as if it reached no line; if all fail, none can tell."""
    session: Any = Session(nothing, has_failed=False)

    def run(*, has_failed: bool) -> None:
        session.testsfailed += has_failed

    session.items = [Session(partial(run, has_failed=each), has_failed=False) for each in fail]
    measured = running._Run(tmp_path, tmp_path / "gates.py", SOURCE, [], tmp_path / "results")
    assert (measured._measure(session), (tmp_path / "results").exists()) == (code, code == 0)


def test_an_interrupted_command_leaves_no_fork(tmp_path: Path) -> None:
    """Forks have sessions of their own: Ctrl-C reaches the command alone, which ends them, and they end their forks."""
    command, forks = os.getpid(), tmp_path / "forks"

    def wait() -> int:
        forks.write_text(f"{os.getppid()} {os.getpid()}", encoding="utf-8")
        os.kill(command, signal.SIGINT)
        signal.pause()
        return 0

    # A shell has programs in the background ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            running._ended(lambda: running._ended(wait, 60.0), 60.0)
    finally:
        signal.signal(signal.SIGINT, before)
    assert [pid for pid in map(int, forks.read_text(encoding="utf-8").split()) if Path(f"/proc/{pid}").exists()] == []
