"""The command line: ``python -m benchmarks proof``, and one word more for every other benchmark.

A benchmark is a module with ``SUMMARY``; ``ROUNDS`` and ``CALLS``, the defaults; ``MIN_ROUNDS``; ``COUNTED``, what the
calls are; and ``run``, which takes rounds and calls and returns a :class:`~benchmarks.report.Report`. One that can
compare two checkouts has ``against`` too, which takes the other one's directory first.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.commands import INTERRUPTED, at_least, end_by_sigterm_as_by_ctrl_c

try:
    from benchmarks import (
        alone,
        api_call,
        capacity,
        exchange,
        gateway_browsers,
        gateway_login,
        gateway_proxy,
        gateways,
        importing,
        installing,
        memory,
        peers,
        processes,
        proof,
        protected,
        quota,
        scale,
        sessions,
        soak,
        soak_gateway,
        store,
        verify,
    )
    from benchmarks.report import PLOT_SUFFIXES, plot, print_table
except ModuleNotFoundError as missing:
    library = str(missing.name).partition(".")[0]
    sys.stderr.write(f'{library} is not installed: pip install -e ".[bench]"\n')
    sys.exit(2)
except KeyboardInterrupt:
    sys.exit(INTERRUPTED)

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST = 10_000_000  # rounds, and calls: a list of more would not fit into memory

BENCHMARKS = {
    "proof": proof,
    "verify": verify,
    "protected": protected,
    "exchange": exchange,
    "alone": alone,
    "api-call": api_call,
    "peers": peers,
    "scale": scale,
    "quota": quota,
    "sessions": sessions,
    "store": store,
    "processes": processes,
    "gateways": gateways,
    "gateway-browsers": gateway_browsers,
    "gateway-login": gateway_login,
    "gateway-proxy": gateway_proxy,
    "memory": memory,
    "import": importing,
    "install": installing,
    "capacity": capacity,
    "soak": soak,
    "soak-gateway": soak_gateway,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark that is named, and report what it found."""
    parser = _parser()
    options = parser.parse_args(arguments)
    # Now, and not when all is measured.
    for needed, library in ((not options.json, "rich"), (options.plot, "matplotlib")):
        if needed and find_spec(library) is None:
            parser.error(f'{library} is not installed: pip install "passwordless-async[bench]"')
    compared = (options.against,) if getattr(options, "against", None) else ()
    measure = options.compare if compared else options.run
    try:
        report = measure(*compared, options.rounds, options.calls)
    except (ModuleNotFoundError, subprocess.CalledProcessError) as failed:  # what a benchmark needs, or starts
        parser.exit(2, f"{failed}\n")
    except KeyboardInterrupt:
        parser.exit(INTERRUPTED, "interrupted: nothing is reported\n")
    found = report.as_json(options.rounds, options.calls)
    missed = [bar["measure"] for bar in found["bars"] if bar["reached"] == "nothing"]
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print_table(found)
    if options.plot:
        plot(found, options.plot)
    if options.strict and missed:
        parser.exit(1, f"not reached: {', '.join(missed)}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure what the library claims.")
    commands = parser.add_subparsers(required=True, metavar="BENCHMARK")
    for name, module in BENCHMARKS.items():
        command = commands.add_parser(name, help=module.SUMMARY, description=f"{module.SUMMARY}.")
        _add_number(command, "--rounds", "rounds", module.ROUNDS, module.MIN_ROUNDS)
        _add_number(command, "--calls", f"{module.COUNTED} in a round", module.CALLS, 1)
        command.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
        command.add_argument(
            "--plot", type=_plot_file, metavar="FILE", help="draw a plot as well, into a .svg, .png or .pdf"
        )
        command.add_argument("--strict", action="store_true", help="exit with 1 if a bar is not reached")
        command.set_defaults(run=module.run)
        if hasattr(module, "against"):
            against = "compare this checkout with the one in DIR instead"
            command.add_argument("--against", type=_checkout, metavar="DIR", help=against)
            command.set_defaults(compare=module.against)
    return parser


def _add_number(command: argparse.ArgumentParser, name: str, what: str, default: int, least: int) -> None:
    command.add_argument(
        name, type=at_least(least, at_most=_MOST), default=default, help=f"{what} (default: %(default)s)"
    )


def _plot_file(text: str) -> str:
    path = Path(text)
    if path.suffix not in PLOT_SUFFIXES:
        raise argparse.ArgumentTypeError(f"{text} must end with one of {', '.join(PLOT_SUFFIXES)}")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no directory {path.parent}")
    return text


def _checkout(text: str) -> str:
    if not Path(text, "passwordless_async", "__init__.py").is_file():
        raise argparse.ArgumentTypeError(f"{text} has no passwordless_async")
    return text


if __name__ == "__main__":
    end_by_sigterm_as_by_ctrl_c()
    main()
