"""Say which mutants no test notices: ``python -m tests.mutation passwordless_async/client/bulk.py``."""

from __future__ import annotations

import argparse
import random
import sys
import tomllib
from collections import Counter, defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.commands import at_least
from helpers.searches import command

with command():
    from mutation.equivalents import LIST, Equivalents
    from mutation.mutants import Mutant, mutants_of
    from mutation.running import Sandbox, stages


def main() -> int:
    """Run the command; 1 if fewer mutants of a package are killed than asked for, 2 if the list is stale."""
    arguments = _arguments()
    tables = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutation"]
    equivalents = Equivalents.read()
    found = [mutant for path in arguments.paths for module in _modules(path) for mutant in _mutants(module)]
    if stale := equivalents.stale(arguments.paths, found):
        sys.stderr.write(f"{LIST.name} lists what is no mutant: {'; '.join(stale)}\n")
        return 2
    if arguments.sample:
        found = random.Random(arguments.seed).sample(found, min(arguments.sample, len(found)))  # noqa: S311 - no secret
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    with Sandbox.made() as sandbox:
        for module in dict.fromkeys(mutant.module for mutant in found):
            unlisted = [mutant for mutant in found if mutant.module == module and mutant not in equivalents]
            count = counts[Path(module).parts[1].removesuffix(".py")]
            count["equivalent"] += sum(mutant.module == module for mutant in found) - len(unlisted)
            count["tried"] += len(unlisted)
            survivors = unlisted
            for tests in stages(Path(module), tables, own_only=arguments.own):
                survivors = sandbox.survivors(module, survivors, tests) if survivors else []
            count["survived"] += len(survivors)
            for mutant in survivors:
                _say(f"SURVIVED {mutant}")
            if arguments.verbose:
                _say(f"{module}: {len(unlisted) - len(survivors)} of {len(unlisted)} killed")
    shares = [_report(package, count) for package, count in sorted(counts.items())]
    return int(min(shares, default=100.0) < arguments.at_least)


def _report(package: str, count: Counter[str]) -> float:
    """Print a package's row, and return the killed in percent."""
    killed = count["tried"] - count["survived"]
    share = 100 * killed / count["tried"] if count["tried"] else 100.0
    _say(f"{package}: {killed} of {count['tried']} killed ({share:.1f} %), {count['equivalent']} equivalent")
    return share


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("paths", nargs="+", type=_path, help="modules or packages, below passwordless_async")
    parser.add_argument("--sample", type=at_least(1), help="so many mutants, by chance; otherwise all")
    parser.add_argument("--seed", type=int, default=0, help="chooses the sample")
    parser.add_argument("--at-least", type=_percent, default=100.0, help="percent of each package that must be killed")
    parser.add_argument("--own", action="store_true", help="only the tests that mirror the module: quicker, stricter")
    parser.add_argument("--verbose", action="store_true", help="a row for each module")
    if not Path("passwordless_async", "__init__.py").is_file():
        parser.error("run this in the directory of the repository")
    return parser.parse_args()


def _path(text: str) -> Path:
    path = Path(text).resolve()
    if not path.exists():
        raise argparse.ArgumentTypeError(f"there is no {text}")
    if not path.is_relative_to(Path("passwordless_async").resolve()) or (path.is_file() and path.suffix != ".py"):
        raise argparse.ArgumentTypeError(f"{text} is no module or package below passwordless_async")
    return path.relative_to(Path.cwd())


def _percent(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError("must be between 0 and 100")
    return value


def _modules(path: Path) -> list[Path]:
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def _mutants(module: Path) -> list[Mutant]:
    return list(mutants_of(module.as_posix(), module.read_text(encoding="utf-8")))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with command():
        sys.exit(main())
