"""Hostile requests in great numbers through the adapters; not part of the test suite, which sends some of them.

Ends at the first answer that is neither a response of the application nor a typed refusal, and prints its seed::

    PYTHONPATH=.:tests python tests/fuzz/fuzz_adapters.py asgi --examples 1000000 --seed 1
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from helpers.hostile import aiohttp_door, asgi_door, attack

if TYPE_CHECKING:
    from collections import Counter


def report(number: int, seen: Counter[int]) -> None:
    """Say how far it is, and which statuses were the answers: one that never was, was never tested."""
    if number % 50_000 == 0:
        sys.stdout.write(f"{number:10} {dict(sorted(seen.items()))}\n")
        sys.stdout.flush()


async def main(adapter: str, examples: int, seed: int) -> None:
    """Send the requests to one adapter."""
    ask = asgi_door() if adapter == "asgi" else await aiohttp_door()
    seen = await attack(ask, examples, seed=seed, report=report)
    sys.stdout.write(f"{adapter}: {sum(seen.values())} requests, {dict(sorted(seen.items()))}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Hostile requests through an adapter.")
    parser.add_argument("adapter", choices=["asgi", "aiohttp"])
    parser.add_argument("--examples", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    asyncio.run(main(options.adapter, options.examples, options.seed))
