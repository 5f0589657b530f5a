"""The example of an application's tests: they pass, as pytest of the application's own runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "tests-with-plugin"


@pytest.mark.slow
def test_the_tests_of_the_example() -> None:
    """All of them, in their own configuration; nothing is skipped, and nothing warns."""
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "passwordless_async.testing.plugin"]
    # Not the options of this run, such as the coverage that it must reach.
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    done = subprocess.run(  # noqa: S603 - our own example
        [*command, "-p", "no:cacheprovider", "."],
        cwd=FOLDER,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 passed in" in done.stdout.splitlines()[-1]
