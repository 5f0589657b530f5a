"""The mutants that do the same as the original: those that ``equivalents.toml`` lists by module, function and code."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mutation.mutants import Mutant

LIST = Path(__file__).with_suffix(".toml")


@attrs.frozen
class Equivalents:
    """Listed mutants, each with the reason."""

    listed: dict[str, dict[str, str]]  # by module and function: by the code before and after

    @classmethod
    def read(cls) -> Equivalents:
        """Read the list."""
        return cls(tomllib.loads(LIST.read_text(encoding="utf-8")))

    def __contains__(self, mutant: Mutant) -> bool:
        return _code(mutant) in self.listed.get(_place(mutant), {})

    def stale(self, paths: Iterable[Path], mutants: Iterable[Mutant]) -> list[str]:
        """Return the entries for modules or packages that are none of their mutants, such as those of an old name."""
        found = {(_place(mutant), _code(mutant)) for mutant in mutants}
        asked = [place for place in self.listed if any(map(Path(place.partition(" ")[0]).is_relative_to, paths))]
        return [f"{place}: {code}" for place in asked for code in self.listed[place] if (place, code) not in found]


def _place(mutant: Mutant) -> str:
    return f"{mutant.module} {mutant.function}"


def _code(mutant: Mutant) -> str:
    return f"{mutant.before} -> {mutant.after}"
