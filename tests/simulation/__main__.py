"""``python -m tests.simulation``, from the directory of the repository."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if os.environ.get("PYTHONHASHSEED") != "0":  # sets of texts have the same order in each run
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "PYTHONHASHSEED": "0"})  # noqa: S606 - this program again
sys.path.insert(0, str(Path(__file__).parent.parent))

from helpers.searches import command

with command():
    from simulation.command import main

    sys.exit(main())
