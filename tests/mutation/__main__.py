"""Say which mutants no test notices: ``python -m tests.mutation passwordless_async/client/bulk.py``."""

from __future__ import annotations

import argparse
import random
import sys
import tomllib
from collections import Counter, defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from mutation.mutants import Mutant, mutants_of
from mutation.running import Sandbox, stages

_EQUIVALENTS = Path(__file__).with_name("equivalents.toml")


def main() -> int:
    """Run the command; 1 if fewer mutants of a package are killed than asked for. Listed equivalents do not count."""
    arguments = _arguments()
    also = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutation"]["also"]
    listed = tomllib.loads(_EQUIVALENTS.read_text(encoding="utf-8"))
    found = [mutant for path in arguments.paths for module in _modules(path) for mutant in _mutants(module)]
    if arguments.sample:
        found = random.Random(arguments.seed).sample(found, min(arguments.sample, len(found)))  # noqa: S311 - no secret
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    with Sandbox.made() as sandbox:
        for number, mutant in enumerate(found, 1):
            if f"{mutant.before} -> {mutant.after}" in listed.get(f"{mutant.module} {mutant.function}", {}):
                result = "equivalent"
            else:
                tests = stages(Path(mutant.module), also, own_only=arguments.own)
                survives = sandbox.survives(mutant.module, mutant.source, tests)
                result = "SURVIVED" if survives else "killed"
            counts[Path(mutant.module).parts[1].removesuffix(".py")][result] += 1
            if result == "SURVIVED" or arguments.verbose:
                _say(f"[{number}/{len(found)}] {result} {mutant}")
    shares = [_report(package, count) for package, count in sorted(counts.items())]
    return int(min(shares, default=100.0) < arguments.at_least)


def _report(package: str, count: Counter[str]) -> float:
    """Print a package's row, and return the killed in percent."""
    tried = count["killed"] + count["SURVIVED"]
    share = 100 * count["killed"] / tried if tried else 100.0
    _say(f"{package}: {count['killed']} of {tried} killed ({share:.1f} %), {count['equivalent']} equivalent")
    return share


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path, help="modules or packages, below passwordless_async")
    parser.add_argument("--sample", type=int, help="so many mutants, by chance; otherwise all")
    parser.add_argument("--seed", type=int, default=0, help="chooses the sample")
    parser.add_argument("--at-least", type=float, default=100.0, help="percent of each package that must be killed")
    parser.add_argument("--own", action="store_true", help="only the tests that mirror the module: quicker, stricter")
    parser.add_argument("--verbose", action="store_true", help="killed mutants too")
    return parser.parse_args()


def _modules(path: Path) -> list[Path]:
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def _mutants(module: Path) -> list[Mutant]:
    return list(mutants_of(module.as_posix(), module.read_text(encoding="utf-8")))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
