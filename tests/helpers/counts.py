"""What the site consists of, in numbers: ``nox -s counts``."""

from __future__ import annotations

import sys
from collections import Counter

from helpers.pages import PAGES, README, blocks_of
from helpers.public_names import PUBLIC, undocumented


def counts() -> list[str]:
    """Return a line for each number."""
    blocks = [block for page in (README, *PAGES) for block in blocks_of(page)]
    python = Counter(block.kind for block in blocks if block.language == "python")
    reasons = [f"    {block}: {block.detail}" for block in blocks if block.kind == "not-run"]
    consoles = sum(block.language in {"console", "sh"} for block in blocks)
    lacking = [f"{name}: {', '.join(undocumented(value))}" for name, (value, _) in PUBLIC.items() if _lacks(value)]
    return [
        f"{len(PAGES) + 1} pages, with the README and the policies",
        f"{python.total() - python['not-run']} blocks of Python that are run, {python['not-run']} that are not:",
        *reasons,
        f"{consoles} blocks of shell, the commands of which exist",
        f"{len(PUBLIC)} public names, {len(lacking)} without a docstring",
        *lacking,
    ]


def _lacks(value: object) -> bool:
    return callable(value) and bool(undocumented(value))


if __name__ == "__main__":
    sys.stdout.write("\n".join(counts()) + "\n")
