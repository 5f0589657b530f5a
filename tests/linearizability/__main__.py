"""``python -m tests.linearizability``: histories of Redis stores under faults, each checked against its model.

Needs ``redis-server``. A seed draws the same calls again; which of them a fault meets is up to the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.commands import at_least, raise_if_interrupted
from helpers.searches import command

with command():
    from helpers.redis_servers import installed
    from linearizability.servers import CASES, Case, violations_of


def run(case: Case, first: int, seeds: int) -> bool:
    """Record and check histories in one setting; return whether each is explained."""
    found, begin = 0, time.monotonic()
    with case.open() as server:
        for seed in range(first, first + seeds):
            raise_if_interrupted()
            for violation in asyncio.run(violations_of(case, server, seed)):
                found += 1
                sys.stdout.write(f"{case.name}: {violation}\n")
    sys.stdout.write(f"{case.name}: {seeds} seeds, {found} violations, {time.monotonic() - begin:.0f} seconds\n")
    sys.stdout.flush()
    return not found


def main() -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser("python -m tests.linearizability", description=__doc__.splitlines()[0])
    parser.add_argument("--first", type=at_least(0), default=0, help="the first seed (0)")
    parser.add_argument("--seeds", type=at_least(1), default=10, help="how many seeds, in each setting (10)")
    parser.add_argument("--only", choices=[case.name for case in CASES], help="one setting")
    given = parser.parse_args()
    if not installed():
        parser.exit(2, "there is no redis-server; Debian: apt-get install redis-server\n")
    cases = [case for case in CASES if given.only in {None, case.name}]
    explained = [run(case, given.first, given.seeds) for case in cases]
    return 0 if all(explained) else 1


if __name__ == "__main__":
    with command():
        sys.exit(main())
